"""How a network learns from rows: to its plateau, or on from there with another loss."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from metricgrad._types import Metric
from metricgrad.losses.balanced_softmax import balanced_softmax_loss
from metricgrad.losses.class_weighted_cross_entropy import class_weighted_cross_entropy_loss
from metricgrad.losses.slope import SlopeLoss
from metricgrad.losses.soft_confusion import SoftConfusionLoss
from metricgrad.tabular.networks import TableNetwork

__all__ = [
    "ARMS",
    "BALANCED",
    "CONTINUED",
    "SOFT",
    "START",
    "WEIGHTED",
    "Rows",
    "log_loss",
    "loss_of",
    "probabilities",
    "to_plateau",
    "trained_on",
]

START, CONTINUED, WEIGHTED, BALANCED, SOFT = (
    "start", "continued", "class_weights", "balanced_softmax", "soft_metric",
)  # fmt: skip
ARMS = (CONTINUED, WEIGHTED, BALANCED, SOFT)
"""What trains on from the start."""

Weights = Mapping[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits and targets -> one value per row, or one for all of them."""

BATCH, RATE, DECAY = 256, 2e-3, 3e-4
PATIENCE = 8
"""Epochs without a better select loss before the plateau is believed."""
MOST_EPOCHS, LEAST_STEPS = 400, 200
"""LEAST_STEPS: made whatever the time, since a network without them says nothing."""
FURTHER_RATE, FURTHER_BATCH, FURTHER_EPOCHS, FURTHER_STEPS = 5e-4, 512, 15, 150
"""Of the arms that train on: the rate falls to 0 over 15 epochs, and at least 150 steps."""
TIMED, LATEST = 10, 1.5
"""The step after which the number of steps is fixed by the time that they took; how much later than asked it ends."""


@dataclass(frozen=True)
class Rows:
    """Rows for a network.

    Attributes:
        x: their numbers.
        y: their classes.
        weight: of each; None: all alike.
    """

    x: Float32[Tensor, "row feature"]
    y: Int64[Tensor, "row"]
    weight: Float32[Tensor, "row"] | None = None

    def of(self, rows: Tensor) -> "Rows":
        """Some of them."""
        return Rows(self.x[rows], self.y[rows], None if self.weight is None else self.weight[rows])


def probabilities(network: TableNetwork, x: Float32[Tensor, "row feature"]) -> Float32[Tensor, "row class"]:
    """Mean probabilities of the members, as the folded network gives them."""
    folded = network.folded().eval()
    with torch.no_grad():
        return torch.cat([folded(part) for part in x.split(4096)])


def log_loss(network: TableNetwork, rows: Rows) -> float:
    """Mean negative log probability of the true class, by the weights of the rows."""
    found = -probabilities(network, rows.x).gather(1, rows.y[:, None])[:, 0].clamp(min=1e-15).log().double()
    weight = torch.ones_like(found) if rows.weight is None else rows.weight.double()
    return float((found * weight).sum() / weight.sum())


def to_plateau(
    network: TableNetwork, fit: Rows, select: Rows, *, seconds: float, seed: int
) -> dict[str, Any]:
    """Train with cross-entropy until the loss on select gets no better; the best weights stay in the network.

    Args:
        network: with new weights.
        fit: rows to learn from.
        select: rows that say when to stop.
        seconds: after which training stops, too, but not before 200 steps.
        seed: of the order of the rows and of dropout.

    Returns:
        `epochs` that were trained, the `best` one, and whether time was `short`.
    """
    until, draw = time.monotonic() + seconds, torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    best, kept, at, epoch, steps = log_loss(network, select), copy.deepcopy(network.state_dict()), 0, 0, 0

    def over() -> bool:
        return steps >= LEAST_STEPS and time.monotonic() > until

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        while epoch < MOST_EPOCHS and epoch - at < PATIENCE and not over():
            for rows in torch.randperm(len(fit.y), generator=draw).split(BATCH):
                _step(network, optimiser, nn.functional.cross_entropy, fit.of(rows))
                steps += 1
                if over():
                    break
            epoch += 1
            value = log_loss(network, select)
            if value < best:
                best, kept, at = value, copy.deepcopy(network.state_dict()), epoch
    network.load_state_dict(kept)
    return {"epochs": epoch, "best": at, "short": epoch - at < PATIENCE and epoch < MOST_EPOCHS}


def trained_on(network: TableNetwork, loss: nn.Module | Loss, fit: Rows, *, seconds: float, seed: int) -> int:
    """Train on with a loss while the rate falls to 0; the last weights stay in the network.

    Args:
        network: at its start.
        loss: of logits and targets.
        fit: rows to learn from.
        seconds: in which it should be done: where the first ten steps say that they do not suffice, fewer are made.
        seed: of the order of the rows and of dropout.

    Returns:
        How many steps were made.
    """
    per_epoch = -(-len(fit.y) // FURTHER_BATCH)
    steps = max(FURTHER_STEPS, FURTHER_EPOCHS * per_epoch)
    draw, began, done = torch.Generator().manual_seed(seed), time.monotonic(), 0
    optimiser = torch.optim.AdamW(network.parameters(), lr=FURTHER_RATE, weight_decay=DECAY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        while done < steps:
            for rows in torch.randperm(len(fit.y), generator=draw).split(FURTHER_BATCH):
                used = time.monotonic() - began
                if done == TIMED and used * steps > seconds * done:
                    steps = int(seconds * done / used)
                if done >= steps or used > LATEST * seconds:
                    return done
                optimiser.param_groups[0]["lr"] = FURTHER_RATE * (1 - done / steps)
                _step(network, optimiser, loss, fit.of(rows))
                done += 1
    return done


def loss_of(arm: str, metric: Metric, counts: Int64[Tensor, "class"]) -> nn.Module | Loss:
    """The loss of an arm: cross-entropy, the same with class weights, balanced softmax, the soft metric or its slopes.

    Args:
        arm: its name.
        metric: of decided classes.
        counts: rows of each class in fit.
    """
    if arm == WEIGHTED:
        return partial(class_weighted_cross_entropy_loss, class_counts=counts)
    if arm == BALANCED:
        return partial(balanced_softmax_loss, class_counts=counts)
    if arm == SOFT:
        return (
            SoftConfusionLoss(metric) if metric.of_table is not None else SlopeLoss(metric, refresh_every=10)
        )
    return nn.functional.cross_entropy


def _step(network: TableNetwork, optimiser: torch.optim.Optimizer, loss: Any, rows: Rows) -> None:
    """One step on the mean loss of all members."""
    logits = network.train()(rows.x)
    members = logits.shape[1]
    flat, targets = logits.flatten(0, 1), rows.y.repeat_interleave(members)
    if loss is nn.functional.cross_entropy:
        found = nn.functional.cross_entropy(flat, targets, reduction="none")
    else:
        found = loss(flat, targets)
    if found.ndim and rows.weight is not None:
        weight = rows.weight.repeat_interleave(members)
        value = (found * weight).sum() / weight.sum().clamp(min=1e-12)
    else:
        value = found.mean()
    optimiser.zero_grad()
    if bool(value.isfinite()) and value.requires_grad:
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
