"""Learned surrogates on texts and boxes: going on with the proxy, LS, FEDS, and LS with a share of the proxy.

    .venv/bin/python -m benchmarks.learned_tasks choose words     tries on `select`: docs/learned-words-tries.csv
    .venv/bin/python -m benchmarks.learned_tasks read words       five seeds, reads `test`: docs/learned-words.csv
    .venv/bin/python -m benchmarks.learned_tasks choose boxes     the same for the task boxes
    .venv/bin/python -m benchmarks.learned_tasks read boxes
    .venv/bin/python -m benchmarks.learned_tasks penalty words    the fit by penalty: docs/learned-words-penalty.csv

Every arm goes on from the one start model of the task; seeds vary the batches and the surrogate. `choose` gives every
arm four tries on a seed that is not reported; `read` takes the best of them. As in a run, the best of the evaluations
on `select` after step 0 is kept. All arms take equal steps; `proxy, equal time` is the control arm with as many more
steps as fit into the time that LS took with its chosen settings, warm-up and surrogate steps included.

Each training is a cell with files of its own under `runs/learned`: an interrupted command goes on with the cells that
are missing. `read` trains every cell first and reads test only after that. Intervals: paired bootstrap over test
samples, mean of the seeds.
"""

import argparse
import copy
import csv
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process a core

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from metricgrad._types import Method, MethodRun, Metric
from metricgrad.errors import Distrusted
from metricgrad.interval import mean_of_units, paired_bootstrap
from metricgrad.methods.families import road_named
from metricgrad.methods.learned_method import Learned
from metricgrad.methods.road import validated
from metricgrad.methods.surrogate import road_for_loss
from metricgrad.metrics import metric_by_name, of_kind
from metricgrad.tasks import boxes, words
from metricgrad.tasks.task import Task
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.loop import training_batches
from metricgrad.tune.passes import seed_everything
from metricgrad.tune.plan import trainable_parameters

