"""`metricgrad compare`: two or more files of predictions of the same rows, with a paired interval of the difference."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricgrad.cli.options import (
    ColumnOption,
    ConfidenceOption,
    DecimalCommaOption,
    DelimiterOption,
    DirectionOption,
    GroupsOption,
    HeaderOption,
    LabelsOption,
    PositiveClassOption,
    ReferenceLabelsOption,
    ResamplesOption,
    SeedOption,
)
from metricgrad.cli.output import JsonOption, examples, noted, print_json
from metricgrad.errors import InputError

if TYPE_CHECKING:
    from metricgrad._types import Metric
    from metricgrad.cli.compare_files import Rows
    from metricgrad.cli.naming import Said
    from metricgrad.cli.progress import Drawing

__all__ = ["EXAMPLES", "compare"]

EXAMPLES = examples(
    "metricgrad compare old.csv new.csv --metric f1",
    "metricgrad compare a.parquet b.parquet c.parquet --metric roc_auc --groups patient --json",
    "metricgrad compare old.npy new.npy --labels y.csv --metric recall@1",
)

TABLES, ARRAYS = (".csv", ".tsv", ".parquet", ".pq"), (".npy",)

FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILES...", help="Two or more .csv, .tsv, .parquet or .npy files.")
]
MetricOption = Annotated[
    str | None, typer.Option(help="A name (see list), or package.module:name of a callable.")
]
BaselineOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The file that the others are compared with; the first one."),
]
IdOption = Annotated[
    str | None, typer.Option("--id", metavar="COLUMN", help="Which rows belong together; else the column id.")
]
ByOrderOption = Annotated[
    bool, typer.Option("--by-order", help="Rows belong together as they stand, whatever their ids are.")
]
CommonOption = Annotated[
    bool, typer.Option("--common", help="Compare the rows whose id is in all files; leave out the others.")
]
ReferencesOption = Annotated[
    list[Path] | None,
    typer.Option(help="Rank these items (.npy): one file for each of FILES, in their order."),
]


def compare(
    what: FilesArgument,
    metric: MetricOption = None,
    baseline: BaselineOption = None,
    ids: IdOption = None,
    by_order: ByOrderOption = False,
    common: CommonOption = False,
    groups: GroupsOption = None,
    labels: LabelsOption = None,
    reference: ReferencesOption = None,
    reference_labels: ReferenceLabelsOption = None,
    higher_is_better: DirectionOption = None,
    positive_class: PositiveClassOption = None,
    delimiter: DelimiterOption = None,
    column: ColumnOption = None,
    header: HeaderOption = None,
    decimal_comma: DecimalCommaOption = False,
    confidence: ConfidenceOption = 0.95,
    resamples: ResamplesOption = 2000,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare files of predictions (or embeddings) of the same rows: is one better, and how sure is that?

    FILES are read as `metricgrad evaluate` reads them: tables with target and
    prediction or score; or .npy arrays of embeddings, whose --labels serve all.

    Rows belong together by a column id (or --id), in any order; without one
    as they stand. Ids that a file lacks and targets that differ are refused.

    Every file is compared with the first one, or with --baseline. The interval
    is that of the difference: the same rows (or whole --groups; in retrieval
    whole classes) are drawn for all files. A unit that is undefined in one file
    is left out of all. With three files or more Holm's adjustment keeps the
    chance of any false claim at 1 - confidence.

    It speaks of these predictions, not of the methods that made them: another
    seed of the same method would give another file.
    """
    kind = _kind(what)
    if metric is None:
        raise InputError("compare: no --metric is given; expected a name that `metricgrad list` knows.")
    if not 0 < confidence < 1:
        raise InputError(
            f"compare: --confidence is {confidence}; expected a share between 0 and 1, such as 0.95."
        )
    from metricgrad.cli.compare_files import arm_names
    from metricgrad.cli.compare_verdict import document, draw
    from metricgrad.cli.named import metric_named
    from metricgrad.cli.naming import Said, assigned
    from metricgrad.cli.progress import Drawing

    exact, paths = metric_named(metric, higher_is_better), [Path(one) for one in what]
    arms = arm_names(paths)
    if baseline is not None and baseline not in arms:
        raise InputError(
            f"compare: --baseline is {baseline!r}; expected one of the files: {', '.join(arms)}."
        )
    said = Said(delimiter, assigned(column or ()), header, decimal_comma)
    of_tables = {
        "ids": ids,
        "by_order": by_order,
        "common": common,
        "groups": groups,
        "positive_class": positive_class,
    }
    of_arrays = {"labels": labels, "references": reference or [], "reference_labels": reference_labels}
    draws: dict[str, Any] = {"resamples": resamples, "confidence": confidence, "seed": seed}
    with noted() as notes, Drawing() as progress:
        rows = _rows(kind, exact, paths, said, of_tables, of_arrays, progress)
        found = document(exact, arms, rows, baseline or arms[0], progress, **draws)
    if as_json:
        print_json({**found, "notes": notes})
    else:
        draw(found)


def _kind(what: Sequence[str]) -> tuple[str, ...]:
    """What the arguments are; InputError for a mixture, and for one file alone."""
    endings = [Path(one).suffix.lower() for one in what]
    kinds = {next((kind for kind in (TABLES, ARRAYS) if ending in kind), ()) for ending in endings}
    if kinds == {()}:
        raise InputError(
            f"compare: {what[0]!r} is no .csv, .tsv, .parquet or .npy file; expected two or more files of one kind."
        )
    if len(kinds) > 1:
        raise InputError(
            f"compare: {', '.join(what)} are of several kinds; expected two or more tables (.csv, .tsv, .parquet), or "
            "two or more arrays of embeddings (.npy)."
        )
    if len(what) == 1:
        raise InputError(
            f"compare: {what[0]} is one file; expected two or more. `metricgrad evaluate` measures one."
        )
    return kinds.pop()


def _rows(
    kind: tuple[str, ...],
    exact: "Metric",
    paths: list[Path],
    said: "Said",
    of_tables: dict[str, Any],
    of_arrays: dict[str, Any],
    progress: "Drawing",
) -> "Rows":
    """Read and measure the files; InputError for options of the other kind of files."""
    from metricgrad.cli.compare_files import of_embedding_files, of_prediction_files

    roles = {f"--column {role}": name for role, name in said.columns.items()}
    label = {role: roles.pop(role) for role in ("--column label",) if role in roles}
    if kind == ARRAYS:
        others = {**_options(of_tables), "--decimal-comma": said.decimal_comma, **roles}
        _refuse(others, "tables of predictions, not with embeddings")
        return of_embedding_files(exact, paths, said=said, progress=progress, **of_arrays)
    others = {**_options(of_arrays), "--header": said.header is not None, **label}
    _refuse(others, ".npy files of embeddings, not with tables")
    if of_tables["by_order"] and of_tables["ids"] is not None:
        raise InputError("compare: --by-order came with --id; expected one of them.")
    return of_prediction_files(exact, paths, said, **of_tables)


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the option that gives them."""
    spelt = {"ids": "--id", "references": "--reference"}
    return {spelt.get(name, f"--{name.replace('_', '-')}"): value for name, value in given.items()}


def _refuse(options: Mapping[str, Any], place: str) -> None:
    for option, value in options.items():
        if value:
            raise InputError(f"compare: {option} goes with {place}.")
