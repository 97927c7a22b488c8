"""Relaxed metrics: a metric that was written once in comparisons, with a smooth step in place of each.

The first thing to try with a metric of one's own. Where a loss of this library stands for the same metric (recall at k,
average precision, F-beta, IoU), that one is better adjusted. Not for metrics with hard cut-offs between the comparisons
and the value: see `interpolated`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import Number, fail, positive_number
from metricgrad._comparisons import ComparisonMetric, name_of_metric, require_comparisons
from metricgrad.losses.of_comparisons import loss_of, never, wide, zero_of
from metricgrad.relax.comparisons import Recorder, SmoothStep, values_of

__all__ = ["SPACE", "relaxed"]

SPACE = {"rank_temperature": (0.03, 0.1, 0.3, 1.0), "cutoff_temperature": (0.5, 1.0, 2.0)}
"""Values that tries draw from."""


def relaxed(
    metric: ComparisonMetric,
    *,
    rank_temperature: Number = 0.1,
    cutoff_temperature: Number = 1.0,
    maximize: bool = True,
) -> Callable[[Any, Any], Tensor]:
    """Make a loss of a metric of comparisons (surrogate): each `step(d)` becomes sigmoid(d / temperature).

    Args:
        metric: `f(outputs, targets, step)` in torch, which calls `step(d)` in place of every [d > 0]. It returns one
            value per row [row], NaN for a row without one, or one number for all.
        rank_temperature: > 0, in units of the outputs; of `step(d)` and `step(d, "rank")`.
        cutoff_temperature: > 0, in ranks or counts; of `step(d, "cutoff")`.
        maximize: whether the metric is better when larger; then the loss is 1 - value, else the value itself.

    Returns:
        A loss `(outputs, targets) -> scalar`: the mean over the rows that have a value.

    Raises:
        InputError: a temperature that is not above 0; on calling, a metric that raises, never calls `step`, or returns
            something else than a number or one value per row.

    Edge cases:
        A row whose exact value is NaN has no loss and no gradient; so has a batch of such rows, whose loss is 0. Every
        step is smooth, also with `relax=False`. An infinite difference is decided: its answer is 0 or 1.

    Gradient:
        That of the smooth function, by automatic differentiation; it vanishes where a difference is far beyond the
        temperature. Outputs of half precision are read as float32.

    Cost:
        One call of the metric; three for a batch with rows that have no value.

    Reference:
        [brown2020smoothap] takes the same step for average precision.

    Example:
        >>> def accuracy_of_signs(outputs, targets, step):
        ...     return step(outputs * (2 * targets - 1))
        >>> loss = relaxed(accuracy_of_signs, rank_temperature=1.0)
        >>> loss(torch.tensor([2.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.3096)
    """
    require_comparisons("relaxed", metric)
    temperatures = {
        "rank": positive_number("relaxed", "rank_temperature", rank_temperature),
        "cutoff": positive_number("relaxed", "cutoff_temperature", cutoff_temperature),
    }
    who = f"relaxed {name_of_metric(metric)}"

    def objective(outputs: Any, targets: Any) -> Tensor:
        read = wide(outputs)
        step = SmoothStep(temperatures)
        values = values_of(who, metric, read, targets, step)
        defined = ~values.detach().isnan()
        if not step.asked:
            if bool(defined.any()):
                raise fail(*never(who))
            return zero_of(outputs, values)
        if not bool(defined.all()):
            with torch.no_grad():
                undefined = values_of(who, metric, read, targets, Recorder()).isnan()
            if bool(undefined.all()):
                return zero_of(outputs, values)
            values = values_of(who, metric, read, targets, SmoothStep(temperatures, undefined))
            defined = ~undefined
        return loss_of(values.reshape(-1), defined.reshape(-1), maximize=maximize)

    objective.__name__ = f"relaxed_{name_of_metric(metric)}"
    return objective
