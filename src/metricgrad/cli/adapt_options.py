"""Options of `metricgrad adapt`: how items are parted, what is trained, and how much."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ApplyOption",
    "CurveOption",
    "DoorArgument",
    "ExportOption",
    "FitIdsOption",
    "GroupsFileOption",
    "MethodsOption",
    "MetricOption",
    "MinutesOption",
    "OutOption",
    "QuickOption",
    "SeedsOption",
    "SelectIdsOption",
    "SideOption",
    "SplitOption",
    "StepsOption",
    "TestIdsOption",
]

SplitOption = Annotated[
    str | None,
    typer.Option(
        metavar="class|query|document|both",
        help="What is new in test: class or query (new items of known classes) with labels; query, both or document "
        "with judgements.",
    ),
]
SideOption = Annotated[
    str | None,
    typer.Option(
        metavar="both|query|document",
        help="What is mapped: both (the default), or query: documents stay as they are, so that no index is rebuilt. "
        "With --apply and --export: whose map, query or document.",
    ),
]
GroupsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        metavar="FILE|COLUMN",
        help="One group per item or query (a file like --labels; of --table a column): none is torn apart.",
    ),
]
_PART = "Ids (row numbers where there are none), one per line: {} in place of a split by chance."
FitIdsOption = Annotated[Path | None, typer.Option(help=_PART.format("what is fitted"))]
SelectIdsOption = Annotated[Path | None, typer.Option(help=_PART.format("what chooses"))]
TestIdsOption = Annotated[Path | None, typer.Option(help=_PART.format("what is read once"))]
MethodsOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="A,B,...",
        help="What trains on from the best closed form, named as tune does; none: closed forms alone.",
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Training steps of every arm and try, at most. Default: 200, for large maps 100."
    ),
]
MetricOption = Annotated[
    str | None, typer.Option(help="Default: recall@1 with labels, ndcg@10 with judgements.")
]
MinutesOption = Annotated[float | None, typer.Option(help="Budget of the whole run, in place of steps.")]
SeedsOption = Annotated[
    int,
    typer.Option(min=1, max=1000, help="Trainings of every arm; three or more let a claim name the method."),
]
QuickOption = Annotated[
    bool,
    typer.Option("--quick", help="One setting per arm and 100 steps: a first look in a quarter of the time."),
]
DoorArgument = Annotated[
    Path | None,
    typer.Argument(metavar="X|RUN", help="With --apply: the vectors to map. With --export: the run folder."),
]
ApplyOption = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Map the vectors X by the map of this run folder, into --out."),
]
ExportOption = Annotated[
    str | None,
    typer.Option(
        metavar="onnx|sentence-transformers", help="Write the map of the folder RUN in this form, to --out."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Of --apply: a .npy. Of --export: an .onnx, or a new folder of sentence-transformers. Of --table: the "
        "folder of the run.",
    ),
]
CurveOption = Annotated[
    bool,
    typer.Option(
        "--curve/--no-curve",
        help="Try 10 % and 30 % of fit as well, on select, to see whether more data would help: a third more time.",
    ),
]
