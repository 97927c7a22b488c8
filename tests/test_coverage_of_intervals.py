"""The page of statistics shows the simulated table, its promise holds there, and a part of it comes out again."""

import csv
from pathlib import Path

import pytest

from benchmarks.interval_coverage import CSV, Case, cases, measured, table

PAGE = Path(__file__).parent.parent / "docs" / "statistics.md"


def rows() -> list[dict[str, str]]:
    """The table as it was simulated."""
    with CSV.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_page_shows_the_table() -> None:
    """Line for line."""
    assert table(rows()) in PAGE.read_text(encoding="utf-8")
    assert len(rows()) == len(list(cases()))


def test_intervals_hold_from_twenty_groups_on() -> None:
    """Between 92 and 98 %, for every figure, size of groups and number of seeds."""
    held = [float(row["covered"]) for row in rows() if int(row["groups"]) >= 20]
    assert len(held) == 36 and min(held) >= 92 and max(held) <= 98


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        Case("mean, difference", 20, "unequal"),
        Case("F1, difference", 20, "unequal"),
        Case("mean, difference", 20, "unequal", 3, 1.0),
    ],
)
def test_a_part_of_the_table_comes_out_again(case: Case) -> None:
    """200 repetitions of the first 1,000: within four standard errors of the table, which has the same seed."""
    (row,) = [row for row in rows() if all(row[key] == str(value) for key, value in case._asdict().items())]
    assert abs(float(measured(case, 200)["covered"]) - float(row["covered"])) <= 6.5
