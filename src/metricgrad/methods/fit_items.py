"""The items of a fit split once each, whatever a sampler repeats or leaves out."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from metricgrad._structures import pair

__all__ = ["each_item_once"]

BATCH = 256
"""Items that are read at once where a split does not say how many."""


def each_item_once(fit: Any) -> Iterator[tuple[Any, Any]]:
    """Yield batches `(inputs, targets)` that hold every item once.

    Of a split that holds its items they are taken from there, as they are: no further view of them. Of a loader the
    dataset is read without its sampler. Anything else is passed over once.
    """
    readers, inner = [], fit
    while hasattr(inner, "unpack") and hasattr(inner, "split"):  # batches of another form
        readers.append(inner.unpack)
        inner = inner.split
    inputs, targets = getattr(inner, "inputs", None), getattr(inner, "targets", None)
    if not readers and isinstance(inputs, Tensor) and isinstance(targets, Tensor | list):
        for begin in range(0, len(inputs), BATCH):
            yield inputs[begin : begin + BATCH], targets[begin : begin + BATCH]
        return
    if not isinstance(inner, DataLoader) or isinstance(inner.dataset, IterableDataset):
        yield from map(pair, fit)
        return
    plain = DataLoader(inner.dataset, batch_size=inner.batch_size or BATCH, collate_fn=inner.collate_fn)
    for batch in plain:
        for read in reversed(readers):
            batch = read(batch)
        yield pair(batch)
