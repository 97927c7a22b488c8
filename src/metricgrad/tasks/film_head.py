"""A trainable head on frozen features: standardise, scale and shift (FiLM), drop out, project."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["FilmHead"]


class FilmHead(nn.Module):
    """Embed frozen features: `head(dropout(film(standardise(x))))`.

    FiLM without a condition is a scale and a shift of every feature: 2 numbers a feature that re-weigh the backbone
    before the projection mixes them. The embedding is not normalised; losses and retrieval metrics do that.

    Args:
        mean: of every feature on the fit split.
        deviation: standard deviation of every feature on the fit split; zeros count as 1.
        dim: of the embedding.
        dropout: rate on the features.
        dropout_bits: random bits that decide on a feature: 16 (`QuickDropout`), or 64 (PyTorch's own dropout).

    Reference:
        [perez2018film]

    Example:
        >>> head = FilmHead(torch.zeros(8), torch.ones(8), dim=4)
        >>> head(torch.ones(3, 8)).shape
        torch.Size([3, 4])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        mean: Float[Tensor, "feature"],
        deviation: Float[Tensor, "feature"],
        *,
        dim: int,
        dropout: float = 0.0,
        dropout_bits: Literal[16, 64] = 16,
    ) -> None:
        super().__init__()
        features = len(mean)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, torch.ones_like(deviation)))
        self.film = Film(features)
        self.dropout = QuickDropout(dropout) if dropout_bits == 16 else nn.Dropout(dropout)
        self.head = nn.Linear(features, dim)
        nn.init.normal_(self.head.weight, std=features**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Float[Tensor, "item feature"]) -> Float[Tensor, "item dim"]:
        """Return the embeddings."""
        return self.head(self.dropout(self.film((features - self.mean).div_(self.deviation))))


class Film(nn.Module):
    """Scale and shift every feature; the identity at first."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, features: Float[Tensor, "item feature"]) -> Float[Tensor, "item feature"]:
        """Return `features * scale + shift`."""
        return (features * self.scale).add_(self.shift)


class QuickDropout(nn.Dropout):
    """Dropout that takes 16 random bits for a number where PyTorch takes 64 on a CPU, which is slow on many features.

    The rate is rounded to the nearest 1 / 65,536, and what is kept is scaled by the rate as it was rounded.

    Example:
        >>> kept = QuickDropout(0.25)(torch.ones(100_000))
        >>> kept.unique().tolist(), bool((kept.mean() - 1).abs() < 0.02)
        ([0.0, 1.3333333730697632], True)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with some numbers 0 and the others scaled; the input itself in eval."""
        kept = round((1 - self.p) * 2**16)
        if not self.training or kept == 2**16:
            return input
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64, device=input.device)
        words.random_(-(2**63), None)
        bits = words.view(torch.int16)[: input.numel()].view(input.shape)  # -32,768 to 32,767
        # 0 or 1 at once: a mask of bool between would cost two more passes
        mask = torch.lt(bits, kept - 2**15, out=torch.empty_like(input))
        return input * mask.mul_(2**16 / max(kept, 1))
