"""Black-box search where it could pay: metrics that are no function of a table of labels, or that can only be called.

    .venv/bin/python -m benchmarks.black_box read precision     five seeds, reads test once; docs/black-box-*.csv
    .venv/bin/python -m benchmarks.black_box read letters       worst third of the letters, a rule in every arm
    .venv/bin/python -m benchmarks.black_box read categories    recall@1 of the worst of nine categories of emoji
    .venv/bin/python -m benchmarks.black_box read business      NDCG@10 of emoji with gains for what is of the same kind
    .venv/bin/python -m benchmarks.black_box read lines          edit distance of lines of three rendered words
    .venv/bin/python -m benchmarks.black_box permuted           labels without meaning: how often is a gain claimed?
    .venv/bin/python -m benchmarks.black_box read letters --quick    four steps, no test; does it run?

All arms of a cell have the same wall time, timed before training; a search ends earlier where its calls are spent.
Settings are the defaults, but for 100 calls of the value function, whose fits cost more than its steps, and for the
batches, draws and calls of the policy, which make a step of it as long as one of training: nothing is chosen on test,
nor is anything tried more often for one arm than for another. Controls: the start, training on with the loss, the
loss with class weights where there are classes, the loss of ours that stands for the metric where there is one, and
random search, which proposes weights of the mixture blindly. Where the metric reads classes, select fits a rule in
every arm. The baseline of the claims is the control that is best on select. Two columns say what a search saw:
`optimism`, the gain over the start on select minus that on test (above 0: select promised more than came), and `calls`,
how often the metric was called on the pool; both are means of the seeds.
"""

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.contests import contest, shown, spelt, statistics_of, write
from benchmarks.objectives import compared
from metricgrad._types import Metric
from metricgrad.metrics import adapt, ndcg
from metricgrad.tasks.emoji_pictures import load_pictures
from metricgrad.tasks.emoji_tree import Level, read_tree
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Comparison, Plan, Splits, tune

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SEEDS = (0, 1, 2, 3, 4)
REPEATS, BATCH = 40, 256
SEARCHES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mixture": ("blackbox:mixture", {}),
    "evolution": ("blackbox:evolution", {}),
    "evolution beside the loss": ("blackbox:evolution", {"loss_weight": 0.5}),
    "value function": ("blackbox:value_function", {"calls": 100}),
}
RANDOM = ("blackbox:mixture", {"sampler": "random"})


def precision_at_recall(task: Task) -> Metric:
    """The largest precision of a cut that finds at least 80 % of the positives."""
    del task
    return adapt("precision_at_recall:min_recall=0.8")


