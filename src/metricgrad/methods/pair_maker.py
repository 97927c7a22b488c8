"""Pairs of output and target of a network, with what the metric says of them: what teaches and what examines."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._structures import moved, one_tensor, pair
from metricgrad._types import MethodRun, Metric
from metricgrad._user_code import embedded
from metricgrad.errors import InputError
from metricgrad.learned import SampleErrors
from metricgrad.learned.pairs import Pairs
from metricgrad.scale import current
from metricgrad.scale.chunk import taken

__all__ = ["PairMaker", "Trained", "first_batches", "require_whole_batches"]


class Trained(NamedTuple):
    """A batch in training.

    Attributes:
        outputs: of the network, with their graph.
        targets: on its device.
        z: the outputs in the comparison space, with their graph.
        y: the targets there.
        errors: of every sample; NaN where the metric has none.
    """

    outputs: Tensor
    targets: Any
    z: Tensor
    y: Tensor
    errors: Tensor


class PairMaker:
    """Makes pairs from a network and its data, or without data.

    Args:
        model: the network.
        metric: of the run, a mean over samples.
        device: where the pairs go.
        symmetrize: see `SampleErrors`.

    Attributes:
        errors: the metric, per sample.
        kind: of the outputs.
    """

    def __init__(
        self, model: nn.Module, metric: Metric, device: torch.device, *, symmetrize: bool = False
    ) -> None:
        self.model, self.device = model, device
        self.errors = SampleErrors(metric, symmetrize=symmetrize)
        self.kind = self.errors.kind

    def trained(self, batch: Sequence[Any]) -> Trained:
        """Run the model on a batch as it is, and measure every sample."""
        inputs, targets = batch
        targets = moved(targets, self.device)
        outputs = one_tensor("learned", embedded(self.model, moved(inputs, self.device)))
        errors = self.errors(outputs.detach(), targets)
        return Trained(outputs, targets, *self.kind.compare(outputs, targets), errors)

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


def require_whole_batches(caller: str, run: MethodRun) -> None:
    """Raise InputError where a batch is shared by several processes or goes through the network in chunks."""
    if current().size > 1 or run.chunk is not None:
        raise InputError(
            f"{caller}: several processes, or a batch in chunks; expected one process and whole batches."
        )
