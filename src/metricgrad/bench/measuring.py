"""Measure contestants side by side: each in a process of its own, turn by turn, what is too much left out by name.

Contestants take turns because a machine slows down and recovers: what is compared was measured in the same minutes.
Nothing is computed in this process, so that it can draw, and be interrupted, at any moment.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from metricgrad._checks import free_memory
from metricgrad.bench.contestant import Contestant
from metricgrad.bench.ranks import CONTESTANTS
from metricgrad.bench.serving import LeftOut, Served
from metricgrad.bench.timer import TURN_SECONDS

__all__ = ["Measurement", "exponent", "facts_of", "measure", "ratios"]

_START_LIMIT = 600.0
"""Seconds that the start of a process may take: it may compile."""

_PAUSE = 0.02
"""Between turns: the threads of the one before go to sleep."""

_TRUSTED_PEAK = 2**26
"""A peak below 64 MB says little about the next size: the estimate from the algorithm does."""

_SHARE_OF_FREE = 0.9


@dataclass(frozen=True)
class Measurement:
    """One contestant on one batch.

    Attributes:
        contestant: its name.
        batch: rows.
        dims: dimensions of an embedding.
        noise: of the rows around their class centre.
        seconds: median of the turns, or None where it was left out.
        turns: seconds of a call in each turn.
        peak_bytes: extra memory at the peak, or None where that is unknown.
        left_out: why it was not measured, or an empty string.
        facts: threads, versions and kernel of its process.
    """

    contestant: str
    batch: int
    dims: int
    noise: float
    seconds: float | None = None
    turns: tuple[float, ...] = ()
    peak_bytes: int | None = None
    left_out: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def measure(
    batches: Iterable[int],
    noises: Sequence[float],
    *,
    dims: int = 512,
    repeats: int = 5,
    limit: float = 60.0,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[list[Measurement]]:
    """Yield the measurements of one batch after the other, smallest first.

    Args:
        batches: rows.
        noises: of the rows around their class centre.
        dims: dimensions of an embedding.
        repeats: turns of each contestant; one more before them is not counted.
        limit: seconds of a call, estimated from the contestant's last size, beyond which it is left out.
        only: names of contestants; none for all.
        tell: is called several times a second with what is going on.
    """
    contestants = [one for one in CONTESTANTS if not only or one.name in only]
    plan = [(batch, noise) for batch in sorted(set(batches)) for noise in noises]
    progress = _Progress(contestants, plan, dims, repeats, limit, tell)
    for batch, noise in plan:
        measured = _side_by_side(contestants, batch, dims, noise, repeats, limit, progress)
        progress.finished(measured)
        yield measured


class _Progress:
    """What is known so far: for estimates of the next size, and of the time left."""

    def __init__(
        self,
        contestants: list[Contestant],
        plan: list[tuple[int, float]],
        dims: int,
        repeats: int,
        limit: float,
        tell: Callable[[str], None],
    ) -> None:
        self._contestants, self._plan, self._turns, self._limit = contestants, list(plan), repeats + 1, limit
        self._dims = dims
        self._tell, self._began, self._case_began = tell, time.monotonic(), time.monotonic()
        self._start_seconds = 10.0
        self._last: dict[tuple[str, float], Measurement] = {}
        self._now: dict[str, float] = {}
        self._done: dict[str, int] = {}
        self._gave_up: dict[tuple[str, float], int] = {}
        self._free = free_memory() or math.inf

    def gave_up(self, contestant: Contestant, noise: float) -> int | None:
        """The smaller batch at which a contestant was tried and did not come through, or None."""
        return self._gave_up.get((contestant.name, noise))

    def failed(self, contestant: Contestant) -> None:
        """A contestant was tried and did not come through: a larger batch would only cost the same wait again."""
        batch, noise = self._plan[0]
        self._gave_up[contestant.name, noise] = batch

    def finished(self, measured: list[Measurement]) -> None:
        self._last |= {(one.contestant, one.noise): one for one in measured if one.seconds is not None}
        self._plan.pop(0)
        self._now, self._done, self._case_began = {}, {}, time.monotonic()

    def started(self) -> None:
        """All contestants of the batch are there; the next ones will take about as long."""
        self._start_seconds = time.monotonic() - self._case_began

    def took(self, contestant: Contestant, seconds: float) -> None:
        self._now[contestant.name] = seconds
        self._done[contestant.name] = self._done.get(contestant.name, 0) + 1

    def seconds(self, contestant: Contestant, batch: int, noise: float) -> float | None:
        """A call's seconds on a batch, from the last size; None before there was one."""
        last = self._last.get((contestant.name, noise))
        if last is None or last.seconds is None:
            return None
        return last.seconds * (batch / last.batch) ** contestant.power

    def peak_bytes(self, contestant: Contestant, batch: int, dims: int, noise: float) -> float:
        """Extra memory on a batch: from the last size where that says something, else from the algorithm."""
        estimate = 4 * contestant.floats(batch, dims)
        last = self._last.get((contestant.name, noise))
        if last is None or last.peak_bytes is None or last.peak_bytes < _TRUSTED_PEAK:
            return estimate
        return last.peak_bytes * contestant.floats(batch, dims) / contestant.floats(last.batch, dims)

    def tick(self, what: str) -> None:
        place = f"batch {self._plan[0][0]:,}, noise {self._plan[0][1]}"
        passed = time.monotonic() - self._began
        self._tell(f"{place}: {what} ({passed:.0f} s, about {self._seconds_left():.0f} s left)")

    def _seconds_left(self) -> float:
        left = 0.0
        for place, (batch, noise) in enumerate(self._plan):
            left += 0 if place == 0 and self._now else self._start_seconds
            for one in self._contestants:
                if (one.name, noise) in self._gave_up or 4 * one.floats(batch, self._dims) > self._free:
                    continue
                known = self.seconds(one, batch, noise)
                turns = self._turns
                if place == 0:
                    known, turns = self._now.get(one.name, known), turns - self._done.get(one.name, 0)
                elif known is None and one.name in self._now:
                    known = self._now[one.name] * (batch / self._plan[0][0]) ** one.power
                if known is not None and known <= self._limit:
                    left += turns * max(known, TURN_SECONDS)
        return left


