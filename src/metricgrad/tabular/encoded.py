"""Rows of a table as arrays, for networks and for trees, by facts of the training rows alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64
from pydantic import TypeAdapter, ValidationError

from metricgrad._checks import describe, fail
from metricgrad.tabular.cells import is_missing, text_of
from metricgrad.tabular.kinds import LEVELS, Column
from metricgrad.tabular.schema import Schema, schema_of_document

__all__ = ["Encoder", "LevelFacts", "NumberFacts", "Raw", "encoder_of_document", "fit_encoder"]

BINS = 8
"""Pieces of a number for a network, at most: of equal shares of the training rows."""
_FAR = 10.0
"""Deviations from the mean beyond which all numbers are alike to a network."""


class Raw(NamedTuple):
    """Rows of a table as numbers and levels.

    Attributes:
        numbers: of columns of numbers and dates; NaN is missing.
        codes: of categories: the number of the level, the number of levels for any other one, -1 for missing.
    """

    numbers: Float64[np.ndarray, "row number"]
    codes: Int64[np.ndarray, "row category"]

    def of(self, rows: Int64[np.ndarray, " some"]) -> "Raw":
        """Some of the rows."""
        return Raw(self.numbers[rows], self.codes[rows])


@dataclass(frozen=True)
class NumberFacts:
    """What the training rows say of a column of numbers or dates.

    Attributes:
        mean: of the values that are there.
        deviation: of them; 1 where they are all equal.
        gaps: whether values are missing.
        edges: of the pieces, in deviations from the mean, ascending.
    """

    mean: float
    deviation: float
    gaps: bool
    edges: tuple[float, ...]


@dataclass(frozen=True)
class LevelFacts:
    """What the training rows say of a category.

    Attributes:
        levels: that are told apart, the most frequent first.
        other: whether there are others.
        gaps: whether values are missing.
    """

    levels: tuple[str, ...]
    other: bool
    gaps: bool


@dataclass(frozen=True)
class Encoder:
    """Turns rows into arrays; it knows the training rows and nothing else.

    Attributes:
        schema: of the table.
        numbers: facts of the columns of numbers and dates, in the order of the schema.
        levels: facts of the categories, in the order of the schema.
    """

    schema: Schema
    numbers: tuple[NumberFacts, ...]
    levels: tuple[LevelFacts, ...]

    @property
    def number_columns(self) -> tuple[Column, ...]:
        """Columns of numbers and dates."""
        return self.schema.of_kind("number", "date")

    @property
    def category_columns(self) -> tuple[Column, ...]:
        """Columns of categories."""
        return self.schema.of_kind("category")

    def read(self, table: Mapping[str, Sequence[Any]]) -> Raw:
        """Read cells as numbers and levels; text in a column of numbers is missing, a level that is new another one.

        Raises:
            InputError: a column is not there.
        """
        lacking = [column.name for column in self.schema.columns if column.name not in table]
        if lacking:
            raise fail(
                "the table",
                f"it has no column {describe(lacking[0])}",
                "every column that the model was trained on",
            )
        rows = len(table[self.schema.columns[0].name])
        numbers = np.full((rows, len(self.numbers)), np.nan)
        for place, column in enumerate(self.number_columns):
            known = {cell: column.value(cell) for cell in set(table[column.name])}
            numbers[:, place] = [
                np.nan if known[cell] is None else known[cell] for cell in table[column.name]
            ]
        codes = np.full((rows, len(self.levels)), -1, dtype=np.int64)
        for place, (column, facts) in enumerate(zip(self.category_columns, self.levels, strict=True)):
            codes[:, place] = _codes(table[column.name], facts.levels)
        return Raw(numbers, codes)

    def strange(self, table: Mapping[str, Sequence[Any]]) -> list[str]:
        """Sentences on cells that the training rows had none of: texts among numbers, unknown levels."""
        notes = []
        for column in self.number_columns:
            wrong = [
                cell for cell in table[column.name] if not is_missing(cell) and column.value(cell) is None
            ]
            if wrong:
                what = "dates" if column.kind == "date" else "numbers"
                notes.append(
                    f"{column.name}: {len(wrong):,} cells are no {what}, first {describe(wrong[0])}: they count as "
                    "missing"
                )
        for column, facts in zip(self.category_columns, self.levels, strict=True):
            if not facts.other and (codes := _codes(table[column.name], facts.levels)) is not None:
                many = sum(code == len(facts.levels) for code in codes)
                if many:
                    notes.append(f"{column.name}: {many:,} cells have a level that no training row has")
        return notes

    def dense(self, raw: Raw) -> Float32[np.ndarray, "row feature"]:
        """Rows for a network: numbers in deviations from their mean (0 where missing), then columns of 0 and 1."""
        mean, deviation = (
            np.array([getattr(one, name) for one in self.numbers]) for name in ("mean", "deviation")
        )
        scaled = np.clip((raw.numbers - mean) / deviation, -_FAR, _FAR)
        absent = np.isnan(raw.numbers)
        parts = [np.where(absent, 0.0, scaled)]
        parts += [absent[:, [place]] for place, one in enumerate(self.numbers) if one.gaps]
        for place, facts in enumerate(self.levels):
            marks = np.arange(len(facts.levels) + 1)
            parts.append(raw.codes[:, [place]] == (marks if facts.other else marks[:-1]))
            if facts.gaps:
                parts.append(raw.codes[:, [place]] == -1)
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def columns(self, raw: Raw) -> Float64[np.ndarray, "row column"]:
        """Rows for trees: categories first, as numbers of levels, then numbers as they are; NaN is missing.

        A level that no training row has is missing, too.
        """
        codes = raw.codes.astype(np.float64)
        for place, facts in enumerate(self.levels):
            known = len(facts.levels) + facts.other
            codes[(codes[:, place] < 0) | (codes[:, place] >= known), place] = np.nan
        return np.concatenate([codes, raw.numbers], axis=1)

    @property
    def features(self) -> list[str]:
        """Names of what `dense` returns."""
        columns = self.number_columns
        names = [column.name for column in columns]
        names += [
            f"{column.name} is missing" for column, one in zip(columns, self.numbers, strict=True) if one.gaps
        ]
        for column, facts in zip(self.category_columns, self.levels, strict=True):
            names += [f"{column.name} = {level}" for level in facts.levels]
            names += [f"{column.name} = another level"] * facts.other + [
                f"{column.name} is missing"
            ] * facts.gaps
        return names

    def document(self) -> dict[str, Any]:
        """The encoder as JSON writes it."""
        facts = {name: [asdict(one) for one in getattr(self, name)] for name in ("numbers", "levels")}
        return {"schema": self.schema.document(), **facts}


def fit_encoder(schema: Schema, table: Mapping[str, Sequence[Any]]) -> Encoder:
    """Learn means, deviations, pieces and levels from training rows.

    Args:
        schema: of the table.
        table: cells of the training rows by column.

    Returns:
        The encoder.

    Edge cases:
        A level of a single training row is no level: it counts with the others, beyond the 100 most frequent.

    Cost: O(cells), and a sort per column of numbers.

    Example:
        >>> from metricgrad.tabular.schema import schema_of
        >>> table = {"x": ["1", "2", "3", "4"] * 5, "c": ["a", "a", "b", "b"] * 5}
        >>> encoder = fit_encoder(schema_of(table, ["0", "1", "0", "0"] * 5, "y"), table)
        >>> encoder.features, encoder.dense(encoder.read({"x": ["2.5", ""], "c": ["b", "z"]})).tolist()
        (['x', 'c = a', 'c = b'], [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    """
    plain = Encoder(schema, (), ())
    levels = tuple(_levels(table[column.name]) for column in plain.category_columns)
    numbers = tuple(_number_facts(column, table[column.name]) for column in plain.number_columns)
    return Encoder(schema, numbers, levels)


def _number_facts(column: Column, cells: Sequence[Any]) -> NumberFacts:
    """Mean, deviation and pieces of a column."""
    found = [column.value(cell) for cell in cells]
    there = np.array([value for value in found if value is not None])
    if not len(there):
        return NumberFacts(0.0, 1.0, True, ())
    mean, deviation = float(there.mean()), float(there.std())
    deviation = deviation if deviation > 0 else 1.0
    edges = np.unique(np.quantile((there - mean) / deviation, np.linspace(0, 1, BINS + 1)))
    kept = tuple(np.clip(edges, -_FAR, _FAR).tolist()) if len(edges) > 2 else ()
    return NumberFacts(mean, deviation, len(there) < len(found), tuple(dict.fromkeys(kept)))


def _levels(cells: Sequence[Any]) -> LevelFacts:
    """The levels of a category."""
    counts = Counter(text_of(cell) for cell in cells if not is_missing(cell))
    ordered = sorted(counts, key=lambda text: (-counts[text], text))
    levels = tuple(text for text in ordered[:LEVELS] if counts[text] > 1)
    return LevelFacts(levels, len(levels) < len(counts), counts.total() < len(cells))


def _codes(cells: Sequence[Any], levels: Sequence[str]) -> list[int]:
    """Numbers of the levels of cells."""
    number = {level: place for place, level in enumerate(levels)}
    known = {cell: -1 if is_missing(cell) else number.get(text_of(cell), len(levels)) for cell in set(cells)}
    return [known[cell] for cell in cells]


def encoder_of_document(document: Any) -> Encoder:
    """Make an encoder of what `Encoder.document` returned; InputError for anything else."""
    if not isinstance(document, dict) or not {"schema", "numbers", "levels"} <= set(document):
        raise fail("an encoder file", describe(document), "schema, numbers and levels")
    schema = schema_of_document(document["schema"])
    try:
        numbers = TypeAdapter(tuple[NumberFacts, ...]).validate_python(document["numbers"])
        levels = TypeAdapter(tuple[LevelFacts, ...]).validate_python(document["levels"])
    except ValidationError as error:
        first = error.errors()[0]
        raise fail(
            "an encoder file", f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "written facts"
        ) from error
    found = Encoder(schema, numbers, levels)
    if (len(found.number_columns), len(found.category_columns)) != (len(numbers), len(levels)):
        raise fail(
            "an encoder file", "facts of other columns than those of its schema", "facts of each column"
        )
    return found
