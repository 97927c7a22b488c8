"""What the experiments share: contenders of a task in one contest, tables of their tries and of their test readings."""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from metricgrad._types import Metric
from metricgrad.differences import Differences
from metricgrad.interval import mean_of_units
from metricgrad.metrics import adapt, judged, of_kind
from metricgrad.tasks.task import Task
from metricgrad.tune import Comparison, Contender, Plan, Splits, compare
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.setup import Equal

Tries = Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]]
"""For each arm its method and the settings that it tries; the method `proxy` is a control."""


def metric_of(task: Task) -> Metric:
    """The metric of a task: over its judgements, or on decoded outputs, where it has such."""
    if task.qrels is not None:
        return judged(task.metric, task.qrels)
    metric = adapt(task.metric)
    return metric if task.kind is None else of_kind(metric, task.kind)


def _without_test(splits: Splits) -> Splits:
    """The splits without test, and without its groups."""
    groups = {name: labels for name, labels in (splits.groups or {}).items() if name != "test"}
    return replace(splits, test=None, groups=groups or None)


def contest(
    task: Task,
    arms: Sequence[tuple[str, str, Mapping[str, Any]]],
    folder: Path,
    *,
    seeds: Sequence[int],
    plan: Plan,
    controls: Sequence[str] = (),
    equal: Equal = "steps",
    quick: bool = False,
    test: bool = True,
) -> Comparison:
    """Train arms from the start models of a task; a folder that was interrupted goes on.

    Args:
        task: with data, start model and metric.
        arms: name, method and settings of each; one whose method is `proxy` is a control.
        folder: of the run.
        seeds: of the run.
        plan: of every arm.
        controls: further arms that are controls, by name.
        equal: what the arms have as much of as each other.
        quick: four steps instead of the plan's and the start's, to see that everything runs.
        test: whether the test split is read.
    """
    entries = [(Contender(name, method, dict(settings)), method) for name, method, settings in arms]
    held_back = {one.name for one, method in entries if method == "proxy"} | set(controls)
    start_plan = task.start_plan
    if quick:
        plan = plan.model_copy(update={"steps": 4, "evaluate_every": 2})
        start_plan = start_plan and start_plan.model_copy(update={"steps": 4, "evaluate_every": 2})
    return compare(
        task.model,
        task.splits if test else _without_test(task.splits),
        metric=metric_of(task),
        methods=[one for one, _ in entries if one.name not in held_back],
        controls=[one for one, _ in entries if one.name in held_back],
        proxy=task.proxy,
        plan=plan,
        seeds=tuple(seeds),
        equal=equal,
        start_plan=start_plan,
        start_settings=task.start_settings,
        facts=task.facts,
        task=task.name,
        folder=folder,
    )


def tried(
    task: Task,
    tries: Tries,
    folder: Path,
    *,
    seed: int,
    plan: Plan,
    quick: bool,
    told: Callable[[Comparison, str], Sequence[Any]] = lambda found, arm: (),
) -> list[list[Any]]:
    """Train every try of every arm without reading test; rows of arm, number, select, what is told of it, settings."""
    arms = {
        f"{spelt(arm)}-{number}": (arm, number, method, settings)
        for arm, (method, given) in tries.items()
        for number, settings in enumerate(given)
    }
    listed = [(name, method, settings) for name, (_, _, method, settings) in arms.items()]
    found = contest(task, listed, folder, seeds=[seed], plan=plan, quick=quick, test=False)
    select = {row.name: row.select for row in found.table}
    rows: list[list[Any]] = [["start", "", shown(select["start"], ".5f"), *told(found, "start"), ""]]
    for name, (arm, number, _, settings) in arms.items():
        value, given = shown(select[name], ".5f"), json.dumps(settings, sort_keys=True)
        rows.append([arm, number, value, *told(found, name), given])
    return rows


def best_tries(
    path: Path, keys: Sequence[str], settings: str = "settings", *, higher_is_better: bool = True
) -> dict[tuple[str, ...], dict[str, Any]]:
    """The settings with the best value on select, from a table of tries, by the columns `keys`."""
    best: dict[tuple[str, ...], tuple[float, dict[str, Any]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = tuple(row[name] for name in keys)
            value = float(row["select"] or "nan") * (1 if higher_is_better else -1)
            if row[settings] and value > best.get(key, (-math.inf, {}))[0]:
                best[key] = value, json.loads(row[settings])
    return {key: found for key, (_, found) in best.items()}


@dataclass(frozen=True)
class Figure:
    """What is reported of the statistics of a test split.

    Attributes:
        of_unit: statistics of the metric [unit, 1] -> what is counted of each unit.
        summarise: puts the units together.
        form: of the number.
    """

    of_unit: Callable[[Tensor], Tensor] = lambda statistics: statistics
    summarise: Callable[[Tensor], float] = mean_of_units
    form: str = ".4f"


def readings(
    found: Comparison, task: Task, control: str, resamples: int, figure: Figure | None = None
) -> list[list[Any]]:
    """Rows of every arm: value on test, spread over seeds, difference to a control with both ends, value on select.

    The value is the metric, or the figure that is given.
    """
    metric = metric_of(task)
    figure = figure or Figure(summarise=metric.summarise)
    statistics = {arm: [figure.of_unit(one) for one in each] for arm, each in statistics_of(found).items()}
    grouping = grouping_of("test", task.splits, metric)
    compared = Differences(replace(metric, summarise=figure.summarise), statistics, grouping, resamples)
    beside = {one.arm: one.interval for one in compared.against(control)}
    beside[control] = compared.interval({})
    rows = []
    for row in found.table:
        own, other = compared.interval({row.name: 1.0}), beside[row.name]
        spread = torch.tensor(own.per_seed, dtype=torch.float64).std().item()
        ends = [shown(end, f"+{figure.form}") for end in (other.value, other.low, other.high)]
        values = [shown(own.value, figure.form), shown(spread, figure.form)]
        rows.append([row.name, *values, *ends, shown(row.select, ".4f")])
    return rows


def statistics_of(found: Comparison, part: str = "") -> dict[str, list[Tensor]]:
    """The test statistics of every arm and seed, as the run folder keeps them; `/argmax`: those without a rule."""
    tables = load_file(found.result.folder / "test.safetensors")
    seeds = 1 + max(int(name.split("/")[1]) for name in tables)
    return {row.name: [tables[f"{row.name}/{seed}{part}"] for seed in range(seeds)] for row in found.table}


def shown(value: float | None, form: str) -> str:
    """A figure of a table; empty where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:{form}}"


def spelt(arm: str) -> str:
    """The name of an arm as a run takes it."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", arm.replace(":", "-")).strip("_")


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table and write it as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for row in rows:
        print(row)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
