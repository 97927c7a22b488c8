"""Metrics written in comparisons, for tests: each once, for every gradient."""

from typing import Any

import torch
from torch import Tensor


def auc(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
    """Share of the pairs of a positive and a negative that are in order."""
    return step(outputs[targets == 1, None] - outputs[targets == 0]).mean()


def average_precision(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
    """Mean over the positives of the precision at their rank; a pair of positives is asked for once."""
    positive, negative = outputs[targets == 1], outputs[targets == 0]
    first, second = torch.triu_indices(len(positive), len(positive), 1)
    above = step(positive[second] - positive[first])
    among = torch.ones_like(positive).index_add(0, first, above).index_add(0, second, 1 - above)
    false = (1 - step(positive[:, None] - negative)).sum(-1)
    return (among / (among + false)).mean()


def recall_at(k: int) -> Any:
    """Share of the positives whose rank is within k."""

    def recall_at_k(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        positive = (targets == 1).nonzero()[:, 0]
        others = torch.stack(
            [torch.cat([torch.arange(i), torch.arange(i + 1, len(outputs))]) for i in positive]
        )
        ranks = 1 + step(outputs[others] - outputs[positive, None]).sum(-1)
        return step(k + 0.5 - ranks, "cutoff", relax=False).mean()

    return recall_at_k


def accuracy(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
    """For every row whether its class has the largest score."""
    rows, classes = outputs.shape
    others = (
        torch.arange(classes).expand(rows, -1)[torch.arange(classes) != targets[:, None]].reshape(rows, -1)
    )
    return step(outputs.gather(1, targets[:, None]) - outputs.gather(1, others)).prod(-1)


def f_beta(beta: float) -> Any:
    """F-beta of the decisions [output > 0]; 1 where there is nothing to find and nothing found."""

    def f_of_signs(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        chosen = step(outputs)
        hits, wanted = (chosen * targets).sum(-1), targets.sum(-1)
        below = beta**2 * wanted + chosen.sum(-1)
        return torch.where(below == 0, 1.0, (1 + beta**2) * hits / torch.where(below == 0, 1.0, below))

    return f_of_signs


def hit_at_1(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
    """For every row whether its class is at rank 1, by way of the rank."""
    others = torch.nn.functional.one_hot(targets, outputs.shape[1]) == 0
    above = outputs - outputs.gather(1, targets[:, None])
    rank = 1 + (step(above) * others).sum(-1)
    return step(1.5 - rank, "cutoff", relax=False)
