"""The soft number of positives within the first k ranks."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, fail, finite_number, positive_number
from metricgrad.relax.rank import PositiveRanks
from metricgrad.relax.step import logistic_step

__all__ = ["cutoff_temperatures", "soft_counts"]


def cutoff_temperatures(
    caller: str, value: Number | Sequence[Number], ks: Sequence[int]
) -> tuple[float, ...]:
    """Return one positive temperature per k; InputError where their number or sign does not fit."""
    several = isinstance(value, Sequence | np.ndarray | Tensor) and not isinstance(value, str)
    values = tuple(value) if several and getattr(value, "ndim", 1) else (value,) * len(ks)  # pyright: ignore[reportArgumentType]
    if len(values) != len(ks):
        raise fail(
            caller,
            f"cutoff_temperature has {len(values)} values and k has {len(ks)}",
            "one value, or one per k",
        )
    return tuple(positive_number(caller, "cutoff_temperature", item) for item in values)


def soft_counts(
    ranks: PositiveRanks, ks: Float[Tensor, "query k"], temperatures: Sequence[float], *, offset: Number = 0.0
) -> Float[Tensor, "query k"]:
    """Return the soft number (surrogate) of positives of each query with a rank within k.

    count[q, k] = sum over positives x of 1 / (1 + exp(-(k + offset - r[q, x]) / temperature)).

    Args:
        ranks: soft ranks of the positives.
        ks: the cut-offs, which may differ from query to query.
        temperatures: one per column of `ks`, in units of rank, > 0.
        offset: moves the switch; with 0 a positive exactly at rank k counts 1/2, with 0.5 the switch stands
            between rank k and rank k + 1.

    Returns:
        Values between 0 and the number of positives.

    Gradient:
        Exact for the soft count; falls like exp(-|k + offset - r| / temperature).

    Cost:
        O(query x positive) for each k.

    Reference:
        [patel2022recall] equation of the smooth recall.

    Example:
        >>> from metricgrad.relax.rank import positive_ranks_from_scores
        >>> relevance = torch.tensor([[True, False]])
        >>> ranks = positive_ranks_from_scores(torch.tensor([[0.9, 0.1]]), relevance, temperature=0.01)
        >>> soft_counts(ranks, torch.tensor([[1.0]]), [1.0])
        tensor([[0.5000]])
    """
    offset = finite_number("soft_counts", "offset", offset)
    counts = []
    for column, temperature in enumerate(temperatures):
        within = logistic_step((ks[:, column, None] + offset - ranks.among_all) / temperature)
        counts.append(torch.where(ranks.valid, within, 0).sum(1))
    return torch.stack(counts, 1)
