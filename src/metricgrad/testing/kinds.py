"""Outputs and targets to check a loss or metric with, by what it takes, and which outputs are right."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from metricgrad._checks import fail, nearest

__all__ = ["KINDS", "Kind", "Pair", "kind_named"]

Pair = tuple[Tensor, Tensor]
CLASSES, ROWS = 4, 12


@dataclass(frozen=True)
class Kind:
    """What a loss takes.

    Attributes:
        draw: generator -> outputs float64 and targets, without ties.
        right: targets -> outputs that are right, of size 1; None where nobody can say.
        single: whether every row has a loss of its own, whatever the others are.
        scale: how large outputs are taken in half precision.
    """

    draw: Callable[[Generator], Pair]
    right: Callable[[Tensor], Tensor] | None
    single: bool = True
    scale: float = 100.0


def _normal(generator: Generator, *shape: int) -> Tensor:
    return 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def _logits(generator: Generator) -> Pair:
    return _normal(generator, ROWS, CLASSES), torch.arange(ROWS) % CLASSES


def _probabilities(generator: Generator) -> Pair:
    logits, targets = _logits(generator)
    return logits.softmax(1), targets


def _scores(generator: Generator) -> Pair:
    return _normal(generator, ROWS), torch.arange(ROWS) % 3 % 2


def _label_logits(generator: Generator) -> Pair:
    return _normal(generator, ROWS, 3), (torch.arange(3 * ROWS).reshape(ROWS, 3) % 5 % 2)


def _embeddings(generator: Generator) -> Pair:
    return _normal(generator, ROWS, 8), torch.arange(ROWS) // 3


def _values(generator: Generator) -> Pair:
    return _normal(generator, ROWS), _normal(generator, ROWS)


def _one_class(targets: Tensor) -> Tensor:
    """1 for the class that is right; of whatever classes there are."""
    classes = max(CLASSES, int(targets.max()) + 1 if len(targets) else 0)
    return one_hot(targets.clamp_min(0), classes).double()


_AXES = torch.eye(CLASSES, 8, dtype=torch.float64)

KINDS: Mapping[str, Kind] = {
    "logits": Kind(_logits, lambda targets: 2 * _one_class(targets) - 1),
    "probabilities": Kind(_probabilities, _one_class, scale=1.0),
    "scores": Kind(_scores, lambda targets: 2 * targets.double() - 1),
    "label_logits": Kind(_label_logits, lambda targets: 2 * targets.double() - 1),
    "embeddings": Kind(_embeddings, lambda targets: _one_class(targets) @ _AXES, single=False, scale=10.0),
    "values": Kind(_values, lambda targets: targets.double(), scale=10.0),
}
"""`logits` [sample, class], `probabilities` of classes, `scores` [sample] of class 1, `label_logits` [sample, label],
`embeddings` [sample, dim] with labels, `values` [sample] with numbers as targets."""


def kind_named(caller: str, takes: str) -> Kind:
    """Return a kind; InputError for a name that there is none of."""
    if takes not in KINDS:
        raise fail(caller, f"takes is {takes!r}", ", ".join(map(repr, KINDS)), nearest(str(takes), KINDS))
    return KINDS[takes]
