"""Rows as arrays: facts of the training rows alone, missing and unknown values, what is written is read back."""

import json

import numpy as np
import pytest

from metricgrad.errors import InputError
from metricgrad.tabular.encoded import Encoder, encoder_of_document, fit_encoder
from metricgrad.tabular.schema import schema_of

TABLE = {
    "x": ["1", "2", "3", "", "4"] * 8,
    "day": ["1970-01-01", "1970-01-03"] * 20,
    "colour": ["red", "blue", "red", "", "red"] * 8,
}


def encoder() -> Encoder:
    """Fitted to the table."""
    return fit_encoder(schema_of(TABLE, ["a", "b"] * 20, "y"), TABLE)


def test_dense_rows() -> None:
    """Numbers in deviations, a mark for a missing one, a column per level: computed by hand."""
    made = encoder()
    assert made.features == ["x", "day", "x is missing", "colour = red", "colour = blue", "colour is missing"]
    there = np.array([1.0, 2.0, 3.0, 4.0])
    rows = made.dense(made.read({"x": ["4", ""], "day": ["1970-01-02", "?"], "colour": ["blue", "green"]}))
    np.testing.assert_allclose(rows[0], [(4 - there.mean()) / there.std(), 0, 0, 0, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(rows[1], [0, 0, 1, 0, 0, 0])


def test_rows_of_trees() -> None:
    """Categories first; missing cells and unknown levels are NaN."""
    made = encoder()
    rows = made.columns(made.read({"x": ["4", ""], "day": ["1970-01-02", "?"], "colour": ["blue", "green"]}))
    np.testing.assert_array_equal(rows, [[1, 4, 1], [np.nan, np.nan, np.nan]])


def test_other_rows_change_nothing() -> None:
    """Means, levels and pieces are those of the training rows, whatever is read later."""
    made = encoder()
    before = made.document()
    made.dense(made.read({"x": ["1e9"], "day": ["2020-01-01"], "colour": ["green"]}))
    assert made.document() == before


def test_ten_thousand_levels() -> None:
    """A hundred are told apart, each with two rows at least; the others share one column."""
    cells = [f"l{row}" for row in range(10_000)] + [f"l{row}" for row in range(150)]
    table = {"c": cells}
    made = fit_encoder(schema_of(table, ["a", "b"] * (len(cells) // 2), "y"), table)
    assert len(made.features) == 101 and made.features[-1] == "c = another level"
    rows = made.dense(made.read({"c": ["l9999", "l0", "never"]}))
    assert rows[0, -1] == rows[2, -1] == 1 and rows[1, -1] == 0 and (rows.sum(1) == 1).all()


def test_strange_cells_are_told() -> None:
    """Text among numbers and unknown levels of new rows."""
    notes = encoder().strange({"x": ["4", "four"], "day": ["soon", ""], "colour": ["green", "red"]})
    assert len(notes) == 3
    assert "x: 1 cells are no numbers, first 'four'" in notes[0] and "1 cells are no dates" in notes[1]
    assert "1 cells have a level that no training row has" in notes[2]


def test_a_column_that_is_not_there() -> None:
    """It is named."""
    with pytest.raises(InputError, match="no column 'day'"):
        encoder().read({"x": ["1"], "colour": ["red"]})


def test_an_encoder_is_read_back() -> None:
    """Through JSON; damaged documents are refused."""
    made = encoder()
    document = json.loads(json.dumps(made.document()))
    assert encoder_of_document(document) == made
    for wrong in (None, {}, {**document, "numbers": []}, {**document, "levels": [{"levels": 3}]}):
        with pytest.raises(InputError, match="encoder file"):
            encoder_of_document(wrong)