def _side_by_side(
    contestants: list[Contestant],
    batch: int,
    dims: int,
    noise: float,
    repeats: int,
    limit: float,
    progress: _Progress,
) -> list[Measurement]:
    """Measure everyone on one batch."""
    reasons: dict[str, str] = {}
    turns: dict[str, list[float]] = {}
    facts: dict[str, dict[str, Any]] = {}
    running: dict[str, Served] = {}
    with ExitStack() as processes:
        for one in contestants:
            reason = _obstacle(one, batch, dims, noise, limit, progress)
            if reason:
                reasons[one.name] = reason
                continue
            running[one.name] = Served(one, batch, dims, noise)
            processes.callback(running[one.name].close)
        taking_part = [one for one in contestants if one.name in running]
        for turn in range(-1, repeats + 1):  # -1: all have started, 0: warm-up
            if turn == 0:
                progress.started()
            for one in [one for one in taking_part if one.name not in reasons]:
                what = f"{one.name} starts" if turn < 0 else f"{one.name}, turn {turn} of {repeats}"
                progress.tick(what)
                try:
                    answer = _turn(running[one.name], turn, limit, lambda what=what: progress.tick(what))
                except LeftOut as error:
                    reasons[one.name] = str(error)
                    progress.failed(one)
                    running[one.name].close()
                    continue
                facts.setdefault(one.name, {}).update(answer)
                if turn >= 0:
                    progress.took(one, answer["seconds"])
                if turn > 0:
                    turns.setdefault(one.name, []).append(answer["seconds"])
    return [
        _measurement(one, batch, dims, noise, turns.get(one.name, []), reasons.get(one.name, ""), facts)
        for one in contestants
    ]


