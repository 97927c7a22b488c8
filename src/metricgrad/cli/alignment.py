"""Tables of the same rows: put into one order by their ids, or as they stand; their targets must agree."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe
from metricgrad._labels import number_labels
from metricgrad._types import Metric
from metricgrad.cli.cells import id_key, spelt, value_key
from metricgrad.cli.columns import Measured
from metricgrad.cli.tables import Table
from metricgrad.errors import InputError

__all__ = ["Alignment", "aligned", "members", "require_equal", "require_one_reading", "taken"]

_SHOWN = 5


@dataclass(frozen=True)
class Alignment:
    """Which rows of some tables belong together.

    Attributes:
        rows: of each table the numbers of its rows, so that those of one place belong together.
        by: `id` or `order`.
        ids: of the places; None by order.
        left_out: of each table how many rows no other table shares.
    """

    rows: list[list[int]]
    by: str
    ids: list[str] | None
    left_out: list[int]


def aligned(tables: Sequence[Table], *, common: bool, by_order: bool) -> Alignment:
    """Find the rows that belong together: those of one id, the ids sorted; or those of one place.

    The order of the rows in the files says nothing where there are ids, so that it changes no draw of the interval.

    Args:
        tables: two or more; their ids are the cells of the column `--id`.
        common: leave out rows that some table lacks; otherwise they are refused.
        by_order: take no notice of ids.

    Raises:
        InputError: ids in some tables only; an id that is empty, comes twice or is missing in a table; other numbers of
            rows without ids.
    """
    first = tables[0]
    with_ids = [table for table in tables if "--id" in table.columns]
    if by_order or not with_ids:
        if common:
            raise InputError(
                "compare: --common needs ids; expected a column id in every file, or --id COLUMN."
            )
        for other in tables[1:]:
            if _length(other) != _length(first):
                raise InputError(
                    f"{other.path} has {_length(other):,} rows and {first.path} {_length(first):,}; expected the same "
                    "rows in the same order, or a column id in every file (--id COLUMN)."
                )
        every = list(range(_length(first)))
        return Alignment([every] * len(tables), "order", None, [0] * len(tables))
    if len(with_ids) < len(tables):
        bare = next(table for table in tables if "--id" not in table.columns)
        raise InputError(
            f"{with_ids[0].path} has a column of ids and {bare.path} has none; expected one in every file. "
            "--by-order takes the rows as they stand."
        )
    places = [_places(table) for table in tables]
    shared = set(places[0]).intersection(*places[1:])
    if not common:
        for other, found in zip(tables[1:], places[1:], strict=True):
            _require_same_ids(first, places[0], other, found)
    if not shared:
        raise InputError(
            f"no id of {first.path} occurs in all other files; expected the same rows in every file."
        )
    ids = sorted(shared)
    rows = [[found[one] for one in ids] for found in places]
    return Alignment(rows, "id", ids, [len(found) - len(ids) for found in places])


def require_equal(
    tables: Sequence[Table], column: str, what: str, alignment: Alignment, *, exact: bool
) -> None:
    """Refuse tables whose cells of a column differ from those of the first in a row that they share.

    Args:
        tables: that were aligned; those without the column are passed over.
        column: the name that `tables` have for it.
        what: the same for the message.
        alignment: of the tables.
        exact: whether texts must be the same sign by sign; else `1`, `1.0` and True are one value.

    Raises:
        InputError: with the row of both files, and both values.
    """
    key = _spelt_exactly if exact else value_key
    first, own = tables[0], alignment.rows[0]
    for other, theirs in zip(tables[1:], alignment.rows[1:], strict=True):
        if column not in other.columns:
            continue
        pairs = [
            (first.columns[column][a], other.columns[column][b]) for a, b in zip(own, theirs, strict=True)
        ]
        wrong = [place for place, (one, two) in enumerate(pairs) if key(one) != key(two)]
        if wrong:
            place = wrong[0]
            one, two = (describe(spelt(cell)) for cell in pairs[place])
            name = "" if alignment.ids is None else f" of the id {describe(alignment.ids[place])}"
            advice = (
                "Are the rows in the same order?" if alignment.ids is None else "Are these the same rows?"
            )
            raise InputError(
                f"the {what}{name} is {one} in {first.path} row {own[place] + 1} and {two} in {other.path} row "
                f"{theirs[place] + 1}; expected the same in all files ({len(wrong):,} of {len(pairs):,} rows differ). "
                f"{advice}"
            )


def members(table: Table, rows: Sequence[int]) -> Tensor:
    """The group of some rows, as a number [row].

    Raises:
        InputError: a missing group, with its row in the file.
    """
    cells = table.columns["--groups"]
    return taken(number_labels("compare", {f"the group of {table.path}": cells}).codes[0], rows)


def taken(values: Any, rows: Sequence[int]) -> Any:
    """The values of some rows, in their order: of a tensor, an array or a list."""
    if isinstance(values, Tensor):
        return values[torch.tensor(rows, dtype=torch.long)]
    return [values[row] for row in rows] if isinstance(values, list) else values[list(rows)]


def require_one_reading(metric: Metric, paths: Sequence[Path], found: Sequence[Measured]) -> None:
    """Refuse files of which the metric would be two different figures."""
    positive = [one.positive and value_key(one.positive) for one in found]
    for path, one, key in zip(paths, found, positive, strict=True):
        if key != positive[0]:
            raise InputError(
                f"{metric.name} of {paths[0]} is {_reading(found[0])}, that of {path} is {_reading(one)}; expected "
                "one reading. --positive-class names a class for all files."
            )
        if type(one.targets) is not type(found[0].targets):
            raise InputError(
                f"{metric.name} gets numbers of one of {paths[0]} and {path}, and texts of the other; expected cells "
                "of one type in both."
            )


def _reading(found: Measured) -> str:
    if found.positive is not None:
        return f"that of the class {describe(found.positive)}"
    return f"that of all {len(found.classes)} classes"


def _spelt_exactly(cell: Any) -> str:
    """A cell of texts as it stands there."""
    return cell if isinstance(cell, str) else spelt(cell)


def _length(table: Table) -> int:
    return len(table.columns["target"])


def _places(table: Table) -> dict[str, int]:
    """The row of each id of a table."""
    ids = [id_key(cell) for cell in table.columns["--id"]]
    if "" in ids:
        raise InputError(
            f"{table.path} row {ids.index('') + 1}: the id is an empty cell; expected one per row."
        )
    found = {one: row for row, one in enumerate(ids)}
    if len(found) < len(ids):
        twice = next(one for one, count in Counter(ids).items() if count > 1)
        rows = [row + 1 for row, one in enumerate(ids) if one == twice]
        raise InputError(
            f"{table.path} has the id {describe(twice)} in rows {rows[0]} and {rows[1]} ({len(ids) - len(found):,} "
            "rows repeat an id); expected each id once. --id names another column, --by-order takes the rows as they "
            "stand."
        )
    return found


def _require_same_ids(first: Table, own: dict[str, int], other: Table, theirs: dict[str, int]) -> None:
    parts = [
        f"{table.path} lacks {len(absent):,} of the {len(full):,} ids of {of.path} ({_some(absent)})"
        for table, of, full, absent in (
            (other, first, own, [one for one in own if one not in theirs]),
            (first, other, theirs, [one for one in theirs if one not in own]),
        )
        if absent
    ]
    if parts:
        raise InputError(
            f"{' and '.join(parts)}; expected the same ids in all files. --common compares the rows that all have."
        )


def _some(ids: Collection[str]) -> str:
    shown = ", ".join(describe(one) for one in list(ids)[:_SHOWN])
    return f"{shown}, ..." if len(ids) > _SHOWN else shown
