"""`metricgrad predict`: the classes of new rows, by the model of a table in its folder."""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from metricgrad.cli.options import DelimiterOption, ForceOption
from metricgrad.cli.output import JsonOption, QuietOption, examples, noted, print_json

__all__ = ["EXAMPLES", "predict"]

EXAMPLES = examples(
    "metricgrad predict runs/mine new.csv", "metricgrad predict runs/mine new.parquet --out classes.csv"
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of `metricgrad adapt --table`.")]
RowsArgument = Annotated[
    Path,
    typer.Argument(metavar="ROWS", help="A .csv or .parquet file with the columns of the training table."),
]
OutOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write there (.csv); else ROWS-predicted.csv beside ROWS.")
]
IdColumnOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Names the rows; else they are counted from 1.")
]


def predict(
    run: RunArgument,
    rows: RowsArgument,
    out: OutOption = None,
    id_column: IdColumnOption = None,
    delimiter: DelimiterOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Predict the classes of new rows and write them as CSV: a row's id, its class, a probability per class.

    The class is decided by the rule of the run, not by the largest
    probability. The target may be among the columns; it is not read. Nothing
    in the folder is executed.
    """
    import warnings

    from metricgrad.cli.table_files import columns_of
    from metricgrad.cli.written import require_free, writing
    from metricgrad.errors import InputError
    from metricgrad.tabular import load_table_model

    path = out or rows.with_name(f"{rows.stem}-predicted.csv")
    require_free("predict", "--out", [path], [rows], force=force)
    model = load_table_model(run)
    with noted(quiet=quiet) as notes:
        table = columns_of(rows, delimiter, None, [column.name for column in model.encoder.schema.columns])
        if id_column is not None and id_column not in table.columns:
            raise InputError(f"{rows} has no column {id_column!r}; expected that of --id-column.")
        probabilities = model.probabilities(table.columns)
        for note in model.encoder.strange(table.columns):
            warnings.warn(note, stacklevel=2)
        decided = model.decide(probabilities)
    ids: list[Any] = list(range(1, len(decided) + 1)) if id_column is None else table.columns[id_column]
    header = [
        "row" if id_column is None else "id",
        model.target,
        *(f"score_{name}" for name in model.classes),
    ]
    with writing(path, "--out"), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for one, name, scores in zip(ids, decided, probabilities.tolist(), strict=True):
            writer.writerow([one, name, *(f"{score:.6g}" for score in scores)])
    counts = {name: decided.count(name) for name in model.classes}
    if as_json:
        found = {
            "run": str(run),
            "file": str(rows),
            "rows": len(decided),
            "target": model.target,
            "decided": counts,
        }
        print_json({**found, "written": str(path), "notes": notes})
        return
    many = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    typer.echo(f"{rows}: {len(decided):,} rows; {model.target}: {many}\nwritten: {path}")
