"""What is seen while a run runs: a bar with rate, time left and the select metric, or a line now and then."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from metricgrad.cli.output import console

__all__ = ["Drawing"]

SECONDS_BETWEEN_LINES = 5.0
"""Where standard error is no terminal."""
SECONDS_BETWEEN_DRAWINGS = 0.1
"""A step may take a millisecond: drawing must not cost it another one."""


class Drawing:
    """An observer that draws events on standard error.

    Args:
        quiet: draw nothing.

    Attributes:
        notes: the texts of the notes so far.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet, self.notes = quiet, []
        self._metric, self._stages, self._finished, self._test = "select", 0, 0, False
        self._what, self._began, self._first, self._last = "", 0.0, 0, 0.0
        self._bars: Progress | None = None

    def __enter__(self) -> "Drawing":
        """Start to draw."""
        if not self.quiet and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), _Rate(),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True), TextColumn("{task.fields[select]}"),
            )  # fmt: skip
            self._bars = Progress(
                *columns, console=console(stderr=True), transient=True, refresh_per_second=8
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
        self._seeds, self._arms = len(event["seeds"]), 1 + (event["proxy"] is not None)
        self._test = "test" in event["splits"]
        if event["metric_description"]:
            self._line(f"{event['metric']} here: {event['metric_description']}")

    def _on_budget(self, event: Mapping[str, Any]) -> None:
        self._stages = self._seeds * (1 + self._arms * event["tries"])
        timed = ""
        if event["minutes"] is not None and event["seconds_per_step"] is not None:
            timed = f" ({event['minutes']:g} minutes at {1000 * event['seconds_per_step']:.1f} ms a step)"
        self._line(f"{event['steps']:,} steps for each arm{timed}, {self._stages} stages in all")

    def _on_resumed(self, event: Mapping[str, Any]) -> None:
        self._line(f"resumed at seed {event['seed']} {event['arm']}, step {event['step']:,}")

    def _on_stage_finished(self, event: Mapping[str, Any]) -> None:
        self._finished += 1
        self._what = ""
        self._clear()
        self._line(
            f"seed {event['seed']} {event['arm']}: {self._metric} {event['value']:.4f} at step {event['best_step']:,} "
            f"of {event['step']:,} ({event['seconds']:.0f} s)"
        )

    def _on_chosen(self, event: Mapping[str, Any]) -> None:
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
        pause = SECONDS_BETWEEN_LINES if self._bars is None else SECONDS_BETWEEN_DRAWINGS
        if now - self._last < pause and not (begins and self._bars is not None) and done < total:
            return
        ends = done >= total and self._bars is None and now - self._began < SECONDS_BETWEEN_LINES
        self._last = now
        select = event.get("select")
        shown = "" if select is None else f"{self._metric} {select:.4f}"
        if self._bars is not None:
            self._draw(event, shown, begins=begins)
        elif not ends:  # what was done within one pause needs no line
            self._line(self._plain(event, shown, now))

    def _clear(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)

    def _draw(self, event: Mapping[str, Any], select: str, *, begins: bool) -> None:
        assert self._bars is not None
        if begins:
            self._clear()
            place = f" ({self._finished + 1}/{self._stages})" if self._stages else ""
            self._bars.add_task(
                f"{event['what']}{place}", total=event["total"], completed=event["done"], unit=event["unit"],
                select=select,
            )  # fmt: skip
        for task in self._bars.task_ids:
            self._bars.update(task, completed=event["done"], total=event["total"], select=select)

    def _plain(self, event: Mapping[str, Any], select: str, now: float) -> str:
        done, total, unit = event["done"], event["total"], event["unit"]
        rate = (done - self._first) / max(now - self._began, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        text = f"{event['what']}: {done:,} of {total:,} {unit}s, {rate:.1f} {unit}s/s{left}"
        return f"{text}, {select}" if select else text

    def _line(self, text: str) -> None:
        if self.quiet:
            return
        if self._bars is not None:
            self._bars.console.print(Text(text))
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


class _Rate(ProgressColumn):
    """How many units a second."""

    def render(self, task: Task) -> Text:
        """Render the rate of a bar; nothing before it is known."""
        speed = task.finished_speed or task.speed
        return Text(
            "" if speed is None else f"{speed:,.1f} {task.fields['unit']}s/s", style="progress.data.speed"
        )