def worst_third(task: Task) -> Metric:
    """Accuracy of the third of the classes (by how often they come in fit) where it is lowest."""
    fit: Any = task.splits.fit
    counts = fit.targets.bincount()
    third = (counts.argsort().argsort() * 3 // len(counts)).long()

    def measure(outputs: Tensor, targets: Tensor) -> Tensor:
        decided = outputs.argmax(1) if outputs.ndim > 1 else outputs
        return torch.stack([(decided == targets).double(), third[targets].double()], 1)

    def of_table(table: Tensor) -> Tensor:
        right, every = table.diagonal(dim1=-2, dim2=-1), table.sum(-1)
        of_thirds = [right[..., third == one].sum(-1) / every[..., third == one].sum(-1) for one in range(3)]
        return torch.stack(of_thirds, -1).amin(-1)

    plain = adapt("accuracy")
    return dataclasses.replace(
        plain, name="accuracy of the worst third", measure=measure, summarise=worst_mean, of_table=of_table,
        function=None, per_sample=False, kind=None, of_predictions=None,
    )  # fmt: skip


def worst_category(task: Task) -> Metric:
    """recall@1 of the category of emoji where it is lowest."""
    del task
    category = torch.from_numpy(read_tree(load_pictures().names, "categories").class_of)
    plain = adapt("recall@1")

    def measure(outputs: Tensor, targets: Tensor, **reference: Any) -> Tensor:
        found = plain.measure(outputs, targets, **reference)
        return torch.cat([found[:, :1], category.to(targets.device)[targets].unsqueeze(1).to(found)], 1)

    return dataclasses.replace(
        plain, name="recall@1 of the worst category", measure=measure, summarise=worst_mean, function=None
    )


def of_the_same_kind(task: Task) -> Metric:
    """NDCG@10 whose gain of a drawing is 3 for the same emoji, 2 for its subcategory and 1 for its category."""
    del task
    names = load_pictures().names
    gains = 3 * torch.eye(len(names), dtype=torch.float64)
    kinds: tuple[tuple[Level, int], ...] = (("subcategories", 2), ("categories", 1))
    for level, gain in kinds:
        kind = torch.from_numpy(read_tree(names, level).class_of)
        gains = gains.maximum(gain * ((kind[:, None] == kind) & (kind >= 0)))

    def measure(
        outputs: Tensor,
        targets: Tensor,
        *,
        reference_outputs: Tensor | None = None,
        reference_targets: Tensor | None = None,
    ) -> Tensor:
        alone = reference_outputs is None or reference_targets is None
        items, of_items = (outputs, targets)
        if reference_outputs is not None and reference_targets is not None:
            items, of_items = reference_outputs, reference_targets
        scores = normalize(outputs, dim=1) @ normalize(items, dim=1).T
        own = torch.arange(len(outputs), device=outputs.device) if alone else None
        table = gains.to(scores.device)[targets][:, of_items]
        return ndcg(scores, table, k=10, query_item=own).unsqueeze(1).cpu()

    plain = adapt("ndcg@10")
    return dataclasses.replace(
        plain, name="NDCG@10 with gains of kinds", measure=measure, function=None, settings={}
    )


def edits(task: Task) -> Metric:
    """Mean number of edits from the text that is read to the one that is there; lower is better."""
    del task
    return adapt("edit_distance")


def divisible(task: Task) -> Task:
    """Keep the pictures of words in memory as they were drawn, so that a pool can be held back; no arm shifts them."""
    fit: Any = task.splits.fit
    plain = ArraySplit(fit.inputs, fit.targets, batch=fit.batch, shuffle=True, seed=fit.seed)
    return dataclasses.replace(task, splits=dataclasses.replace(task.splits, fit=plain))


def worst_mean(statistics: Tensor) -> float:
    """The lowest mean of the first column over the groups of the second; without group -1 and undefined units."""
    known = statistics[~statistics[:, 0].isnan() & (statistics[:, 1] >= 0)]
    group = known[:, 1].long()
    sums = torch.zeros(int(group.max()) + 1, dtype=known.dtype).index_add(0, group, known[:, 0])
    counts = group.bincount()
    return float((sums / counts)[counts > 0].min())


@dataclass(frozen=True)
class Cell:
    """A task, a metric and the arms beside the searches.

    Attributes:
        task: its name.
        metric: task -> what is reported.
        controls: arms that are controls beside training on, by name: method and settings.
        searches: the searches, by name: method and settings.
        steps: of every arm, if all took as many; the arms share the time of that equally.
        options: of the task.
        random: settings of random search.
        prepare: task -> the task that is used.
    """

    task: str
    metric: Callable[[Task], Metric]
    controls: Mapping[str, tuple[str, Mapping[str, Any]]]
    searches: Mapping[str, tuple[str, Mapping[str, Any]]]
    steps: int
    options: Mapping[str, Any] = field(default_factory=dict)
    random: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Task], Task] = lambda task: task

    def load(self) -> Task:
        """The task with the metric of this cell."""
        task = self.prepare(import_module(f"metricgrad.tasks.{self.task}").load(dict(self.options)))
        metric: Any = self.metric(task)
        plan = Plan(steps=self.steps)
        return dataclasses.replace(task, metric=metric, plan=plan, side_metrics=())


def with_settings(**settings: Any) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """The searches with further settings."""
    return {arm: (method, {**given, **settings}) for arm, (method, given) in SEARCHES.items()}


WEIGHTED = ("surrogate:class_weighted_cross_entropy", {})
SCALE = {"adapter": "scale"}
CELLS: Mapping[str, Cell] = {
    "precision": Cell(
        "imbalanced_f1",
        precision_at_recall,
        {"surrogate": ("surrogate:average_precision", {"proxy_weight": 0.3})},
        SEARCHES,
        320,
    ),
    "letters": Cell("letters_long_tail", worst_third, {"class weights": WEIGHTED}, SEARCHES, 320),
    "categories": Cell(
        "emoji",
        worst_category,
        {"surrogate": ("surrogate:recall_at_k", {"proxy_weight": 0.3})},
        with_settings(**SCALE),
        60,
        random=SCALE,
    ),
    "business": Cell(
        "emoji",
        of_the_same_kind,
        {"surrogate": ("surrogate:ndcg", {"proxy_weight": 0.3})},
        with_settings(**SCALE),
        60,
        random=SCALE,
    ),
    "lines": Cell(
        "words",
        edits,
        {},  # a learned surrogate passes its exam on lines only after a longer warm-up than an arm has time for
        {
            "mixture": SEARCHES["mixture"],
            "evolution": SEARCHES["evolution"],
            "policy": ("blackbox:policy", {"batch": 64}),
            "policy, credit of items": (
                "blackbox:policy",
                {"credit": "item", "batch": 16, "samples": 4, "calls": 20_000},
            ),
        },
        60,
        {"words_per_line": 3, "items_select": 999},
        prepare=divisible,
    ),
}


