"""Every task with every metric under one protocol: the recipes in evidence/recipes, and what came of them.

    scripts/evidence                          all cells that are left, one after the other
    scripts/evidence letters-macro-f1         these cells
    scripts/evidence --list                   what is done, and what is left; trains nothing
    scripts/evidence --quick                  the headlines of the README with one seed, within 20 minutes
    scripts/evidence --trees choose|read      boosted trees beside the cells on tables (benchmarks/evidence_trees.py)

A cell is a recipe, and `metricgrad compare evidence/recipes/CELL.yaml` is its run: the start and all arms with five
seeds, a rule in every arm where classes are read, the control that is best on select as the opponent, Holm's adjustment
for the contenders. Ctrl-C leaves a folder in runs/evidence that the next call goes on with. What a finished cell says
is written into two tables, so that the whole may be filled over many days and machines:

evidence/arms.csv   every arm of every cell: value, interval, gain over the opponent, what is claimed, time
evidence/cells.csv  one line for each cell: the opponent, the contender that select prefers, `auto` beside the arm that
                    is best on test, and in how many seeds the model that select returns is worse than the start

Each line has the commit and a digest of the recipe. A cell whose recipe has changed is left to do again.
"""

import argparse
import csv
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.contests import metric_of, shown, statistics_of
from benchmarks.evidence_quick import quick
from metricgrad.differences import Differences
from metricgrad.tasks.task import Task
from metricgrad.tune import Comparison
from metricgrad.tune.compared import Row
from metricgrad.tune.groups import grouping_of

ROOT = Path(__file__).parent.parent
EVIDENCE, RUNS = ROOT / "evidence", ROOT / "runs" / "evidence"
RECIPES, ARMS, CELLS = EVIDENCE / "recipes", EVIDENCE / "arms.csv", EVIDENCE / "cells.csv"
AUTO, RESAMPLES = "auto", 2000
OF_ARM = [
    *("cell", "arm", "role", "method", "test", "low", "high", "argmax", "select", "opponent"),
    *("gain", "gain_low", "gain_high", "holm_p", "claim", "seconds", "commit"),
]
OF_CELL = [
    *("cell", "task", "metric", "better", "units", "seeds", "opponent", "opponent_value"),
    *("best", "best_value", "gain", "low", "high", "holm_p", "claim", "arms_with_a_gain"),
    *(
        "auto_beside",
        "auto_minus",
        "auto_low",
        "auto_high",
        "worse_than_start",
        "minutes",
        "date",
        "commit",
        "recipe",
    ),
]


@dataclass(frozen=True)
class Cell:
    """A recipe of the evidence.

    Attributes:
        name: of the file, and of the run.
        path: of the recipe.
    """

    name: str
    path: Path

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What is in the file."""
        return yaml.safe_load(self.path.read_text(encoding="utf-8"))

    @property
    def digest(self) -> str:
        """Of what the recipe says, whatever its comments."""
        return hashlib.sha256(repr(sorted(self.recipe.items())).encode()).hexdigest()[:12]

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return RUNS / f"{self.name}-{self.digest}"

    def load(self) -> Task:
        """The task, with the metric of the recipe."""
        module = import_module(f"metricgrad.tasks.{self.recipe['task']}")
        task: Task = module.load(dict(self.recipe.get("data", {})))
        return replace(task, metric=self.recipe["metric"])


def cells() -> list[Cell]:
    """All of them, by name."""
    return [Cell(path.stem, path) for path in sorted(RECIPES.glob("*.yaml"))]


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table; none where there is no file yet."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def done() -> dict[str, str]:
    """The digest with which each cell was read."""
    return {row["cell"]: row["recipe"] for row in rows_of(CELLS)}


def trained(cell: Cell) -> Comparison:
    """Run the recipe as a user does, or go on with it, and read the folder.

    Raises:
        SystemExit: the command failed; what it said stands above.
    """
    command = [sys.executable, "-m", "metricgrad"]
    if (cell.run / "record.jsonl").exists():
        command += ["resume", str(cell.run)]
    else:
        command += ["compare", str(cell.path), "--run", str(cell.run)]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status:
        raise SystemExit(status)
    return Comparison.load(cell.run)


def told(cell: Cell, found: Comparison, commit: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of all arms, and the line of the cell."""
    task = cell.load()
    metric = metric_of(task)
    sign = 1 if metric.higher_is_better else -1
    statistics = statistics_of(found)
    grouping = grouping_of("test", task.splits, metric)
    table = Differences(metric, statistics, grouping, RESAMPLES)
    (opponent,) = [row for row in found.table if row.baseline]
    contenders = [row for row in found.table if row.role == "contender"]
    best = max(contenders, key=lambda row: sign * _known(row.select))
    line: dict[str, Any] = {
        "cell": cell.name,
        "task": cell.recipe["task"],
        "metric": found.metric,
        "better": "higher" if metric.higher_is_better else "lower",
        "units": len(next(iter(statistics.values()))[0]),
        "seeds": len(next(iter(statistics.values()))),
        "opponent": opponent.name,
        "opponent_value": shown(opponent.value, ".4f"),
        "best": best.name,
        "best_value": shown(best.value, ".4f"),
        **_gain(best, ("gain", "low", "high")),
        "arms_with_a_gain": " ".join(row.name for row in contenders if row.claim == "gain"),
        **_auto(found.table, table, sign),
        "worse_than_start": _worse(found, table),
        "minutes": shown(sum(row.seconds for row in found.table) / 60, ".1f"),
        "date": date.today().isoformat(),
        "commit": commit,
        "recipe": cell.digest,
    }
    return [_arm(cell, row, opponent, commit) for row in found.table], line


