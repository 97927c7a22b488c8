"""What the embedding networks of several kinds of output are made of."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["SLOPE", "as_they_are", "mlp", "one_hot"]

SLOPE = 0.2
"""Of every leaky ReLU below 0."""


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers with leaky ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


def one_hot(codes: Int[Tensor, "*sample"], classes: int) -> Float[Tensor, "*sample classes"]:
    """Return rows with a one at the number."""
    return nn.functional.one_hot(codes, classes).to(torch.get_default_dtype())


def as_they_are(outputs: Tensor) -> Tensor:
    """Return the outputs without their graph."""
    return outputs.detach()
