"""Pairs of output and target of a network, with what the metric says of them: what teaches and what examines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._structures import moved, one_tensor, pair
from metricgrad._user_code import embedded
from metricgrad.learned import SampleErrors
from metricgrad.learned.pairs import Pairs
from metricgrad.scale.chunk import taken

__all__ = ["PairMaker", "first_batches"]


class PairMaker:
    """Makes pairs from a network and its data, or without data.

    Args:
        model: the network.
        errors: the metric, per sample.
        device: where the pairs go.
    """

    def __init__(self, model: nn.Module, errors: SampleErrors, device: torch.device) -> None:
        self.model, self.errors, self.kind, self.device = model, errors, errors.kind, device

    def outputs(self, inputs: Any) -> Tensor:
        """Run the model as it will be used."""
        self.model.eval()
        with torch.no_grad():
            outputs = embedded(self.model, moved(inputs, self.device))
        self.model.train()
        return one_tensor("learned", outputs)

    def compared(self, outputs: Tensor, targets: Any) -> Pairs:
        """Return the pairs of outputs and targets whose error is known."""
        errors = self.errors(outputs, targets)
        return Pairs.known(*self.kind.compare(outputs, targets), errors)

    def made_up(self, rng: np.random.Generator, count: int) -> Pairs:
        """Return pairs made without data or network."""
        assert self.kind.pairs is not None
        outputs, targets = self.kind.pairs(count, rng)
        return self.compared(moved(outputs, self.device), moved(targets, self.device))


def first_batches(
    split: Any, items: int | None = None, *, batches: int | None = None
) -> Sequence[tuple[Any, Any]]:
    """Return the first batches of a split: this many, or until there are this many items."""
    found, seen = [], 0
    for number, (inputs, targets) in enumerate(map(pair, split)):
        if (items is not None and seen >= items) or (batches is not None and number >= batches):
            break
        room = len(targets) if items is None else items - seen
        found.append((taken(inputs, 0, room), taken(targets, 0, room)))
        seen += len(targets)
    return found
