"""Training on mixtures: mixup of the batches of a method that lowers a loss of one label per sample."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._types import MethodRun
from metricgrad.methods.trial import Objective
from metricgrad.pairing import mixed_loss, mixup_batch
from metricgrad.scale import current

__all__ = ["Mixing"]


class _Labels(NamedTuple):
    """Labels of both parts of every mixture, and the share of the first."""

    first: Any
    other: Any
    share: Tensor


class Mixing:
    """Mixes the batches of a stage: a step of a seed is always mixed alike, so that a resumed run goes on as it was.

    Args:
        alpha: of the shares, > 0.
        objective: of one label per sample; None for a method that brings its own backward pass.
        run: what the method was given.

    Raises:
        InputError: there is no such objective, the run is one of retrieval or of several processes.
    """

    def __init__(self, alpha: float, objective: Objective | None, run: MethodRun) -> None:
        if objective is None:
            came = f"mixup is {alpha} for a method that looks at more than a loss of one label per sample"
            raise fail("training", came, "mixup 0")
        if run.metric.unit == "query":
            raise fail(
                "training",
                f"mixup is {alpha} with {run.metric.name}, a metric of retrieval",
                "mixup 0",
                "Whether two mixtures belong together is no yes or no; `+simix` mixes rows of one class.",
            )
        if current().size > 1:
            raise fail("training", f"mixup is {alpha} with {current().size} processes", "one process")
        self.alpha, self.plain, self.seed = alpha, objective, run.seed

    def batch(self, batch: Sequence[Any], step: int) -> tuple[Any, _Labels]:
        """Return the mixtures of a batch and their labels."""
        drawn = int(np.random.SeedSequence((self.seed, step)).generate_state(1)[0])
        inputs, targets = batch
        mixed = mixup_batch(inputs, targets, alpha=self.alpha, generator=torch.Generator().manual_seed(drawn))
        share = torch.tensor(mixed.mix, dtype=torch.float64)
        return mixed.inputs, _Labels(mixed.targets, mixed.targets_other, share)

    def objective(self, outputs: Any, labels: _Labels) -> Tensor:
        """Return the loss of mixtures."""
        return mixed_loss(self.plain, outputs, labels.first, labels.other, mix=float(labels.share))
