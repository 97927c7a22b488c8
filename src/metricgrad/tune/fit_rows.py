"""What a network gives for fit, read once and in order: what closed forms are fitted on.

Rows under labels; or, of a fit split of pairs, a row for every query and relevant document.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._structures import one_tensor
from metricgrad._types import Split
from metricgrad.errors import InputError
from metricgrad.projection import label_grid, pair_grid, query_grid
from metricgrad.tune.outputs import collect
from metricgrad.tune.pair_split import PairSplit
from metricgrad.tune.projected import Form
from metricgrad.tune.splits import ArraySplit, ClassBatchSplit

__all__ = ["FitRows", "fit_rows"]

MOST_BATCHES = 2_000
"""Of a fit split that does not lie in memory: the first ones are read."""
MOST_PAIRS = 200_000
"""Of a fit split of pairs: where there are more, these are drawn."""


@dataclass(frozen=True)
class FitRows:
    """What a network gives for fit.

    Attributes:
        rows: outputs and labels, or queries [pair, dim] and documents [pair, dim].
        grid: gives the closed forms of such rows, one after the other.
        one_space: whether rows can be compared as they are.
    """

    rows: tuple[Any, Any]
    grid: Callable[[Any, Any], Iterator[Form]]
    one_space: bool = True

    def forms(self, told: list[str]) -> Iterator[Form | None]:
        """Yield every closed form that can be fitted; none of them (None) where that is so, and `told` gets the reason.

        Without forms nothing comes of two spaces: they cannot be compared.
        """
        count = 0
        try:
            for form in self.grid(*self.rows):
                count += 1
                yield form
        except InputError as error:
            told.append(str(error))
        if count == 0 and self.one_space:
            yield None


def fit_rows(network: nn.Module, fit: Split, *, documents_stay: bool) -> FitRows:
    """Run a network over fit: each item once and in order where fit has them so, without views.

    Args:
        network: of the inputs of fit.
        fit: of the run.
        documents_stay: of pairs, whether closed forms leave documents as they are.
    """
    if not isinstance(fit, PairSplit):
        found = collect(network, _in_order(fit))
        return FitRows((found.outputs, found.targets), label_grid)
    queries, documents = (
        _embedded(network, fit, side, numbers)
        for side, numbers in zip(("query", "document"), _drawn(fit), strict=True)
    )
    grid = query_grid if documents_stay else pair_grid
    return FitRows((queries, documents), grid, queries.shape[1:] == documents.shape[1:])


class _FirstBatches:
    """A fit split that does not lie in memory, or has no end, as far as it is read."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __iter__(self) -> Iterator[Any]:
        """Yield the first batches."""
        return islice(self.split, MOST_BATCHES)


def _in_order(fit: Any) -> Split:
    """The items of fit, each once and in their order where it has them so; views are left out."""
    if isinstance(fit, ArraySplit | ClassBatchSplit):
        return ArraySplit(fit.inputs, fit.targets)
    return fit.each_once() if hasattr(fit, "each_once") else _FirstBatches(fit)


class _Side:
    """Queries or documents of a split of pairs, in batches of its size.

    Args:
        fit: of pairs.
        side: `query` or `document`.
        numbers: which of them, in their order.
    """

    def __init__(self, fit: PairSplit, side: str, numbers: Tensor) -> None:
        self.fit, self.side, self.numbers = fit, side, numbers

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Yield `(inputs, numbers)` batches."""
        for chosen in self.numbers.split(self.fit.batch):
            yield {self.side: self.fit.inputs_of(self.side, chosen)}, chosen


def _embedded(network: nn.Module, fit: PairSplit, side: str, numbers: Tensor) -> Tensor:
    """The embedding of a query or document for each number; each is embedded once."""
    distinct, place = numbers.unique(return_inverse=True)
    found = collect(network, _Side(fit, side, distinct))
    return one_tensor("closed-form", found.outputs)[place]


def _drawn(fit: PairSplit) -> tuple[Tensor, Tensor]:
    """The relevant pairs of fit, or a sample of them in their order, drawn by the seed of the split."""
    query, document = fit.relevant_pairs()
    if len(query) <= MOST_PAIRS:
        return query, document
    chosen = np.random.default_rng(fit.seed).choice(len(query), MOST_PAIRS, replace=False)
    rows = torch.from_numpy(np.sort(chosen))
    return query[rows], document[rows]
