"""From the cells of a table to what is learned: parts, schema and arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from metricgrad._checks import describe, fail
from metricgrad._types import Metric
from metricgrad.tabular.cells import is_missing
from metricgrad.tabular.encoded import fit_encoder
from metricgrad.tabular.job import Job
from metricgrad.tabular.kinds import Dropped, column_of
from metricgrad.tabular.schema import schema_of
from metricgrad.tabular.splits import parts_of

__all__ = ["Question", "prepared"]


@dataclass(frozen=True)
class Question:
    """What is asked of a table.

    Attributes:
        metric: of decided classes.
        target: the column of the classes.
        texts: the class of each row.
        classes: by number.
        positive: the one that counts as positive, the last; None where there is none.
        test: numbers of the rows that are test; None: a fifth is drawn.
        groups: the column of rows that belong together.
        time: the column by which rows are ordered.
        ids: the column that names the rows.
        weight: the column of the weights in training.
        seed: of all draws.
    """

    metric: Metric
    target: str
    texts: Sequence[str]
    classes: Sequence[str]
    positive: str | None = None
    test: Int64[np.ndarray, "_"] | None = None
    groups: str | None = None
    time: str | None = None
    ids: str | None = None
    weight: str | None = None
    seed: int = 0


def prepared(table: Mapping[str, Sequence[Any]], question: Question, *, tabm: bool) -> Job:
    """Part the rows, infer the schema of those that train, and make arrays of all by facts of fit.

    Args:
        table: cells by column, the target among them or not.
        question: what is asked.
        tabm: whether the network will be TabM.

    Returns:
        What is learned.

    Raises:
        InputError: a column that is not there; weights that are no positive numbers; times that are none; rows that
            cannot be parted; nothing to learn from.
    """
    aside = {
        question.groups: "it says which rows belong together",
        question.time: "it orders the rows",
        question.ids: "it names the rows",
        question.weight: "it weighs the rows",
    }
    aside = {name: why for name, why in aside.items() if name is not None}
    for name in aside:
        if name not in table:
            raise fail("adapt --table", f"there is no column {describe(name)}", "a column of the table")
    numbers = {name: number for number, name in enumerate(question.classes)}
    y = np.array([numbers[text] for text in question.texts], dtype=np.int64)
    groups = None if question.groups is None else list(table[question.groups])
    times = None if question.time is None else _times(question.time, table[question.time])
    parts = parts_of(y, test=question.test, groups=groups, time=times, seed=question.seed)
    features = {name: cells for name, cells in table.items() if name != question.target}
    training = parts.training.tolist()
    schema = schema_of(
        {name: [cells[row] for row in training] for name, cells in features.items()},
        [str(question.texts[row]) for row in training],
        question.target,
        aside,
    )
    fit = parts.fit.tolist()
    read = [column.name for column in schema.columns]
    encoder = fit_encoder(schema, {name: [features[name][row] for row in fit] for name in read})
    weight = None if question.weight is None else _weights(question.weight, table[question.weight])
    return Job(
        question.metric,
        question.target,
        tuple(question.classes),
        question.positive,
        encoder,
        encoder.read(features),
        y,
        weight,
        groups,
        parts,
        question.seed,
        tabm,
    )


def _times(name: str, cells: Sequence[Any]) -> list[float]:
    """Numbers that order rows."""
    found = column_of(name, cells)
    values = [] if isinstance(found, Dropped) else [found.value(cell) for cell in cells]
    if isinstance(found, Dropped) and "counts" in found.why:
        values = [float(cell) for cell in cells]
    if not values or any(value is None for value in values):
        row = next((row for row, value in enumerate(values, 1) if value is None), 1)
        raise fail(
            "adapt --table",
            f"--time {name} has {describe(cells[row - 1])} in row {row}",
            "a date or number per row",
        )
    return [value for value in values if value is not None]


def _weights(name: str, cells: Sequence[Any]) -> Float64[np.ndarray, "row"]:
    """Weights of the rows, their mean 1."""
    found = column_of(name, cells)
    why = f" ({found.why})" if isinstance(found, Dropped) else ""
    values = [None if isinstance(found, Dropped) or is_missing(cell) else found.value(cell) for cell in cells]
    wrong = next((row for row, value in enumerate(values, 1) if value is None or value < 0), None)
    if wrong is not None:
        raise fail(
            "adapt --table",
            f"--sample-weight {name} has {describe(cells[wrong - 1])} in row {wrong}{why}",
            "numbers >= 0 that differ",
        )
    array = np.array(values, dtype=np.float64)
    return array / array.mean()
