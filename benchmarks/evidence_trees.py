"""Boosted trees beside the networks: an outside rival in every cell of the evidence that is on a table.

    scripts/evidence --trees choose     the tries of each cell on select: evidence/trees-tries.csv
    scripts/evidence --trees read       the best try of each cell with five seeds; reads test: evidence/trees.csv

scikit-learn's `HistGradientBoostingClassifier` learns from the rows and numbers that the networks learn from. `choose`
grows four tries, as many as an arm had, on a seed that is not reported; `read` grows the best of them with the seeds of
the recipe. In either the rounds are what the steps of a network are: after every 20 of 300 a rule of decision is fitted
to select for the metric, and its cross-fitted value says which rounds are kept.

Trees are no control: no claim of a cell is made over them. Their gain is over the arm that is best on test, whichever
it is, start and controls included. It is paired where the folder of the cell's run is there; else it has no interval.
"""

import argparse
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from benchmarks import evidence
from benchmarks.contests import best_tries, metric_of, shown, statistics_of
from benchmarks.evidence import Cell
from benchmarks.trees import spread
from metricgrad._types import Metric
from metricgrad.decision import Fitted, fit_rule
from metricgrad.differences import Differences
from metricgrad.tasks.task import Task
from metricgrad.tune import Comparison

TABLES = ("imbalanced_f1", "income", "letters_long_tail", "satellite", "shuttle")
TRIED, READ = evidence.EVIDENCE / "trees-tries.csv", evidence.EVIDENCE / "trees.csv"
TREES, DEVELOPMENT_SEED = "trees", 100
ROUNDS, LOOK = 300, 20
"""Rounds of boosting, and those between two looks at select."""

ALWAYS: Mapping[str, Any] = {
    "max_iter": ROUNDS,
    "early_stopping": False,
    "min_samples_leaf": 5,
    "l2_regularization": 1.0,
    "max_features": 0.5,
}
"""Leaves of 20 rows, the default, are more than rare classes have; without l2 the loss of these classes diverges. A
split sees half of the columns, so that seeds differ."""
TRIES: Sequence[Mapping[str, Any]] = [
    {"class_weight": weight, "max_leaf_nodes": leaves} for weight in (None, "balanced") for leaves in (8, 31)
]

OF_TRY = ["cell", "try", "select", "rounds", "settings"]
OF_TREES = [
    *("cell", "better", "test", "low", "high", "argmax", "select", "rounds", "settings"),
    *("arm", "arm_value", "arm_low", "arm_high", "gain", "gain_low", "gain_high", "commit"),
]


class Kept(NamedTuple):
    """The rounds of trees that select prefers for a metric.

    Attributes:
        rounds: how many.
        fitted: the rule that select fits to them.
    """

    rounds: int
    fitted: Fitted


def cells() -> list[Cell]:
    """Those on tables that are read."""
    done = evidence.done()
    return [cell for cell in evidence.cells() if cell.name in done and cell.recipe["task"] in TABLES]


