"""What a table holds, by its cells alone: every kind of bad and odd column with an input of its own."""

import numpy as np
import pytest

from metricgrad.errors import InputError
from metricgrad.tabular.kinds import Column, Dropped, column_of
from metricgrad.tabular.schema import schema_of, schema_of_document


def found(cells: list) -> Column:
    """The column of some cells."""
    column = column_of("c", cells)
    assert isinstance(column, Column), column
    return column


@pytest.mark.parametrize(
    ("cells", "kind", "value"),
    [
        (["1", "2.5", "-3e2"], "number", -300.0),
        (["1,5", "2,25", "NA"], "number", 2.25),
        (["1.234,5", "2,25"], "number", 1234.5),
        ([1, 2.5, None], "number", 2.5),
        (["2024-02-29", "", "1970-01-11"], "date", 10.0),
        (["29.02.2024", "11.01.1970"], "date", 10.0),
        (["12/25/2020", "01/11/1970"], "date", 10.0),
        (["1970-01-11T12:00:00", "2024-05-01 07:30"], "date", 10.5),
    ],
)
def test_kinds_with_a_value(cells: list, kind: str, value: float) -> None:
    """Numbers in every spelling, dates in every form; one cell of each has the value."""
    column = found(cells)
    assert column.kind == kind
    assert value in [column.value(cell) for cell in cells]


@pytest.mark.parametrize(
    "cells", [["a", "b"], [True, False], ["007", "12"], ["1", "2", "x"], ["2024-01-01", "soon"]]
)
def test_categories(cells: list) -> None:
    """Texts, truth values, codes with a leading zero, few numbers beside a text, dates beside a text."""
    assert found(cells).kind == "category"


@pytest.mark.parametrize(
    "cell", ["", "NA", "n/a", "NaN", "null", "None", "?", None, float("nan"), float("inf")]
)
def test_missing_cells(cell: object) -> None:
    """They are counted, and none of them is a level or a number."""
    assert (found(["a", cell, "b"]).missing, found(["a", cell, "b"]).distinct) == (1, 2)
    assert found([1.0, cell, 2.0]).kind == "number" and found([1.0, cell, 2.0]).missing == 1


def test_text_in_a_column_of_numbers_is_told() -> None:
    """It counts as missing, and the note names the first one and its row."""
    column = found([*map(str, range(50)), "broken", "7"])
    assert column.kind == "number" and column.value("broken") is None
    assert "'broken' in row 51" in column.note


def test_notes() -> None:
    """Mixed spellings, dates that fit both ways, mixed kinds, codes, thousands, many levels."""
    assert "decimal commas in others" in found(["1.5", "2,5", "3"]).note
    assert "day is read first" in found(["01/02/2020", "03/04/2021"]).note
    assert found(["01/02/1970", "03/04/2021"]).value("01/02/1970") == 31.0
    assert "2 cells are numbers and 2 are texts" in found(["1", "2", "x", "y"]).note
    assert "leading zero" in found(["007", "12"]).note
    assert "marks of thousands" in found(["1,234", "2,500"]).note
    many = [f"level {row % 10_000}" for row in range(20_000)]
    assert "10,000 levels: the 100 most frequent" in found(many).note


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["x"] * 30, "'x' in all rows"),
        (["", None, "NA"], "no value in any row"),
        ([f"id-{row}" for row in range(30)], "names the rows"),
        (list(range(100, 130)), "counts the rows"),
    ],
)
def test_left_out(cells: list, why: str) -> None:
    """Constant columns, empty ones, and those that only say which row it is."""
    column = column_of("c", cells)
    assert isinstance(column, Dropped) and why in column.why


def test_different_numbers_are_kept() -> None:
    """A measurement has another value in every row, and it is no count of the rows."""
    assert found(np.random.default_rng(0).normal(size=40).tolist()).kind == "number"


def test_the_target_under_another_name_is_told() -> None:
    """A copy by other words is warned of; a column that helps is not."""
    targets = ["yes", "no", "no", "yes"] * 15
    table = {"verdict": ["1", "0", "0", "1"] * 15, "helps": ["a", "b", "b", "b"] * 15}
    schema = schema_of(table, targets, "label")
    assert len(schema.warnings) == 1 and schema.warnings[0].startswith("verdict tells label in every row")
    assert any("verdict" in line and line.startswith("warning") for line in schema.words())


def test_columns_aside_and_nothing_left() -> None:
    """What has another use is left out with its reason; a table with nothing else is refused."""
    schema = schema_of({"g": ["1", "2"], "x": ["3", "4"]}, ["a", "a"], "y", {"g": "it parts the rows"})
    assert [one.name for one in schema.columns] == ["x"]
    assert "left out: g: it parts the rows" in schema.words()
    with pytest.raises(InputError, match=r"no column is left to learn from.*c: it has the value"):
        schema_of({"c": ["1", "1"]}, ["a", "b"], "y")


def test_a_schema_is_read_back() -> None:
    """What is written is what was inferred; a damaged one is refused."""
    schema = schema_of({"x": ["1,5", "2"], "d": ["2024-01-01", ""], "k": ["k", "k"]}, ["a", "b"], "y")
    document = schema.document()
    assert schema_of_document(document) == schema
    document["columns"][0]["kind"] = "colour"
    with pytest.raises(InputError, match="a schema file"):
        schema_of_document(document)
