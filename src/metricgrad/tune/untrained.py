"""The controls that train nothing, of a metric that reads embeddings: which of them a run can have, and why not.

`raw` is the inputs as they are, where these are vectors. `closed-form` is the best closed form by select, fitted on fit
over the outputs of the start model and, where inputs are vectors, over these as well; it needs a label per item of fit,
or judged pairs of queries and documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import caller, fail
from metricgrad._labels import number_labels
from metricgrad._records import CLOSED_FORM, RAW
from metricgrad._structures import form, pair
from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.tune.arms import Arm
from metricgrad.tune.checkpoint import same_random_state
from metricgrad.tune.pair_split import PairSplit
from metricgrad.tune.passes import one_pass
from metricgrad.tune.splits import ArraySplit, ClassBatchSplit, Splits, reference_of

__all__ = ["UNTRAINED", "untrained_controls", "vectors_in"]

UNTRAINED = {RAW: "the inputs as they are", CLOSED_FORM: "the best closed form"}
"""What these controls are, in words."""


def untrained_controls(
    named: Sequence[str] | None, metric: Metric, splits: Splits
) -> tuple[list[Arm], list[str]]:
    """Return the controls that train nothing, and what the record must say of them, as sentences.

    Args:
        named: which of them were asked for; None: those that apply.
        metric: of the run.
        splits: of the run; the first batches of fit and select are looked at.

    Raises:
        InputError: one that was asked for does not apply.
    """
    if named is None and metric.reads != "embeddings":
        return [], []
    arms, told = [], []
    for name, made in UNTRAINED.items():
        if named is not None and name not in named:
            continue
        reason = _why_not(name, metric, splits)
        if reason is None:
            arms.append(Arm(name, "control", made=made))
        elif named is not None:
            raise fail(caller(), f"the control {name} is asked for, but {reason[0]}", reason[1])
        elif name == CLOSED_FORM:
            told.append(f"there is no control {name}: {reason[0]}")
    return arms, told


def vectors_in(splits: Splits) -> bool:
    """Whether the inputs of fit, of select and of its reference are vectors [item, dim]; of pairs, on each side."""
    return all(map(_are_vectors, _every_part(splits)))


def _why_not(name: str, metric: Metric, splits: Splits) -> tuple[str, str] | None:
    """Why a control does not apply, and what it would need; None where it does."""
    if metric.reads != "embeddings":
        reads = "outputs as they are" if metric.reads is None else metric.reads
        return f"{metric.name} reads {reads}", "a metric of embeddings, such as recall@1"
    if isinstance(splits.fit, PairSplit):
        return _why_no_sides(splits) or (_why_not_compared(splits) if name == RAW else None)
    if name == CLOSED_FORM:
        return _why_no_labels(_first(splits.fit)[1])
    return _why_no_vectors(splits)


def _why_no_vectors(splits: Splits) -> tuple[str, str] | None:
    for inputs in _every_part(splits):
        if not _are_vectors(inputs):
            return f"inputs are {form(inputs)}", "one tensor of floating-point vectors [item, dim]"
    return None


def _why_no_labels(targets: Any) -> tuple[str, str] | None:
    try:
        number_labels("closed-form", {"targets": targets}, device="cpu")
    except (InputError, TypeError):
        return f"the targets of fit are {form(targets)}", "one label per item of fit, or a PairSplit"
    return None


def _why_no_sides(splits: Splits) -> tuple[str, str] | None:
    """Select must hold queries, and its reference documents."""
    for side, split in (("query", splits.select), ("document", reference_of(splits.select))):
        inputs = None if split is None else _first(split)[0]
        if split is not None and not (isinstance(inputs, Mapping) and set(inputs) == {side}):
            whose = "inputs of select" if side == "query" else "what select is ranked against"
            return f"{whose} are {form(inputs)}", f"ArraySplit(..., side={side!r})"
    return None


def _why_not_compared(splits: Splits) -> tuple[str, str] | None:
    """Vectors of both sides must have one number of dimensions."""
    reason = _why_no_vectors(splits)
    if reason is not None or not isinstance(splits.fit, PairSplit):
        return reason
    queries, documents = (part.shape[1] for part in _parts(_first(splits.fit)[0]))
    if queries == documents:
        return None
    return f"queries have {queries} dimensions and documents {documents}", "one number for both sides"


def _every_part(splits: Splits) -> list[Any]:
    """The first inputs of fit, of select and of what select is ranked against; of pairs, those of each side."""
    read = (splits.fit, splits.select, reference_of(splits.select))
    found = [_first(split)[0] for split in read if split is not None]
    return (
        [part for inputs in found for part in _parts(inputs)] if isinstance(splits.fit, PairSplit) else found
    )


def _parts(inputs: Any) -> Iterable[Any]:
    return inputs.values() if isinstance(inputs, Mapping) else [inputs]


def _first(split: Any) -> tuple[Any, Any]:
    """The first batch of a split, or all of one that lies in memory."""
    if isinstance(split, PairSplit):
        return {"query": split.queries, "document": split.documents}, None
    if isinstance(split, ArraySplit | ClassBatchSplit):
        side = getattr(split, "side", None)
        return (split.inputs if side is None else {side: split.inputs}), split.targets
    with same_random_state():
        return pair(next(iter(one_pass(split, 0, 0)), (None, None)))


def _are_vectors(inputs: Any) -> bool:
    if isinstance(inputs, np.ndarray):  # of pairs, a memory map for instance
        return inputs.dtype.kind == "f" and inputs.ndim == 2
    return (
        isinstance(inputs, Tensor)
        and inputs.is_floating_point()
        and inputs.ndim == 2
        and inputs.layout == torch.strided
    )
