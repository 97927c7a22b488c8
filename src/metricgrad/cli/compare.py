"""`metricgrad compare`: files of predictions of the same rows, or methods that are trained in one contest."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from metricgrad.cli.options import (
    ColumnOption,
    ConfidenceOption,
    DecimalCommaOption,
    DecisionOption,
    DelimiterOption,
    DirectionOption,
    FolderOption,
    GroupNamesOption,
    GroupsOption,
    HeaderOption,
    IdOption,
    LabelsOption,
    MetricTimeoutOption,
    PositiveClassOption,
    ProcessesOption,
    RayOption,
    ReferenceLabelsOption,
    ResamplesOption,
    SeedOption,
    TrustOption,
)
from metricgrad.cli.output import AssignmentsOption, JsonOption, QuietOption, examples
from metricgrad.errors import InputError

__all__ = ["EXAMPLES", "compare"]

EXAMPLES = examples(
    "metricgrad compare old.csv new.csv --metric f1",
    "metricgrad compare a.parquet b.parquet c.parquet --metric roc_auc --groups patient --json",
    "metricgrad compare old.npy new.npy --labels y.csv --metric recall@1",
    "metricgrad compare digits --methods surrogate:recall_at_k,surrogate:average_precision --steps 200",
    "metricgrad compare recipe.yaml --seeds 5 --equal time --csv table.csv",
    "OMP_NUM_THREADS=1 metricgrad compare recipe.yaml --seeds 5 --processes 4",
    "metricgrad compare recipe.yaml --seeds 5 --ray auto",
)

TABLES, ARRAYS, RUN = "tables of predictions", ".npy files of embeddings", "a task or a recipe"
"""What may be compared."""

_ENDINGS = {".csv": TABLES, ".tsv": TABLES, ".parquet": TABLES, ".pq": TABLES, ".npy": ARRAYS}
_ALWAYS = {"what", "metric", "higher_is_better", "metric_timeout", "as_json"}
_FILES = {*_ALWAYS, "baseline", "delimiter", "column", "confidence", "resamples", "seed"}
_OPTIONS = {
    TABLES: {*_FILES, "ids", "by_order", "common", "groups", "positive_class", "decimal_comma"},
    ARRAYS: {*_FILES, "labels", "reference", "reference_labels", "header"},
    RUN: {
        *_ALWAYS,
        "methods",
        "controls",
        "seeds",
        "steps",
        "minutes",
        "equal",
        "decision",
        "group_names",
        "run",
        "csv",
        "ray",
        "processes",
        "assignments",
        "trust",
        "quiet",
    },
}
"""Which parameters of the command go with which of them."""
_SPELT = {"ids": "--id", "assignments": "--set"}

WhatArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES...|TASK|RECIPE.yaml",
        help="Two or more .csv, .tsv, .parquet or .npy files; or a task or recipe whose methods are trained.",
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(help="A name (see list), package.module:name of a callable, or cmd: and a program."),
]
MethodsOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="Methods to train, as tune takes them; else the recipe's."),
]
ControlsOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Controls: continued (the proxy loss goes on), raw, closed-form, or methods.",
    ),
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, max=1000, help="How many seeds; else the recipe's, else 3.")
]
StepsOption = Annotated[int | None, typer.Option(help="Training steps of each method.")]
MinutesOption = Annotated[float | None, typer.Option(help="Budget of all methods and seeds together.")]
EqualOption = Annotated[
    str | None, typer.Option(metavar="steps|time", help="What every method gets as much of as the others.")
]
CsvOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the table of the contest there, too.")
]
BaselineOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The file that the others are compared with; the first one."),
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
    what: WhatArgument,
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
    metric_timeout: MetricTimeoutOption = None,
    positive_class: PositiveClassOption = None,
    delimiter: DelimiterOption = None,
    column: ColumnOption = None,
    header: HeaderOption = None,
    decimal_comma: DecimalCommaOption = False,
    confidence: ConfidenceOption = 0.95,
    resamples: ResamplesOption = 2000,
    seed: SeedOption = 0,
    methods: MethodsOption = None,
    controls: ControlsOption = None,
    seeds: SeedsOption = None,
    steps: StepsOption = None,
    minutes: MinutesOption = None,
    equal: EqualOption = None,
    decision: DecisionOption = None,
    group_names: GroupNamesOption = None,
    run: FolderOption = None,
    csv: CsvOption = None,
    ray: RayOption = None,
    processes: ProcessesOption = None,
    assignments: AssignmentsOption = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare files of predictions of the same rows, or train several methods and compare them.

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

    TASK or RECIPE: --methods are trained from the same start, with equal steps
    or equal time, as tune does it with one. Ctrl-C leaves a folder that resume
    goes on with. --processes trains them side by side in processes of this
    machine, --ray on a Ray cluster that is running (pip install
    'metricgrad[cluster]'), both with the same figures.
    """
    given = dict(locals())
    kind = _kind(what)
    _refuse_options_of_others(kind, given)
    if kind == RUN:
        from metricgrad.cli.compare_methods import compare_methods

        compare_methods(what[0], given)
    else:
        from metricgrad.cli.compare_files import compare_files

        compare_files(what, given, arrays=kind == ARRAYS)


def _refuse_options_of_others(kind: str, given: Mapping[str, Any]) -> None:
    """Raise InputError for an option, other than its default, that does not go with what is compared."""
    for name, parameter in inspect.signature(compare).parameters.items():
        if name not in _OPTIONS[kind] and given[name] != parameter.default:
            option = _SPELT.get(name, f"--{name.replace('_', '-')}")
            place = next(place for place, names in _OPTIONS.items() if name in names)
            raise InputError(f"compare: {option} goes with {place}, not with {kind}.")


def _kind(what: Sequence[str]) -> str:
    """What the arguments are; InputError for a mixture, one file alone, or several tasks."""
    kinds = {_ENDINGS.get(Path(one).suffix.lower(), RUN) for one in what}
    if len(kinds) > 1:
        raise InputError(
            f"compare: {', '.join(what)} are of several kinds; expected two or more tables (.csv, .tsv, .parquet), two "
            "or more arrays of embeddings (.npy), or one task or recipe."
        )
    (kind,) = kinds
    if kind == RUN and len(what) > 1:
        raise InputError(f"compare: {', '.join(what)} are several tasks or recipes; expected one, or files.")
    if kind != RUN and len(what) == 1:
        raise InputError(
            f"compare: {what[0]} is one file; expected two or more. `metricgrad evaluate` measures one."
        )
    return kind
