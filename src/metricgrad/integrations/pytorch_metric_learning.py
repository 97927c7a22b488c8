"""Losses of pairs in pytorch-metric-learning: in its trainers, with its miners, reducers and memory of batches.

A loss of ranks needs no adapter: `RankingLoss` has the call of that package, `(embeddings, labels, indices_tuple=None,
ref_emb=None, ref_labels=None)`. It refuses the pairs of a miner, since a ranking is over all items.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, extra, fail, require_settings

_needed = ("metric-learning", "metricgrad.integrations.pytorch_metric_learning")
losses = extra("pytorch_metric_learning.losses", *_needed)
reducers = extra("pytorch_metric_learning.reducers", *_needed)
pairing = extra("pytorch_metric_learning.utils.loss_and_miner_utils", *_needed)

__all__ = ["CrossBatchMemory", "PairLoss"]


class PairLoss(losses.BaseMetricLossFunction):
    """One of our losses of pairs as a loss of pytorch-metric-learning, which honours the pairs that a miner chooses.

    Called as `criterion(embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None)`, it returns a scalar:
    the loss of every row that has a positive, reduced. With `indices_tuple`, three tensors (anchor, positive, negative)
    or four (anchor, positive, anchor, negative), every row is compared with the chosen items alone.

    Args:
        loss: `losses.circle_loss`, `losses.hardest_triplet_loss`, `losses.info_nce_loss`, or a function of yours with
            their call `(embeddings, relevance, *, documents, pairs, **settings) -> [query]`.
        reducer: of pytorch-metric-learning; default `MeanReducer`, the mean over the rows with a positive.
        **settings: handed to the loss at every call.

    Raises:
        InputError: a loss of another kind, a setting that the loss does not take.
        MissingExtraError: (when this module is imported) pytorch-metric-learning is not installed.

    Edge cases:
        No row has a positive: 0, with zero gradient. A row with a positive and no negative counts, with loss 0.

    Cost:
        As the loss, and two bool matrices [query, item].

    Example:
        >>> from metricgrad.losses import circle_loss
        >>> criterion = PairLoss(circle_loss, margin=0.25, scale=8.0)
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> criterion(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(3.1005)
        >>> chosen = tuple(torch.tensor([number]) for number in (0, 1, 3))  # anchor, positive, negative
        >>> criterion(embeddings, torch.tensor([0, 0, 1, 1]), chosen)
        tensor(1.1573)
    """

    def __init__(self, loss: Callable[..., Tensor], *, reducer: Any = None, **settings: Any) -> None:
        taken = inspect.signature(loss).parameters if callable(loss) else {}
        if not {"documents", "pairs"} <= set(taken):
            raise fail(
                "PairLoss",
                f"loss is {getattr(loss, '__name__', describe(loss))}",
                "one that takes `documents` and `pairs`: circle_loss, hardest_triplet_loss, info_nce_loss",
                "For a loss of ranks use metricgrad.RankingLoss, for SupCon the SupConLoss of this package.",
            )
        name = f"PairLoss of {getattr(loss, '__name__', 'the loss')}"
        require_settings(name, settings, set(list(taken)[2:]) - {"documents", "pairs"})
        super().__init__(reducer=reducers.MeanReducer() if reducer is None else reducer)
        self.loss, self.settings = loss, settings

    def compute_loss(
        self, embeddings: Tensor, labels: Any, indices_tuple: Any, ref_emb: Tensor, ref_labels: Any
    ) -> dict[str, dict[str, Any]]:
        """Return the losses of the rows with a positive, and which rows these are, for the reducer."""
        anchors, positives, others, negatives = pairing.convert_to_pairs(indices_tuple, labels, ref_labels)
        relevance = torch.zeros(len(embeddings), len(ref_emb), dtype=torch.bool, device=embeddings.device)
        relevance[anchors, positives] = True
        pairs = relevance.clone()
        pairs[others, negatives] = True
        rows = relevance.any(1).nonzero()[:, 0]
        if not len(rows):
            return self.zero_losses()
        found: Float[Tensor, " query"] = self.loss(
            embeddings, relevance, documents=ref_emb, pairs=pairs, **self.settings
        )
        return {"loss": {"losses": found[rows], "indices": rows, "reduction_type": "element"}}


class CrossBatchMemory(losses.CrossBatchMemory):
    """The memory of past batches of pytorch-metric-learning, which also takes a `PairLoss`.

    The original takes losses by a list of their names. Arguments and call are those of the original. For a
    `RankingLoss` there is `RankingLoss(..., memory=metricgrad.pairing.MemoryQueue(...))`.

    Example:
        >>> from metricgrad.losses import info_nce_loss
        >>> memory = CrossBatchMemory(PairLoss(info_nce_loss), embedding_size=2, memory_size=8)
        >>> memory(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))  # no row has a positive yet
        tensor(0.)
        >>> memory(torch.tensor([[0.8, 0.6], [0.0, 1.0]]), torch.tensor([0, 1])) > 0
        tensor(True)
    """

    @staticmethod
    def supported_losses() -> list[str]:
        """Names of the losses that can be wrapped."""
        return [*losses.CrossBatchMemory.supported_losses(), PairLoss.__name__]

    @classmethod
    def check_loss_support(cls, loss_name: str) -> None:
        """Raise InputError for the name of a loss that cannot be wrapped."""
        if loss_name not in cls.supported_losses():
            remedy = (
                "For a loss of ranks: RankingLoss(..., memory=metricgrad.pairing.MemoryQueue(capacity, dim))."
            )
            raise fail(
                "CrossBatchMemory",
                f"loss is {loss_name}",
                "a PairLoss or a loss of pairs of this package",
                remedy,
            )
