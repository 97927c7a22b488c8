"""Two halves of a pool, every class shared between them: what is fitted on one is judged on the other."""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

__all__ = ["first_half"]


def first_half(
    y: Int64[Tensor, "sample *label"], groups: Int64[Tensor, "sample"] | None = None
) -> Bool[Tensor, "sample"]:
    """Which items are in the first half: of each class every other one, in a fixed random order.

    Only the true classes decide, and the groups where there are some: so the halves are the same for every model. Of a
    class with an odd number of items the halves take turns in getting the larger part. Groups stay whole: from the
    largest to the smallest, each goes to the half in which its classes are rarer so far.

    Of several labels per sample the set of them counts as its class; of groups, each label.

    Example:
        >>> half = first_half(torch.tensor([0, 0, 0, 0, 1, 1]))
        >>> int(half[:4].sum()), int(half[4:].sum())
        (2, 1)
    """
    if groups is not None:
        return _whole_groups(y.numpy(), groups.numpy())
    truth = (y if y.ndim == 1 else y.unique(dim=0, return_inverse=True)[1]).numpy()
    order = np.lexsort(
        (np.random.default_rng(0).random(len(truth)), truth)
    )  # class by class, at random within
    chosen = torch.zeros(len(y), dtype=torch.bool)
    chosen[torch.as_tensor(order[::2].copy())] = True
    return chosen


def _whole_groups(truth: np.ndarray, groups: np.ndarray) -> Bool[Tensor, "sample"]:
    """The same of groups of items."""
    names, members = np.unique(groups, return_inverse=True)
    if truth.ndim == 1:
        classes, codes = np.unique(truth, return_inverse=True)
        counts = np.zeros((len(names), len(classes)))
        np.add.at(counts, (members, codes), 1)
    else:
        counts = np.zeros((len(names), 1 + truth.shape[1]))
        np.add.at(counts, members, np.column_stack([np.ones(len(truth)), truth]))
    order = np.lexsort((np.random.default_rng(0).random(len(names)), -counts.sum(1)))
    ahead, first = np.zeros(counts.shape[1]), np.zeros(len(names), dtype=bool)
    for group in order:
        first[group] = ahead @ counts[group] <= 0
        ahead += counts[group] if first[group] else -counts[group]
    return torch.as_tensor(first[members])
