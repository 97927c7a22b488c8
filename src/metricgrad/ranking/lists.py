"""Which items are relevant to each query, by equal labels: compiled where that works, else in plain torch."""

import torch
from torch import Tensor

from metricgrad.pairing import positive_lists
from metricgrad.relax import kernels

__all__ = ["lists_of"]


def lists_of(labels: Tensor, item_labels: Tensor, own: bool, keep: bool) -> tuple[Tensor, Tensor]:
    """Return the items [query, positive] of each query's label, padded with 0, and the lengths of the lists.

    Args:
        labels: [query] whole numbers.
        item_labels: [item].
        own: whether query i is item i, which is then left out of its own list.
        keep: keep it in, for a query that has another positive.
    """
    if torch.compiler.is_compiling() or kernels.chosen(labels.device) != "numba":
        return positive_lists(labels, item_labels, queries_are_items=own, query_is_positive=keep)
    from metricgrad.relax.kernels.lists import lists_by_label

    positives, counts = lists_by_label(labels.numpy(), item_labels.numpy(), own, keep)
    return torch.from_numpy(positives), torch.from_numpy(counts)
