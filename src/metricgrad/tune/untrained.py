"""The controls that train nothing, of a metric that reads embeddings: which of them a run can have, and why not.

`raw` is the inputs as they are, where these are vectors. `closed-form` is the best closed form by select, fitted on fit
over the outputs of the start model and, where inputs are vectors, over these as well; it needs a label per item of fit.
"""

from collections.abc import Sequence
from typing import Any

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
    """Whether the inputs of fit and select, and those of the reference, are vectors [item, dim]."""
    return all(_are_vectors(inputs) for inputs in _inputs_of(splits))


def _why_not(name: str, metric: Metric, splits: Splits) -> tuple[str, str] | None:
    """Why a control does not apply, and what it would need; None where it does."""
    if metric.reads != "embeddings":
        reads = "outputs as they are" if metric.reads is None else metric.reads
        return f"{metric.name} reads {reads}", "a metric of embeddings, such as recall@1"
    if name == CLOSED_FORM:
        return _why_no_labels(_first(splits.fit)[1])
    for inputs in _inputs_of(splits):
        if not _are_vectors(inputs):
            return f"inputs are {form(inputs)}", "one tensor of floating-point vectors [item, dim]"
    return None


def _why_no_labels(targets: Any) -> tuple[str, str] | None:
    try:
        number_labels("closed-form", {"targets": targets}, device="cpu")
    except (InputError, TypeError):
        return f"the targets of fit are {form(targets)}", "one label per item of fit"
    return None


def _inputs_of(splits: Splits) -> list[Any]:
    """The first inputs of fit, of select and of what select is ranked against."""
    read = (splits.fit, splits.select, reference_of(splits.select))
    return [_first(split)[0] for split in read if split is not None]


def _first(split: Any) -> tuple[Any, Any]:
    """The first batch of a split, or all of one that lies in memory."""
    if isinstance(split, ArraySplit | ClassBatchSplit):
        return split.inputs, split.targets
    with same_random_state():
        return pair(next(iter(one_pass(split, 0, 0)), (None, None)))


def _are_vectors(inputs: Any) -> bool:
    return (
        isinstance(inputs, Tensor)
        and inputs.is_floating_point()
        and inputs.ndim == 2
        and inputs.layout == torch.strided
    )
