"""A run of `tune` on a small imbalanced classification, for the tests of decision rules."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune


def drawn(
    items: int, seed: int, *, classes: int = 2, rare: float = 2.5, signal: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Inputs [item, 5] and classes that depend on them; all but class 0 are rare."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(items, 5, generator=generator)
    scores = signal * inputs[:, :classes] * 1.5
    scores[:, 0] += rare
    noise = -torch.log(-torch.log(torch.rand(items, classes, generator=generator)))
    return inputs, (scores + noise).argmax(1)


def decided_splits(items: tuple[int, int, int] = (600, 400, 400), **settings: Any) -> Splits:
    """Fit, select and test of that many items."""
    fit, select, test = (drawn(count, seed, **settings) for seed, count in enumerate(items))
    return Splits(
        ArraySplit(*fit, batch=100, shuffle=True),
        ArraySplit(*select, batch=256),
        ArraySplit(*test, batch=256),
    )


def classifier(classes: int = 2) -> nn.Module:
    """A linear network that knows nothing yet."""
    torch.manual_seed(0)
    return nn.Linear(5, classes)


def decided_run(folder: Path | None = None, *, classes: int = 2, **changes: Any) -> Result:
    """Tune the classifier for (macro) F1, two seeds, unless `changes` say otherwise."""
    arguments: dict[str, Any] = {
        "metric": "f1" if classes == 2 else "macro_f1",
        "proxy": nn.functional.cross_entropy,
        "method": "surrogate:generalized_cross_entropy",
        "plan": Plan(steps=8, evaluate_every=4, checkpoint_every=3, resamples=200),
        "start_plan": Plan(steps=30, evaluate_every=10),
        "start_settings": {"learning_rate": 0.05},
        "seed": (0, 1),
        "folder": folder,
        "observer": lambda event: None,
    }
    splits = changes.pop("splits", None) or decided_splits(classes=classes)
    return tune(changes.pop("model", None) or classifier(classes), splits, **(arguments | changes))
