"""Turn the R tables of the tasks into files of numbers and names: the second half of `scripts/fetch-data tables`.

    .venv/bin/python scripts/read_tables.py UNPACKED FOLDER

UNPACKED holds the unpacked Debian packages r-cran-mlbench and r-cran-kernlab. Each table is written to FOLDER as
NAME.safetensors if it has the digest that stands below, and the licence text of its package beside it.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad.tasks.table_file import Names, Table, write_table


@dataclass(frozen=True)
class Source:
    """Where a table is and what it must be.

    Attributes:
        package: of R, as in the name of the Debian package.
        file: its table, without ending.
        target: column of the classes.
        official: rows of the official training part, which come first in the file; None where there is none.
        digest: of the table.
    """

    package: str
    file: str
    target: str
    official: int | None
    digest: str


SOURCES = {
    "letters": Source(
        "mlbench", "LetterRecognition", "lettr", 16_000,
        "819c98093e33975748b22877504dee1b61b44f0924eda9b24466b25549e7ef0d",
    ),
    "satellite": Source(
        "mlbench", "Satellite", "classes", 4_435,
        "cbcf84e8858ea4b3532b8b9d2d39aba4c64c0906488362ac1ce355947b16c605",
    ),
    "shuttle": Source(
        "mlbench", "Shuttle", "Class", 43_500,
        "bea61d3db6ebc4c35e11f05bac3002b150efe70b5afa60dfc86960461764a5f8",
    ),
    "income": Source(
        "kernlab", "income", "INCOME", None,
        "a1b939f27ad3417a4934a2ebe67bf609a9854d58e9be2cf6d5f1ce3830fdf2bb",
    ),
}  # fmt: skip


def main() -> None:
    """Read every table, then write them all."""
    unpacked, folder = map(Path, sys.argv[1:])
    tables = {name: read(unpacked, source) for name, source in SOURCES.items()}
    for name, table in tables.items():
        if table.digest != SOURCES[name].digest:
            sys.exit(
                f"The table {name} of r-cran-{SOURCES[name].package} is not the one that the tasks were written for: "
                f"its sha256 is {table.digest}, expected {SOURCES[name].digest}. Nothing was written. "
                "Say so to the authors of metricgrad: the package has changed its data."
            )
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted({source.package for source in SOURCES.values()}):
        text = unpacked / "usr/share/doc" / f"r-cran-{package}" / "copyright"
        shutil.copyfile(text, folder / f"r-cran-{package}.copyright")
    for name, table in tables.items():
        write_table(folder / f"{name}.safetensors", table)


def read(unpacked: Path, source: Source) -> Table:
    """Read one R table: columns of numbers as they are, columns of levels as their numbers."""
    import pyreadr  # pyright: ignore[reportMissingImports]

    path = unpacked / "usr/lib/R/site-library" / source.package / "data" / f"{source.file}.rda"
    (frame,) = pyreadr.read_r(str(path)).values()
    columns = [name for name in frame.columns if name not in (source.target, "rownames")]
    levels = tuple(_levels(frame[name]) for name in columns)
    classes = _levels(frame[source.target])
    assert classes is not None
    features = np.stack([_numbers(frame[name]) for name in columns], axis=1).astype(np.float32)
    where = f"Debian package r-cran-{source.package} ({source.file}), licence in r-cran-{source.package}.copyright"
    names = Names(classes, tuple(columns), levels, source.official, where)
    return Table(features, frame[source.target].cat.codes.to_numpy().astype(np.int64), names)


def _levels(column: Any) -> tuple[str, ...] | None:
    """The names of the values of a column, or None for numbers."""
    return tuple(map(str, column.cat.categories)) if hasattr(column, "cat") else None


def _numbers(column: Any) -> np.ndarray:
    """The values of a column, float64; NaN is missing."""
    if not hasattr(column, "cat"):
        return column.to_numpy(dtype=np.float64)
    codes = column.cat.codes.to_numpy().astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


if __name__ == "__main__":
    main()
