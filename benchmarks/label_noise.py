"""Average precision under flipped labels: cross-entropy, hinge, direct losses and smooth AP side by side.

    .venv/bin/python -m benchmarks.label_noise choose      tries on `select`, writes docs/label-noise-tries.csv
    .venv/bin/python -m benchmarks.label_noise read        trains the chosen settings, reads `test`, writes
                                                           docs/label-noise.csv and docs/label-noise.svg
    .venv/bin/python -m benchmarks.label_noise draw        the figure again, from the table

The experiment of Song et al. (2016) on Fashion-MNIST: shirts and pullovers against the rest, 8,000 pictures whose
labels are flipped at 0, 10, 20 and 30 %, a small convolutional network. The start is trained with cross-entropy to
its plateau on `select`; every arm then takes the same number of steps from it on the same batches, cross-entropy (the
control) included. The best of ten evaluations on `select` is kept. `select` and `test` have clean labels.

`choose` gives every arm four tries at every rate, on a seed that is not reported. `read` takes the best of them,
trains five seeds and reads test once. Intervals: paired bootstrap over test pictures, mean of the seeds.
"""

import argparse
import copy
import csv
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process a core

import torch
from torch import Tensor, nn

from metricgrad._types import Method, MethodRun
from metricgrad.errors import Collapsed
from metricgrad.interval import paired_bootstrap
from metricgrad.methods.families import road_named
from metricgrad.methods.road import Road, validated
from metricgrad.methods.surrogate import road_for_loss
from metricgrad.metrics.adapt import adapt
from metricgrad.tasks import fashion_ap
from metricgrad.tasks.task import Task
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.loop import training_batches
from metricgrad.tune.passes import seed_everything
from metricgrad.tune.plan import trainable_parameters

RATES = (0.0, 0.1, 0.2, 0.3)
SEEDS, DEVELOPMENT_SEED = (0, 1, 2, 3, 4), 100
STEPS, EVALUATE_EVERY, PATIENCE = 150, 15, 5
CONTROL = "cross-entropy"
RESAMPLES = 500
DOCS = Path(__file__).parent.parent / "docs"
TRIES, TABLE, FIGURE = DOCS / "label-noise-tries.csv", DOCS / "label-noise.csv", DOCS / "label-noise.svg"

FAST, SLOW = {"learning_rate": 1e-3}, {"learning_rate": 3e-4}


def _direct(rate: Mapping[str, Any], **objective: Any) -> dict[str, Any]:
    return {**rate, "objective": objective}


ARMS: Mapping[str, tuple[str | None, list[dict[str, Any]]]] = {
    CONTROL: (None, [{**rate, "weight_decay": decay} for rate in (FAST, SLOW) for decay in (0.01, 0.1)]),
    "smooth AP": (
        "surrogate:average_precision", [_direct(rate, temperature=t) for rate in (FAST, SLOW) for t in (0.3, 1.0)]
    ),
    "hinge": (
        "direct:average_precision",
        [_direct(rate, update="hinge", normalize=how) for rate in (FAST, SLOW) for how in (None, "std")],
    ),
    "two-sided": (
        "direct:average_precision",
        [_direct(FAST, update="two"), _direct(SLOW, update="two"), _direct(SLOW, update="two", moved=0.03),
         _direct(SLOW, update="two", normalize="std")],
    ),
    "positive": (
        "direct:average_precision",
        [_direct(FAST, update="pos"), _direct(SLOW, update="pos"), _direct(SLOW, update="pos", moved=0.03),
         _direct(SLOW, update="pos", normalize="std")],
    ),
    "negative": (
        "direct:average_precision",
        [_direct(SLOW, update="neg"), _direct(FAST, update="neg", normalize="std"),
         _direct(SLOW, update="neg", normalize="std"),
         _direct(SLOW, update="neg", normalize="std", margin=0.5)],
    ),
    "black-box": (
        "direct:average_precision",
        [_direct(rate, update="blackbox", normalize="std", margin=0.15, epsilon=strength)
         for rate in (FAST, SLOW) for strength in (0.5, 5.0)],
    ),
    "perceptron": (
        "direct:average_precision",
        [_direct(rate, update="perceptron", normalize=how) for rate in (FAST, SLOW) for how in (None, "std")],
    ),
}  # fmt: skip
"""Each arm's method (None for the proxy loss) and its four tries."""


