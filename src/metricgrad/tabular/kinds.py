"""What a column of a table holds: numbers, dates or categories, seen from its cells alone."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metricgrad.tabular.cells import DATE_FORMS, day_of, is_code, is_missing, number_of, text_of

__all__ = ["Column", "Dropped", "Kind", "column_of"]

Kind = Literal["number", "category", "date"]

NUMBERS = 0.9
"""Share of the cells that are there, from which on a column with texts in it is one of numbers."""
FEW = 10
"""Different numbers, from which on that is believed: codes such as 1, 2, x are categories."""
LEAST_ROWS = 20
"""From which on values that are all different are believed to name the rows."""
LEVELS = 100
"""Levels of a category that are told apart: the most frequent ones."""


@dataclass(frozen=True)
class Column:
    """A column that a model reads.

    Attributes:
        name: in the table.
        kind: `number`, `category` or `date`.
        form: of dates; empty for other kinds.
        comma: whether numbers are written with decimal commas.
        distinct: how many different values there are, without missing ones.
        missing: how many cells are missing.
        note: what a reader should know of it; empty where there is nothing.
    """

    name: str
    kind: Kind
    form: str = ""
    comma: bool = False
    distinct: int = 0
    missing: int = 0
    note: str = ""

    def value(self, cell: Any) -> float | None:
        """The number of a cell in a column of numbers or dates; None where it is missing or something else."""
        if is_missing(cell):
            return None
        return day_of(cell, self.form) if self.kind == "date" else number_of(cell, comma=self.comma)


@dataclass(frozen=True)
class Dropped:
    """A column that no model reads.

    Attributes:
        name: in the table.
        why: the reason, as a part of a sentence.
    """

    name: str
    why: str


def column_of(name: str, cells: Sequence[Any]) -> Column | Dropped:
    """Say what a column holds.

    Args:
        name: of the column.
        cells: texts of a CSV file; of Parquet numbers, bools, texts and None.

    Returns:
        The column, or why it is left out: no value, one value in all rows, another value in every row that names it.

    Edge cases:
        A few texts among numbers count as missing, with a note; numbers and texts mixed are categories. Digits with a
        leading zero are codes, and these are categories. Of dates in days and months that can be read in two ways, the
        day comes first, with a note.

    Cost: one pass over the different values.

    Example:
        >>> column_of("size", ["1,5", "", "2,25"]).kind, column_of("size", ["1,5", "", "2,25"]).comma
        ('number', True)
        >>> column_of("unit", ["kg"] * 3).why
        "it has the value 'kg' in all rows"
    """
    counts = Counter(cell for cell in cells if not is_missing(cell))
    missing, there = len(cells) - counts.total(), len({text_of(cell) for cell in counts})
    if not counts:
        return Dropped(name, "it has no value in any row")
    if there == 1 and not missing:
        return Dropped(name, f"it has the value {_shown(next(iter(counts)))} in all rows")
    found = _numbers(counts, cells) or _dates(counts) or _categories(counts)
    if why := _names_rows(found, counts, cells, missing):
        return Dropped(name, why)
    return Column(name, found.kind, found.form, found.comma, there, missing, found.note)


def _numbers(counts: "Counter[Any]", cells: Sequence[Any]) -> Column | None:
    """A column of numbers; None where it is none."""
    if any(isinstance(cell, bool) for cell in counts) or any(map(is_code, counts)):
        return None
    plain = {cell for cell in counts if number_of(cell) is not None}
    commas = {cell for cell in counts if cell not in plain and number_of(cell, comma=True) is not None}
    texts = [cell for cell in counts if cell not in plain and cell not in commas]
    share = 1 - sum(counts[cell] for cell in texts) / counts.total()
    if texts and (share < NUMBERS or len(plain) + len(commas) < FEW):
        return None
    notes = []
    if texts:
        first = next(row for row, cell in enumerate(cells, 1) if cell in set(texts))
        many = sum(counts[cell] for cell in texts)
        notes.append(
            f"{many:,} of {counts.total():,} cells are no numbers, first {_shown(cells[first - 1])} in row {first}: "
            "they count as missing"
        )
    if commas and any("." in str(cell) for cell in plain):
        notes.append("numbers have decimal points in some rows and decimal commas in others: both are read")
    elif commas and all(_in_thousands(cell) for cell in commas):
        shown = _shown(next(iter(commas)))
        notes.append(f"{shown} is read with a decimal comma; write numbers without marks of thousands")
    return Column("", "number", comma=bool(commas), note="; ".join(notes))


def _in_thousands(cell: str) -> bool:
    """Whether three digits follow the comma."""
    return len(cell.strip().rpartition(",")[2]) == 3


def _dates(counts: "Counter[Any]") -> Column | None:
    """A column of dates; None where it is none."""
    fits = [form for form in DATE_FORMS if all(day_of(cell, form) is not None for cell in counts)]
    if not fits:
        return None
    both = {"%d/%m/%Y", "%m/%d/%Y"} <= set(fits)
    return Column(
        "", "date", fits[0], note="days and months fit both ways: the day is read first" if both else ""
    )


def _categories(counts: "Counter[Any]") -> Column:
    """A column of categories."""
    texts = {text_of(cell) for cell in counts}
    notes = []
    numbers = sum(many for cell, many in counts.items() if number_of(cell, comma=True) is not None)
    if any(map(is_code, counts)) and numbers == counts.total():
        notes.append("digits with a leading zero are codes, not numbers")
    elif 0 < numbers < counts.total() and not any(isinstance(cell, bool) for cell in counts):
        notes.append(
            f"{numbers:,} cells are numbers and {counts.total() - numbers:,} are texts: all are categories"
        )
    if len(texts) > LEVELS:
        notes.append(
            f"{len(texts):,} levels: the {LEVELS} most frequent ones are told apart, the others are one"
        )
    return Column("", "category", note="; ".join(notes))


def _names_rows(found: Column, counts: "Counter[Any]", cells: Sequence[Any], missing: int) -> str:
    """Why a column says nothing but which row it is; empty where it says more."""
    if missing or len(cells) < LEAST_ROWS or len(counts) < len(cells):
        return ""
    if found.kind == "category":
        return "every row has another text: it names the rows, or is prose"
    values = sorted(found.value(cell) or 0.0 for cell in cells)
    steps = {later - earlier for earlier, later in itertools.pairwise(values)}
    return "it counts the rows" if found.kind == "number" and steps == {1.0} else ""


def _shown(cell: Any) -> str:
    """A cell in a note."""
    text = repr(cell.strip() if isinstance(cell, str) else cell)
    return text if len(text) <= 40 else f"{text[:37]}...'"
