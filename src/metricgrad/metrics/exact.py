"""A metric that was written once in comparisons, as an exact metric."""

import math
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._comparisons import ComparisonMetric, ExactStep, name_of_metric, require_comparisons
from metricgrad._types import Metric
from metricgrad.errors import MetricFailed
from metricgrad.interval import mean_of_units
from metricgrad.metrics.foreign import Foreign, ForeignFunction, copied, told

__all__ = ["exact"]


def exact(
    metric: ComparisonMetric,
    *,
    name: str | None = None,
    higher_is_better: bool = True,
    bounds: tuple[float, float] = (0.0, 1.0),
    zero_step: float = 0.5,
    unit: Literal["sample", "whole"] | None = None,
) -> Metric:
    """Make the record of a metric that is written in comparisons (exact).

    Args:
        metric: `f(outputs, targets, step)` in torch, which calls `step(d)` in place of every [d > 0]. It returns one
            value per row [row], NaN for a row without one, or one number for all rows. `losses.relaxed` and
            `losses.interpolated` make losses of the same function.
        name: what tables call it; by default the function's.
        higher_is_better: the direction.
        bounds: smallest and largest possible value.
        zero_step: the answer to a difference of 0: 0, 0.5 or 1.
        unit: of a function that returns one number, as in `adapt`: `sample`, an interval draws samples and calls it
            again; `whole`, there is no interval. None: `sample`, but one whose value changes when every sample is given
            twice is refused at its first measurement.

    Returns:
        A record whose `measure(outputs, targets)` gives [row, 1] where the function returns one value per row, and
        whose `summarise` is then the mean of those that are no NaN. Of a function that returns one number the
        statistics are the samples themselves, and it is called again for whatever samples are drawn.

    Raises:
        InputError: not a function, a zero_step or unit that is none of those.
        MetricFailed: (on measuring) the function raised, or returned something else.

    Edge cases:
        A tie counts `zero_step`. No row with a value, or no row at all: NaN.

    Gradient: none.

    Cost: one call for all rows of a split; for one number one call more for each resample of an interval.

    Example:
        >>> def accuracy_of_signs(outputs, targets, step):
        ...     return step(outputs * (2 * targets - 1))
        >>> record = exact(accuracy_of_signs)
        >>> record.summarise(record.measure(torch.tensor([2.0, 0.0]), torch.tensor([1, 0])))
        0.75
    """
    require_comparisons("exact", metric)
    if zero_step not in (0, 0.5, 1):
        raise fail("exact", f"zero_step is {zero_step!r}", "0, 0.5 or 1")
    if unit not in (None, "sample", "whole"):
        raise fail("exact", f"unit is {unit!r}", "'sample', 'whole' or None")
    called = name or name_of_metric(metric)
    found = f"function {called}: written in comparisons, exact"
    call = partial(_with_exact_steps, metric, ExactStep(float(zero_step)))
    foreign = Foreign(called, call, higher_is_better, found, bounds=bounds)
    function = _Exact(foreign, resample=unit != "whole", check=unit is None)
    return Metric(
        name=called,
        measure=function.measure,
        summarise=function.summarise,
        higher_is_better=higher_is_better,
        bounds=bounds,
        unit=unit or "sample",
        description=f"{found}; {'no interval' if unit == 'whole' else 'an interval draws samples'}",
    )


class _Exact(ForeignFunction):
    """As a foreign function, but one that may say its value for every row."""

    def measure(self, outputs: Any, targets: Any, **reference: Any) -> Float64[Tensor, "unit stat"]:
        """Statistics: the value of every row, or the samples of a function of all rows."""
        if reference:
            return super().measure(outputs, targets, **reference)  # refuses it
        found = self._called(outputs, targets)
        if isinstance(found, Tensor) and found.ndim == 1:
            if hasattr(outputs, "__len__") and len(found) != len(outputs):
                came = f"it returned {describe(found)} for {len(outputs)} rows"
                raise MetricFailed(f"{self.foreign.name}: {came}; expected one value per row, or one number.")
            return found.double().unsqueeze(1)
        return super().measure(outputs, targets)

    def summarise(self, statistics: Float64[Tensor, "unit stat"]) -> float:
        """The mean of the rows that have a value, or the value of the function on the samples."""
        if statistics.shape[1] == 1:
            return mean_of_units(statistics) if len(statistics) else math.nan
        return super().summarise(statistics)

    def _called(self, outputs: Any, targets: Any) -> Any:
        """What the function returns for copies of its arguments."""
        given = [copied(self.foreign.name, part) for part in (outputs, targets)]
        self.calls += 1
        try:
            with torch.no_grad():
                return self.foreign.call(*given)
        except Exception as error:  # whatever the user's function raises
            raise MetricFailed(
                f"{self.foreign.name}: it raised {told(error)}; expected one value per row, or one number."
            ) from error


def _with_exact_steps(metric: ComparisonMetric, step: ExactStep, outputs: Any, targets: Any) -> Any:
    """Call a metric of comparisons."""
    return metric(outputs, targets, step)