def task_at(rate: float) -> Task:
    """The task with so many flipped labels."""
    return fashion_ap.load({"flip": rate})


def road_of(task: Task, arm: str) -> Road:
    """How an arm follows its gradient."""
    method = ARMS[arm][0]
    return road_for_loss(task.proxy) if method is None else road_named(method, adapt(task.metric), task.proxy)


def trained(
    task: Task,
    model: nn.Module,
    method: Method,
    steps: int,
    every: int,
    seed: int,
    patience: int | None = None,
) -> tuple[nn.Module, float]:
    """Train a model in place; return the best of its evaluations on `select`, the first one excluded, and its value."""
    evaluator = Evaluator(adapt(task.metric))
    seed_everything(seed, 1)
    parameters = trainable_parameters(model, "all")
    method.begin(MethodRun(model.train(), parameters, evaluator.metric, steps, seed))
    batches = training_batches(task.splits.fit, seed)
    best, kept, since = -math.inf, copy.deepcopy(model), 0
    for step in range(1, steps + 1):
        try:
            method.step(next(batches))
            ended = step == steps
        except Collapsed:
            ended = True
        if step % every == 0 or ended:
            value = evaluator.value(model, task.splits.select, "select")
            since = since + 1 if value <= best else 0
            if value > best:
                best, kept = value, copy.deepcopy(model)
        if ended or since == patience:
            break
    return kept, best


def start_of(task: Task, seed: int) -> tuple[nn.Module, float]:
    """Train the start with cross-entropy to its plateau."""
    plan, road = task.start_plan, road_for_loss(task.proxy)
    assert plan is not None and plan.steps and plan.evaluate_every
    seed_everything(seed)
    method = road.make(validated(road.settings, task.start_settings, road.name))
    return trained(task, task.model(seed), method, plan.steps, plan.evaluate_every, seed + 500, PATIENCE)


