"""The objectives of the papers beside their controls: error rate, wrong labels, rare classes, segmentation, attacks.

    .venv/bin/python -m benchmarks.objectives choose error     tries on `select`; docs/objectives-error-tries.csv
    .venv/bin/python -m benchmarks.objectives read error       five seeds, reads `test`; docs/objectives-error.csv
    .venv/bin/python -m benchmarks.objectives attack           accuracy of the models of `read error` under attack
    .venv/bin/python -m benchmarks.objectives choose error --quick    four steps; the table under runs/, not docs/

A cell is a task, a metric and arms. Every arm has the same learning rates to try, on a seed that is not reported, and
where its loss has a setting of its own, that as well. `read` takes the best of them, trains five seeds, and only then
reads test. All arms of a cell take the same number of steps on the same batches; two-step training goes through the
network twice a step, so that cross-entropy with twice the steps is a control as well. The pictures of `error` and of
the cells with wrong labels are learned from random weights, as in the papers; the others go on from a start that was
trained to its plateau. Where classes are decided, every arm decides by a rule that select fits.

The baseline of the claims is the control that is best on select. Intervals: paired bootstrap over test samples (groups
where the task has them), mean of the seeds, with the variance between seeds; claims after Holm's adjustment.
"""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from benchmarks.contests import (
    Tries,
    best_tries,
    contest,
    metric_of,
    shown,
    spelt,
    statistics_of,
    tried,
    write,
)
from metricgrad.attacks import fgsm, pgd
from metricgrad.differences import Differences
from metricgrad.metrics import adapt
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.weights import load_model

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SEEDS, DEVELOPMENT_SEED, RESAMPLES = (0, 1, 2, 3, 4), 100, 2000
CONTROL, TWICE = "cross-entropy", "cross-entropy, twice the steps"
RATES = (1e-3, 3e-3)
CLOTHES = (0, 1, 0, 0, 0, 2, 0, 2, 3, 2)
"""Groups of Fashion-MNIST's classes: tops and dresses, trousers, shoes, bags."""
ATTACKED, STEPS = 2000, 20
"""Pictures of test that are attacked, the first; steps of PGD."""


def at_rates(*objectives: Mapping[str, Any], **settings: Any) -> list[dict[str, Any]]:
    """Tries: each learning rate with each of the settings of the loss."""
    return [
        {"learning_rate": rate, **settings, **({"objective": dict(one)} if one else {})}
        for rate in RATES
        for one in objectives or [{}]
    ]


CROSS_ENTROPY: tuple[str, list[dict[str, Any]]] = ("proxy", at_rates())
MIXUP = ("surrogate:generalized_cross_entropy", at_rates({"exponent": 0.0}, mixup=0.2))
HIERARCHY = {"groups": list(CLOTHES)}
OF_PICTURES: Tries = {
    CONTROL: CROSS_ENTROPY,
    "COT, two steps": ("alternating:complement_entropy", at_rates()),
    "complement cross-entropy": ("surrogate:complement_cross_entropy", at_rates()),
    "hierarchical, two steps": ("alternating:hierarchical_complement_entropy", at_rates(HIERARCHY)),
    "guided complement entropy": ("surrogate:guided_complement_entropy", at_rates()),
    "mixup": MIXUP,
}
WITH_WRONG_LABELS: Tries = {
    CONTROL: CROSS_ENTROPY,
    "generalized cross-entropy": ("surrogate:generalized_cross_entropy", at_rates({"exponent": 0.7})),
    "the same, truncated": (
        "surrogate:generalized_cross_entropy",
        at_rates({"exponent": 0.7, "cutoff": 0.5}),
    ),
    "mean absolute error": ("surrogate:mean_absolute_error", at_rates()),
    "symmetric cross-entropy": ("surrogate:symmetric_cross_entropy", at_rates()),
    "active-passive": ("surrogate:active_passive", at_rates()),
    "mixup": MIXUP,
}
RARE: Tries = {
    CONTROL: CROSS_ENTROPY,
    "class weights": ("surrogate:class_weighted_cross_entropy", at_rates()),
    "recall-weighted": (
        "surrogate:recall_weighted_cross_entropy",
        at_rates({"per_class": "recall", "momentum": 0.9}, {"per_class": "f_1", "momentum": 0.9}),
    ),
    "balanced softmax": ("surrogate:balanced_softmax", at_rates()),
    "complement cross-entropy": ("surrogate:complement_cross_entropy", at_rates()),
    "soft metric": ("surrogate:soft_confusion", at_rates()),
}
SEGMENTED: Tries = {
    CONTROL: CROSS_ENTROPY,
    "class weights": ("surrogate:class_weighted_cross_entropy", at_rates()),
    "soft IoU": ("surrogate:soft_counts", at_rates({"formula": "iou"}, proxy_weight=0.3)),
    "Lovász": ("surrogate:lovasz_softmax", at_rates(proxy_weight=0.3)),
    "structural similarity": ("surrogate:structural_similarity", at_rates(proxy_weight=1.0)),
    "recall-weighted, IoU": (
        "surrogate:recall_weighted_cross_entropy",
        at_rates({"per_class": "iou", "momentum": 0.9}),
    ),
}


