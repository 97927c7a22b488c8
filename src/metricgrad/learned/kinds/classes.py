"""Classes as outputs: logits, of which the largest decides."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._types import OutputKind
from metricgrad.learned.layers import mlp, one_hot

__all__ = ["ClassEncoder", "ClassPairs", "classes"]


def classes(count: int) -> OutputKind:
    """Classes: outputs are logits [sample, class], targets numbers of classes [sample]; predictions are numbers, too.

    Example:
        >>> classes(3).decode(torch.tensor([[0.1, 0.7, 0.2]])).tolist()
        [1]
    """
    if count < 2:
        raise fail("classes", f"count is {count}", "at least 2 classes")
    return OutputKind(
        "classes",
        decode=partial(most_probable, count=count),
        compare=partial(compare_classes, count=count),
        encoder=partial(ClassEncoder, count),
        pairs=ClassPairs(count),
    )


def most_probable(outputs: Tensor, *, count: int) -> Tensor:
    """Return the class of the largest logit [sample]; one column would always be class 0 and is refused."""
    if outputs.ndim != 2 or outputs.shape[1] != count:
        raise fail("classes", f"outputs are {describe(outputs)}", f"logits [sample, {count}]")
    return outputs.detach().argmax(-1)


def compare_classes(
    outputs: Float[Tensor, "sample class"], targets: Int[Tensor, "sample"], *, count: int
) -> tuple[Tensor, Tensor]:
    """Return the probabilities of the outputs, and the targets as rows of zeros and ones.

    Raises:
        InputError: another number of classes or samples, a target out of range.

    Example:
        >>> z, y = compare_classes(torch.zeros(1, 3), torch.tensor([2]), count=3)
        >>> z.sum().item(), y.tolist()
        (1.0, [[0.0, 0.0, 1.0]])
    """
    targets = torch.as_tensor(targets, device=outputs.device).long()
    if tuple(outputs.shape) != (len(targets), count):
        raise fail("classes", f"outputs are {describe(outputs)}", f"[{len(targets)}, {count}]")
    if len(targets) and (targets.min() < 0 or targets.max() >= count):
        came = f"targets from {targets.min()} to {targets.max()}"
        raise fail("classes", came, f"classes 0 to {count - 1}")
    return outputs.softmax(-1), one_hot(targets, count).to(outputs.dtype)


class ClassEncoder(nn.Module):
    """Embeds class probabilities (encoder).

    Args:
        classes: how many.
        dim: of the embedding.

    Example:
        >>> ClassEncoder(3)(torch.zeros(1, 3)).shape
        torch.Size([1, 128])
    """

    def __init__(self, classes: int, *, dim: int = 128) -> None:
        super().__init__()
        self.network = mlp(classes, 256, dim)

    def forward(self, points: Float[Tensor, "sample class"]) -> Float[Tensor, "sample dim"]:
        """Embed probabilities."""
        return self.network(points)


@dataclass(frozen=True)
class ClassPairs:
    """Dirichlet probabilities (concentration log-uniform in 0.05 to 5) as logits, and random classes.

    Example:
        >>> outputs, targets = ClassPairs(3)(4, np.random.default_rng(0))
        >>> outputs.shape, targets.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """

    classes: int

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return logits [count, class] and classes [count]."""
        concentration = np.exp(rng.uniform(np.log(0.05), np.log(5.0), (count, 1)))
        gamma = rng.standard_gamma(np.broadcast_to(concentration, (count, self.classes)))
        logits = np.log(np.maximum(gamma, 1e-30))
        return torch.from_numpy(logits).float(), torch.from_numpy(rng.integers(self.classes, size=count))
