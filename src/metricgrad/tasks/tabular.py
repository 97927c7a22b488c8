"""What the tasks on tables share: numbers for a network, its two hidden layers, splits in batches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metricgrad._documents import WholeField
from metricgrad.tasks.divisions import class_by_class
from metricgrad.tasks.table_file import Table, read_table, table_file
from metricgrad.tasks.task import Task
from metricgrad.tune import ArraySplit, Plan, Splits

__all__ = ["Rows", "TableOptions", "divided", "measured_task", "one_hot", "standardised", "table_task"]

WIDTH = 128
"""Of either hidden layer."""

SHARES = (0.75, 0.25)
"""Share of fit and select in the rows of an official training part."""

_BUDGET = {
    "metric": "macro_f1",
    "plan": Plan(steps=300, evaluate_every=15),
    "proxy_settings": {"learning_rate": 1e-3},
    "start_plan": Plan(steps=3000, evaluate_every=50),
    "start_settings": {"learning_rate": 3e-3, "schedule": "constant"},
}
"""What a task has unless it says otherwise."""


class TableOptions(BaseModel):
    """What can be chosen of a task on a table.

    Args:
        batch: rows of a fit batch.
        split_seed: of the division of the rows.
        folder: of the table; null for the first that has it of $METRICGRAD_DATA/tables and the user's cache folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: WholeField = Field(default=512, ge=2, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    folder: Path | None = None


class Rows(NamedTuple):
    """The rows of each split."""

    fit: Int[np.ndarray, "row"]
    select: Int[np.ndarray, "row"]
    test: Int[np.ndarray, "row"]


def divided(table: Table, shares: Sequence[float], seed: int) -> Rows:
    """Divide the rows of a table class by class.

    Args:
        table: where it has an official training part, the other rows are test and fit and select come from that part.
        shares: of fit and select; where there is an official part they are shares of it, and the rest of it is unused.
        seed: of the division.
    """
    if table.names.official is None:
        return Rows(*class_by_class(table.targets, shares, seed))
    trained = np.arange(table.names.official)
    fit, select, _ = class_by_class(table.targets[trained], shares, seed)
    return Rows(fit, select, np.arange(len(trained), len(table.targets)))


def standardised(
    features: Float[np.ndarray, "row column"], fit: Int[np.ndarray, "row_of_fit"]
) -> Float32[np.ndarray, "row column"]:
    """Give every column mean 0 and deviation 1 on fit; one that is constant there becomes 0."""
    numbers = features.astype(np.float64)
    mean, deviation = numbers[fit].mean(0), numbers[fit].std(0)
    return np.where(deviation > 0, (numbers - mean) / np.where(deviation > 0, deviation, 1), 0).astype(
        np.float32
    )


def one_hot(table: Table) -> Float32[np.ndarray, "row level"]:
    """Code a table whose columns all have levels: a column of 0 and 1 for each level, and one for a missing value."""
    coded = []
    for values, levels in zip(table.features.T, table.names.levels, strict=True):
        count = len(levels or ())
        numbers = np.where(np.isnan(values), count, values).astype(np.int64)
        coded.append(np.eye(count + 1, dtype=np.float32)[numbers])
    return np.concatenate(coded, axis=1)


def table_task(
    name: str,
    table: Table,
    inputs: Float32[np.ndarray, "row column"],
    rows: Rows,
    *,
    batch: int,
    seed: int,
    **settings: Any,
) -> Task:
    """Make the task: a network of two hidden layers, trained with cross-entropy.

    Args:
        name: of the task.
        table: its targets and what they mean.
        inputs: of the network.
        rows: of each split.
        batch: rows of a fit batch.
        seed: of the order of fit.
        settings: fields of the task that are not the usual ones.
    """

    def part(index: np.ndarray, **more: Any) -> ArraySplit:
        return ArraySplit(torch.from_numpy(inputs[index]), torch.from_numpy(table.targets[index]), **more)

    classes = table.names.classes
    return Task(
        name=name,
        splits=Splits(
            part(rows.fit, batch=batch, shuffle=True, seed=seed),
            part(rows.select, batch=4096),
            part(rows.test, batch=4096),
            classes=classes,
        ),
        model=lambda _seed: _network(inputs.shape[1], len(classes)),
        proxy=nn.functional.cross_entropy,
        facts={"table": table.digest},
        **{**_BUDGET, **settings},
    )


def measured_task(name: str, options: Mapping[str, Any] | TableOptions, **settings: Any) -> Task:
    """Make the task of a table of numbers with an official training part, which is divided class by class.

    Args:
        name: of the task and of the table.
        options: see `TableOptions`.
        settings: fields of the task that are not the usual ones.

    Raises:
        InputError: the table is not there, or damaged.
    """
    chosen = options if isinstance(options, TableOptions) else TableOptions(**options)
    table = read_table(table_file(name, name, chosen.folder), task=name)
    rows = divided(table, SHARES, chosen.split_seed)
    inputs = standardised(table.features, rows.fit)
    return table_task(name, table, inputs, rows, batch=chosen.batch, seed=chosen.split_seed, **settings)


def _network(columns: int, classes: int) -> nn.Module:
    """Two hidden layers and a score for each class."""
    return nn.Sequential(
        nn.Linear(columns, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, classes)
    )