def _arm(cell: Cell, row: Row, opponent: Row, commit: str) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "arm": row.name,
        "role": row.role,
        "method": row.method,
        "test": shown(row.value, ".4f"),
        "low": shown(row.low, ".4f"),
        "high": shown(row.high, ".4f"),
        "argmax": shown(row.argmax, ".4f"),
        "select": shown(row.select, ".4f"),
        "opponent": opponent.name if row.role == "contender" else "",
        **_gain(row, ("gain", "gain_low", "gain_high")),
        "seconds": f"{row.seconds:.0f}",
        "commit": commit,
    }


def _gain(row: Row, names: Sequence[str]) -> dict[str, str]:
    ends = dict(zip(names, (row.gain, row.gain_low, row.gain_high), strict=True))
    shares = {name: shown(value, "+.4f") for name, value in ends.items()}
    return {**shares, "holm_p": shown(row.adjusted, ".3g"), "claim": row.claim or ""}


def _auto(rows: Iterable[Row], table: Differences, sign: int) -> dict[str, str]:
    """`auto` minus the arm that is best on test, where there is an `auto`."""
    by_name = {row.name: row for row in rows}
    if AUTO not in by_name:
        return {}
    first = max(
        (row for row in by_name.values() if row.name != AUTO), key=lambda row: sign * _known(row.value)
    )
    apart = table.interval({AUTO: float(sign), first.name: float(-sign)})
    ends = zip(("auto_minus", "auto_low", "auto_high"), (apart.value, apart.low, apart.high), strict=True)
    return {"auto_beside": first.name, **{name: shown(value, "+.4f") for name, value in ends}}


def _worse(found: Comparison, table: Differences) -> str:
    """Seeds whose returned model is worse on test than the start beyond its interval, of all: `0 of 5`."""
    chosen = found.result.event("chosen")
    assert chosen is not None  # the run is finished
    returned, seeds = chosen["returned"], table.seeds
    worse = 0
    for number, arm in enumerate(returned.values()):
        if arm == "start":
            continue
        one = Differences(
            table.metric,
            {name: [statistics_of(found)[name][number]] for name in ("start", arm)},
            table.grouping,
            RESAMPLES,
        )
        (claim,) = one.against("start")
        worse += claim.claim == "worse"
    return f"{worse} of {seeds}"


def _known(value: float | None) -> float:
    return float("-inf") if value is None else value


def put(path: Path, header: Sequence[str], cell: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a cell in place of those that the table has of it; cells stay in the order of their names."""
    kept = [row for row in rows_of(path) if row["cell"] != cell]
    every = sorted([*kept, *rows], key=lambda row: row["cell"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".new").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)
    path.with_suffix(".new").replace(path)


def commit_of_the_tree() -> str:
    """Short name of the commit, with `+` where files differ from it."""
    name = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    changed = subprocess.check_output(
        ["git", "status", "--porcelain", "src", "evidence/recipes"], cwd=ROOT, text=True
    )
    return name + ("+" if changed.strip() else "")


def fill(wanted: Sequence[Cell]) -> None:
    """Train the cells and write what they say; says what is left."""
    for number, cell in enumerate(wanted):
        print(f"evidence: {cell.name} ({number + 1} of {len(wanted)})", file=sys.stderr, flush=True)
        arms, line = told(cell, trained(cell), commit_of_the_tree())
        put(ARMS, OF_ARM, cell.name, arms)
        put(CELLS, OF_CELL, cell.name, [line])
        print(f"evidence: {cell.name}: {line['claim']}: {line['best']} {line['gain']}", flush=True)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="scripts/evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cells", nargs="*", metavar="CELL")
    parser.add_argument("--list", action="store_true", help="what is done, and what is left")
    parser.add_argument("--quick", action="store_true", help="the headlines of the README with one seed")
    asked = parser.parse_args()
    if asked.quick:
        raise SystemExit(quick())
    every, finished = cells(), done()
    unknown = sorted(set(asked.cells) - {cell.name for cell in every})
    if unknown:
        parser.error(
            f"there is no cell {unknown[0]}; expected one of {', '.join(cell.name for cell in every)}"
        )
    wanted = [cell for cell in every if not asked.cells or cell.name in asked.cells]
    left = [cell for cell in wanted if finished.get(cell.name) != cell.digest]
    if asked.list:
        for cell in wanted:
            print(f"{cell.name:28} {'left' if cell in left else 'done'}")
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    fill(left)


if __name__ == "__main__":
    main()
