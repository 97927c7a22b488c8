"""Interpolated metrics: a metric that was written once in comparisons, known at a few corners and smooth between them.

The metric is only ever called with answers 0 and 1, so that hard cut-offs inside of it do no harm. The gradient is weak
where a row has many comparisons; up to a few hundred are sensible. Try `relaxed` first.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import Number, describe, fail, positive_number, whole_number
from metricgrad._comparisons import ComparisonMetric, name_of_metric, require_comparisons
from metricgrad._safe import or_one
from metricgrad.errors import Diverged
from metricgrad.losses.of_comparisons import loss_of, never, wide, zero_of
from metricgrad.relax.anchors import Recipe, drawn_anchors, require_recipe
from metricgrad.relax.comparisons import mismatch, recorded, replayed
from metricgrad.relax.interpolation import Weighting, anchor_weights

__all__ = ["Interpolated", "interpolated"]

Blocks = Literal["query", "batch"]
FLAT_CALLS, FLAT_SHARE = 100, 0.9
"""After how many calls, and at what share of flat blocks, a warning is given."""


def interpolated(
    metric: ComparisonMetric,
    *,
    anchors: Recipe | Tensor = "uniloss",
    weighting: Weighting = "inverse_distance",
    power: Number = 1.0,
    weight_temperature: Number = 1.0,
    temperature: Number = 1.0,
    delta: Number = 1e-6,
    blocks: Blocks = "query",
    ideal: Callable[[Any], Any] | None = None,
    maximize: bool = True,
    normalize_gradient: bool = False,
    vectorize: bool = True,
    seed: int = 0,
) -> "Interpolated":
    """Make a loss of a metric of comparisons (surrogate): interpolate between its exact values at drawn corners.

    The differences d that the metric asks for become u = tanh(d / (2 temperature)), a point between the corners
    {-1, 1}^n. The metric is called at some corners, without gradient, and the value at u is `relax.interpolation`
    between those.

    Args:
        metric: `f(outputs, targets, step)`, as `relaxed` takes it. The number, order and shapes of its steps must
            depend on no value; a step whose difference depends on answers of former steps says `relax=False`.
        anchors: `uniloss` (49 corners) or `graded` (25), see `relax.anchors`; or corners of -1 and 1
            [anchor, comparison], in the order of the steps.
        weighting: `inverse_distance` or `softmax`.
        power: > 0; of the inverse distance. 2 or 4 where a block has many comparisons.
        weight_temperature: > 0; of the softmax, about 0.1 sqrt(n).
        temperature: > 0, in units of the outputs.
        delta: > 0; keeps distances from 0.
        blocks: `query`: each row of a metric that returns one value per row is interpolated by itself; the first
            dimension of each step must then be the rows. `batch`: all comparisons together. A metric that returns one
            number is one block either way.
        ideal: targets -> outputs that are right, for the corner where every comparison is right; None for targets as
            scores (0 and 1 become -1 and 1), or classes as
            scores of 1 for the right one and -1 for the others.
        maximize: whether the metric is better when larger; then the loss is 1 - value, else the value itself.
        normalize_gradient: whether the gradient in u has length 1 in every block.
        vectorize: call the metric once for all corners, by `torch.vmap`; False for a metric that branches on values.
        seed: of the corners, drawn anew at each call.

    Returns:
        A module `(outputs, targets) -> scalar`; see `Interpolated`.

    Raises:
        InputError: a setting out of its range; on calling, what `relaxed` raises, no default for `ideal`, another
            number of given corners than of comparisons.
        ComparisonMismatch: other answers led to another number of comparisons.
        Diverged: a difference is NaN.

    Edge cases:
        A row whose exact value is NaN has no loss and no gradient. Where it is NaN at a corner, that corner is left
        out. Without any comparison (no positives) the value is the metric's own and has no gradient. A difference of 0
        counts as -1 in a corner and as one half in the exact value. A difference that is 0 under `ideal` has no right
        answer: that of the outputs stands. An infinite difference is decided: it is turned in no corner.

    Gradient:
        Exact for the interpolated value, with the corners held fixed; see `relax.interpolation`. Between float32 and
        the type of the outputs, whichever is wider.

    Cost:
        Two calls of the metric and one at all corners; O(comparison anchor) time and memory.

    Differs from the paper:
        The gradient is that of the value; the published classification programs subtract a term that must be added.
        They interpolate the whole batch as one point (`blocks="batch"`), keep no distance from 0 and count a query
        without positives as 1.

    Reference:
        [liu2020uniloss]

    Example:
        >>> def accuracy_of_signs(outputs, targets, step):
        ...     return step(outputs * (2 * targets - 1))
        >>> loss = interpolated(accuracy_of_signs)
        >>> loss(torch.tensor([2.0, 0.0]), torch.tensor([1, 0])) < 0.5
        tensor(True)
    """
    require_comparisons("interpolated", metric)
    require_recipe("interpolated", anchors)
    if blocks not in ("query", "batch"):
        raise fail("interpolated", f"blocks is {blocks!r}", "'query' or 'batch'")
    return Interpolated(
        metric,
        anchors,
        {
            "weighting": weighting,
            "power": positive_number("interpolated", "power", power),
            "weight_temperature": positive_number("interpolated", "weight_temperature", weight_temperature),
            "delta": positive_number("interpolated", "delta", delta),
        },
        temperature=positive_number("interpolated", "temperature", temperature),
        one_block=blocks == "batch",
        ideal=ideal,
        maximize=maximize,
        normalize_gradient=normalize_gradient,
        vectorize=vectorize,
        seed=whole_number("interpolated", "seed", seed, least=0),
    )


class Interpolated(nn.Module):
    """The loss that `interpolated` makes; it draws other corners at each call.

    Its buffer `calls` says how many calls there were. Seed and calls alone decide the corners, so that a state dict is
    all that is needed to go on.
    """

    calls: Tensor

    def __init__(
        self,
        metric: ComparisonMetric,
        anchors: Recipe | Tensor,
        weighing: dict[str, Any],
        *,
        temperature: float,
        one_block: bool,
        ideal: Callable[[Any], Any] | None,
        maximize: bool,
        normalize_gradient: bool,
        vectorize: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.metric, self.weighing, self.temperature = metric, weighing, temperature
        self.anchors: Recipe | Tensor = anchors
        self.one_block, self.ideal, self.maximize = one_block, ideal, maximize
        self.normalize_gradient, self.vectorize, self.seed = normalize_gradient, vectorize, seed
        self.seen_blocks = self.flat_blocks = 0
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    @property
    def __name__(self) -> str:
        """What messages call it."""
        return f"interpolated_{name_of_metric(self.metric)}"

    def forward(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of a batch."""
        who, read = f"interpolated {name_of_metric(self.metric)}", wide(outputs)
        values, recorder = recorded(who, self.metric, read, targets)
        self.calls += 1
        defined = ~values.detach().isnan()
        if not bool(defined.any()):
            return zero_of(outputs, values)
        if not recorder.kept:
            raise fail(*never(who))
        if not recorder.count:
            return zero_of(outputs, values) + loss_of(
                values.reshape(-1).detach(), defined.reshape(-1), maximize=self.maximize
            )
        by_row = values.ndim == 1 and not self.one_block
        d = _in_blocks(who, recorder.kept, len(values) if by_row else None)
        corners = self._corners(
            who, d.detach(), read, targets, [part.shape for part in recorder.kept], by_row
        )
        bits = _in_steps(corners, [part.shape for part in recorder.kept])
        found = replayed(who, self.metric, _detached(read), targets, bits, together=self.vectorize)
        at_corners = found.movedim(0, -1) if by_row else found.reshape(len(found), -1).nanmean(1)[None]
        kept = defined if by_row else defined.any().reshape(1)
        return self._between(d[kept], corners[kept], at_corners[kept])

    def _corners(
        self, who: str, d: Tensor, outputs: Any, targets: Any, shapes: Sequence[torch.Size], by_row: bool
    ) -> Float[Tensor, "block anchor n"]:
        """The corners of every block."""
        hard, free = torch.where(d > 0, 1.0, -1.0).to(d.dtype), d.isfinite()
        if isinstance(self.anchors, Tensor):
            if self.anchors.shape[1] != d.shape[1]:
                came = f"{self.anchors.shape[1]} comparisons in each of the given anchors"
                raise fail(who, came, f"{d.shape[1]}, as the metric asks for")
            given = self.anchors.to(d.device, d.dtype).expand(len(d), -1, -1)
            return torch.where(free.unsqueeze(1), given, hard.unsqueeze(1))
        with torch.no_grad():
            ideal = ideal_outputs(targets, outputs) if self.ideal is None else self.ideal(targets)
            _, recorder = recorded(who, self.metric, ideal, targets)
        if [part.shape for part in recorder.kept] != list(shapes):
            raise mismatch(
                who, sum(shape.numel() for shape in shapes), f"{recorder.count}, of the ideal outputs"
            )
        right = _in_blocks(who, recorder.kept, len(d) if by_row else None).to(d)
        truth = torch.where(right == 0, hard, torch.where(right > 0, 1.0, -1.0).to(d.dtype))
        generator = torch.Generator().manual_seed(self.seed * 2**20 + int(self.calls))
        return drawn_anchors(self.anchors, truth, hard, free, generator)

    def _between(self, d: Tensor, corners: Tensor, values: Tensor) -> Tensor:
        """The loss at the differences, from the values at the corners."""
        u = (d / (2 * self.temperature)).tanh()
        if self.normalize_gradient and u.requires_grad:
            u.register_hook(
                lambda gradient: gradient / or_one(gradient.norm(dim=1, keepdim=True)) / len(gradient)
            )
        weights = anchor_weights(u, corners, values, **self.weighing)
        self._watch(weights.detach())
        between = (weights * values.nan_to_num(0.0).to(weights.dtype)).sum(-1)
        return loss_of(between, torch.ones_like(between, dtype=torch.bool), maximize=self.maximize)

    def _watch(self, weights: Float[Tensor, "block anchor"]) -> None:
        """Warn once where, over many calls, no corner stands out in nearly every block."""
        if int(self.calls) > FLAT_CALLS:
            return
        self.seen_blocks += len(weights)
        self.flat_blocks += int((weights.amax(1) < 2 / weights.shape[1]).sum())
        if int(self.calls) == FLAT_CALLS and self.flat_blocks >= FLAT_SHARE * self.seen_blocks:
            warnings.warn(
                f"{self.__name__}: flat interpolation: in {self.flat_blocks:,} of {self.seen_blocks:,} blocks no "
                "anchor weighs twice the mean, so that there is almost no gradient. Use power=4, "
                "weighting='softmax' with weight_temperature about 0.1 sqrt(n), or blocks with fewer comparisons.",
                stacklevel=3,
            )


