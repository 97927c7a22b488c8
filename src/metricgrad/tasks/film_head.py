"""A trainable head on frozen features: standardise, scale and shift (FiLM), drop out, project."""

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
    ) -> None:
        super().__init__()
        features = len(mean)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, torch.ones_like(deviation)))
        self.film = Film(features)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, dim)
        nn.init.normal_(self.head.weight, std=features**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Float[Tensor, "item feature"]) -> Float[Tensor, "item dim"]:
        """Return the embeddings."""
        return self.head(self.dropout(self.film((features - self.mean) / self.deviation)))


class Film(nn.Module):
    """Scale and shift every feature; the identity at first."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, features: Float[Tensor, "item feature"]) -> Float[Tensor, "item feature"]:
        """Return `features * scale + shift`."""
        return features * self.scale + self.shift
