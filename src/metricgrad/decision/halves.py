"""Two halves of a pool, every class shared between them: what is fitted on one is judged on the other."""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

__all__ = ["first_half"]


def first_half(y: Int64[Tensor, "sample"]) -> Bool[Tensor, "sample"]:
    """Which items are in the first half: of each class every other one, in a fixed random order.

    Only the true classes decide, so the halves are the same for every model. Of a class with an odd number of items
    the halves take turns in getting the larger part.

    Example:
        >>> half = first_half(torch.tensor([0, 0, 0, 0, 1, 1]))
        >>> int(half[:4].sum()), int(half[4:].sum())
        (2, 1)
    """
    truth = y.numpy()
    order = np.lexsort(
        (np.random.default_rng(0).random(len(truth)), truth)
    )  # class by class, at random within
    chosen = torch.zeros(len(y), dtype=torch.bool)
    chosen[torch.as_tensor(order[::2].copy())] = True
    return chosen
