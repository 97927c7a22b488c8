"""Two matrices read as one, rows of the first before those of the second: a large one is not copied for that."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Stacked"]


class Stacked:
    """Rows of two tensors, by a slice or an index of any shape.

    Attributes:
        first: rows that come first.
        second: rows of as many dimensions, of the same type and device.

    Example:
        >>> rows = Stacked(torch.zeros(2, 3), torch.ones(4, 3))
        >>> rows[1:3][:, 0], rows[torch.tensor([5, 0])][:, 0], tuple(rows.shape)
        (tensor([0., 1.]), tensor([1., 0.]), (6, 3))
    """

    def __init__(self, first: Float[Tensor, "row dim"], second: Float[Tensor, "more dim"]) -> None:
        self.first, self.second = first.detach(), second.detach()
        self.dtype, self.device = first.dtype, first.device
        self.shape = torch.Size([len(first) + len(second), first.shape[1]])

    def __len__(self) -> int:
        return self.shape[0]

    def numel(self) -> int:
        """How many numbers there are."""
        return self.shape.numel()

    def __getitem__(self, rows: slice | Tensor) -> Float[Tensor, "*row dim"]:
        many = len(self.first)
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            if start >= many:
                return self.second[start - many : stop - many]
            own = self.first[start:stop]
            return own if stop <= many else torch.cat([own, self.second[: stop - many]])
        found = self.second[(rows - many).clamp(min=0)]
        early = rows < many
        found[early] = self.first[rows[early]]
        return found
