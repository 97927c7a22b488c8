"""Options of `metricgrad adapt --table`: which columns have which use."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "IdColumnOption",
    "SampleWeightOption",
    "TableOption",
    "TargetOption",
    "TestTableOption",
    "TimeOption",
    "TrainTableOption",
]

TableOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A .csv or .parquet file of rows: learn the column --target from the others."
    ),
]
TrainTableOption = Annotated[
    Path | None,
    typer.Option("--train", metavar="FILE", help="As --table, where --test is a file of its own."),
]
TestTableOption = Annotated[
    Path | None,
    typer.Option(
        "--test", metavar="FILE", help="Rows that judge, in place of a fifth of --table; read once."
    ),
]
TargetOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The classes that are learned from the table.")
]
TimeOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Dates or numbers of the rows: the latest ones judge.")
]
IdColumnOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Names the rows, and is not learned from.")
]
SampleWeightOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Weights of the rows in training; no metric is weighted.")
]
