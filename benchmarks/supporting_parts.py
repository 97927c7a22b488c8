"""What the experiments on supporting systems share: data and their divisions, one training loop, tables."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from metricgrad import losses, metrics
from metricgrad.adapters import (
    merged_state,
)

DOCS = Path(__file__).parent.parent / "docs"
Part = tuple[Tensor, Tensor]


class Parts(NamedTuple):
    """One division of data: inputs and labels each."""

    fit: Part
    select: Part
    held_out: Part


def digits(seed: int, *, fit: int = 300, select: int = 300, rarest: float = 0.15) -> Parts:
    """Digits with frequencies that fall from 0 to 9, `rarest` of the last class left."""
    generator = torch.Generator().manual_seed(seed)
    pictures, classes = load_digits(return_X_y=True)
    inputs = torch.tensor(pictures, dtype=torch.float32) / 16
    labels = torch.tensor(classes)
    kept = torch.rand(len(labels), generator=generator) < rarest ** (labels / 9)
    order = torch.randperm(int(kept.sum()), generator=generator)
    inputs, labels = inputs[kept][order], labels[kept][order]
    bounds = (slice(0, fit), slice(fit, fit + select), slice(fit + select, None))
    return Parts(*((inputs[bound], labels[bound]) for bound in bounds))


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    middle = mean(values)
    return math.sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1) / len(values))


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error of paired differences."""
    values = [first - second for first, second in zip(one, other, strict=True)]
    return mean(values), error(values)


def write(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table and keep it as docs/supporting-NAME.csv."""
    rows = [
        {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    with (DOCS / f"supporting-{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def train(
    model: nn.Module,
    parameters: Sequence[Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    parts: Parts,
    measure: Callable[[Tensor, Tensor], Tensor],
    *,
    rate: float,
    steps: int,
    every: int = 10,
    state: Callable[[nn.Module], Mapping[str, Tensor]] = merged_state,
) -> tuple[float, dict[str, Tensor]]:
    """Adam on all of fit at once; the best value on select and the weights of that step."""
    optimiser = torch.optim.Adam(parameters, lr=rate)
    best, weights = -math.inf, {}
    for step in range(steps):
        optimiser.zero_grad()
        loss(model(parts.fit[0]), parts.fit[1]).mean().backward()
        optimiser.step()
        if (step + 1) % every == 0:
            with torch.no_grad():
                value = measure(model(parts.select[0]), parts.select[1]).item()
            if value > best:
                best, weights = value, {name: part.clone() for name, part in state(model).items()}
    return best, weights


def macro_f1(logits: Tensor, labels: Tensor) -> Tensor:
    """The exact metric."""
    return metrics.f_beta(logits, labels, average="macro")


def soft_macro_f1(logits: Tensor, labels: Tensor) -> Tensor:
    """The surrogate of it."""
    return losses.soft_confusion_loss(logits, labels, metric="macro_f1")


def network(units: int = 64) -> nn.Sequential:
    """Two layers."""
    return nn.Sequential(nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))


@torch.no_grad()
def both(model: nn.Module, parts: Parts) -> tuple[float, float]:
    """The metric on fit and held-out."""
    return macro_f1(model(parts.fit[0]), parts.fit[1]).item(), macro_f1(
        model(parts.held_out[0]), parts.held_out[1]
    ).item()


def started(make: Callable[[], nn.Module], parts: Parts, seed: int) -> nn.Module:
    """A new network after 150 steps of cross-entropy, at its best step by macro F1 on select."""
    torch.manual_seed(seed)
    model = make()
    cross_entropy = nn.functional.cross_entropy
    _, weights = train(model, list(model.parameters()), cross_entropy, parts, macro_f1, rate=0.003, steps=150)
    model.load_state_dict(weights)
    return model
