"""What every kernel of the hot operator is told beside embeddings or scores: the lists of positives and the step."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Setting", "wide"]


class Setting(NamedTuple):
    """Who is a positive, who competes, and how softly ranks are counted.

    Attributes:
        positives: [query, positive] item numbers, any number beyond the count.
        counts: [query] how many positives there are.
        excluded: [query] item that does not compete, -1 for none; None for none at all.
        temperature: width of the step; 0 for exact ranks.
        step: `logistic` or `laplace`.
    """

    positives: Tensor
    counts: Tensor
    excluded: Tensor | None
    temperature: float
    step: str

    @property
    def valid(self) -> Tensor:
        """Bool [query, positive]: which columns of the lists are filled."""
        columns = torch.arange(self.positives.shape[1], device=self.counts.device)
        return columns < self.counts.unsqueeze(1)


def wide(*tensors: Tensor) -> torch.dtype:
    """Return the type that ranks are computed in: float64 where one of the tensors has it, else float32."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