def arm_of(
    task: Task, start: nn.Module, arm: str, settings: Mapping[str, Any], seed: int
) -> tuple[nn.Module, float]:
    """Train one arm from the start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the naked negative update is there to be seen collapsing
        road = road_of(task, arm)
        method = road.make(validated(road.settings, settings, arm))
        return trained(task, copy.deepcopy(start), method, STEPS, EVALUATE_EVERY, seed)


def tries(rate: float) -> list[list[Any]]:
    """Rows of the table of tries at one rate."""
    torch.set_num_threads(1)
    task = task_at(rate)
    start, value = start_of(task, DEVELOPMENT_SEED)
    rows: list[list[Any]] = [[rate, "start", "", f"{value:.5f}", ""]]
    for arm, (_, settings) in ARMS.items():
        for number, given in enumerate(settings):
            _, value = arm_of(task, start, arm, given, DEVELOPMENT_SEED)
            rows.append([rate, arm, number, f"{value:.5f}", json.dumps(given, sort_keys=True)])
    return rows


def chosen() -> dict[tuple[float, str], dict[str, Any]]:
    """The best try of every arm at every rate, from the table."""
    best: dict[tuple[float, str], tuple[float, dict[str, Any]]] = {}
    with TRIES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = float(row["flip"]), row["arm"]
            if row["arm"] != "start" and float(row["select"]) > best.get(key, (-math.inf, {}))[0]:
                best[key] = float(row["select"]), json.loads(row["settings"])
    return {key: settings for key, (_, settings) in best.items()}


def read(job: tuple[float, int]) -> tuple[float, int, dict[str, Tensor], dict[str, float]]:
    """Train every arm at one rate with one seed; return the statistics on test and the values on select."""
    rate, seed = job
    torch.set_num_threads(1)
    task, settings = task_at(rate), chosen()
    models: dict[str, nn.Module] = {}
    values: dict[str, float] = {}
    models["start"], values["start"] = start_of(task, seed)
    for arm in ARMS:
        models[arm], values[arm] = arm_of(task, models["start"], arm, settings[rate, arm], seed)
    assert task.splits.test is not None
    evaluator = Evaluator(adapt(task.metric))
    return (
        rate,
        seed,
        {arm: evaluator.statistics(model, task.splits.test, "test") for arm, model in models.items()},
        values,
    )


def _told(found: Any, total: int) -> Iterator[Any]:
    for number, one in enumerate(found, 1):
        print(f"{number} of {total}", flush=True)
        yield one


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read", "draw"])
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.stage == "draw":
        draw()
        return
    with ProcessPoolExecutor(arguments.processes) as pool:
        if arguments.stage == "choose":
            rows = [row for part in _told(pool.map(tries, RATES), len(RATES)) for row in part]
            _write(TRIES, ["flip", "arm", "try", "select", "settings"], rows)
            return
        jobs = [(rate, seed) for seed in SEEDS for rate in RATES]
        runs = list(_told(pool.map(read, jobs), len(jobs)))
    summarise = adapt(task_at(0.0).metric).summarise
    rows = []
    for rate in RATES:
        here = [run for run in runs if run[0] == rate]
        for arm in ("start", *ARMS):
            statistics = [run[2][arm] for run in here]
            values = [summarise(one) for one in statistics]
            control = [run[2][CONTROL] for run in here]
            gain = paired_bootstrap(statistics, control, summarise, resamples=RESAMPLES)
            ends = ["" if end is None else f"{end:+.4f}" for end in (gain.value, gain.low, gain.high)]
            spread = torch.tensor(values).std().item()
            select = sum(run[3][arm] for run in here) / len(here)
            rows.append(
                [rate, arm, f"{sum(values) / len(values):.4f}", f"{spread:.4f}", *ends, f"{select:.4f}"]
            )
            print(rows[-1])
    _write(TABLE, ["flip", "arm", "test", "spread", "minus_control", "low", "high", "select"], rows)
    draw()


def _write(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *rows])


COLOURS = ("#444444", "#888888", "#1f7fc4", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31")


def draw() -> None:
    """Draw the table: difference from the control over the rate of flipped labels, a line for each arm."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        values = {
            (float(row["flip"]), row["arm"]): float(row["minus_control"]) for row in csv.DictReader(file)
        }
    names = ["start", *ARMS]
    least, most = math.floor(100 * min(values.values())), math.ceil(100 * max(values.values()))
    left, top, width, height = 70, 20, 420, 320

    def point(rate: float, value: float) -> tuple[float, float]:
        return left + rate / RATES[-1] * width, top + (most - 100 * value) / (most - least) * height

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 400" font-family="sans-serif" font-size="12">',
        '<rect width="640" height="400" fill="white"/>',
    ]
    for tick in range(least, most + 1):
        _, y = point(0, tick / 100)
        parts.append(f'<path d="M{left} {y:.1f}h{width}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{tick / 100:+.2f}</text>')
    for rate in RATES:
        x, _ = point(rate, 0)
        parts.append(f'<text x="{x:.0f}" y="{top + height + 22}" text-anchor="middle">{rate:.0%}</text>')
    parts.append(
        f'<text x="{left + width / 2}" y="390" text-anchor="middle">labels of fit that are flipped</text>'
    )
    parts.append(
        f'<text x="16" y="{top + height / 2}" transform="rotate(-90 16 {top + height / 2})" text-anchor="middle">'
        "average precision on test, minus cross-entropy</text>"
    )
    taken = 0.0
    for name, colour in sorted(zip(names, COLOURS, strict=True), key=lambda one: -values[RATES[-1], one[0]]):
        line = [point(rate, values[rate, name]) for rate in RATES]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line)
        taken = max(line[-1][1] + 4, taken + 14)  # names do not overlap
        parts.append(f'<text x="{left + width + 10}" y="{taken:.1f}" fill="{colour}">{name}</text>')
    FIGURE.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