def _turn(process: Served, turn: int, limit: float, tick: Callable[[], None]) -> dict[str, Any]:
    if turn < 0:
        return process.answer(_START_LIMIT, tick)
    time.sleep(_PAUSE)
    process.ask()
    # a first call that is too slow is given up; later a slow moment of the machine is borne
    return process.answer(limit if turn == 0 else 5 * limit, tick)


def _obstacle(
    contestant: Contestant, batch: int, dims: int, noise: float, limit: float, progress: _Progress
) -> str:
    """Why a contestant does not take part, or an empty string."""
    if not contestant.importable:
        return f"not installed (pip install {(contestant.package or '').replace('_', '-')})"
    if (smaller := progress.gave_up(contestant, noise)) is not None:
        return f"did not come through at batch {smaller:,}"
    seconds = progress.seconds(contestant, batch, noise)
    if seconds is not None and seconds > limit:
        return f"would take about {seconds:,.0f} s a call, more than {limit:g} s"
    needed, free = progress.peak_bytes(contestant, batch, dims, noise), free_memory()
    if free is not None and needed > _SHARE_OF_FREE * free:
        return f"would need about {needed / 1e9:,.0f} GB, {free / 1e9:.0f} GB are free"
    return ""


def _measurement(
    contestant: Contestant,
    batch: int,
    dims: int,
    noise: float,
    turns: list[float],
    reason: str,
    facts: dict[str, dict[str, Any]],
) -> Measurement:
    if reason:
        return Measurement(contestant.name, batch, dims, noise, left_out=reason)
    last = facts[contestant.name]
    known = {key: last[key] for key in ("threads", "torch", "kernel")}
    return Measurement(
        contestant.name,
        batch,
        dims,
        noise,
        statistics.median(turns),
        tuple(turns),
        last["peak_bytes"],
        facts=known,
    )


def exponent(measured: Iterable[Measurement], contestant: str, noise: float) -> float | None:
    """Return a in seconds ~ batch ** a, by least squares of the logarithms; None below two sizes."""
    points = [
        (math.log(one.batch), math.log(one.seconds))
        for one in measured
        if one.contestant == contestant and one.noise == noise and one.seconds
    ]
    if len({x for x, _ in points}) < 2:
        return None
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def ratios(one: Measurement, measured: Iterable[Measurement]) -> dict[str, float | None]:
    """Return a contestant's time to that of one product and three, and how many times SmoothAPLoss takes as long."""
    beside = {
        other.contestant: other.seconds
        for other in measured
        if (other.batch, other.noise, other.dims) == (one.batch, one.noise, one.dims)
    }
    product, products, smooth_ap = (beside.get(name) for name in ("product", "products", "SmoothAPLoss"))
    return {
        "to_product": one.seconds / product if one.seconds and product else None,
        "to_products": one.seconds / products if one.seconds and products else None,
        "smooth_ap_to_this": smooth_ap / one.seconds if one.seconds and smooth_ap else None,
    }


def facts_of(measured: Sequence[Measurement], noises: Iterable[float]) -> dict[str, Any]:
    """Return everything that a table of these measurements says, ready for JSON."""
    machine = next((one.facts for one in measured if one.facts), {})
    kernel = next((one.facts["kernel"] for one in measured if one.contestant == "ours" and one.facts), None)
    rows = [
        {
            "contestant": one.contestant,
            "batch": one.batch,
            "dims": one.dims,
            "noise": one.noise,
            "seconds": one.seconds,
            "turns": one.turns,
            "peak_bytes": one.peak_bytes,
            **ratios(one, measured),
            "left_out": one.left_out,
        }
        for one in measured
    ]
    exponents = [
        {"noise": noise, **{name: exponent(measured, name, noise) for name in ("ours", "product")}}
        for noise in noises
    ]
    return {**machine, "kernel": kernel, "rows": rows, "exponents": exponents}
