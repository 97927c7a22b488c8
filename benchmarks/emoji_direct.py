"""Direct losses beside the recall@k surrogate on the task emoji: hit@1 and average precision by two decodes.

    .venv/bin/python -m benchmarks.emoji_direct choose     tries on `select`: docs/emoji-direct-tries.csv
    .venv/bin/python -m benchmarks.emoji_direct read       three seeds, reads `test`: docs/emoji-direct.csv

Every arm goes on from the start model of its seed, with the batches, the steps and all settings that were frozen for
the surrogate; only the objective differs. `choose` gives both direct losses two tries on a seed that is not reported;
`read` takes the best of them. As in a run, the best evaluation on `select` after step 0 is kept, and `test` is read
once.
Intervals: paired bootstrap over queries, mean of the seeds, against the surrogate.
"""

import argparse
import copy
import csv
import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.emoji_batches import start_of
from benchmarks.label_noise import trained
from metricgrad.interval import paired_bootstrap
from metricgrad.metrics.adapt import adapt
from metricgrad.tasks import emoji
from metricgrad.tasks.task import Task
from metricgrad.tune.auto import road_named, validated
from metricgrad.tune.select import Evaluator

SEEDS, DEVELOPMENT_SEED = (0, 1, 2), 100
SURROGATE, DIRECT = "surrogate:recall_at_k", ("direct:hit_at_1", "direct:average_precision")
TRIES: list[dict[str, Any]] = [
    {"update": "two", "moved": 0.1},
    {"update": "two", "moved": 0.03},
]
DOCS = Path(__file__).parent.parent / "docs"
TRIED, TABLE = DOCS / "emoji-direct-tries.csv", DOCS / "emoji-direct.csv"


def arm_of(
    task: Task, start: nn.Module, method: str, objective: dict[str, Any] | None, seed: int
) -> tuple[nn.Module, float]:
    """Train one arm from the start: the surrogate's frozen settings, with another objective where one is given."""
    road = road_named(method, adapt("recall@1"), task.proxy)
    settings = dict(task.settings) if objective is None else {**task.settings, "objective": objective}
    steps = task.plan.steps or 300
    every = task.plan.evaluate_every or max(1, steps // 20)
    return trained(
        task, copy.deepcopy(start), road.make(validated(road.settings, settings, method)), steps, every, seed
    )


def choose(task: Task) -> list[list[Any]]:
    """Rows of the table of tries."""
    start = start_of(task, DEVELOPMENT_SEED)
    rows = []
    for method, objective in [(SURROGATE, None), *((one, given) for one in DIRECT for given in TRIES)]:
        _, value = arm_of(task, start, method, objective, DEVELOPMENT_SEED)
        rows.append([method, f"{value:.5f}", json.dumps(objective, sort_keys=True)])
        print(rows[-1], flush=True)
    return rows


def read(task: Task) -> list[list[Any]]:
    """Rows of the table of results."""
    best: dict[str, tuple[float, Any]] = {}
    with TRIED.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if float(row["select"]) > best.get(row["method"], (-math.inf, None))[0]:
                best[row["method"]] = float(row["select"]), json.loads(row["objective"])
    found: dict[str, list[Tensor]] = {}
    selected: dict[str, list[float]] = {}
    assert task.splits.test is not None
    for seed in SEEDS:
        start = start_of(task, seed)
        models = {"start": start}
        for method, (_, objective) in best.items():
            models[method], value = arm_of(task, start, method, objective, seed)
            selected.setdefault(method, []).append(value)
            print(f"seed {seed}, {method}: select {value:.4f}", flush=True)
        for name, model in models.items():
            found.setdefault(name, []).append(
                Evaluator(adapt("recall@1")).statistics(model, task.splits.test, "test")
            )
    rows = []
    for name, statistics in found.items():
        value = sum(float(one[:, 0].nanmean()) for one in statistics) / len(statistics)
        gain = paired_bootstrap(statistics, found[SURROGATE])
        ends = ["" if end is None else f"{end:+.4f}" for end in (gain.value, gain.low, gain.high)]
        select = sum(selected[name]) / len(SEEDS) if name in selected else math.nan
        rows.append([name, f"{value:.4f}", *ends, f"{select:.4f}"])
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run one of the two stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read"])
    stage = parser.parse_args().stage
    task = emoji.load({})
    rows = choose(task) if stage == "choose" else read(task)
    header = ["method", "select", "objective"] if stage == "choose" else [
        "method", "recall@1", "minus_surrogate", "low", "high", "select"
    ]  # fmt: skip
    with (TRIED if stage == "choose" else TABLE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main()
