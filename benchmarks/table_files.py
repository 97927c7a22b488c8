"""Three tables of the project as CSV files: what docs/adapt-table.md runs `metricgrad adapt --table` on.

    .venv/bin/python -m benchmarks.table_files data/

writes page-blocks0.csv, income-train.csv and income-test.csv, letters-train.csv (the long tail), letters-both.csv (with
select) and letters-test.csv. The test files hold the test rows of the tasks; `scripts/fetch-data` brings the tables.
"""

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from metricgrad.tasks import imbalanced_f1, income, letters_long_tail
from metricgrad.tasks.divisions import long_tail
from metricgrad.tasks.table_file import Table, read_table, table_file
from metricgrad.tasks.tabular import divided

PAGE_BLOCKS = (
    "height", "length", "area", "eccen", "p_black", "p_and", "mean_tr", "blackpix", "blackand", "wb_trans", "class",
)  # fmt: skip


def cells_of(table: Table, targets: Sequence[str]) -> list[list[str]]:
    """Every row as text: names of levels, plain numbers, nothing where a value is missing, the class last."""
    levels = table.names.levels
    return [
        [*(_cell(value, names) for value, names in zip(row, levels, strict=True)), target]
        for row, target in zip(table.features, targets, strict=True)
    ]


def _cell(value: float, names: Sequence[str] | None) -> str:
    if np.isnan(value):
        return ""
    return f"{value:g}" if names is None else names[int(value)]


def write(path: Path, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([list(columns), *rows])
    print(path)


def write_page_blocks(folder: Path) -> None:
    """All rows in one file, which `adapt` divides itself."""
    features, targets = imbalanced_f1.read_table(imbalanced_f1.table_file())
    names = ("negative", "positive")
    rows = [
        [*(f"{value:g}" for value in row), names[target]]
        for row, target in zip(features, targets, strict=True)
    ]
    write(folder / "page-blocks0.csv", PAGE_BLOCKS, rows)


def write_income(folder: Path) -> None:
    """The task's fit and select together, and its test rows; brackets are numbers, as they have an order."""
    table = read_table(table_file("income", "income"), task="income")
    rows = cells_of(table, [str(target) for target in table.targets])
    parts = divided(table, income.SHARES, 0)
    columns = [*table.names.columns, "bracket"]
    write(folder / "income-train.csv", columns, [rows[row] for row in (*parts.fit, *parts.select)])
    write(folder / "income-test.csv", columns, [rows[row] for row in parts.test])


def write_letters(folder: Path) -> None:
    """The long tail of the task's fit, the same with its select, and its test rows."""
    table = read_table(table_file("letters_long_tail", "letters"), task="letters_long_tail")
    rows = cells_of(table, [table.names.classes[target] for target in table.targets])
    parts = divided(table, letters_long_tail.SHARES, 0)
    fit = parts.fit[long_tail(table.targets[parts.fit], 100, 0)]
    columns = [*table.names.columns, "letter"]
    write(folder / "letters-train.csv", columns, [rows[row] for row in fit])
    write(folder / "letters-both.csv", columns, [rows[row] for row in (*fit, *parts.select)])
    write(folder / "letters-test.csv", columns, [rows[row] for row in parts.test])


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for made in (write_page_blocks, write_income, write_letters):
        made(folder)


if __name__ == "__main__":
    main()
