"""Average precision under flipped labels: cross-entropy, hinge, direct losses and smooth AP side by side.

    .venv/bin/python -m benchmarks.label_noise choose      tries on `select`, writes docs/label-noise-tries.csv
    .venv/bin/python -m benchmarks.label_noise read        trains the chosen settings, reads `test`, writes
                                                           docs/label-noise.csv and docs/label-noise.svg
    .venv/bin/python -m benchmarks.label_noise draw        the figure again, from the table
    .venv/bin/python -m benchmarks.label_noise choose --quick     four steps each; tables under runs/, not docs/

The experiment of Song et al. (2016) on Fashion-MNIST: shirts and pullovers against the rest, 8,000 pictures whose
labels are flipped at 0, 10, 20 and 30 %, a small convolutional network. The start is trained with cross-entropy to
its plateau on `select`; every arm then takes the same number of steps from it on the same batches, cross-entropy (the
control) included. The best of ten evaluations on `select` is kept. `select` and `test` have clean labels.

`choose` gives every arm four tries at every rate, on a seed that is not reported. `read` takes the best of them,
trains five seeds and reads test once. Intervals: paired bootstrap over test pictures, mean of the seeds, with
the variance between seeds. The figures in docs are of commit 63a58fd, whose intervals hold no such variance.
"""

import argparse
import csv
import math
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process a core

import torch

from benchmarks.contests import best_tries, contest, readings, spelt, tried, write
from metricgrad.tasks import fashion_ap
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan

RATES = (0.0, 0.1, 0.2, 0.3)
SEEDS, DEVELOPMENT_SEED = (0, 1, 2, 3, 4), 100
PLAN = Plan(steps=150, evaluate_every=15)
CONTROL = "cross-entropy"
RESAMPLES = 500
ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
TRIES, TABLE, FIGURE = DOCS / "label-noise-tries.csv", DOCS / "label-noise.csv", DOCS / "label-noise.svg"

FAST, SLOW = {"learning_rate": 1e-3}, {"learning_rate": 3e-4}


def _direct(rate: Mapping[str, Any], **objective: Any) -> dict[str, Any]:
    return {**rate, "objective": objective}


ARMS: Mapping[str, tuple[str, list[dict[str, Any]]]] = {
    CONTROL: ("proxy", [{**rate, "weight_decay": decay} for rate in (FAST, SLOW) for decay in (0.01, 0.1)]),
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
"""Each arm's method (`proxy`: the control, on which the model goes on with its own loss) and its four tries."""


def task_at(rate: float) -> Task:
    """The task with this share of flipped labels."""
    return fashion_ap.load({"flip": rate})


def tries(job: tuple[float, Path, bool]) -> list[list[Any]]:
    """Rows of the table of tries at one rate."""
    rate, runs, quick = job
    torch.set_num_threads(1)
    folder = runs / f"choose-{rate}"
    return [
        [rate, *row]
        for row in tried(task_at(rate), ARMS, folder, seed=DEVELOPMENT_SEED, plan=PLAN, quick=quick)
    ]


def read(job: tuple[float, Path, Mapping[tuple[str, ...], dict[str, Any]]]) -> list[list[Any]]:
    """Train the best try of every arm at one rate with every seed; rows of the table of results."""
    rate, runs, best = job
    torch.set_num_threads(1)
    task = task_at(rate)
    arms = [(spelt(arm), method, best[str(rate), arm]) for arm, (method, _) in ARMS.items()]
    found = contest(task, arms, runs / f"read-{rate}", seeds=SEEDS, plan=PLAN)
    names = {spelt(arm): arm for arm in ARMS}
    return [[rate, names.get(row[0], row[0]), *row[1:]] for row in readings(found, task, CONTROL, RESAMPLES)]


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read", "draw"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--quick", action="store_true", help="of choose: one rate and four steps: does it run?"
    )
    asked = parser.parse_args()
    if asked.quick and asked.stage != "choose":
        parser.error("--quick is for choose alone: read opens the test split")
    runs = ROOT / "runs" / ("label-noise-quick" if asked.quick else "label-noise")
    tables = runs if asked.quick else ROOT / "docs"
    rates = RATES[-1:] if asked.quick else RATES
    if asked.stage == "draw":
        draw()
        return
    with ProcessPoolExecutor(asked.processes) as pool:
        if asked.stage == "choose":
            rows = [
                row for part in pool.map(tries, [(rate, runs, asked.quick) for rate in rates]) for row in part
            ]
            write(tables / TRIES.name, ["flip", "arm", "try", "select", "settings"], rows)
            return
        best = best_tries(tables / TRIES.name, ["flip", "arm"])
        rows = [row for part in pool.map(read, [(rate, runs, best) for rate in rates]) for row in part]
    write(
        tables / TABLE.name, ["flip", "arm", "test", "spread", "minus_control", "low", "high", "select"], rows
    )
    draw()


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