SEEDS, DEVELOPMENT_SEED = (0, 1, 2, 3, 4), 100
CONTROL, LONGER = "proxy", "proxy, equal time"
EVALUATIONS = 10
PENALTIES = (0.0, 0.01, 0.1, 1.0)
RESAMPLES = 2000
ROOT = Path(__file__).parent.parent
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A task, its arms with four tries each, and what is reported of a test sample.

    Attributes:
        load: the task.
        steps: of every arm but the longer control.
        arms: name -> method (None for the proxy) and tries.
        reported: name -> statistic of a sample's value -> number to be averaged (or summed).
    """

    load: Callable[..., Task]
    steps: int
    arms: Mapping[str, tuple[str | None, list[dict[str, Any]]]]
    reported: Mapping[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], float]]]


def _total(statistics: Tensor) -> float:
    return float(statistics.sum())


def _tries(shared: Settings, *changes: Settings) -> list[dict[str, Any]]:
    return [{**shared, **change} for change in changes]


def _share(least: float) -> Callable[[Tensor], Tensor]:
    return lambda values: (values >= least).double()


_EXACT_FIT: Settings = {"gradient_penalty_weight": 0.0}
_TEXTS = {"surrogate_warmup": 2000, "surrogate_steps": 2, "objective": {**_EXACT_FIT, "metric_scale": 0.35}}
_BOXES = {"surrogate_warmup": 1500, "surrogate_steps": 3, "local_fraction": 0.9, "objective": _EXACT_FIT}
_FILTERED_BOXES = {**_BOXES, "objective": {**_EXACT_FIT, "full_below": 0.05, "zero_above": 0.2}}
_RATES: list[Settings] = [{"learning_rate": rate} for rate in (2.5e-4, 5e-4, 1e-3, 2e-3)]

EXPERIMENTS: Mapping[str, Experiment] = {
    "words": Experiment(
        words.load,
        400,
        {
            CONTROL: (None, _tries({}, *_RATES)),
            "LS": ("learned", _tries(_TEXTS, *_RATES)),
            "FEDS": ("learned+filter", _tries(_TEXTS, *_RATES)),
            "LS + proxy": ("learned", _tries({**_TEXTS, "proxy_weight": 0.3}, *_RATES)),
        },
        {
            "total edit distance": (lambda values: values, _total),
            "accuracy": (lambda values: (values == 0).double(), mean_of_units),
        },
    ),
    "boxes": Experiment(
        boxes.load,
        800,
        {
            CONTROL: (None, _tries({}, *_RATES)),
            "LS": ("learned", _tries(_BOXES, *_RATES)),
            "FEDS": ("learned+filter", _tries(_FILTERED_BOXES, *_RATES)),
        },
        {
            "mean IoU": (lambda values: values, mean_of_units),
            "F1 at 0.5": (_share(0.5), mean_of_units),
            "F1 at 0.75": (_share(0.75), mean_of_units),
        },
    ),
}
"""F1 at a threshold is the share of the scenes whose box reaches it: one object and one box a scene."""


def metric_of(task: Task) -> Metric:
    """The metric of a task on decoded outputs."""
    metric = metric_by_name(task.metric)
    assert task.kind is not None
    return of_kind(metric, task.kind)


def method_of(task: Task, name: str | None, settings: Settings) -> Method:
    """How an arm follows its gradient."""
    road = road_for_loss(task.proxy) if name is None else road_named(name, metric_of(task), task.proxy)
    return road.make(validated(road.settings, settings, road.name))


def trained(task: Task, method: Method, steps: int, seed: int) -> tuple[nn.Module, dict[str, Any]]:
    """Train the start model; return the best evaluation on select after step 0, and the facts of the training."""
    evaluator = Evaluator(metric_of(task))
    model = task.model(0)
    begin(method, task, model, steps, seed)
    examine = getattr(method, "examine", lambda: None)
    batches = training_batches(task.splits.fit, seed)
    began, fitted, curve = time.perf_counter(), [examine()], []
    seconds, kept, step = time.perf_counter() - began, copy.deepcopy(model), 0
    for step in range(1, steps + 1):
        began = time.perf_counter()
        try:
            method.step(next(batches))
            ended = step == steps
        except Distrusted as reason:
            print(reason, flush=True)
            ended = True
        seconds += time.perf_counter() - began
        if step % max(1, steps // EVALUATIONS) == 0 or ended:
            value = evaluator.value(model, task.splits.select, "select")
            if not curve or all(evaluator.better(value, other) for other in curve):
                kept = copy.deepcopy(model)
            curve.append(value)
            fitted.append(examine())
        if ended:
            break
    best = curve[0]
    for value in curve:
        best = value if evaluator.better(value, best) else best
    reports = [report["values"] for report in fitted if report is not None]
    return kept, {"select": best, "curve": curve, "seconds": seconds, "fitted": reports, "steps": step}


def begin(method: Method, task: Task, model: nn.Module, steps: int, seed: int) -> None:
    """Let a method prepare itself for steps on the fit split."""
    seed_everything(seed, 1)
    method.begin(
        MethodRun(
            model.train(),
            trainable_parameters(model, "all"),
            metric_of(task),
            steps,
            seed,
            None,
            task.splits.fit,
            task.splits.select,
        )
    )


def cell(job: tuple[str, str, str, str, Settings, int, int]) -> dict[str, Any]:
    """Train one cell, unless its files are there; returns its facts."""
    name, stage, arm, number, settings, steps, seed = job
    folder = ROOT / "runs" / "learned" / name / stage
    path = folder / f"{arm.replace(', ', '-').replace(' ', '-')}-{number}.json"
    asked = {"settings": dict(settings), "steps": steps, "seed": seed}
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["asked"] == asked:
            return found
    torch.set_num_threads(1)
    experiment = EXPERIMENTS[name]
    task = experiment.load({})
    method = method_of(task, _method(experiment, arm), settings)
    model, facts = trained(task, method, steps, seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path.with_suffix(".safetensors"))
    facts = {"asked": asked, "weights": str(path.with_suffix(".safetensors")), **facts}
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(facts), encoding="utf-8")
    partial.rename(path)
    return facts


def _method(experiment: Experiment, arm: str) -> str | None:
    return experiment.arms[CONTROL if arm == LONGER else arm][0]


def choose(name: str, pool: ProcessPoolExecutor) -> None:
    """Train the tries of every arm and write the table."""
    experiment = EXPERIMENTS[name]
    jobs = [
        (name, "choose", arm, str(number), settings, experiment.steps, DEVELOPMENT_SEED)
        for arm, (_, tries) in experiment.arms.items()
        for number, settings in enumerate(tries)
    ]
    rows = []
    for job, facts in zip(jobs, pool.map(cell, jobs), strict=True):
        last = (facts["fitted"] or [{}])[-1]
        trust = [_shown(last.get(key)) for key in ("concordance", "mae_local", "kept_fraction")]
        rows.append(
            [
                job[2],
                job[3],
                f"{facts['select']:.5f}",
                f"{facts['seconds']:.1f}",
                facts["steps"],
                *trust,
                json.dumps(job[4], sort_keys=True),
            ]
        )
        print(rows[-1], flush=True)
    header = [
        "arm",
        "try",
        "select",
        "seconds",
        "steps",
        "concordance",
        "mae_local",
        "kept_fraction",
        "settings",
    ]
    _write(_table(name, "-tries"), header, rows)


def penalty(name: str, pool: ProcessPoolExecutor) -> None:
    """Teach the surrogate of LS with several weights of the gradient penalty, and write how well each one fits."""
    rows = list(pool.map(taught, [(name, weight) for weight in PENALTIES]))
    columns = (
        "concordance",
        "mae_local",
        "concordance_generated",
        "mae_generated",
        "mean_gradient_norm",
        "seconds",
    )
    _write(
        _table(name, "-penalty"),
        ["weight", *columns],
        [
            [weight, *(_shown(row[key]) for key in columns)]
            for weight, row in zip(PENALTIES, rows, strict=True)
        ],
    )


def taught(job: tuple[str, float]) -> dict[str, Any]:
    """Teach a surrogate before the first model step, without extra lessons; returns its trust report on select."""
    name, weight = job
    torch.set_num_threads(1)
    experiment = EXPERIMENTS[name]
    task = experiment.load({})
    settings = experiment.arms["LS"][1][0]
    objective = {**settings["objective"], "gradient_penalty_weight": weight}
    method = method_of(task, "learned", {**settings, "objective": objective, "lessons": 0})
    assert isinstance(method, Learned)
    begin(method, task, task.model(0), 1, DEVELOPMENT_SEED)
    findings = method.examine()
    assert findings is not None
    print(weight, findings["values"], flush=True)
    return findings["values"]


def chosen(name: str) -> dict[str, tuple[dict[str, Any], int]]:
    """The settings and steps of every arm, from the table of tries; the control of equal time among them."""
    experiment = EXPERIMENTS[name]
    higher = metric_of(experiment.load({})).higher_is_better
    best: dict[str, dict[str, str]] = {}
    with _table(name, "-tries").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value = float(row["select"]) if higher else -float(row["select"])
            other = best.get(row["arm"])
            if other is None or value > (float(other["select"]) if higher else -float(other["select"])):
                best[row["arm"]] = row
    found = {arm: (json.loads(row["settings"]), experiment.steps) for arm, row in best.items()}
    ratio = float(best["LS"]["seconds"]) / float(best[CONTROL]["seconds"])
    found[LONGER] = (found[CONTROL][0], round(experiment.steps * ratio))
    return {arm: found[arm] for arm in (CONTROL, LONGER, *list(experiment.arms)[1:])}


def read(name: str, pool: ProcessPoolExecutor) -> None:
    """Train the chosen settings with every seed; then read test, once, and write the table."""
    experiment, settings = EXPERIMENTS[name], chosen(name)
    jobs = [
        (name, "read", arm, f"seed{seed}", given, steps, seed)
        for seed in SEEDS
        for arm, (given, steps) in settings.items()
    ]
    facts: dict[str, list[dict[str, Any]]] = {}
    for number, (job, found) in enumerate(zip(jobs, pool.map(cell, jobs), strict=True), 1):
        facts.setdefault(job[2], []).append(found)
        print(f"{number} of {len(jobs)}: {job[2]}, seed {job[6]}: select {found['select']:.4f}", flush=True)
    task = experiment.load({})
    evaluator = Evaluator(metric_of(task))
    test = task.splits.test
    assert test is not None
    models = {arm: [load_file(found["weights"]) for found in cells] for arm, cells in facts.items()}
    values: dict[str, list[Tensor]] = {
        "start": [evaluator.statistics(task.model(0), test, "test")] * len(SEEDS)
    }
    for arm, weights in models.items():
        values[arm] = []
        for one in weights:
            model = task.model(0)
            model.load_state_dict(one)
            values[arm].append(evaluator.statistics(model, test, "test"))
    rows = [row for arm in values for row in _rows(experiment, arm, values, facts.get(arm, []))]
    for row in rows:
        print(row)
    header = [
        "arm",
        "metric",
        "test",
        "spread",
        "minus_control",
        "low",
        "high",
        "minus_longer",
        "low",
        "high",
    ]
    _write(
        _table(name, ""),
        [*header, "steps", "seconds", "concordance", "sign_agreement", "kept_fraction"],
        rows,
    )


def _rows(
    experiment: Experiment, arm: str, values: Mapping[str, list[Tensor]], facts: list[dict[str, Any]]
) -> list[list[Any]]:
    """Rows of an arm: one for every reported number."""
    rows = []
    for name, (statistic, summarise) in experiment.reported.items():
        of = {key: [statistic(one) for one in items] for key, items in values.items()}
        each = torch.tensor([summarise(one) for one in of[arm]], dtype=torch.float64)
        row: list[Any] = [arm, name, f"{each.mean():.5g}", f"{each.std():.3g}"]
        for other in (CONTROL, LONGER):
            gain = paired_bootstrap(of[arm], of[other], summarise, resamples=RESAMPLES)
            row += ["" if end is None else f"{end:+.5g}" for end in (gain.value, gain.low, gain.high)]
        last = [found["fitted"][-1] for found in facts if found["fitted"]]
        seconds = f"{sum(found['seconds'] for found in facts) / len(facts):.0f}" if facts else ""
        row += [facts[0]["steps"] if facts else 0, seconds]
        row += [_mean(last, key) for key in ("concordance", "sign_agreement", "kept_fraction")]
        rows.append(row)
    return rows


def _mean(reports: list[dict[str, Any]], key: str) -> str:
    known = [report[key] for report in reports if report.get(key) is not None]
    return f"{sum(known) / len(known):.3f}" if known else ""


def _shown(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"


def _table(name: str, ending: str) -> Path:
    return ROOT / "docs" / f"learned-{name}{ending}.csv"


def _write(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read", "penalty"])
    parser.add_argument("task", choices=list(EXPERIMENTS))
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.processes) as pool:
        {"choose": choose, "read": read, "penalty": penalty}[arguments.stage](arguments.task, pool)


if __name__ == "__main__":
    main()
