"""What complement entropy brings beside cross-entropy, on scikit-learn's digits and on made classes in groups.

    python -m benchmarks.complement digits    the flat losses, ten classes
    python -m benchmarks.complement groups    the hierarchical one: 100 classes in 20 groups, 60 in groups of 1 to 12

Each takes a minute or two on one core and writes docs/complement-NAME.csv. The data are parted anew for every seed into
fit, select and held-out; select chooses the learning rate of every arm, held-out is read once per arm and seed. Errors
are standard errors of paired differences to cross-entropy with as many passes as the two steps take.
"""

import argparse
import csv
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.supporting_parts import Parts, difference, mean
from metricgrad.losses import (
    ClassTree,
    complement_cross_entropy_loss,
    complement_entropy_loss,
    guided_complement_entropy_loss,
    hierarchical_complement_entropy_loss,
)
from metricgrad.methods.complement_training import ComplementObjectiveTraining

DOCS = Path(__file__).parent.parent / "docs"
RATES, BATCH = (0.03, 0.1, 0.3), 50
CONTROL = "cross-entropy, twice the steps"
Loss = Callable[[Tensor, Tensor], Tensor]


class Arm(NamedTuple):
    """How a network is trained: a loss, or two in turn, and how many steps per step of the others."""

    first: Loss
    second: Loss | None = None
    steps: int = 1


def trained(arm: Arm, parts: Parts, *, rate: float, steps: int, seed: int) -> nn.Module:
    """A network of two layers after SGD with momentum 0.9 and weight decay 1e-4."""
    torch.manual_seed(seed)
    inputs, labels = parts.fit
    model = nn.Sequential(nn.Linear(inputs.shape[1], 64), nn.ReLU(), nn.Linear(64, int(labels.max()) + 1))
    one, other = (
        torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4) for _ in range(2)
    )
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(each, arm.steps * steps) for each in (one, other)]
    both = None if arm.second is None else ComplementObjectiveTraining(one, other, complement_loss=arm.second)
    for _ in range(arm.steps * steps):
        rows = torch.randperm(len(labels))[:BATCH]
        if both is None:
            one.zero_grad()
            arm.first(model(inputs[rows]), labels[rows]).mean().backward()
            one.step()
        else:
            both.step(model, inputs[rows], labels[rows])
            schedules[1].step()
        schedules[0].step()
    return model.eval()


def wrong(model: nn.Module, part: tuple[Tensor, Tensor]) -> Tensor:
    """Which samples are taken for another class."""
    with torch.no_grad():
        return model(part[0]).argmax(1) != part[1]


def contest(
    arms: Mapping[str, Arm],
    parts_of: Callable[[int], Parts],
    measures: Mapping[str, Callable[[nn.Module, tuple[Tensor, Tensor]], float]],
    *,
    steps: int,
    seeds: int,
) -> list[dict[str, Any]]:
    """Every arm with the learning rate that select prefers, on held-out of every seed."""
    found: dict[str, dict[str, list[float]]] = {name: {key: [] for key in measures} for name in arms}
    for seed in range(seeds):
        parts = parts_of(seed)
        for name, arm in arms.items():
            models = [trained(arm, parts, rate=rate, steps=steps, seed=seed) for rate in RATES]
            best = min(models, key=lambda model: float(wrong(model, parts.select).double().mean()))
            for key, measure in measures.items():
                found[name][key].append(measure(best, parts.held_out))
    rows = []
    for name, values in found.items():
        row: dict[str, Any] = {"arm": name}
        for key, of_seeds in values.items():
            row[key] = mean(of_seeds)
            row[f"{key} against control"], row[f"{key} standard error"] = difference(
                of_seeds, found[CONTROL][key]
            )
        rows.append(row)
    return rows


def error_rate(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    """The share of mistakes."""
    return float(wrong(model, part).double().mean())


def entropy(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    """The mean complement entropy in nats."""
    with torch.no_grad():
        return -float(complement_entropy_loss(model(part[0]), part[1], normalizer="none").mean())


def divided(inputs: Tensor, labels: Tensor, sizes: Sequence[int], generator: torch.Generator) -> Parts:
    """The rows in any order: fit, select and the rest."""
    order = torch.randperm(len(labels), generator=generator).split([*sizes, len(labels) - sum(sizes)])
    return Parts(*((inputs[rows], labels[rows]) for rows in order))


def digits(seed: int) -> Parts:
    """300 digits to fit and 300 to select."""
    pictures, classes = load_digits(return_X_y=True)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.tensor(pictures, dtype=torch.float32) / 16
    return divided(inputs, torch.tensor(classes), (300, 300), generator)


def clouds(seed: int, *, groups: list[int]) -> Parts:
    """Normal clouds in 20 dimensions around the centres of classes, which lie around those of groups."""
    generator = torch.Generator().manual_seed(seed)
    belongs = torch.tensor(groups)
    centres = 1.2 * torch.randn(max(groups) + 1, 20, generator=generator)[belongs]
    centres = centres + 0.8 * torch.randn(len(groups), 20, generator=generator)
    labels = torch.arange(60 * len(groups)) % len(groups)
    inputs = centres[labels] + torch.randn(len(labels), 20, generator=generator)
    return divided(inputs, labels, (10 * len(groups), 10 * len(groups)), generator)


def distance_of_mistakes(model: nn.Module, part: tuple[Tensor, Tensor], *, groups: list[int]) -> float:
    """How far up the tree the classes of a mistake meet: 1 within a group, 2 beyond it."""
    with torch.no_grad():
        taken = model(part[0]).argmax(1)
    belongs, mistakes = torch.tensor(groups), taken != part[1]
    return 1 + float((belongs[taken] != belongs[part[1]])[mistakes].double().mean())


def run_digits() -> list[dict[str, Any]]:
    """The flat losses."""
    arms = {
        CONTROL: Arm(cross_entropy, steps=2),
        "cross-entropy": Arm(cross_entropy),
        "two steps": Arm(cross_entropy, complement_entropy_loss),
        "complement cross-entropy": Arm(complement_cross_entropy_loss),
        "guided complement entropy": Arm(guided_complement_entropy_loss),
    }
    return contest(arms, digits, {"error": error_rate, "entropy": entropy}, steps=200, seeds=10)


def run_groups() -> list[dict[str, Any]]:
    """Equal groups, and groups of 1 to 11 classes."""
    rows = []
    trees = {"equal": [place // 5 for place in range(100)]}
    trees["unequal"] = [
        group for group, size in enumerate((1, 2, 3, 5, 7, 9, 10, 11, 12)) for _ in range(size)
    ]
    for name, groups in trees.items():
        tree = ClassTree.from_groups(groups)
        arms = {
            CONTROL: Arm(cross_entropy, steps=2),
            "two steps, complement entropy": Arm(cross_entropy, complement_entropy_loss),
            "two steps, hierarchical": Arm(
                cross_entropy, partial(hierarchical_complement_entropy_loss, tree=tree)
            ),
        }
        measures = {"error": error_rate, "distance": partial(distance_of_mistakes, groups=groups)}
        found = contest(arms, partial(clouds, groups=groups), measures, steps=150, seeds=5)
        rows += [{"groups": name, **row} for row in found]
    return rows


COMMANDS = {"digits": run_digits, "groups": run_groups}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("name", choices=sorted(COMMANDS))
    name = parser.parse_args(arguments).name
    rows = [
        {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
        for row in COMMANDS[name]()
    ]
    with (DOCS / f"complement-{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
