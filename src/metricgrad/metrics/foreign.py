"""Any function of a whole set as a metric that the bootstrap can draw samples of.

A foreign function knows nothing of statistics per unit: it takes all outputs and all targets and returns a number.
Its statistics are therefore the samples themselves, one row each: the outputs and the target, flattened, behind a
few columns that say how to put them together again. `summarise` does so for whatever rows it is given and calls the
function. Rows can be drawn, stored and moved like those of any metric, and every call is counted.

A function is never trusted with what is not its own: it is handed copies, and what it raises is told by its name.
"""

import copy
import inspect
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._structures import form, part_named
from metricgrad._types import Reading
from metricgrad.errors import Interrupted, MetricFailed

__all__ = [
    "Foreign",
    "ForeignFunction",
    "copied",
    "name_of",
    "number_of",
    "parameters",
    "takes_truth_first",
    "told",
]

Whole = Callable[..., Any]

_DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
_HALVED = (torch.int64, torch.uint64)
"""Kept as two numbers, the upper and the lower 32 bits: float64 cannot hold all of them."""

_NUMPY = 100
"""Added to the number of a type where the samples came as a numpy array, and are handed back as one."""

_MOST_NUMBERS = 50_000_000
"""400 MB of statistics; a larger set is one row."""

_TRUTH = {"y_true", "labels_true", "targets", "target", "truth", "ground_truth"}
"""First parameters by which a function says that the truth comes first."""


@dataclass(frozen=True)
class Foreign:
    """What was found out about a metric of others.

    Attributes:
        name: of the function.
        call: `(outputs, targets) -> number`, once they are read.
        higher_is_better: None where nothing tells.
        found: one sentence.
        read: `(outputs, targets)` as the function wants them; None hands them on as they are.
        reads: what that makes of the outputs; None where nobody says it.
        bounds: smallest and largest value.
        weighted: whether `call` also takes `sample_weight=`, a weight per sample.
        of_table: the same as a function of confusion tables, where there is a formula of ours for it.
    """

    name: str
    call: Whole
    higher_is_better: bool | None
    found: str
    read: Callable[[Any, Any], tuple[Any, Any]] | None = None
    reads: Reading | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
    weighted: bool = False
    of_table: Callable[[Tensor], Tensor] | None = None


class ForeignFunction:
    """A function of all outputs and all targets, as `measure` and `summarise` of a record.

    Attributes:
        foreign: what is called, and how it wants its arguments.
        calls: how often the function was called so far.
    """

    def __init__(self, foreign: Foreign, *, resample: bool, check: bool) -> None:
        self.foreign = foreign
        self.calls = 0
        self._resample = resample
        self._unchecked = check

    def identity_parts(self) -> tuple[Any, ...]:
        """What makes two of them the same: not how often they were called."""
        return self.foreign.name, self.foreign.call, self._resample

    def measure(self, outputs: Any, targets: Any, **reference: Any) -> Float[Tensor, "unit stat"]:
        """Statistics: one row per sample, or one row with the value where samples cannot be drawn."""
        if reference:
            raise fail(
                self.foreign.name,
                "the split has a reference that its items are ranked against",
                "a split without one, or a metric of ranked embeddings, such as recall@1",
            )
        if self.foreign.read is not None:
            outputs, targets = self.foreign.read(outputs, targets)
        rows = _rows(outputs, targets) if self._resample else None
        if rows is None:
            value = self.value(*(copied(self.foreign.name, part) for part in (outputs, targets)))
            return torch.tensor([[value]], dtype=torch.float64)
        if self._unchecked and len(rows):
            self._refuse_a_ranking(rows)
        return rows

    def summarise(self, statistics: Float[Tensor, "unit stat"]) -> float:
        """The value that stands in a single row, or that of the function on the samples in the rows."""
        if statistics.shape[1] == 1:
            return float(statistics[0, 0]) if len(statistics) else float("nan")
        if len(statistics) == 0:
            return float("nan")
        return self.value(*_samples(statistics))

    def value(self, outputs: Any, targets: Any, **weights: Any) -> float:
        """Call the function, which may keep and change what it is given, and insist on one number.

        Args:
            outputs: as the function reads them.
            targets: the same.
            weights: `sample_weight`, where the function is `weighted`.

        Raises:
            MetricFailed: the function raised, or returned something else than one finite number or NaN (undefined).
        """
        self.calls += 1
        name = self.foreign.name
        try:
            with torch.set_grad_enabled(
                torch.is_grad_enabled()
            ):  # as it was, whatever the function leaves behind
                found = self.foreign.call(outputs, targets, **weights)
                number = number_of(found)
        except Interrupted:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's function raises
            came = f"{name}: it raised {told(error)}; expected one number for the whole set."
            raise MetricFailed(f"{came} {_of_parts(outputs)}".rstrip()) from error
        if number is None:
            raise MetricFailed(
                f"{name}: it returned {describe(found)}; expected one number for the whole set, NaN where it is "
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
                self.foreign.name,
                f"its value goes from {once:.6g} to {twice:.6g} when every sample is given twice",
                "a metric of independent samples, whose interval comes from drawing samples with replacement",
                "If it ranks the samples against each other (retrieval), say metrics.adapt(..., unit='whole'): it "
                "is then given no interval. If it is a sum over samples, say unit='sample'.",
            )
        self._unchecked = math.isnan(once) or math.isnan(twice)


