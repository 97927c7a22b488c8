"""Learned surrogates on texts and boxes: training on with the proxy, LS, FEDS, and LS with a share of the proxy.

    .venv/bin/python -m benchmarks.learned_tasks choose words     tries on `select`: docs/learned-words-tries.csv
    .venv/bin/python -m benchmarks.learned_tasks read words       five seeds, reads `test`: docs/learned-words.csv
    .venv/bin/python -m benchmarks.learned_tasks choose boxes     the same for the task boxes
    .venv/bin/python -m benchmarks.learned_tasks read boxes
    .venv/bin/python -m benchmarks.learned_tasks penalty words    the fit by penalty: docs/learned-words-penalty.csv
    .venv/bin/python -m benchmarks.learned_tasks choose words --quick     four steps; the table under runs/, not docs/

Every arm goes on from the one start model of the task; seeds vary the batches and the surrogate. `choose` gives every
arm four tries on a seed that is not reported; `read` takes the best of them. The best of ten evaluations on `select`
is kept.

A learned surrogate costs time that the proxy does not: its warm-up, and its own steps before each step of the model.
So `read` asks twice, in two contests of the same arms: all take equal steps, or all take equal time. In the second one
the arms share the time, by numbers of steps that are settled before training: the proxy takes more of them, LS and FEDS
fewer. A control with a budget of its own would give the time of LS to one arm, and be a second notion of a fair budget
beside `equal="time"`. Each contest reads test once, after all of its training. Intervals: paired bootstrap over test
samples, mean of the seeds, with the variance between seeds.

The figures in docs are of commit 29daa45, and those of the penalty of bf5e847: there the arms took equal steps, but for
a second control that took the time of LS, and the intervals hold no variance between seeds.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process a core

import torch

from benchmarks.contests import (
    Figure,
    Tries,
    best_tries,
    contest,
    metric_of,
    readings,
    shown,
    spelt,
    tried,
    write,
)
from metricgrad.tasks import boxes, words
from metricgrad.tasks.task import Task
from metricgrad.tune import Comparison, Plan
from metricgrad.tune.setup import Equal

SEEDS, DEVELOPMENT_SEED = (0, 1, 2, 3, 4), 100
CONTROL = "proxy"
PENALTIES = (0.0, 0.01, 0.1, 1.0)
RESAMPLES = 2000
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Experiment:
    """A task, its plan, its arms with four tries each, and what is reported of the test samples."""

    load: Callable[..., Task]
    plan: Plan
    arms: Tries
    reported: Mapping[str, Figure]


_RATES = (2.5e-4, 5e-4, 1e-3, 2e-3)
_EXACT_FIT = {"gradient_penalty_weight": 0.0}
_TEXTS = {"surrogate_warmup": 2000, "surrogate_steps": 2, "objective": {**_EXACT_FIT, "metric_scale": 0.35}}
_BOXES = {"surrogate_warmup": 1500, "surrogate_steps": 3, "local_fraction": 0.9, "objective": _EXACT_FIT}
_FILTERED_BOXES = {**_BOXES, "objective": {**_EXACT_FIT, "full_below": 0.05, "zero_above": 0.2}}
_QUICK = {"surrogate_warmup": 20, "trust": -1.0, "extra_steps": 20, "lessons": 20}
"""Of a quick look: a surrogate that has learned little, and steps that follow it all the same."""
_FEW = {"items_fit": 1000, "items_select": 500, "items_test": 100}


def _tries(shared: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**shared, "learning_rate": rate} for rate in _RATES]


def _share(least: float) -> Figure:
    return Figure(lambda values: (values >= least).double())


EXPERIMENTS: Mapping[str, Experiment] = {
    "words": Experiment(
        words.load,
        Plan(steps=400, evaluate_every=40),
        {
            CONTROL: ("proxy", _tries({})),
            "LS": ("learned", _tries(_TEXTS)),
            "FEDS": ("learned+filter", _tries(_TEXTS)),
            "LS + proxy": ("learned", _tries({**_TEXTS, "proxy_weight": 0.3})),
        },
        {
            "total edit distance": Figure(summarise=lambda values: float(values.sum()), form=".1f"),
            "accuracy": Figure(lambda values: (values == 0).double()),
        },
    ),
    "boxes": Experiment(
        boxes.load,
        Plan(steps=800, evaluate_every=80),
        {
            CONTROL: ("proxy", _tries({})),
            "LS": ("learned", _tries(_BOXES)),
            "FEDS": ("learned+filter", _tries(_FILTERED_BOXES)),
        },
        {"mean IoU": Figure(), "F1 at 0.5": _share(0.5), "F1 at 0.75": _share(0.75)},
    ),
}
"""F1 at a threshold is the share of the scenes whose box reaches it: one object and one box a scene."""


def choose(name: str, runs: Path, tables: Path, *, quick: bool) -> None:
    """Train the tries of every arm and write the table."""
    experiment, told = EXPERIMENTS[name], ("concordance", "mae_local", "kept_fraction")
    arms = experiment.arms
    if quick:
        arms = {
            arm: (method, [one if method == "proxy" else {**one, **_QUICK} for one in given])
            for arm, (method, given) in arms.items()
        }
    rows = tried(
        experiment.load(_FEW if quick else {}),
        arms,
        runs / "choose",
        seed=DEVELOPMENT_SEED,
        plan=experiment.plan,
        quick=quick,
        told=lambda found, arm: [*costs(found, arm), *trust(found, arm, told)],
    )
    header = ["arm", "try", "select", "steps", "seconds", *told, "settings"]
    write(tables / f"learned-{name}-tries.csv", header, rows)


def read(name: str, runs: Path) -> None:
    """Train the best try of every arm with every seed, for equal steps and for equal time; write what test says."""
    experiment, told = EXPERIMENTS[name], ("concordance", "sign_agreement", "kept_fraction")
    task, names, rows = experiment.load({}), {spelt(arm): arm for arm in experiment.arms}, []
    table = ROOT / "docs" / f"learned-{name}-tries.csv"
    best = best_tries(table, ["arm"], higher_is_better=metric_of(task).higher_is_better)
    arms = [(spelt(arm), method, best[arm,]) for arm, (method, _) in experiment.arms.items()]
    for equal in get_args(Equal):
        found = contest(
            task, arms, runs / f"read-equal-{equal}", seeds=SEEDS, plan=experiment.plan, equal=equal
        )
        for reported, figure in experiment.reported.items():
            for arm, *values in readings(found, task, CONTROL, RESAMPLES, figure):
                beside = [*costs(found, arm), *trust(found, arm, told)]
                rows.append([equal, names.get(arm, arm), reported, *values, *beside])
    header = ["equal", "arm", "metric", "test", "spread", "minus_control", "low", "high", "select"]
    write(ROOT / "docs" / f"learned-{name}.csv", [*header, "steps", "seconds", *told], rows)


def penalty(name: str, runs: Path) -> None:
    """Teach the surrogate of LS with several weights of the gradient penalty, and write how well each one fits.

    It is examined after its warm-up, before the first step of the model, and gets no lesson.
    """
    experiment = EXPERIMENTS[name]
    method, (settings, *_) = experiment.arms["LS"]
    arms = {
        f"penalty-{weight}": {
            **settings,
            "objective": {**settings["objective"], "gradient_penalty_weight": weight},
            "lessons": 0,
        }
        for weight in PENALTIES
    }
    entries = [(arm, method, given) for arm, given in arms.items()]
    found = contest(
        experiment.load({}),
        entries,
        runs / "penalty",
        seeds=[DEVELOPMENT_SEED],
        plan=Plan(steps=1),
        test=False,
    )
    told = ("concordance", "mae_local", "concordance_generated", "mae_generated")
    told = (*told, "mean_gradient_norm", "seconds")
    rows = [
        [weight, *trust(found, arm, told, first=True)] for weight, arm in zip(PENALTIES, arms, strict=True)
    ]
    write(ROOT / "docs" / f"learned-{name}-penalty.csv", ["weight", *told], rows)


def costs(found: Comparison, arm: str) -> list[str]:
    """Steps that an arm took, and seconds of its training, evaluations included; mean over seeds, 0 of no training."""
    ended = [one for one in found.result.events if one["event"] == "stage_finished" and one["arm"] == arm]
    return [f"{sum(one[name] for one in ended) / max(len(ended), 1):.0f}" for name in ("step", "seconds")]


def trust(found: Comparison, arm: str, names: tuple[str, ...], *, first: bool = False) -> list[str]:
    """Trust numbers of the last (or first) evaluation of an arm, mean over the seeds that have them; else empty."""
    by_seed: dict[int, Mapping[str, Any]] = {}
    for event in found.result.events:
        if event["event"] == "fitted" and event["arm"] == arm and not (first and event["seed"] in by_seed):
            by_seed[event["seed"]] = event["values"]
    known = {name: [one[name] for one in by_seed.values() if one.get(name) is not None] for name in names}
    return [shown(sum(values) / len(values) if values else None, ".3f") for values in known.values()]


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read", "penalty"])
    parser.add_argument("task", choices=list(EXPERIMENTS))
    parser.add_argument("--quick", action="store_true", help="of choose: four steps: does it run?")
    asked = parser.parse_args()
    if asked.quick and asked.stage != "choose":
        parser.error("--quick is for choose alone: read opens the test split")
    torch.set_num_threads(1)
    runs = ROOT / "runs" / ("learned-quick" if asked.quick else "learned") / asked.task
    if asked.stage == "choose":
        choose(asked.task, runs, runs if asked.quick else ROOT / "docs", quick=asked.quick)
    else:
        {"read": read, "penalty": penalty}[asked.stage](asked.task, runs)


if __name__ == "__main__":
    main()
