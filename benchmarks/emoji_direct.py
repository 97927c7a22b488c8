"""Direct losses beside the recall@k surrogate on the plain task emoji: hit@1 and average precision by two decodes.

    .venv/bin/python -m benchmarks.emoji_direct choose     tries on `select`: docs/emoji-direct-tries.csv
    .venv/bin/python -m benchmarks.emoji_direct read       three seeds, reads `test`: docs/emoji-direct.csv

Every arm goes on from the start model of its seed, with the batches, the steps and the settings that were frozen for
the surrogate after four tries. `choose` gives both direct losses four tries of learning rate and displacement on a seed
that is not reported; `read` takes the best of them. As in a run, the best evaluation on `select` after step 0 is kept,
and `test` is read once.
Intervals: paired bootstrap over queries, mean of the seeds, against the surrogate.
"""

import argparse
import copy
import csv
import json
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.emoji_batches import plain_task, start_of
from benchmarks.label_noise import trained
from metricgrad.interval import paired_bootstrap
from metricgrad.methods.families import road_named
from metricgrad.methods.road import validated
from metricgrad.metrics.adapt import adapt
from metricgrad.tasks.task import Task
from metricgrad.tune.evaluator import Evaluator

SEEDS, DEVELOPMENT_SEED = (0, 1, 2), 100
SURROGATE, DIRECT = "surrogate:recall_at_k", ("direct:hit_at_1", "direct:average_precision")
TRIES: list[dict[str, Any]] = [
    {"learning_rate": rate, "objective": {"update": "two", "moved": moved}}
    for rate in (3e-3, 1e-3)
    for moved in (0.1, 0.03)
]
DOCS = Path(__file__).parent.parent / "docs"
TRIED, TABLE = DOCS / "emoji-direct-tries.csv", DOCS / "emoji-direct.csv"


def arm_of(
    task: Task, start: nn.Module, method: str, changes: dict[str, Any], seed: int
) -> tuple[nn.Module, float]:
    """Train one arm from the start: the surrogate's frozen settings, with some changed."""
    road = road_named(method, adapt("recall@1"), task.proxy)
    settings = {**task.settings, **changes}
    steps = task.plan.steps or 300
    every = task.plan.evaluate_every or max(1, steps // 20)
    return trained(
        task, copy.deepcopy(start), road.make(validated(road.settings, settings, method)), steps, every, seed
    )


def tried(job: tuple[str, dict[str, Any]]) -> list[Any]:
    """A row of the table of tries."""
    torch.set_num_threads(1)
    task = plain_task()
    _, value = arm_of(task, start_of(task, DEVELOPMENT_SEED), *job, DEVELOPMENT_SEED)
    return [job[0], f"{value:.5f}", json.dumps(job[1], sort_keys=True)]


def chosen() -> dict[str, dict[str, Any]]:
    """The best try of every method, from the table."""
    best: dict[str, tuple[float, dict[str, Any]]] = {}
    with TRIED.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if float(row["select"]) > best.get(row["method"], (-math.inf, {}))[0]:
                best[row["method"]] = float(row["select"]), json.loads(row["changes"])
    return {method: changes for method, (_, changes) in best.items()}


def read(seed: int) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Train every arm with one seed; return the statistics on test and the values on select."""
    torch.set_num_threads(1)
    task = plain_task()
    start = start_of(task, seed)
    models, values = {"start": start}, {}
    for method, changes in chosen().items():
        models[method], values[method] = arm_of(task, start, method, changes, seed)
    assert task.splits.test is not None
    evaluator = Evaluator(adapt("recall@1"))
    return {
        name: evaluator.statistics(model, task.splits.test, "test") for name, model in models.items()
    }, values


def summarised(runs: list[tuple[dict[str, Tensor], dict[str, float]]]) -> list[list[Any]]:
    """Rows of the table of results."""
    rows = []
    for name in runs[0][0]:
        statistics = [found[name] for found, _ in runs]
        value = sum(float(one[:, 0].nanmean()) for one in statistics) / len(statistics)
        gain = paired_bootstrap(statistics, [found[SURROGATE] for found, _ in runs])
        ends = ["" if end is None else f"{end:+.4f}" for end in (gain.value, gain.low, gain.high)]
        select = "" if name == "start" else f"{sum(values[name] for _, values in runs) / len(runs):.4f}"
        rows.append([name, f"{value:.4f}", *ends, select])
    return rows


def main() -> None:
    """Run one of the two stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read"])
    stage = parser.parse_args().stage
    jobs = [(SURROGATE, {}), *((method, changes) for method in DIRECT for changes in TRIES)]
    with ProcessPoolExecutor(2) as pool:
        if stage == "choose":
            table, header, rows = TRIED, ["method", "select", "changes"], list(pool.map(tried, jobs))
        else:
            table, header = TABLE, ["method", "recall@1", "minus_surrogate", "low", "high", "select"]
            rows = summarised(list(pool.map(read, SEEDS)))
    for row in rows:
        print(row)
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main()