def _of_parts(outputs: Any) -> str:
    """What came and how one part is taken, where a network returned several under names."""
    remedy = part_named(outputs, "")
    return f"The outputs are {form(outputs)}. {remedy}" if remedy else ""


def name_of(function: Any) -> str:
    """What to call a function, a partial of one, or an object that can be called."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return "function" if name == "<lambda>" else name


def parameters(function: Any) -> list[str]:
    """Names of the parameters of whatever can be called; none where Python cannot tell.

    Example:
        >>> parameters(partial(round, ndigits=2)), parameters(nn.Linear(1, 1))
        (['number', 'ndigits'], ['input'])
    """
    try:
        names = list(
            inspect.signature(function.forward if isinstance(function, nn.Module) else function).parameters
        )
    except (TypeError, ValueError):
        return []
    return names


def takes_truth_first(function: Any) -> bool:
    """Whether the name of the first parameter says that the targets come before the outputs."""
    return bool({*parameters(function)[:1]} & _TRUTH)


def told(error: BaseException) -> str:
    """Type and text of an exception on one line, also of one that cannot be printed; a long text is cut."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    text = "".join(
        one if one.isprintable() else ascii(one)[1:-1] for one in text
    )  # nothing that steers a terminal
    return text if len(text) <= 300 else f"{text[:297]}..."


def number_of(found: Any) -> float | None:
    """What a function returned as a float, NaN for a masked value; None where it is no number or infinite."""
    if isinstance(found, Tensor | np.ndarray | np.generic) and np.prod(found.shape) == 1:
        found = math.nan if np.ma.is_masked(found) else found.item()
    if not isinstance(found, Real | Decimal):
        return None
    number = float(found)
    return None if math.isinf(number) else number


def copied(name: str, value: Any) -> Any:
    """A copy that shares nothing with the original; InputError for what cannot be copied."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(copied(name, item) for item in value)
    if type(value) is dict:
        return {key: copied(name, item) for key, item in value.items()}
    try:
        return copy.deepcopy(value)
    except Exception as error:  # whatever an object of the user raises when it is copied
        raise fail(
            name,
            f"outputs or targets hold {describe(value)}, which cannot be copied ({error})",
            "tensors, arrays, numbers and texts, in lists, tuples and dicts",
        ) from error


def _rows(outputs: Any, targets: Any) -> Float[Tensor, "sample stat"] | None:
    """Samples as rows; None where they are no arrays with a row per sample, or too many numbers."""
    arrays = [_tensor_of(part) for part in (outputs, targets)]
    parts = []
    for array, given in zip(arrays, (outputs, targets), strict=True):
        if array is None or array.ndim == 0 or array.layout != torch.strided or array.dtype not in _DTYPES:
            return None
        form = _DTYPES.index(array.dtype) + _NUMPY * isinstance(given, np.ndarray)
        layout = torch.tensor([[form, array.ndim - 1, *array.shape[1:]]], dtype=torch.float64)
        flat = array.detach().cpu().reshape(len(array), math.prod(array.shape[1:]))
        if array.dtype in _HALVED:
            whole = flat.view(torch.int64)
            flat = torch.cat([whole >> 32, whole & 0xFFFFFFFF], 1)
        parts += [layout.expand(len(array), -1), flat]
    if len({len(part) for part in parts}) > 1 or sum(part.numel() for part in parts[1::2]) > _MOST_NUMBERS:
        return None
    return torch.cat([part.double() for part in parts], 1)


def _tensor_of(part: Any) -> Tensor | None:
    """A tensor, or a plain numpy array of numbers as one; None for anything else."""
    if type(part) is not np.ndarray:
        return part if isinstance(part, Tensor) else None
    try:
        return torch.from_numpy(np.ascontiguousarray(part))
    except (TypeError, ValueError):  # texts, objects, another order of bytes
        return None


def _samples(rows: Float[Tensor, "sample stat"]) -> tuple[Any, Any]:
    """Outputs and targets of the rows, in the shapes and types that they had: arrays of their own."""
    found = []
    column = 0
    for _ in range(2):
        form, dimensions = int(rows[0, column]), int(rows[0, column + 1])
        dtype = _DTYPES[form % _NUMPY]
        shape = [int(size) for size in rows[0, column + 2 : column + 2 + dimensions]]
        column += 2 + dimensions
        width = math.prod(shape)
        if dtype in _HALVED:
            halves = rows[:, column : column + 2 * width].to(torch.int64)
            part = ((halves[:, :width] << 32) | halves[:, width:]).view(dtype)
        else:
            part = rows[:, column : column + width].to(dtype, copy=True)
        column += width * (2 if dtype in _HALVED else 1)
        part = part.reshape(len(rows), *shape)
        found.append(part.numpy() if form >= _NUMPY else part)
    return found[0], found[1]
