"""The first items of every test query under a map: what a run of TREC holds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad.adapting.relevance import Relevance
from metricgrad.adapting.rows import RowSplit
from metricgrad.metrics.pessimistic import pessimistic_lists

__all__ = ["ranked_items"]


def ranked_items(
    network: nn.Module, test: RowSplit, relevance: Relevance, depth: int, *, normalize: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield of every test query its number, the numbers of its first items, best first, and their similarities.

    Args:
        network: maps the inputs of test.
        test: who asks, against what.
        relevance: tells which of equals come last.
        depth: items per query.
        normalize: rank by cosine; False by dot product.

    Cost: a pass over the vectors of the index, one product with the queries, and memory of all mapped vectors.
    """
    among = test.side is None  # queries are items, too
    splits = [test, *([] if test.reference is None else [test.reference])]
    if among:
        index = _embedded(network, splits)
        queries, numbers = index[: len(test.rows)], np.concatenate([one.rows for one in splits])
    else:
        assert test.reference is not None
        queries, index = _embedded(network, [test]), _embedded(network, [test.reference])
        numbers = test.reference.rows
    lists = pessimistic_lists(
        queries,
        index,
        depth,
        lambda row, items: relevance.grades(int(test.rows[row]), numbers[items]),
        exclude=torch.arange(len(queries)) if among else None,
        normalize=normalize,
    )
    for row, listed in enumerate(lists):
        yield int(test.rows[row]), numbers[listed.items], listed.similarities


@torch.no_grad()
def _embedded(network: nn.Module, splits: list[RowSplit]) -> Tensor:
    """The vectors of splits, one after the other, mapped batch by batch into one table [row, out]."""
    network.eval()
    found, first = torch.empty(0), 0
    for inputs, _ in (batch for split in splits for batch in split):
        part: Any = network(**inputs) if isinstance(inputs, dict) else network(inputs)
        if not first:
            found = part.new_empty(sum(len(split.rows) for split in splits), part.shape[1])
        found[first : first + len(part)] = part
        first += len(part)
    return found