@dataclass(frozen=True)
class Cell:
    """A task, a metric and the arms that are compared.

    Attributes:
        task: its name.
        options: of the task.
        metric: that is reported.
        arms: the control first.
        controls: further ones, by name.
        steps: of every arm; None for the plan of the task.
        scratch: whether the arms begin with random weights.
        twice: whether cross-entropy with twice the steps is a control.
    """

    task: str
    options: Mapping[str, Any]
    metric: str
    arms: Tries
    controls: Sequence[str] = ()
    steps: int | None = None
    scratch: bool = False
    twice: bool = False

    def load(self) -> Task:
        """The task, with the metric and the budget of this cell."""
        task = import_module(f"metricgrad.tasks.{self.task}").load(dict(self.options))
        task = replace(task, metric=self.metric)
        if self.steps is not None:
            task = replace(task, plan=Plan(steps=self.steps, evaluate_every=self.steps // 20))
        return replace(task, start_plan=None, start_settings={}) if self.scratch else task


PICTURES: Mapping[str, Any] = {"steps": 2000, "scratch": True}
TEN_THOUSAND = {"items_fit": 10_000}
CELLS: Mapping[str, Cell] = {
    "error": Cell("fashion", TEN_THOUSAND, "error_rate", OF_PICTURES, twice=True, **PICTURES),
    "flip20": Cell("fashion", {**TEN_THOUSAND, "flip": 0.2}, "accuracy", WITH_WRONG_LABELS, **PICTURES),
    "flip40": Cell("fashion", {**TEN_THOUSAND, "flip": 0.4}, "accuracy", WITH_WRONG_LABELS, **PICTURES),
    "rare-balanced": Cell("fashion_long_tail", {}, "balanced_accuracy", RARE, ["class weights"]),
    "rare-f1": Cell("fashion_long_tail", {}, "macro_f1", RARE, ["class weights"]),
    "scenes": Cell("scenes", {}, "mean_iou", SEGMENTED, ["class weights"]),  # tries were chosen at argmax
}


def choose(name: str, runs: Path, tables: Path, *, quick: bool) -> None:
    """Train the tries of every arm, and write what select says."""
    cell = CELLS[name]
    task = cell.load()
    rows = tried(task, cell.arms, runs / "choose", seed=DEVELOPMENT_SEED, plan=task.plan, quick=quick)
    write(tables / f"objectives-{name}-tries.csv", ["arm", "try", "select", "settings"], rows)


def read(name: str, runs: Path) -> None:
    """Train the best try of every arm with every seed; then read test and write what it says."""
    cell = CELLS[name]
    task, best = cell.load(), best_tries(DOCS / f"objectives-{name}-tries.csv", ["arm"])
    arms = [(spelt(arm), method, best[(arm,)]) for arm, (method, _) in cell.arms.items()]
    controls = [spelt(arm) for arm in cell.controls]
    found = contest(task, arms, runs / "read", seeds=SEEDS, plan=task.plan, controls=controls)
    told = {spelt(arm): arm for arm in cell.arms}
    statistics = {told.get(arm, arm): each for arm, each in statistics_of(found).items()}
    select = {told.get(row.name, row.name): row.select or math.nan for row in found.table}
    held = [CONTROL, *cell.controls]
    if cell.twice:
        assert task.plan.steps is not None
        longer = task.plan.model_copy(update={"steps": 2 * task.plan.steps})
        settings = {**best[(CONTROL,)], "objective": {"exponent": 0.0}}
        arm = ("twice", "surrogate:generalized_cross_entropy", settings)
        further = contest(task, [arm], runs / "read-twice", seeds=SEEDS, plan=longer)
        statistics[TWICE] = statistics_of(further)["twice"]
        select[TWICE] = next(row.select or math.nan for row in further.table if row.name == "twice")
        held.append(TWICE)
    if cell.scratch:
        del statistics["start"], select["start"]
    else:
        held.append("start")  # training may have brought less than nothing
    header = ["arm", "test", "spread", "minus_cross_entropy", "low", "high"]
    header += ["baseline", "minus_baseline", "low_baseline", "high_baseline", "holm_p", "claim", "select"]
    write(DOCS / f"objectives-{name}.csv", header, compared(task, statistics, select, held))


def compared(
    task: Task,
    statistics: Mapping[str, Sequence[Tensor]],
    select: Mapping[str, float],
    controls: Sequence[str],
    plain: str = CONTROL,
) -> list[list[Any]]:
    """Rows of all arms: value, spread over seeds, beside a plain control and beside the one that select prefers."""
    metric = metric_of(task)
    sign = 1 if metric.higher_is_better else -1
    baseline = max(controls, key=lambda arm: sign * select[arm])
    grouping = grouping_of("test", task.splits, metric)
    table = Differences(metric, statistics, grouping, RESAMPLES)
    contenders = Differences(
        metric,
        {arm: each for arm, each in statistics.items() if arm == baseline or arm not in (*controls, "start")},
        grouping,
        RESAMPLES,
    )
    claims = {one.arm: one for one in contenders.against(baseline)}
    rows = []
    for arm in statistics:
        own = table.interval({arm: 1.0})
        beside = table.interval({} if arm == plain else {arm: 1.0, plain: -1.0})
        above = table.interval({} if arm == baseline else {arm: 1.0, baseline: -1.0})
        spread = torch.tensor(own.per_seed, dtype=torch.float64).std().item()
        ends = [shown(one, "+.4f") for one in (beside.value, beside.low, beside.high)]
        more = [shown(one, "+.4f") for one in (above.value, above.low, above.high)]
        claim = claims.get(arm)
        said = ["", "control" if arm in controls and arm != "start" else ""]
        if claim is not None:
            said = [shown(claim.adjusted, ".3g"), claim.claim]
        rows.append(
            [
                arm,
                shown(own.value, ".4f"),
                shown(spread, ".4f"),
                *ends,
                baseline,
                *more,
                *said,
                shown(select[arm], ".4f"),
            ]
        )
    return rows


def attack(runs: Path) -> None:
    """Write the accuracy of every model of `read error` on attacked pictures of test, through cross-entropy."""
    cell = CELLS["error"]
    task, metric, rows = cell.load(), adapt("accuracy"), []
    test = task.splits.test
    assert isinstance(test, ArraySplit)
    inputs, targets = test.inputs[:ATTACKED], test.targets[:ATTACKED]
    folders = {arm: (runs / "read", spelt(arm)) for arm in cell.arms} | {
        TWICE: (runs / "read-twice", "twice")
    }
    for name, epsilon in (("none", 0.0), ("FGSM", 0.1), ("PGD", 0.1), ("PGD", 0.05)):
        statistics: dict[str, list[Tensor]] = {}
        for arm, (folder, short) in folders.items():
            for seed in SEEDS:
                model = task.model(seed)
                load_model(folder / "arms" / f"seed{seed}-{short}-try0.safetensors", model)
                moved = [
                    _moved(name, epsilon, model, *part)
                    for part in zip(inputs.split(500), targets.split(500), strict=True)
                ]
                with torch.no_grad():
                    classes = torch.cat([model.eval()(part).argmax(1) for part in moved])
                statistics.setdefault(arm, []).append(metric.measure(classes, targets))
        table = Differences(metric, statistics, None, RESAMPLES)
        for arm in statistics:
            beside = table.interval({} if arm == CONTROL else {arm: 1.0, CONTROL: -1.0})
            ends = [shown(one, "+.4f") for one in (beside.value, beside.low, beside.high)]
            rows.append([name, epsilon, arm, shown(table.interval({arm: 1.0}).value, ".4f"), *ends])
    header = ["attack", "epsilon", "arm", "accuracy", "minus_cross_entropy", "low", "high"]
    write(DOCS / "objectives-attacks.csv", header, rows)


def _moved(name: str, epsilon: float, model: torch.nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The pictures as they are, or attacked."""
    if name == "none":
        return inputs
    if name == "FGSM":
        return fgsm(model, inputs, targets, epsilon=epsilon)
    generator = torch.Generator().manual_seed(0)
    return pgd(model, inputs, targets, epsilon=epsilon, steps=STEPS, generator=generator)


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read", "attack"])
    parser.add_argument("cell", choices=list(CELLS), nargs="?", help="of choose and read")
    parser.add_argument("--quick", action="store_true", help="of choose: four steps: does it run?")
    asked = parser.parse_args()
    if asked.quick and asked.stage != "choose":
        parser.error("--quick is for choose alone: read opens the test split")
    if (asked.cell is None) != (asked.stage == "attack"):
        parser.error("choose and read are for one cell, attack is for the models of read error")
    torch.set_num_threads(1)
    runs = ROOT / "runs" / ("objectives-quick" if asked.quick else "objectives") / (asked.cell or "error")
    if asked.stage == "choose":
        choose(asked.cell, runs, runs if asked.quick else DOCS, quick=asked.quick)
    elif asked.stage == "read":
        read(asked.cell, runs)
    else:
        attack(runs)


if __name__ == "__main__":
    main()
