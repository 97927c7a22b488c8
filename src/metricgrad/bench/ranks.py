"""What `metricgrad bench ranks` compares.

Every contestant goes from unit embeddings through a loss to the embeddings' gradient. Two of them are no losses but
bounds: the products of matrices that a loss of similarities cannot do without.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from metricgrad.bench.contestant import Contestant
from metricgrad.losses.recall_at_k import recall_at_k_loss
from metricgrad.ranking import positive_ranks
from metricgrad.relax.rank import PositiveRanks

__all__ = ["CONTESTANTS", "KS", "PER_CLASS", "TEMPERATURE", "Batch", "batch_of"]

PER_CLASS, TEMPERATURE, KS = 4, 0.01, (1, 2, 4, 8, 16)

BLOCK_FLOATS = 2**26
"""Numbers of the block that the bounds write their product into: 256 MB, and no more for a larger batch."""

_BELOW_ALL = -2.0
"""A similarity below every cosine: a query that has it with itself comes last."""


class Batch(NamedTuple):
    """Unit rows [query, dim] and their labels, `PER_CLASS` rows each, in random order."""

    embeddings: Tensor
    labels: Tensor


def batch_of(size: int, dims: int, noise: float) -> Batch:
    """Make a batch: class centre N(0, 1) + noise x N(0, 1), normalised, shuffled; the same one every time.

    Args:
        size: rows, a multiple of `PER_CLASS`.
        dims: dimensions of the embedding.
        noise: 2.0 gives an early embedding, whose classes overlap; 0.3 a trained one, whose classes are apart.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size // PER_CLASS).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(size, generator=generator)]
    rows = torch.randn(size // PER_CLASS, dims, generator=generator)[labels]
    rows += noise * torch.randn(size, dims, generator=generator)
    return Batch(torch.nn.functional.normalize(rows), labels)


def _ours(batch: Batch) -> Callable[[], Tensor]:
    return _gradient(
        batch.embeddings, lambda leaf: positive_ranks(leaf, batch.labels, temperature=TEMPERATURE)
    )


def _dense(batch: Batch) -> Callable[[], Tensor]:
    """Every step [query, positive, item] and every graph kept, as one would write it down."""
    itself = torch.eye(len(batch.labels), dtype=torch.bool)

    def ranks_of(leaf: Tensor) -> PositiveRanks:
        positives = _positives(batch.labels)  # labels are those of a batch: others in the next one
        scores = leaf @ leaf.T / TEMPERATURE
        others = scores.masked_fill(itself, -torch.inf)
        levels = scores.gather(1, positives)
        return _among_all(0.5 + torch.sigmoid(others.unsqueeze(1) - levels.unsqueeze(2)).sum(2))

    return _gradient(batch.embeddings, ranks_of)


def _soft_rank_of(package: str) -> Callable[[Batch], Callable[[], Tensor]]:
    """Soft ranks of all items of every query by isotonic regression, those of the positives picked."""

    def prepare(batch: Batch) -> Callable[[], Tensor]:
        soft_rank = importlib.import_module(package).soft_rank
        positives, itself = _positives(batch.labels), torch.eye(len(batch.labels), dtype=torch.bool)

        def ranks_of(leaf: Tensor) -> PositiveRanks:
            distances = -(leaf @ leaf.T).masked_fill(itself, _BELOW_ALL)
            ranks = soft_rank(distances, regularization_strength=TEMPERATURE)
            return _among_all(ranks.gather(1, positives))

        return _gradient(batch.embeddings, ranks_of)

    return prepare


def _metric_learning(name: str, **settings: float) -> Callable[[Batch], Callable[[], Tensor]]:
    """A loss of pytorch-metric-learning; rows in class order, which SmoothAPLoss asks for."""

    def prepare(batch: Batch) -> Callable[[], Tensor]:
        loss = getattr(importlib.import_module("pytorch_metric_learning.losses"), name)(**settings)
        order = batch.labels.argsort(stable=True)
        rows, labels = batch.embeddings[order], batch.labels[order]

        def run() -> Tensor:
            leaf = rows.clone().requires_grad_()
            return torch.autograd.grad(loss(leaf, labels), leaf)[0]

        return run

    return prepare


def _product(batch: Batch) -> Callable[[], None]:
    """E E^T, written into one block of memory again and again."""
    rows = batch.embeddings
    block = _block(rows)

    def run() -> None:
        for part in rows.split(len(block)):
            torch.mm(part, rows.T, out=block[: len(part)])

    return run


def _three_products(batch: Batch) -> Callable[[], tuple[Tensor, Tensor]]:
    """E E^T and, with a gradient G of its shape, G E and G^T E: a dense forward and backward pass without a loss."""
    rows = batch.embeddings
    block, of_queries, of_items = _block(rows), torch.empty_like(rows), torch.empty_like(rows)

    def run() -> tuple[Tensor, Tensor]:
        of_items.zero_()
        for start in range(0, len(rows), len(block)):
            part = rows[start : start + len(block)]
            gradient = torch.mm(part, rows.T, out=block[: len(part)])
            torch.mm(gradient, rows, out=of_queries[start : start + len(part)])
            of_items.addmm_(gradient.T, part)
        return of_queries, of_items

    return run


def _block(rows: Tensor) -> Tensor:
    return torch.empty(min(len(rows), max(1, BLOCK_FLOATS // len(rows))), len(rows))


def _gradient(embeddings: Tensor, ranks_of: Callable[[Tensor], PositiveRanks]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        leaf = embeddings.clone().requires_grad_()
        return torch.autograd.grad(recall_at_k_loss(ranks_of(leaf), k=KS).mean(), leaf)[0]

    return run


def _positives(labels: Tensor) -> Tensor:
    """The other rows of the class of each row, [query, positive]."""
    members = labels.argsort(stable=True).reshape(-1, PER_CLASS)[labels]  # [query, member]
    own = torch.arange(len(labels)).unsqueeze(1)
    return members[members != own].reshape(len(labels), PER_CLASS - 1)


def _among_all(ranks: Tensor) -> PositiveRanks:
    valid = torch.ones_like(ranks, dtype=torch.bool)
    return PositiveRanks(ranks, torch.ones_like(ranks), valid, torch.full((len(ranks),), len(ranks) - 1))


_PML = "pytorch_metric_learning"

CONTESTANTS = (
    Contestant("product", "bound: one product E E^T", _product, lambda n, d: min(n * n, BLOCK_FLOATS)),
    Contestant("products", "bound: E E^T, G E and G^T E", _three_products,
               lambda n, d: min(n * n, BLOCK_FLOATS) + 2 * n * d),
    Contestant("ours", "metricgrad.positive_ranks and recall_at_k_loss", _ours, lambda n, d: 6 * n * d),
    Contestant("plain", "the same in plain torch, METRICGRAD_KERNEL=torch", _ours,
               lambda n, d: min(4 * n * n, 2**27) + 6 * n * d, kernel="torch"),
    Contestant("dense", "dense torch, [query, positive, item] with autograd", _dense, lambda n, d: 13.0 * n * n),
    Contestant("SmoothAPLoss", "of pytorch-metric-learning", _metric_learning("SmoothAPLoss", temperature=0.01),
               lambda n, d: 6.0 * n**3, power=3, package=_PML),
    Contestant("FastAPLoss", "of pytorch-metric-learning", _metric_learning("FastAPLoss"),
               lambda n, d: 60.0 * n * n, package=_PML),
    Contestant("SupConLoss", "of pytorch-metric-learning", _metric_learning("SupConLoss"),
               lambda n, d: 20.0 * n * n, package=_PML),
    Contestant("torchsort", "soft_rank of torchsort and recall_at_k_loss", _soft_rank_of("torchsort"),
               lambda n, d: 10.0 * n * n, package="torchsort"),
    Contestant("torchpsort", "soft_rank of torchpsort and recall_at_k_loss", _soft_rank_of("torchpsort"),
               lambda n, d: 10.0 * n * n, package="torchpsort"),
)  # fmt: skip
"""All of them, in the order of the table."""
