"""What losses of complement entropy share: entropy of the softmax of some of the classes, its scale, rows in parts.

The softmax is taken over these classes alone. Dividing the probabilities of all classes by their sum is the same in
exact arithmetic, but fails where the class left out has nearly all probability.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metricgrad._checks import describe, fail, tensor_of
from metricgrad._safe import or_one
from metricgrad.losses.class_scores import counted_samples
from metricgrad.losses.row_chunks import rows_at_once

__all__ = [
    "ClassMask",
    "Normalizer",
    "allowed_classes",
    "by_rows",
    "negative_entropy_within",
    "scale_of_entropy",
]

Normalizer = Literal["support", "log_support", "released", "none"]

ClassMask = Tensor | Sequence[Any]
"""[class] or [sample, class]: True or 1 for a class that a sample may have."""


def negative_entropy_within(
    logits: Float[Tensor, "sample class"], members: Bool[Tensor, "sample class"]
) -> tuple[Float[Tensor, " sample"], Integer[Tensor, " sample"]]:
    """Return sum q log q of q = the softmax over the members of each row, and how many members there are.

    A logit of -inf removes its class. A row with fewer than two members has 0 with zero gradient, whatever its logits.

    Example:
        >>> negative_entropy_within(torch.tensor([[9.0, 1.0, 1.0]]), torch.tensor([[False, True, True]]))
        (tensor([-0.6931]), tensor([2]))
    """
    members = members & (logits.detach() != -torch.inf)
    count = members.sum(1)
    several = (count > 1).unsqueeze(1)
    log_q = torch.where(members & several, logits, torch.where(several, -torch.inf, 0.0)).log_softmax(1)
    gone = log_q.detach() == -torch.inf  # 0 log 0: kept out before the product, whose gradient would be NaN
    log_q = log_q.masked_fill(gone, 0)
    q = log_q.exp().masked_fill(gone, 0)
    return (q * log_q).sum(1).masked_fill(~several.squeeze(1), 0), count


def scale_of_entropy(
    caller: str,
    normalizer: Normalizer,
    count: Integer[Tensor, " sample"],
    released: Shaped[Tensor, " sample"],
) -> Float[Tensor, " sample"]:
    """Return the factor of the entropy of `count` classes as float64; `released` is the divisor of the published code.

    Raises:
        InputError: an unknown normalizer.
    """
    wide = count.double()
    divisors = {"support": wide, "log_support": wide.log(), "released": released.double(), "none": wide**0}
    if normalizer not in divisors:
        raise fail(caller, f"normalizer is {normalizer!r}", f"one of {', '.join(divisors)}")
    return 1 / or_one(divisors[normalizer])


def allowed_classes(
    caller: str,
    class_mask: ClassMask | None,
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
) -> Bool[Tensor, "sample class"]:
    """Return which classes each sample may have: all of them without a mask, none for a sample that is ignored.

    Raises:
        InputError: a mask of another shape or with other values; a target whose class it leaves out.
    """
    counted = counted_samples(targets)
    if class_mask is None:
        return counted.unsqueeze(1).expand(logits.shape)
    expected = f"[{logits.shape[1]}] or {list(logits.shape)} of True and False"
    mask = tensor_of(caller, "class_mask", class_mask, expected).to(logits.device)
    if mask.shape not in (logits.shape, logits.shape[1:]) or not bool(((mask == 0) | (mask == 1)).all()):
        raise fail(caller, f"class_mask is {describe(class_mask)} for logits {describe(logits)}", expected)
    mask = mask.bool().expand(logits.shape)
    left_out = counted & ~mask.gather(1, targets.where(counted, 0).unsqueeze(1)).squeeze(1)
    if bool(left_out.any()):
        came = f"a target is {int(targets[left_out][0])}, which class_mask leaves out"
        raise fail(caller, came, "a mask that allows the class of every sample that is not ignored")
    return mask & counted.unsqueeze(1)


def by_rows(
    of_rows: Callable[..., Tensor], logits: Float[Tensor, "sample class"], *beside: Tensor, passes: int = 1
) -> Float[Tensor, " sample"]:
    """Return `of_rows(logits, *beside)`; where that takes much memory in parts, recomputed in the backward pass.

    Args:
        of_rows: gives one value per row.
        logits: of all rows.
        beside: one row each.
        passes: how often `of_rows` goes through the classes.
    """
    # six copies of the logits are kept for the backward pass
    size = rows_at_once(logits.shape[1] * max(4, logits.element_size()) * 6 * passes)
    if len(logits) <= size:
        return of_rows(logits, *beside)
    parts = [
        checkpoint(of_rows, *part, use_reentrant=False, preserve_rng_state=False)
        for part in zip(logits.split(size), *(one.split(size) for one in beside), strict=True)
    ]
    return torch.cat(parts)  # pyright: ignore[reportArgumentType, reportCallIssue]
