"""What large batches and SiMix bring on the plain task emoji, at equal numbers of samples seen.

    .venv/bin/python -m benchmarks.emoji_batches            about half an hour on two cores
    .venv/bin/python -m benchmarks.emoji_batches --seeds 0 --samples 20000     a quick look, writes nothing

The start model of every seed is trained as `emoji_plain.yaml` says, then goes on with the surrogate there in batches of
256, 1,024 and the whole fit split (staged, in chunks of 512), without and with SiMix: six virtual rows for every
class of six, which doubles what is ranked. The learning rate follows the square root of the batch. The model after
the last step is measured on `select`, whose classes are not trained on: nothing is chosen there, and the test split
is not read. Intervals: paired bootstrap over queries, mean of the seeds.
"""

import argparse
import copy
import csv
import dataclasses
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from metricgrad._types import MethodRun
from metricgrad.interval import paired_bootstrap
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.objectives import named_objective
from metricgrad.methods.proxy import added
from metricgrad.methods.surrogate import Surrogate
from metricgrad.metrics.adapt import adapt
from metricgrad.tasks import emoji
from metricgrad.tasks.task import Task
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.loop import training_batches
from metricgrad.tune.passes import seed_everything
from metricgrad.tune.plan import Plan, trainable_parameters

BATCHES = (256, 1024, None)
"""Rows of a batch; None for the whole fit split."""

REFERENCE = (1024, False)
"""What the others are compared with: batch, SiMix."""

TABLE = Path(__file__).parent.parent / "docs" / "emoji-batches.csv"


def plain_task() -> Task:
    """Load the task emoji as `emoji_plain.yaml` has it: one view, features of the last convolution, own settings."""
    return task_of("emoji_plain.yaml", {})


def task_of(name: str, options: Mapping[str, Any]) -> Task:
    """Load the task emoji as a recipe beside this file has it, but for some options."""
    recipe = yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return dataclasses.replace(
        emoji.load({**recipe["data"], **options}),
        plan=Plan(**recipe["plan"]),
        settings=recipe["settings"],
        proxy_settings=recipe["proxy_settings"],
        start_plan=Plan(**recipe["start"]["plan"]),
        start_settings=recipe["start"]["settings"],
    )


def train(
    task: Task, model: nn.Module, settings: dict[str, Any], batch: int | None, samples: int, seed: int
) -> int:
    """Train a model in place on about `samples` rows in batches of `batch`; returns the steps."""
    chosen = DescentSettings(**settings)
    name = "recall_at_k" if "k" in chosen.objective else task.proxy
    loss = named_objective(str(name), chosen.objective)
    if chosen.proxy_weight:
        loss = added(loss, named_objective(str(task.proxy), chosen.proxy), chosen.proxy_weight)
    fit: Any = task.splits.fit
    rows = len(fit.targets)
    fit = fit.rebatch(batch or fit.samples_per_class * len(fit.targets.unique()))
    steps = max(1, round(samples / (batch or rows)))
    seed_everything(seed, 1)
    method = Surrogate(loss, chosen)
    parameters = trainable_parameters(model, "all")
    method.begin(
        MethodRun(model.train(), parameters, adapt("recall@1"), steps, seed, 512 if batch is None else None)
    )
    batches = training_batches(fit, seed)
    for _ in range(steps):
        method.step(next(batches))
    return steps


def start_of(task: Task, seed: int) -> nn.Module:
    """Train the start model to its plateau on `select`, as the task's own plan says."""
    plan, evaluator = task.start_plan, Evaluator(adapt("recall@1"))
    assert plan is not None and plan.steps and plan.evaluate_every
    chosen = DescentSettings(**task.start_settings)
    seed_everything(seed)
    model = task.model(seed)
    method = Surrogate(named_objective(str(task.proxy), chosen.objective), chosen)
    method.begin(
        MethodRun(model.train(), trainable_parameters(model, "all"), evaluator.metric, plan.steps, seed)
    )
    batches = training_batches(task.splits.fit, seed + 500)
    best, kept, since = -math.inf, copy.deepcopy(model), 0
    for step in range(plan.steps):
        method.step(next(batches))
        if (step + 1) % plan.evaluate_every == 0:
            value = evaluator.value(model, task.splits.select, "select")
            since = since + 1 if value <= best else 0
            if since == 0:
                best, kept = value, copy.deepcopy(model)
            if since == 5:
                break
    return kept


def hits(task: Task, model: nn.Module) -> Tensor:
    """Return the statistics [query, 1] of recall@1 on `select`."""
    return Evaluator(adapt("recall@1")).statistics(model, task.splits.select, "select")


def main() -> None:
    """Train everything, print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--samples", type=int, default=330_000, help="rows seen by every model (default 330,000)"
    )
    arguments = parser.parse_args()
    task = plain_task()
    found: dict[Any, list[Tensor]] = {}
    facts: dict[Any, tuple[int, float]] = {}
    began, done, total = time.perf_counter(), 0, len(arguments.seeds) * (2 * len(BATCHES) + 1)
    for seed in arguments.seeds:
        start = start_of(task, seed)
        found.setdefault("start", []).append(hits(task, start))
        for batch in BATCHES:
            for simix in (False, True):
                done += 1
                left = (time.perf_counter() - began) / done * (total - done)
                print(
                    f"seed {seed}, batch {batch or 'whole'}, SiMix {simix}; about {left / 60:.0f} min left",
                    flush=True,
                )
                settings = dict(task.settings)
                rows = batch or len(task.splits.fit.targets)  # pyright: ignore[reportAttributeAccessIssue]
                settings["learning_rate"] = task.settings["learning_rate"] * math.sqrt(rows / 1024)
                settings["objective"] = {
                    **task.settings["objective"],
                    "simix": {"pairs_per_class": 6} if simix else False,
                }
                model = copy.deepcopy(start)
                steps = train(task, model, settings, batch, arguments.samples, seed)
                facts[batch, simix] = steps, settings["learning_rate"]
                found.setdefault((batch, simix), []).append(hits(task, model))
        done += 1
    table = [
        ["batch", "simix", "steps", "learning_rate", "recall@1", "minus_reference", "low", "high", "seconds"]
    ]
    for key, statistics in found.items():
        value = sum(float(one[:, 0].nanmean()) for one in statistics) / len(statistics)
        gain = paired_bootstrap(statistics, found[REFERENCE])
        batch, simix = ("start", "") if key == "start" else (key[0] or "whole", "on" if key[1] else "off")
        steps, rate = ("", "") if key == "start" else facts[key]
        interval = [f"{end:+.4f}" if end is not None else "" for end in (gain.value, gain.low, gain.high)]
        row = [
            batch,
            simix,
            steps,
            rate and f"{rate:.2g}",
            f"{value:.4f}",
            *interval,
        ]
        table.append([str(item) for item in row])
    for row in table:
        print("  ".join(f"{item:>15}" for item in row))
    if arguments.seeds == parser.get_default("seeds") and arguments.samples == parser.get_default("samples"):
        with TABLE.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)


if __name__ == "__main__":
    main()