def read(name: str, *, quick: bool) -> None:
    """Train all arms with every seed, then read test and write what it says."""
    cell = CELLS[name]
    task = cell.load()
    runs = ROOT / "runs" / ("black-box-quick" if quick else "black-box") / name
    controls = {"random search": (RANDOM[0], {**RANDOM[1], **cell.random}), **cell.controls}
    arms = {"continued": ("proxy", {}), **controls, **cell.searches}
    short = {arm: spelt(arm) for arm in arms}
    found = contest(
        task,
        [(short[arm], method, settings) for arm, (method, settings) in arms.items()],
        runs,
        seeds=SEEDS[:1] if quick else SEEDS,
        plan=task.plan,
        controls=[short[arm] for arm in controls],
        equal="steps" if quick else "time",
        quick=quick,
        test=not quick,
    )
    calls = calls_of(found)
    if quick:
        print(found, calls)
        return
    told = {kept: arm for arm, kept in short.items()}
    statistics = {told.get(arm, arm): each for arm, each in statistics_of(found).items()}
    select = {told.get(row.name, row.name): row.select or float("nan") for row in found.table}
    test = {row.name: row.value or float("nan") for row in found.table}
    metric: Any = task.metric
    sign = 1 if metric.higher_is_better else -1

    def seen(arm: str) -> list[str]:
        """Optimism and calls."""
        kept = short.get(arm, arm)
        promised, came = select[arm] - select["start"], test[kept] - test["start"]
        optimism = "" if arm == "start" else shown(sign * (promised - came), "+.4f")
        return [optimism, shown(calls.get(kept, 0.0), ".0f")]

    rows = compared(task, statistics, select, ["start", "continued", *controls], "continued")
    header = ["arm", "test", "spread", "minus_continued", "low", "high"]
    header += ["baseline", "minus_baseline", "low_baseline", "high_baseline", "holm_p", "claim", "select"]
    header += ["optimism", "calls"]
    write(DOCS / f"black-box-{name}.csv", header, [[*row, *seen(row[0])] for row in rows])


def calls_of(found: Comparison) -> dict[str, float]:
    """Mean over seeds of the calls of the metric on the pool, of every arm."""
    stages = [one for one in found.result.events if one["event"] == "stage_finished"]
    arms = {one["arm"] for one in stages}
    return {arm: fmean(one["pool_calls"] for one in stages if one["arm"] == arm) for arm in arms}


def permuted(repeats: int, table: Path) -> None:
    """Search on labels that mean nothing, in fit, pool, select and test, and count what is claimed."""
    cell: Any = import_module("metricgrad.tasks.imbalanced_f1").load({})
    rows: list[Sequence[Any]] = []
    for repeat in range(repeats):
        splits = _shuffled(cell.splits, repeat)
        for method in ("blackbox:mixture", "blackbox:evolution"):
            found = tune(
                cell.model, splits, metric="mcc", proxy=cell.proxy, method=method, seed=repeat,
                plan=Plan(steps=30, evaluate_every=10), start_plan=Plan(steps=200, evaluate_every=50),
                settings={"calls": 30} if method.endswith("mixture") else {"calls": 480},
                observer=lambda event: None,
            )  # fmt: skip
            rows.append(
                [
                    repeat,
                    method,
                    found.verdict,
                    _taken_over(found),
                    _pool_calls(found),
                ]
            )
            print(rows[-1], flush=True)
    write(table, ["repeat", "method", "verdict", "taken_over", "pool_calls"], rows)


def _shuffled(splits: Splits, repeat: int) -> Splits:
    random = np.random.default_rng(repeat)

    def mixed(split: Any) -> ArraySplit:
        order = torch.from_numpy(random.permutation(len(split.targets)))
        return ArraySplit(split.inputs, split.targets[order], batch=BATCH)

    return Splits(mixed(splits.fit), mixed(splits.select), mixed(splits.test))


def _pool_calls(found: Any) -> int:
    """How often the metric was called on the pool."""
    return found.event("verdict")["metric_calls"]["pool"]


def _taken_over(found: Any) -> bool:
    """Whether the gate of the pool let anything but the start through at a step."""
    seen = [one["values"].get("taken_over", 0.0) for one in found.events if one["event"] == "stepped"]
    return any(one > 0 for one in seen)


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["read", "permuted"])
    parser.add_argument("cell", choices=list(CELLS), nargs="?", help="of read")
    parser.add_argument("--quick", action="store_true", help="four steps, test stays closed: does it run?")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.stage == "permuted":
        permuted(
            *(
                (1, ROOT / "runs/black-box-permuted.csv")
                if asked.quick
                else (REPEATS, DOCS / "black-box-permuted.csv")
            )
        )
    elif asked.cell is None:
        parser.error("read is for one cell")
    else:
        read(asked.cell, quick=asked.quick)


if __name__ == "__main__":
    main()
