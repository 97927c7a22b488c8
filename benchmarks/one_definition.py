"""One definition of a metric, several gradients: average precision and F1 of page blocks, on rows of fit and select.

    .venv/bin/python -m benchmarks.one_definition              trains everything, writes docs/one-definition.csv
    .venv/bin/python -m benchmarks.one_definition --quick      four steps each; the table under runs/, not docs/

The test split of the task is not opened: its fit and select rows are divided anew, half of them to train on, a fifth to
choose settings and steps, the rest to be held out. Every arm has four tries of its settings with a seed of its own, and
is then trained with five others from the same start models for as many steps.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.contests import best_tries, contest, readings, spelt, tried, write
from metricgrad import losses, metrics
from metricgrad.tasks import imbalanced_f1
from metricgrad.tasks.divisions import class_by_class
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan, Splits

ROOT = Path(__file__).resolve().parents[1]
TABLE, TRIES = ROOT / "docs" / "one-definition.csv", ROOT / "docs" / "one-definition-tries.csv"
SEEDS, DEVELOPMENT_SEED, BATCH = (0, 1, 2, 3, 4), 100, 64
PLAN = Plan(steps=150, evaluate_every=25, resamples=500)
RATES = (3e-4, 3e-3)
CONTROL = "continued"


def average_precision(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
    """Mean over the positives of the precision at their rank; a pair of positives is compared once."""
    scores = outputs[:, 1] - outputs[:, 0]
    positive, negative = scores[targets == 1], scores[targets == 0]
    if not len(positive):
        return scores.new_tensor(float("nan"))
    first, second = torch.triu_indices(len(positive), len(positive), 1)
    above = step(positive[second] - positive[first])
    among = torch.ones_like(positive).index_add(0, first, above).index_add(0, second, 1 - above)
    false = (1 - step(positive[:, None] - negative)).sum(1)
    return (among / (among + false)).mean()


def f1(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
    """F1 of class 1, where its score is the larger; 1 where there is nothing to find and nothing found."""
    chosen = step(outputs[:, 1] - outputs[:, 0])
    below = targets.sum() + chosen.sum()
    return torch.where(below == 0, 1.0, 2 * (chosen * targets).sum() / torch.where(below == 0, 1.0, below))


class Between(nn.Module):
    """A metric interpolated with settings of a run."""

    metric: Any

    def __init__(self, power: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        self.loss = losses.interpolated(self.metric, power=power, temperature=temperature)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.loss(outputs, targets)


class BetweenAveragePrecision(Between):
    """Of average precision."""

    metric = staticmethod(average_precision)


class BetweenF1(Between):
    """Of F1."""

    metric = staticmethod(f1)


exact_average_precision = metrics.exact(average_precision, unit="sample")
exact_f1 = metrics.exact(f1)
HERE = "benchmarks.one_definition"
METRICS = {
    "average precision": ("average_precision", "BetweenAveragePrecision", "exact_average_precision"),
    "F1": ("f1", "BetweenF1", "exact_f1"),
}


def arms(metric: str) -> dict[str, tuple[str, list[Mapping[str, Any]]]]:
    """Method and tries of every arm."""
    function, between, _ = METRICS[metric]

    def of(**choices: Sequence[float]) -> list[Mapping[str, Any]]:
        (key, values), fixed = next(iter(choices.items())), dict(list(choices.items())[1:])
        return [
            {
                "learning_rate": rate,
                "objective": {key: value, **{name: one for name, (one,) in fixed.items()}},
            }
            for rate in RATES
            for value in values
        ]

    return {
        CONTROL: ("proxy", [{"learning_rate": rate} for rate in (1e-4, *RATES, 1e-2)]),
        "sigmoid": (f"surrogate:{HERE}:{function}", of(rank_temperature=(0.3, 1.0))),
        "interpolated power 1": (f"surrogate:{HERE}:{between}", of(temperature=(0.3, 1.0), power=(1.0,))),
        "interpolated power 4": (f"surrogate:{HERE}:{between}", of(temperature=(0.3, 1.0), power=(4.0,))),
    }


def task_for(metric: str) -> Task:
    """Page blocks without the rows of test, divided anew, in batches of 64."""
    task = imbalanced_f1.load({})
    batches = [batch for split in (task.splits.fit, task.splits.select) for batch in split]
    inputs, targets = (torch.cat([batch[place] for batch in batches]) for place in (0, 1))
    rows = class_by_class(targets.numpy(), (0.5, 0.2), 0)
    fit, select, held = (
        ArraySplit(inputs[one], targets[one], batch=BATCH if place == 0 else 4096, shuffle=place == 0)
        for place, one in enumerate(rows)
    )
    return replace(
        task,
        name="page_blocks_development",
        splits=Splits(fit, select, held),
        metric=f"{HERE}:{METRICS[metric][2]}",
        start_plan=Plan(steps=400, evaluate_every=25),
    )


def main() -> None:
    """Train everything and write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="four steps each: does it run?")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    runs = ROOT / "runs" / ("one-definition-quick" if quick else "one-definition")
    tables = runs if quick else ROOT / "docs"
    tries: list[list[Any]] = []
    for metric in METRICS:
        given = {
            arm: (method, settings[:1] if quick else settings)
            for arm, (method, settings) in arms(metric).items()
        }
        found = tried(
            task_for(metric),
            given,
            runs / f"choose-{spelt(metric)}",
            seed=DEVELOPMENT_SEED,
            plan=PLAN,
            quick=quick,
        )
        tries += [[metric, *row] for row in found]
    write(tables / TRIES.name, ["metric", "arm", "try", "select", "settings"], tries)
    best = best_tries(tables / TRIES.name, ["metric", "arm"])
    rows: list[list[Any]] = []
    for metric in METRICS:
        task = task_for(metric)
        listed = [(spelt(arm), method, best[metric, arm]) for arm, (method, _) in arms(metric).items()]
        names = {spelt(arm): arm for arm in arms(metric)}
        done = contest(
            task,
            listed,
            runs / f"read-{spelt(metric)}",
            seeds=SEEDS[:1] if quick else SEEDS,
            plan=PLAN,
            quick=quick,
        )
        for name, *figures in readings(done, task, CONTROL, PLAN.resamples):
            rows.append([metric, names.get(name, name), *figures])
    header = ["metric", "arm", "held_out", "spread", "minus_control", "low", "high", "select"]
    write(tables / TABLE.name, header, rows)


if __name__ == "__main__":
    main()
