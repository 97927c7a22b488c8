"""From a loss of every unit to one number: the mean over the units, or over the classes, that have one."""

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._labels import Labels, number_labels
from metricgrad._safe import share
from metricgrad.relax.rank import PositiveRanks

__all__ = ["mean_by_class", "mean_valid"]


def mean_valid(loss: Float[Tensor, " unit"], ranks: PositiveRanks | Tensor) -> Float[Tensor, ""]:
    """Average a loss over the units for which it is defined.

    Args:
        loss: one value per unit.
        ranks: the ranks that the loss was computed from, or a bool mask [unit] (see `pairing.has_positive`).

    Returns:
        The mean over queries with a positive (over units where the mask is True); 0, attached to the graph with
        zero gradient, where there is none.

    Raises:
        InputError: the number of units differs.

    Example:
        >>> mean_valid(torch.tensor([0.5, 0.0, 1.0]), torch.tensor([True, False, True]))
        tensor(0.7500)
    """
    valid = ranks.valid.any(1) if isinstance(ranks, PositiveRanks) else ranks
    if valid.shape != loss.shape or valid.dtype != torch.bool:
        raise fail(
            "mean_valid",
            f"loss is {describe(loss)}, validity {describe(valid)}",
            "one bool per unit of the loss",
        )
    valid = valid.to(loss.device)
    return share(torch.where(valid, loss, 0).sum(), valid.sum())


def mean_by_class(loss: Float[Tensor, " unit"], targets: Labels, valid: Tensor) -> Float[Tensor, ""]:
    """Average a loss over classes: the mean over classes of the mean over the valid units of the class.

    Args:
        loss: one value per unit.
        targets: labels, integers or strings, one per unit.
        valid: bool mask [unit]; a class without valid unit does not count.

    Returns:
        The mean; 0, attached to the graph, where no unit is valid.

    Raises:
        InputError: the numbers of units differ.

    Example:
        >>> mean_by_class(torch.tensor([1.0, 1.0, 4.0]), [0, 0, 1], torch.tensor([True, True, True]))
        tensor(2.5000)
    """
    if valid.shape != loss.shape or valid.dtype != torch.bool:
        raise fail(
            "mean_by_class",
            f"valid is {describe(valid)}, loss {describe(loss)}",
            "one bool per unit of the loss",
        )
    (codes,) = number_labels("mean_by_class", {"targets": targets}, device=loss.device).codes
    if len(codes) != len(loss):
        raise fail(
            "mean_by_class", f"targets has {len(codes)} entries for {describe(loss)}", "one label per unit"
        )
    members = torch.zeros(int(codes.max()) + 1 if len(codes) else 0, dtype=loss.dtype, device=loss.device)
    members.index_add_(0, codes, valid.to(loss.dtype))
    of_units = share(torch.where(valid, loss, 0), members[codes])
    return share(of_units.sum(), (members > 0).sum())
