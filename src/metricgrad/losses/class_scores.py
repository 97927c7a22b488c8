"""What losses of class scores share: checked targets, and the log probability of the class that is true."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from metricgrad._checks import describe, fail, require_matrix

__all__ = ["IGNORED", "counted_samples", "log_probability_of_target"]

IGNORED = -100
"""The target of a sample that has no loss, as in `torch.nn.functional.cross_entropy`."""


def counted_samples(targets: Integer[Tensor, " sample"]) -> Bool[Tensor, " sample"]:
    """Return which samples have a loss: all but those whose target is -100."""
    return targets != IGNORED


def log_probability_of_target(
    caller: str, logits: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
) -> Float[Tensor, " sample"]:
    """Return log p of the true class of every sample, float32 or wider; 0 without a gradient where it is ignored.

    Raises:
        InputError: other shapes; targets that are no whole numbers, or none of the classes.
    """
    require_matrix(caller, "logits", logits, "sample, class")
    if (
        not isinstance(targets, Tensor)
        or targets.shape != logits.shape[:1]
        or targets.dtype.is_floating_point
    ):
        came = f"targets are {describe(targets)} for logits {describe(logits)}"
        raise fail(caller, came, "one class number per sample: a tensor of whole numbers [sample]")
    targets = targets.long()
    counted = counted_samples(targets)
    wrong = counted & ((targets < 0) | (targets >= logits.shape[1]))
    if bool(wrong.any()):
        came = f"a target is {int(targets[wrong][0])} where logits have {logits.shape[1]} classes"
        raise fail(
            caller, came, f"numbers from 0 to {logits.shape[1] - 1}, or {IGNORED} for a sample to ignore"
        )
    wide = logits if logits.dtype == torch.float64 else logits.float()
    # masked before the softmax: a sample that is ignored may hold anything, NaN included
    log_probabilities = wide.masked_fill(~counted.unsqueeze(1), 0).log_softmax(1)  # [sample, class]
    of_target = log_probabilities.gather(1, targets.where(counted, 0).unsqueeze(1)).squeeze(1)
    return of_target.masked_fill(~counted, 0)