def ideal_outputs(targets: Any, outputs: Any) -> Tensor:
    """Return outputs that are right: targets as scores, or 1 for the class that is right and -1 for others.

    Raises:
        InputError: neither fits the outputs.

    Example:
        >>> ideal_outputs(torch.tensor([0, 1]), torch.zeros(2))
        tensor([-1.,  1.])
    """
    if isinstance(outputs, Tensor) and isinstance(targets, Tensor):
        if targets.shape == outputs.shape:
            scores = targets.to(outputs.dtype)
            return 2 * scores - 1 if bool(((scores == 0) | (scores == 1)).all()) else scores
        whole = not targets.is_floating_point() and outputs.ndim == 2
        if whole and targets.shape == outputs.shape[:1] and outputs.shape[1] > 1:
            columns = max(outputs.shape[1], int(targets.max()) + 1 if len(targets) else 0)
            known = targets.long().clamp_min(0)
            rows = nn.functional.one_hot(known, columns).to(outputs.dtype)
            return (2 * rows - 1) * (targets >= 0).unsqueeze(1)
    came = f"targets are {describe(targets)} for outputs {describe(outputs)}"
    raise fail(
        "interpolated",
        came,
        "targets of the shape of the outputs, or one class number per row",
        "Give ideal=.",
    )


def _in_blocks(who: str, steps: Sequence[Tensor], rows: int | None) -> Float[Tensor, "block n"]:
    """The differences of all steps, one row per block."""
    for part in steps:
        if bool(part.detach().isnan().any()):
            raise Diverged(
                f"{who}: a difference is NaN; expected numbers, or an infinite one for a comparison that is decided."
            )
        if rows is not None and (part.ndim == 0 or len(part) != rows):
            came = f"a step got {describe(part)} where the metric returns {rows} values"
            raise fail(who, came, "the rows as the first dimension of every step", "Or say blocks='batch'.")
    return torch.cat([part.reshape(1 if rows is None else rows, -1) for part in steps], 1)


def _in_steps(corners: Float[Tensor, "block anchor n"], shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Corners as the steps ask for them: [anchor, *shape] each."""
    sizes = [shape.numel() // len(corners) for shape in shapes]
    parts = corners.movedim(1, 0).split(sizes, 2)
    return [part.reshape(len(part), *shape) for part, shape in zip(parts, shapes, strict=True)]


def _detached(outputs: Any) -> Any:
    """Outputs without their graph, where they are a tensor."""
    return outputs.detach() if isinstance(outputs, Tensor) else outputs
