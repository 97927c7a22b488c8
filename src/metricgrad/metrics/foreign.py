"""Any function of a whole set as a metric that the bootstrap can draw samples of.

A foreign function knows nothing of statistics per unit: it takes all outputs and all targets and returns a number.
Its statistics are therefore the samples themselves, one row each: the outputs and the target, flattened, behind a
few columns that say how to put them together again. `summarise` does so for whatever rows it is given and calls the
function. Rows can be drawn, stored and moved like those of any metric, and every call is counted.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad.errors import MetricFailed, MetricgradError

__all__ = ["ForeignFunction"]

Whole = Callable[[Any, Any], Any]

_DTYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip

_MOST_NUMBERS = 50_000_000
"""400 MB of statistics; a larger set is one row."""


class ForeignFunction:
    """A function of all outputs and all targets, as `measure` and `summarise` of a record.

    Attributes:
        name: what messages call it.
        calls: how often the function was called so far.
    """

    def __init__(self, name: str, function: Whole, *, resample: bool, check: bool) -> None:
        self.name = name
        self.calls = 0
        self._function = function
        self._resample = resample
        self._unchecked = check

    def identity_parts(self) -> tuple[Any, ...]:
        """What makes two of them the same: not how often they were called."""
        return self.name, self._function, self._resample

    def measure(self, outputs: Any, targets: Any) -> Float[Tensor, "unit stat"]:
        """Statistics: one row per sample, or one row with the value where samples cannot be drawn."""
        rows = _rows(outputs, targets) if self._resample else None
        if rows is None:
            return torch.tensor([[self.value(outputs, targets)]], dtype=torch.float64)
        if self._unchecked and len(rows):
            self._refuse_a_ranking(rows)
            self._unchecked = False
        return rows

    def summarise(self, statistics: Float[Tensor, "unit stat"]) -> float:
        """The value that stands in a single row, or that of the function on the samples in the rows."""
        if statistics.shape[1] == 1:
            return float(statistics[0, 0]) if len(statistics) else float("nan")
        if len(statistics) == 0:
            return float("nan")
        return self.value(*_samples(statistics))

    def value(self, outputs: Any, targets: Any) -> float:
        """Call the function and insist on one number.

        Raises:
            MetricFailed: the function raised, or returned something else than one finite number or NaN (undefined).
        """
        self.calls += 1
        try:
            found = self._function(outputs, targets)
        except MetricgradError:
            raise
        except Exception as error:  # whatever the user's function raises
            raise MetricFailed(
                f"{self.name}: it raised {type(error).__name__}: {error}; expected one number for the whole set."
            ) from error
        number = _number(found)
        if number is None:
            raise MetricFailed(
                f"{self.name}: it returned {describe(found)}; expected one number for the whole set, NaN where it is "
                "undefined. Average over classes or pick one of the numbers before returning."
            )
        return number

    def _refuse_a_ranking(self, rows: Float[Tensor, "sample stat"]) -> None:
        """Raise InputError where the samples are no independent units: the value changes when each comes twice.

        Means, rates, F measures, AUC and correlations do not change. A ranking of the samples against each other
        does, since everyone finds its own copy: draws with replacement would then measure something else.
        """
        once, twice = self.summarise(rows), self.summarise(torch.cat([rows, rows]))
        room = max(1.0, abs(once)) * (
            1e-6 + 2 / len(rows)
        )  # an estimator that divides by n - 1 may change so much
        if abs(once - twice) > room:
            raise fail(
                self.name,
                f"its value goes from {once:.6g} to {twice:.6g} when every sample is given twice",
                "a metric of independent samples, whose interval comes from drawing samples with replacement",
                "If it ranks the samples against each other (retrieval), say metrics.adapt(..., unit='whole'): it "
                "is then given no interval. If it is a sum over samples, say unit='sample'.",
            )


def _number(found: Any) -> float | None:
    """What a function returned as a float, NaN for a masked value; None where it is no number or infinite."""
    if isinstance(found, Tensor | np.ndarray | np.generic) and np.prod(found.shape) == 1:
        found = math.nan if np.ma.is_masked(found) else found.item()
    if not isinstance(found, Real | Decimal) or math.isinf(found):
        return None
    return float(found)


def _rows(outputs: Any, targets: Any) -> Float[Tensor, "sample stat"] | None:
    """Samples as rows; None where they are not tensors with a row per sample, or too many numbers."""
    parts = []
    if (
        not isinstance(outputs, Tensor)
        or not isinstance(targets, Tensor)
        or min(outputs.ndim, targets.ndim) == 0
    ):
        return None
    samples = len(outputs)
    if len(targets) != samples or outputs.numel() + targets.numel() > _MOST_NUMBERS:
        return None
    for part in (outputs, targets):
        if part.dtype not in _DTYPES:
            return None
        layout = [_DTYPES.index(part.dtype), part.ndim - 1, *part.shape[1:]]
        parts.append(torch.tensor([layout], dtype=torch.float64).expand(samples, -1))
        parts.append(part.detach().to("cpu", torch.float64).reshape(samples, -1))
    return torch.cat(parts, 1)


def _samples(rows: Float[Tensor, "sample stat"]) -> tuple[Tensor, Tensor]:
    """Outputs and targets of the rows, in the shapes and types that they had."""
    found = []
    column = 0
    for _ in range(2):
        dtype, dimensions = _DTYPES[int(rows[0, column])], int(rows[0, column + 1])
        shape = [int(size) for size in rows[0, column + 2 : column + 2 + dimensions]]
        column += 2 + dimensions
        width = int(np.prod(shape, dtype=np.int64))
        found.append(rows[:, column : column + width].to(dtype).reshape(len(rows), *shape))
        column += width
    return found[0], found[1]
