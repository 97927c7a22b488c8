"""The steps of a metric of comparisons that are not exact: smooth, recorded, and replayed at a corner."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._comparisons import ComparisonMetric, ExactStep, differences
from metricgrad._user_code import called
from metricgrad.errors import ComparisonMismatch

__all__ = ["Recorder", "SmoothStep", "recorded", "replayed", "values_of"]

_EXACT = ExactStep()


class SmoothStep:
    """Answers sigmoid(d / temperature), of every step, whether it says `relax` or not.

    Args:
        temperatures: by the name of a step.
        undefined: rows that have no value: no gradient goes back through their steps.
    """

    def __init__(
        self, temperatures: Mapping[str, float], undefined: Bool[Tensor, " row"] | None = None
    ) -> None:
        self.temperatures, self.undefined, self.asked = temperatures, undefined, 0

    def __call__(self, d: Tensor, name: str = "rank", relax: bool = True) -> Tensor:
        """Answer for every difference; NaN stays NaN."""
        self.asked += 1
        answer = (differences(d, name) / self.temperatures[name]).sigmoid()
        if self.undefined is None or answer.ndim == 0 or len(answer) != len(self.undefined):
            return answer
        return torch.where(self.undefined.reshape(-1, *[1] * (answer.ndim - 1)), answer.detach(), answer)


class Recorder:
    """Answers exactly, and keeps the differences of every relaxed step.

    Attributes:
        kept: those differences, in the order in which they were asked for.
    """

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def __call__(self, d: Tensor, name: str = "rank", relax: bool = True) -> Tensor:
        """Answer for every difference."""
        known = differences(d, name)
        if relax:
            self.kept.append(known)
        return _EXACT(known, name)

    @property
    def count(self) -> int:
        """How many comparisons were asked for."""
        return sum(part.numel() for part in self.kept)


class _Replay:
    """Answers every relaxed step with the next part of a corner, any other step exactly."""

    def __init__(self, who: str, bits: Sequence[Tensor]) -> None:
        self.who, self.bits, self.taken = who, bits, 0

    def __call__(self, d: Tensor, name: str = "rank", relax: bool = True) -> Tensor:
        known = differences(d, name)
        if not relax:
            return _EXACT(known, name)
        if self.taken == len(self.bits) or self.bits[self.taken].shape != known.shape:
            there = sum(part.numel() for part in self.bits)
            so_far = sum(part.numel() for part in self.bits[: self.taken]) + known.numel()
            raise mismatch(self.who, there, f"{so_far} or more in another shape or order")
        self.taken += 1
        return (self.bits[self.taken - 1].to(known.dtype) + 1) / 2

    def finish(self) -> None:
        """Raise ComparisonMismatch where steps were left over."""
        if self.taken < len(self.bits):
            there, asked = (
                sum(part.numel() for part in parts) for parts in (self.bits, self.bits[: self.taken])
            )
            raise mismatch(self.who, there, str(asked))


def mismatch(who: str, before: int, now: str) -> ComparisonMismatch:
    """Return the error for a metric that asks other comparisons when their answers are others."""
    return ComparisonMismatch(
        f"{who}: it asked for {before} comparisons of the outputs, and then, with other answers, for {now}; expected "
        "steps whose number, order and shapes depend on no value. A step whose difference comes from former answers "
        "needs relax=False."
    )


def recorded(who: str, metric: ComparisonMetric, outputs: Any, targets: Any) -> tuple[Tensor, Recorder]:
    """Return the exact value of a metric of comparisons, and what it asked for."""
    step = Recorder()
    return values_of(who, metric, outputs, targets, step), step


def values_of(who: str, metric: ComparisonMetric, outputs: Any, targets: Any, step: Any) -> Tensor:
    """Call a metric of comparisons; a plain number that it returns becomes a tensor.

    Raises:
        InputError: it raised, or returned something else than a number or one value per row.
    """
    found = called(who, metric, outputs, targets, step, expected="outputs and targets that it takes")
    return _tensor(who, found)


def replayed(
    who: str,
    metric: ComparisonMetric,
    outputs: Any,
    targets: Any,
    bits: Sequence[Float[Tensor, "anchor ..."]],
    *,
    together: bool,
) -> Float[Tensor, "anchor ..."]:
    """Return the values of a metric at every anchor, without gradient.

    Args:
        who: the metric, for messages.
        metric: of comparisons.
        outputs: for the steps that are not relaxed.
        targets: of the outputs.
        bits: for each relaxed step its answers at every anchor, -1 or 1.
        together: all anchors in one call, by `torch.vmap`; False: one call for each.
    """

    def at(*corner: Tensor) -> Tensor:
        step = _Replay(who, corner)
        found = _tensor(who, metric(outputs, targets, step))
        step.finish()
        return found

    with torch.no_grad():
        if together:
            remedy = "If it branches on values or writes in place, say vectorize=False: one call per anchor."
            every: Callable[..., Tensor] = torch.vmap(at)
            return called(who, every, *bits, expected="torch code that vmap takes", remedy=remedy)
        return torch.stack(
            [called(who, at, *(part[anchor] for part in bits)) for anchor in range(len(bits[0]))]
        )


def _tensor(who: str, found: Any) -> Tensor:
    value = found if isinstance(found, Tensor) else None
    if isinstance(found, int | float):
        value = torch.tensor(float(found))
    if value is None or value.ndim > 1 or not (value.is_floating_point() or value.dtype == torch.bool):
        raise fail(who, f"it returned {describe(found)}", "a number, or one value per row")
    return value
