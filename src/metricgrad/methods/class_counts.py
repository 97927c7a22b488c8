"""How often each class comes in the data that is trained on: counted once, in the data, whatever the batches repeat."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._columns import one_column
from metricgrad._structures import form
from metricgrad._types import Split
from metricgrad.losses.class_scores import counted_samples
from metricgrad.methods.fit_items import each_item_once

__all__ = ["class_counts"]


def class_counts(fit: Split) -> Int[Tensor, " class"]:
    """Return how many samples, or pixels, of fit each class has, up to the largest class number; -100 is not counted.

    Args:
        fit: a split that holds its targets is read there. Of a loader the dataset is read once from end to end, so that
            a sampler that balances classes changes nothing. Of anything else one pass counts.

    Raises:
        InputError: targets that are no class numbers.

    Cost:
        None for a split in memory; else one pass over the data.
    """
    targets = getattr(fit, "targets", None)
    parts = [targets] if isinstance(targets, Tensor) else (part for _, part in each_item_once(fit))
    counts = torch.zeros(0, dtype=torch.int64)
    for part in parts:
        found = _counted(part)
        size = max(len(counts), len(found))
        counts = _padded(counts, size) + _padded(found, size)
    return counts


def _padded(counts: Tensor, size: int) -> Tensor:
    return torch.cat([counts, counts.new_zeros(size - len(counts))])


def _counted(targets: Any) -> Tensor:
    """Return the counts of some targets."""
    numbers = one_column(torch.as_tensor(targets)) if not _texts(targets) else None
    if numbers is None or numbers.ndim in (0, 2) or numbers.is_floating_point():
        raise fail(
            "class_counts",
            f"targets of fit are {form(targets)}",
            "class numbers, one whole number per sample, or [image, row, column] of pixels",
            "A loss that weighs classes needs one class per sample.",
        )
    numbers = numbers.cpu().long().flatten()
    numbers = numbers[counted_samples(numbers)]
    if bool((numbers < 0).any()):
        raise fail(
            "class_counts", f"a target of fit is {int(numbers.min())}", "class numbers from 0, or -100"
        )
    return numbers.bincount()


def _texts(targets: Any) -> bool:
    return isinstance(targets, list | tuple) and any(isinstance(one, str | bytes) for one in targets)