@cache
def grown(task: str, data: str, settings: str, seed: int) -> Any:
    """Grow trees on fit; cells that differ in the metric alone share them.

    Args:
        task: one of `TABLES`.
        data: its options, as JSON.
        settings: of scikit-learn's trees, as JSON.
        seed: of the columns that a split may use.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    loaded: Task = import_module(f"metricgrad.tasks.{task}").load(json.loads(data))
    fit: Any = loaded.splits.fit
    made: Any = HistGradientBoostingClassifier  # its annotations know `early_stopping` as a text alone
    trees = made(**ALWAYS, **json.loads(settings), random_state=seed)
    return trees.fit(fit.inputs.numpy(), fit.targets.numpy())


def looks(trees: Any, split: Any) -> Iterator[tuple[int, Tensor]]:
    """Yield rounds and the probabilities [item, class] that they give, after every `LOOK` rounds."""
    columns = torch.from_numpy(trees.classes_).long()
    for rounds, found in enumerate(trees.staged_predict_proba(split.inputs.numpy()), 1):
        if rounds % LOOK == 0:
            yield rounds, spread(torch.from_numpy(found), columns)


def kept(trees: Any, select: Any, metric: Metric) -> Kept:
    """Return the rounds whose rule is best on select, the fewest where several are."""
    sign, best = 1 if metric.higher_is_better else -1, None
    for rounds, scores in looks(trees, select):
        found = fit_rule(scores, select.targets, metric, inputs="probabilities")
        before = math.nan if best is None else best.fitted.cross_fitted
        if math.isnan(before) or sign * (found.cross_fitted - before) > 0:
            best = Kept(rounds, found)
    assert best is not None  # there are rounds to look after
    return best


def choose(cell: Cell) -> None:
    """Write what each try is worth on select."""
    task, rows = cell.load(), []
    metric, where = metric_of(task), _where(cell)
    for number, given in enumerate(TRIES):
        settings = json.dumps(given)
        one = kept(grown(*where, settings, DEVELOPMENT_SEED), task.splits.select, metric)
        value = shown(one.fitted.cross_fitted, ".5f")
        rows.append(dict(zip(OF_TRY, (cell.name, number, value, one.rounds, settings), strict=True)))
    evidence.put(TRIED, OF_TRY, cell.name, rows)


def read(cell: Cell, commit: str) -> None:
    """Grow the best try with every seed of the recipe, read test once, and write the row of the cell."""
    task = cell.load()
    metric, where = metric_of(task), _where(cell)
    tries = best_tries(TRIED, ["cell"], higher_is_better=metric.higher_is_better)
    settings = json.dumps(tries[(cell.name,)])
    forests = [grown(*where, settings, seed) for seed in cell.recipe["seeds"]]
    every = [kept(one, task.splits.select, metric) for one in forests]
    opened: Any = task.splits.test
    test = [dict(looks(trees, opened))[one.rounds] for trees, one in zip(forests, every, strict=True)]
    decided = [one.fitted.rule.decide(scores) for one, scores in zip(every, test, strict=True)]
    trees = [metric.measure(classes, opened.targets) for classes in decided]
    plain = [float(metric.summarise(metric.measure(scores.argmax(1), opened.targets))) for scores in test]
    own = Differences(metric, {TREES: trees}, None, evidence.RESAMPLES).interval({TREES: 1.0})
    row = {
        "cell": cell.name,
        "better": "higher" if metric.higher_is_better else "lower",
        **dict(zip(("test", "low", "high"), _shown(".4f", own.value, own.low, own.high), strict=True)),
        "argmax": shown(sum(plain) / len(plain), ".4f"),
        "select": shown(sum(one.fitted.cross_fitted for one in every) / len(every), ".4f"),
        "rounds": " ".join(str(one.rounds) for one in every),
        "settings": settings,
        **beside(cell.name, own.value, trees, metric, finished(cell)),
        "commit": commit,
    }
    evidence.put(READ, OF_TREES, cell.name, [row])
    print(f"{cell.name}: {row['test']}, {row['gain']} over {row['arm']}", flush=True)


def _where(cell: Cell) -> tuple[str, str]:
    """The data of a cell: its task, and the options of that."""
    return cell.recipe["task"], json.dumps(cell.recipe.get("data", {}))


def best_arm(name: str, *, higher_is_better: bool) -> Mapping[str, str]:
    """The row of the arm of a cell that is best on test."""
    rows = [row for row in evidence.rows_of(evidence.ARMS) if row["cell"] == name]
    return (max if higher_is_better else min)(rows, key=lambda row: float(row["test"]))


def beside(
    name: str, value: float, trees: Sequence[Tensor], metric: Metric, run: Comparison | None
) -> dict[str, str]:
    """The best arm of a cell and what the trees gain over it, paired over test units where its run is there."""
    best = best_arm(name, higher_is_better=metric.higher_is_better)
    sign, arm = (1.0 if metric.higher_is_better else -1.0), best["arm"]
    ends: tuple[float | None, ...] = (sign * (value - float(best["test"])), None, None)
    if run is not None:
        both = Differences(metric, {**statistics_of(run), TREES: trees}, None, evidence.RESAMPLES)
        found = both.interval({TREES: sign, arm: -sign})
        ends = (found.value, found.low, found.high)
    gains = dict(zip(("gain", "gain_low", "gain_high"), _shown("+.4f", *ends), strict=True))
    return {"arm": arm, "arm_value": best["test"], "arm_low": best["low"], "arm_high": best["high"], **gains}


def beside_the_best(cell: Cell) -> bool:
    """Whether the cell has a row of trees, beside the arm that is best in the evidence as it stands."""
    best = best_arm(cell.name, higher_is_better=metric_of(cell.load()).higher_is_better)
    rows = [(row["cell"], row["arm"], row["arm_value"]) for row in evidence.rows_of(READ)]
    return (cell.name, best["arm"], best["test"]) in rows


def finished(cell: Cell) -> Comparison | None:
    """The run of a cell, where its folder is there and holds what was read of test."""
    return Comparison.load(cell.run) if (cell.run / "test.safetensors").exists() else None


def _shown(form: str, *values: float | None) -> list[str]:
    return [shown(value, form) for value in values]


def main() -> None:
    """Run a stage for the cells that lack it: `read` also where another arm is the best one now."""
    parser = argparse.ArgumentParser(
        prog="scripts/evidence --trees",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=["choose", "read"])
    stage = parser.parse_args().stage
    torch.set_num_threads(1)
    for cell in cells():
        if stage == "choose" and cell.name not in {row["cell"] for row in evidence.rows_of(TRIED)}:
            choose(cell)
        elif stage == "read" and not beside_the_best(cell):
            read(cell, evidence.commit_of_the_tree())


if __name__ == "__main__":
    main()
