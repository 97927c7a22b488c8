"""The page of statistics shows the simulated table, its promise holds there, and a part of it comes out again."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.interval_coverage import CSV, Case, cases, measured, table
from metricgrad.differences import Differences
from metricgrad.metrics import adapt

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
    assert len(held) == 49 and min(held) >= 92 and max(held) <= 98


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


@pytest.mark.parametrize("figure", ["accuracy, two files", "F1, two files"])
def test_rows_of_two_files_come_out_again(figure: str) -> None:
    """100 repetitions of the first 1,000: within four standard errors."""
    case = Case(figure, 100, "single")
    (row,) = [row for row in rows() if all(row[key] == str(value) for key, value in case._asdict().items())]
    assert abs(float(measured(case, 100)["covered"]) - float(row["covered"])) <= 9


@pytest.mark.slow
def test_four_models_that_are_no_better_are_seldom_claimed_to_be() -> None:
    """Holm's adjustment: a false claim of any kind in at most 5 % of 400 comparisons, four standard errors granted."""
    random, metric = np.random.default_rng(0), adapt("accuracy")
    single = false = 0
    for _ in range(400):
        common = random.normal(size=200)
        tables = [torch.from_numpy(common + random.normal(size=200) > 0).double()[:, None] for _ in range(5)]
        arms = {str(number): [table] for number, table in enumerate(tables)}
        found = Differences(metric, arms, None, 500, seed=int(random.integers(2**31))).against("0")
        single += any(one.p_value is not None and one.p_value <= 0.05 for one in found)
        false += any(one.claim in ("gain", "worse") for one in found)
    assert false / 400 <= 0.05 + 4 * (0.05 * 0.95 / 400) ** 0.5
    assert single > 1.5 * false  # what the adjustment is for
