"""A run of `tune` that takes seconds, for the tests of this folder."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Result, Splits, tune


def small_splits(seed: int = 0, *, classes: int = 40, noise: float = 1.2) -> Splits:
    """Class-disjoint splits of noisy copies of random centres: 8 items a class, 12 dimensions."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, 12, generator=generator)
    labels = torch.arange(classes).repeat_interleave(8)
    inputs = centres[labels] + noise * torch.randn(len(labels), 12, generator=generator)
    bounds = (classes // 2, 3 * classes // 4)
    parts = (labels < bounds[0], (labels >= bounds[0]) & (labels < bounds[1]), labels >= bounds[1])
    fit = ClassBatchSplit(inputs[parts[0]], labels[parts[0]], classes_per_batch=8, samples_per_class=4)
    return Splits(fit, *(ArraySplit(inputs[part], labels[part], batch=64) for part in parts[1:]))


def small_model(_seed: int = 0) -> nn.Module:
    """A network with dropout, so that the random states matter, and with batch statistics to keep."""
    return nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 8))


def small_run(
    folder: Path | None, *, steps: int = 12, observer: Any = lambda event: None, **changes: Any
) -> Result:
    """Tune the small model; start training, two tries and two seeds unless `changes` say otherwise."""
    arguments: dict[str, Any] = {
        "metric": "recall@1",
        "proxy": "supcon",
        "plan": Plan(steps=steps, evaluate_every=4, checkpoint_every=5, tries=2),
        "start_plan": Plan(steps=8, evaluate_every=4, checkpoint_every=5),
        "seed": (0, 1),
        "closed_forms": False,  # see test_closed_forms.py
        "folder": folder,
        "observer": observer,
    }
    splits = changes.pop("splits", None) or small_splits()
    return tune(changes.pop("model", small_model), splits, **(arguments | changes))


def same_weights(first: Path, second: Path) -> list[str]:
    """Return the weight files of two run folders that are not equal byte for byte."""
    names = {path.relative_to(first) for path in first.rglob("*.safetensors") if "last" not in path.parts}
    names |= {path.relative_to(second) for path in second.rglob("*.safetensors") if "last" not in path.parts}
    return [
        str(name)
        for name in sorted(names)
        if not (first / name).is_file()
        or not (second / name).is_file()
        or (first / name).read_bytes() != (second / name).read_bytes()
    ]


def figures(result: Result) -> list[Tensor]:
    """Return every select and test value of the record, in order."""
    return [
        torch.tensor(event["value"]) for event in result.events if event["event"] in ("evaluated", "tested")
    ]


def small(folder: str, steps: str) -> None:
    """The run as a program, for the tests that kill it."""
    torch.set_num_threads(1)
    small_run(Path(folder), steps=int(steps))
