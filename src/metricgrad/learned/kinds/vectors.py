"""Vectors as outputs: compared where every coordinate has unit deviation."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._safe import or_one
from metricgrad._types import OutputKind
from metricgrad.learned.layers import as_they_are, mlp

__all__ = ["VectorEncoder", "VectorPairs", "vectors"]


def vectors(mean: Any, deviation: Any) -> OutputKind:
    """Vectors: outputs and targets are [sample, coordinate].

    Args:
        mean: of the training targets [coordinate].
        deviation: their standard deviation [coordinate]; a coordinate that never changes is left unscaled.

    Raises:
        InputError: mean and deviation are no vectors of one length.

    Example:
        >>> vectors([0.0], [1.0]).decode(torch.tensor([[2.0]])).tolist()
        [[2.0]]
    """
    mean, deviation = (torch.as_tensor(one).detach().cpu().double() for one in (mean, deviation))
    if mean.ndim != 1 or mean.shape != deviation.shape:
        came = f"mean is {describe(mean)}, deviation {describe(deviation)}"
        raise fail("vectors", came, "two vectors [coordinate]")
    dtype = torch.get_default_dtype()
    scale = or_one(deviation)
    return OutputKind(
        "vectors",
        decode=as_they_are,
        compare=partial(compare_vectors, mean=mean.to(dtype), scale=scale.to(dtype)),
        encoder=partial(VectorEncoder, len(mean)),
        pairs=VectorPairs(mean.tolist(), deviation.tolist()),
    )


def compare_vectors(
    outputs: Float[Tensor, "sample coordinate"],
    targets: Float[Tensor, "sample coordinate"],
    *,
    mean: Float[Tensor, "coordinate"],
    scale: Float[Tensor, "coordinate"],
) -> tuple[Tensor, Tensor]:
    """Return both, standardised.

    Raises:
        InputError: other shapes.
    """
    targets = torch.as_tensor(targets).to(outputs)
    if outputs.shape != targets.shape or outputs.ndim != 2 or outputs.shape[1] != len(mean):
        came = f"outputs are {describe(outputs)}, targets {describe(targets)}"
        raise fail("vectors", came, f"[sample, {len(mean)}]")
    mean, scale = mean.to(outputs.device), scale.to(outputs.device)
    return (outputs - mean) / scale, (targets - mean) / scale


class VectorEncoder(nn.Module):
    """Embeds standardised vectors (encoder).

    Args:
        coordinates: how many.
        dim: of the embedding.

    Example:
        >>> VectorEncoder(2)(torch.zeros(1, 2)).shape
        torch.Size([1, 128])
    """

    def __init__(self, coordinates: int, *, dim: int = 128) -> None:
        super().__init__()
        self.network = mlp(coordinates, 256, 256, dim)

    def forward(self, points: Float[Tensor, "sample coordinate"]) -> Float[Tensor, "sample dim"]:
        """Embed standardised vectors."""
        return self.network(points)


@dataclass(frozen=True)
class VectorPairs:
    """Vectors drawn like the targets, and the same with noise of log-uniform size in random directions.

    Args:
        mean: of the targets [coordinate].
        deviation: their standard deviation.
    """

    mean: Any
    deviation: Any

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return outputs and targets [count, coordinate]."""
        mean, deviation = np.asarray(self.mean, float), np.asarray(self.deviation, float)
        if mean.shape != deviation.shape or mean.ndim != 1:
            raise fail("VectorPairs", f"mean {mean.shape}, deviation {deviation.shape}", "two vectors")
        targets = rng.normal(0.0, 1.0, (count, len(mean)))
        size = np.exp(rng.uniform(np.log(0.01), np.log(3.0), (count, 1)))
        direction = rng.normal(0.0, 1.0, targets.shape)
        sparse = rng.random(targets.shape) < rng.uniform(0.1, 1.0, (count, 1))
        direction = direction * sparse
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        outputs = targets + size * direction / np.maximum(length, 1e-12)
        return tuple(torch.from_numpy(one * deviation + mean).float() for one in (outputs, targets))  # pyright: ignore[reportReturnType]
