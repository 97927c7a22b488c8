"""Options that several commands on files have in common."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ColumnOption",
    "ConfidenceOption",
    "DecimalCommaOption",
    "DecisionOption",
    "DelimiterOption",
    "DirectionOption",
    "FolderOption",
    "ForceOption",
    "GroupNamesOption",
    "GroupsOption",
    "HeaderOption",
    "IdOption",
    "LabelsOption",
    "MetricTimeoutOption",
    "PositiveClassOption",
    "ProcessesOption",
    "RayOption",
    "ReferenceLabelsOption",
    "ResamplesOption",
    "SeedOption",
    "TrustOption",
]


def _folder_named(text: str) -> Path:
    """A folder by its name; an unset variable of the shell is none."""
    if not text.strip():
        raise typer.BadParameter("the name is empty; expected a folder, or leave the option out")
    return Path(text)


FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        "--run-folder",
        parser=_folder_named,
        metavar="FOLDER",
        help="Run folder (the long word under torchrun). Default: runs/TASK-METRIC-NUMBER.",
    ),
]
LabelsOption = Annotated[Path | None, typer.Option(help="A .npy, .csv or .parquet file, one label per item.")]
ReferenceLabelsOption = Annotated[Path | None, typer.Option(help="Labels of --reference.")]
DirectionOption = Annotated[
    bool | None,
    typer.Option("--higher-is-better/--lower-is-better", help="For a callable that does not say it itself."),
]
MetricTimeoutOption = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Of one call of a metric that is a program (cmd:). Default: 60."),
]
PositiveClassOption = Annotated[
    str | None,
    typer.Option(help="The class that counts as positive where the names do not say it (0/1, no/yes do)."),
]
DelimiterOption = Annotated[str | None, typer.Option(help="Of the CSV files: comma, semicolon, tab or pipe.")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT=NAME",
        help="The column that holds the label, target, prediction or score (of each class: score=p_*); several times.",
    ),
]
HeaderOption = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether label files of one column begin with its name."),
]
DecimalCommaOption = Annotated[
    bool, typer.Option("--decimal-comma", help="Numbers of PREDICTIONS are written as 0,5.")
]
DecisionOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|argmax|RULE",
        help="How class scores become classes, in every arm alike; auto fits a rule on select.",
    ),
]
GroupNamesOption = Annotated[
    bool | None,
    typer.Option(
        "--group-names/--no-group-names",
        help="Whether the report names the groups of test (patients, classes), and does not number them.",
    ),
]
GroupsOption = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Of PREDICTIONS: samples of one group (a patient) go together."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Write over files that are there.")]
IdOption = Annotated[
    str | None,
    typer.Option("--id", metavar="COLUMN", help="The column that names the rows; else the column id."),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|HOST:PORT", help="Train the cells (seed, arm, try) of a contest on this Ray cluster."
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="Train the cells of a contest in this many processes of this machine."
    ),
]
ConfidenceOption = Annotated[float, typer.Option(help="How often the interval should hold the truth.")]
ResamplesOption = Annotated[int, typer.Option(min=1, max=1_000_000, help="Draws of groups for the interval.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the draws.")]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="Run the programs (cmd:) that the file of the recipe names as metrics."),
]
