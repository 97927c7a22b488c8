"""A queue of past embeddings: more items to rank a batch against, without encoding them again.

The embeddings of the last batches change little from step to step, so they can stand in for a larger batch: as
items only, without gradient. It helps where negatives are scarce in a batch and the model moves slowly (a small
learning rate, a trained start); early in training, or with a queue so long that its rows are out of date, it misleads.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from metricgrad._checks import Whole, describe, fail, require_finite, require_matrix, whole_number
from metricgrad._labels import Labels, whole_labels

__all__ = ["MemoryQueue"]


class MemoryQueue(nn.Module):
    """Keep the last `capacity` embeddings and their labels, without gradient.

    It is a module of buffers: it moves between devices with `.to` and is saved and restored by `state_dict` and
    `load_state_dict`, so that a resumed training goes on with the same items.

        criterion = RankingLoss(recall_at_k_loss, temperature=0.05, memory=MemoryQueue(4096, 512))

    ranks each batch against the queue and then pushes it. Rows are items only: no queries, and no gradient reaches
    them. An older copy of a sample is a positive of the new one, a trivial one, so a queue should hold less than one
    epoch.

    Args:
        capacity: most rows that are kept, >= 1.
        dim: their width, >= 1.
        dtype: what they are kept in; default torch's default.
        device: where they are kept.

    Raises:
        InputError: a capacity or width that is not a whole number >= 1.

    Reference:
        [wang2020xbm]

    Example:
        >>> queue = MemoryQueue(3, 2)
        >>> queue.push(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([5, 6]))
        >>> queue.push(torch.tensor([[0.6, 0.8], [0.8, 0.6]]), torch.tensor([7, 8]))
        >>> len(queue), queue.labels.tolist()
        (3, [8, 6, 7])
    """

    rows: Tensor
    row_labels: Tensor

    def __init__(
        self,
        capacity: Whole,
        dim: Whole,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.capacity = whole_number("MemoryQueue", "capacity", capacity)
        width = whole_number("MemoryQueue", "dim", dim)
        self.pushed = 0
        self.register_buffer("rows", torch.zeros(self.capacity, width, dtype=dtype, device=device))
        self.register_buffer("row_labels", torch.zeros(self.capacity, dtype=torch.long, device=device))

    def __len__(self) -> int:
        """Return the number of rows that are filled."""
        return min(self.pushed, self.capacity)

    @property
    def embeddings(self) -> Float[Tensor, "item dim"]:
        """The kept rows; the order is that of the ring, not of time. A view: the next push changes it."""
        return self.rows[: len(self)]

    @property
    def labels(self) -> Int[Tensor, " item"]:
        """Their labels."""
        return self.row_labels[: len(self)]

    @torch.no_grad()
    def push(self, embeddings: Float[Tensor, "row dim"], labels: Labels) -> None:
        """Put rows into the queue, in place of the oldest where it is full.

        Args:
            embeddings: as the criterion takes them; kept without gradient.
            labels: whole numbers that mean the same class in every batch, one per row.

        Raises:
            InputError: rows of another width, NaN or infinite numbers (in the type of the queue), labels that are not
                one whole number per row.

        Edge cases:
            Of more rows than the capacity the last ones are kept.
        """
        require_matrix("MemoryQueue.push", "embeddings", embeddings, "row, dim")
        if embeddings.shape[1] != self.rows.shape[1]:
            raise fail(
                "MemoryQueue.push",
                f"embeddings are {describe(embeddings)}",
                f"rows of {self.rows.shape[1]} dimensions",
            )
        codes = whole_labels("MemoryQueue.push", "labels", labels)
        if len(codes) != len(embeddings):
            came = f"labels are {describe(labels)} for {describe(embeddings)}"
            raise fail("MemoryQueue.push", came, "whole numbers, one per row")
        kept = embeddings.detach()[-self.capacity :].to(self.rows)
        # one such row would spoil every ranking until it leaves the queue
        require_finite("MemoryQueue.push", f"embeddings in {self.rows.dtype}", kept)
        count = len(embeddings)
        numbers = torch.arange(self.pushed + count - len(kept), self.pushed + count, device=self.rows.device)
        places = numbers % self.capacity
        self.rows.index_copy_(0, places, kept)
        self.row_labels.index_copy_(0, places, codes[-self.capacity :].to(self.row_labels))
        self.pushed += count

    def get_extra_state(self) -> dict[str, Any]:
        """Return what the buffers do not hold: how many rows have come, which is where the next one goes."""
        return {"pushed": self.pushed}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.pushed = int(state["pushed"])

    def extra_repr(self) -> str:
        """Show size and filling in `print(model)`."""
        return f"capacity={self.capacity}, dim={self.rows.shape[1]}, filled={len(self)}"
