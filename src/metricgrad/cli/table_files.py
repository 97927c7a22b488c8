"""The files of `metricgrad adapt --table`: cells by column, and what is asked of them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metricgrad._checks import describe, nearest
from metricgrad._types import Metric
from metricgrad.cli.cells import class_texts, is_number
from metricgrad.cli.columns import Predictions
from metricgrad.cli.tables import Table, read_table
from metricgrad.errors import InputError
from metricgrad.tabular.prepared import Question
from metricgrad.tabular.splits import LEAST

__all__ = ["columns_of", "read_question"]

_MOST_CLASSES = 1_000
_ROWS_PER_CLASS = 5


def read_question(
    given: Mapping[str, Any], metric: Metric
) -> tuple[dict[str, list[Any]], Question, list[str]]:
    """Read the table, or the tables for training and test.

    Args:
        given: the options of the command by name.
        metric: of decided classes.

    Returns:
        The cells of all rows by column, what is asked, and what was read, in words.

    Raises:
        InputError: an option or a file does not fit.
    """
    path, target = _path_and_target(given)
    table = columns_of(path, given["delimiter"], target)
    cells, words, test = dict(table.columns), [_told(table)], None
    if given["test"] is not None:
        judged = columns_of(given["test"], given["delimiter"], target)
        _require_columns(judged, table)
        rows = len(cells[target])
        cells = {name: [*one, *judged.columns[name]] for name, one in cells.items()}
        test = np.arange(rows, len(cells[target]))
        words.append(f"test: {_told(judged)}")
    if len(cells[target]) < LEAST:
        raise InputError(
            f"{path} has {len(cells[target])} rows; expected at least {LEAST}: fewer can judge nothing."
        )
    texts = class_texts(path, {target: cells[target]})[target]
    _require_classes(path, target, texts)
    if test is not None:
        known = set(texts[: test[0]])
        unknown = sorted(set(texts) - known)
        if unknown:
            raise InputError(
                f"{given['test']} has the class {describe(unknown[0])}, which no row of {path} has; expected classes "
                "that can be learned. Leave such rows out, or add some to the training table."
            )
    classes, positive = _order(path, texts, metric, given["positive_class"])
    metric.measure(
        torch.arange(len(classes)), torch.arange(len(classes))
    )  # one of other classes is refused now
    learned = texts if test is None else texts[: test[0]]
    counts = {name: learned.count(name) for name in classes[:20]}
    shown = ", ".join(f"{name} {many:,}" for name, many in counts.items()) + (
        ", ..." if len(classes) > 20 else ""
    )
    named = "" if positive is None else f", positive {positive}"
    words.append(f"target {target}: {len(classes)} classes ({shown}){named}")
    groups = None if given["groups"] is None else str(given["groups"])
    asked = {
        "groups": groups,
        "time": given["time"],
        "ids": given["id_column"],
        "weight": given["sample_weight"],
    }
    for option, name in asked.items():
        if name is not None and name not in cells:
            said = {"ids": "id-column", "weight": "sample-weight"}.get(option, option)
            raise InputError(
                f"{path} has no column {describe(name)}, that of --{said}. {nearest(name, cells)}"
            )
    question = Question(metric, target, texts, classes, positive, test, seed=given["seed"], **asked)
    return cells, question, words


def columns_of(path: Path, delimiter: str | None, target: str | None, usual: Collection[str] = ()) -> Table:
    """All columns of a table.

    Args:
        path: of the file.
        delimiter: its name; None: the one by which a column that is expected is a cell of the first line.
        target: a column that must be there.
        usual: others that are expected.

    Raises:
        InputError: no such file, no table, no target in it, two columns of one name.
    """

    def wanted(names: list[str]) -> list[str]:
        if target is not None and target not in names:
            raise InputError(
                f"{path} has the columns {describe(', '.join(names))}; expected {describe(target)}, that of --target, "
                f"among them. {nearest(target, names)}"
            )
        return names

    expected = {name.lower() for name in (*usual, target or "")} - {""}
    return read_table(path, expected, wanted, delimiter)


def _path_and_target(given: Mapping[str, Any]) -> tuple[Path, str]:
    """The file that is learned from, and the column; InputError where an option lacks."""
    if given["table"] is not None and given["train"] is not None:
        raise InputError("adapt: --table and --train came together; expected one of them.")
    path: Path | None = given["table"] or given["train"]
    if given["train"] is not None and given["test"] is None:
        raise InputError(
            "adapt: --train came without --test; expected both, or --table, of which a fifth is test."
        )
    assert path is not None  # one of them came: that is this door
    if given["target"] is None:
        raise InputError(f"adapt: {path} came without --target; expected the column of the classes to learn.")
    return path, given["target"]


def _told(table: Table) -> str:
    """A file in words."""
    rows = len(next(iter(table.columns.values())))
    parted = "" if table.delimiter is None else f", parted by a {table.delimiter}"
    return f"{table.path}: {rows:,} rows, {len(table.names):,} columns{parted}"


def _require_columns(judged: Table, table: Table) -> None:
    """Refuse a test table that lacks a column."""
    lacking = [name for name in table.names if name not in judged.columns]
    if lacking:
        raise InputError(
            f"{judged.path} has no column {describe(lacking[0])}; expected all {len(table.names)} columns of "
            f"{table.path}."
        )


def _require_classes(path: Path, target: str, texts: Sequence[str]) -> None:
    """Refuse one class, and values that are no classes."""
    seen = set(texts)
    if len(seen) < 2:
        raise InputError(
            f"{path}: {target} is {describe(texts[0])} in all rows; expected two classes at least."
        )
    fraction = all(map(is_number, seen)) and any(not float(text).is_integer() for text in seen)
    if fraction or len(seen) > min(_MOST_CLASSES, max(20, len(texts) // _ROWS_PER_CLASS)):
        raise InputError(
            f"{path}: {target} has {len(seen):,} different values in {len(texts):,} rows; expected classes, with "
            f"{_ROWS_PER_CLASS} rows each or more. Numbers that are measured must be cut into classes first."
        )


def _order(
    path: Path, texts: Sequence[str], metric: Metric, positive: str | None
) -> tuple[list[str], str | None]:
    """The classes by number and the positive one, as `metricgrad decide` numbers them."""
    seen = sorted(set(texts))
    columns: dict[str, list[Any]] = {"target": list(seen)}
    columns |= {f"score_{name}": [float(name == one) for one in seen] for name in seen}
    return Predictions(Table(path, list(columns), columns, None), positive).decided_by_scores(metric)
