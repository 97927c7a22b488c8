"""Boosted trees with and without class weights, each with the rule, on select: do weighted trees earn their minutes?

    .venv/bin/python -m benchmarks.table_files data/
    .venv/bin/python -m benchmarks.table_trees data/

prints one line per table. Trees learn from all of fit until select gets no better; rules are cross-fitted on select.
The test rows are not looked at.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metricgrad.cli.table_files import read_question
from metricgrad.decision import fit_rule
from metricgrad.metrics import adapt
from metricgrad.tabular.boosting import TreeRows, boosted
from metricgrad.tabular.job import WHOLE, Job
from metricgrad.tabular.prepared import prepared

TABLES: tuple[tuple[str, dict[str, str]], ...] = (
    ("f1", {"table": "page-blocks0.csv", "target": "class", "positive_class": "positive"}),
    ("quadratic_kappa", {"train": "income-train.csv", "test": "income-test.csv", "target": "bracket"}),
    ("macro_f1", {"train": "letters-train.csv", "test": "letters-test.csv", "target": "letter"}),
)
"""Metrics and options of `metricgrad adapt`, as on the page about tables."""
OPTIONS = (
    "table",
    "train",
    "test",
    "delimiter",
    "groups",
    "time",
    "id_column",
    "sample_weight",
    "positive_class",
)


def job_of(folder: Path, metric: str, options: dict[str, str]) -> Job:
    """The table as the command reads it, with seed 0."""
    given: dict[str, Any] = {**dict.fromkeys(OPTIONS), **options, "seed": 0}
    given |= {name: folder / options[name] for name in ("table", "train", "test") if name in options}
    exact = adapt(metric)
    cells, question, _ = read_question(given, exact)
    return prepared(cells, question, tabm=False)


def weighted(rows: TreeRows, classes: int) -> TreeRows:
    """The rows with inverse class frequencies as weights, 1 in the mean."""
    counts = np.bincount(rows.y, minlength=classes)
    return replace(rows, weight=len(rows.y) / (np.count_nonzero(counts) * counts[rows.y]))


def measured(job: Job, fit: TreeRows) -> tuple[float, float]:
    """The metric of trees with the rule on select, and the seconds of training."""
    began, select, classes = time.monotonic(), job.columns.of(job.parts.select), len(job.classes)
    categories = len(job.encoder.levels)
    trees = boosted(fit, select, categories=categories, classes=classes, seconds=600, seed=job.seed)
    seconds, y = time.monotonic() - began, torch.from_numpy(select.y)
    scores = torch.from_numpy(trees.forest.probabilities(select.x))
    decided = fit_rule(scores, y, job.metric, "auto", inputs="probabilities").decisions
    return float(job.metric.summarise(job.metric.measure(decided, y))), seconds


def main() -> None:
    """Print a line per table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for metric, options in TABLES:
        job = job_of(folder, metric, options)
        fit = job.columns.of(job.learning(WHOLE))
        plain, heavy = measured(job, fit), measured(job, weighted(fit, len(job.classes)))
        print(
            f"{options['target']}, {metric}: plain {plain[0]:.4f} ({plain[1]:.0f} s), "
            f"weighted {heavy[0]:.4f} ({heavy[1]:.0f} s)"
        )


if __name__ == "__main__":
    main()
