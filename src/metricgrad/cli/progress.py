"""What is seen while a run runs: a bar with rate, time left and the select metric, or a line now and then."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from metricgrad.cli.output import console

__all__ = ["Drawing"]

SECONDS_BETWEEN_LINES = 5.0
"""Where standard error is no terminal."""
SECONDS_BETWEEN_DRAWINGS = 0.1
"""A step may take a millisecond: drawing must not cost it another one."""
WIDE = 110
"""Columns from which the bar's line has room for the name of the metric and the unit of the rate."""


class Drawing:
    """An observer that draws events on standard error.

    Args:
        quiet: draw nothing.

    Attributes:
        notes: the texts of the notes so far.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet, self.notes = quiet, []
        self._metric, self._test = "select", False
        self._what, self._began, self._first, self._last = "", 0.0, 0, 0.0
        self._trained, self._training = 0, 0.0  # steps and seconds of the stages that are over
        self._bars: Progress | None = None

    def __enter__(self) -> "Drawing":
        """Start to draw."""
        if not self.quiet and sys.stderr.isatty():
            screen = console(stderr=True)
            wide = screen.width >= WIDE
            bar = (
                BarColumn() if wide else BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=1))
            )
            columns = (
                _Cell("place"),
                bar,
                MofNCompleteColumn(table_column=_unwrapped()),
                _Rate(wide=wide),
                TimeRemainingColumn(compact=True, table_column=_unwrapped()),
                _Cell("left"),
                _Cell("select" if wide else "value"),
            )
            self._bars = Progress(
                *columns, console=screen, transient=True, refresh_per_second=8, expand=not wide
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Draw one event; the ones that nobody waits for are passed over."""
        handle = getattr(self, f"_on_{event['event']}", None)
        if handle is not None:
            handle(event)

    def _on_run_started(self, event: Mapping[str, Any]) -> None:
        self._metric = f"select {event['metric']}"
        self._test = "test" in event["splits"]
        if event["metric_description"]:
            self._line(f"{event['metric']} here: {event['metric_description']}")

    def _on_budget(self, event: Mapping[str, Any]) -> None:
        timed = ""
        if event["minutes"] is not None and event["seconds_per_step"] is not None:
            timed = f" ({event['minutes']:g} minutes at {1000 * event['seconds_per_step']:.1f} ms a step)"
        self._line(f"{event['steps']:,} steps for each arm{timed}, {event['stages']} stages in all")

    def _on_resumed(self, event: Mapping[str, Any]) -> None:
        self._line(f"resumed at seed {event['seed']} {event['arm']}, step {event['step']:,}")

    def _on_stage_finished(self, event: Mapping[str, Any]) -> None:
        self._what = ""
        self._clear()
        self._line(
            f"seed {event['seed']} {event['arm']}: {self._metric} {event['value']:.4f} at step {event['best_step']:,} "
            f"of {event['step']:,} ({event['seconds']:.0f} s)"
        )

    def _on_chosen(self, event: Mapping[str, Any]) -> None:
        self._clear()
        self._line("chosen on select" + ("; now the test split is read, once" if self._test else ""))

    def _on_note(self, event: Mapping[str, Any]) -> None:
        self.notes.append(event["text"])
        self._line(f"note: {event['text']}")

    def _on_progress(self, event: Mapping[str, Any]) -> None:
        now, done, total = time.monotonic(), event["done"], event["total"]
        if self.quiet:
            return
        begins = event["what"] != self._what
        if begins:
            self._what, self._began, self._first, self._last = event["what"], now, done, now
        if done >= total and event.get("stages"):
            self._trained += done - self._first
            self._training += now - self._began
        pause = SECONDS_BETWEEN_LINES if self._bars is None else SECONDS_BETWEEN_DRAWINGS
        if now - self._last < pause and not (begins and self._bars is not None) and done < total:
            return
        ends = done >= total and self._bars is None and now - self._began < SECONDS_BETWEEN_LINES
        self._last = now
        if self._bars is not None:
            self._draw(event, now, begins=begins)
        elif not ends:  # what was done within one pause needs no line
            self._line(self._plain(event, now))

    def _clear(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)

    def _draw(self, event: Mapping[str, Any], now: float, *, begins: bool) -> None:
        assert self._bars is not None
        value = "" if event.get("select") is None else f"{event['select']:.4f}"
        shown: dict[str, Any] = {
            "place": _place(event),
            "left": self._run_left(event, now),
            "select": f"{self._metric} {value}" if value else "",
            "value": f"select {value}" if value else "",
        }
        if begins:
            self._clear()
            self._bars.add_task(event["what"], total=event["total"], unit=event["unit"], **shown)
        for task in self._bars.task_ids:
            self._bars.update(task, completed=event["done"], total=event["total"], **shown)

    def _plain(self, event: Mapping[str, Any], now: float) -> str:
        done, total, unit = event["done"], event["total"], event["unit"]
        rate = (done - self._first) / max(now - self._began, 1e-9)
        parts = [f"{_place(event)}: {done:,} of {total:,} {unit}s", f"{rate:.1f} {unit}s/s"]
        if rate > 0 and done < total:
            parts.append(f"{(total - done) / rate:.0f} s left")
        if left := self._run_left(event, now):
            parts.append(f"{left} left")
        if event.get("select") is not None:
            parts.append(f"{self._metric} {event['select']:.4f}")
        return ", ".join(parts)

    def _run_left(self, event: Mapping[str, Any], now: float) -> str:
        """How long the whole run will take at the most, from the rate of its steps so far and what follows them."""
        steps = self._trained + event["done"] - self._first
        seconds = self._training + now - self._began
        if not event.get("stages") or event["done"] >= event["total"] or steps <= 0 or seconds < 1:
            return ""
        left = (event["total"] - event["done"] + event["later"]) * seconds / steps + (event.get("after") or 0)
        minutes, rest = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"run {hours}h{minutes:02d}" if hours else f"run {minutes}:{rest:02d}"

    def _line(self, text: str) -> None:
        if self.quiet:
            return
        if self._bars is not None:
            self._bars.console.print(Text(text))
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def _place(event: Mapping[str, Any]) -> str:
    """What goes on, and for a stage its number among all."""
    return f"{event['what']} ({event['stage']}/{event['stages']})" if event.get("stages") else event["what"]


def _unwrapped() -> Column:
    return Column(no_wrap=True)


class _Cell(ProgressColumn):
    """A text of a bar, in one line."""

    def __init__(self, name: str) -> None:
        super().__init__(table_column=_unwrapped())
        self.name = name

    def render(self, task: Task) -> Text:
        """Render the text."""
        return Text(task.fields[self.name])


class _Rate(ProgressColumn):
    """How many units a second."""

    def __init__(self, *, wide: bool) -> None:
        super().__init__(table_column=_unwrapped())
        self.wide = wide

    def render(self, task: Task) -> Text:
        """Render the rate of a bar; nothing before it is known."""
        speed = task.finished_speed or task.speed
        if speed is None:
            return Text("")
        unit = f" {task.fields['unit']}s" if self.wide else ""
        return Text(f"{speed:,.{0 if speed >= 100 else 1}f}{unit}/s", style="progress.data.speed")
