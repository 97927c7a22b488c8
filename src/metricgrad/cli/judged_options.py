"""Options of commands on queries, documents and judgements."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "CorpusIdsOption",
    "CorpusOption",
    "CorpusTextsOption",
    "DepthOption",
    "PerQueryOption",
    "QrelsOption",
    "QueriesOption",
    "QueryIdsOption",
    "QueryTextsOption",
    "RunFileOption",
    "SaveRunOption",
    "VectorColumnOption",
]

_IDS = "File of ids, one per row, or the column of a table. Default: the usual column, or the file beside."
_TEXTS = "File of texts, one per row, where the judgements name exact texts."

QueriesOption = Annotated[
    Path | None, typer.Option(help="Vectors that ask (.npy, .parquet, .safetensors, .csv).")
]
CorpusOption = Annotated[Path | None, typer.Option(help="Vectors that are ranked for each query.")]
QrelsOption = Annotated[
    Path | None, typer.Option(help="Which documents are relevant: BEIR, TREC, JSON lines or a table.")
]
QueryIdsOption = Annotated[str | None, typer.Option(metavar="FILE|COLUMN", help=_IDS)]
CorpusIdsOption = Annotated[str | None, typer.Option(metavar="FILE|COLUMN", help=_IDS)]
QueryTextsOption = Annotated[Path | None, typer.Option(metavar="FILE", help=_TEXTS)]
CorpusTextsOption = Annotated[Path | None, typer.Option(metavar="FILE", help=_TEXTS)]
VectorColumnOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of lists, columns as dim_*, or tensor that holds the vectors."),
]
RunFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A TREC run, measured as it is ranked.")
]
SaveRunOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the ranking there, as a TREC run.")
]
DepthOption = Annotated[
    int | None, typer.Option(min=1, help="Documents per query of --save-run. Default: 1000.")
]
PerQueryOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the metrics of every judged query there (.csv).")
]
