"""`metricgrad evaluate`: an exact metric of files, with an interval, undefined units counted, the name explained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    from metricgrad.cli.naming import Said

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = examples(
    "metricgrad evaluate --embeddings x.npy --labels y.csv --metric recall@1",
    "metricgrad evaluate --embeddings q.npy --labels q.csv --reference x.npy --reference-labels x.csv --metric ndcg",
    "metricgrad evaluate predictions.parquet --metric f1 --json",
    "metricgrad evaluate predictions.csv --metric roc_auc",
)


PredictionsArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[PREDICTIONS]", help="A .csv or .parquet file, columns as said above."),
]
MetricsOption = Annotated[
    list[str] | None,
    typer.Option(help="A name (see list), or package.module:name of a callable; may be given several times."),
]
ReferenceOption = Annotated[
    Path | None, typer.Option(help="Rank these items (.npy); else the others in --embeddings.")
]


def evaluate(
    predictions: PredictionsArgument = None,
    metric: MetricsOption = None,
    embeddings: Annotated[Path | None, typer.Option(help="A .npy file, one row per item.")] = None,
    labels: LabelsOption = None,
    reference: ReferenceOption = None,
    reference_labels: ReferenceLabelsOption = None,
    higher_is_better: DirectionOption = None,
    positive_class: PositiveClassOption = None,
    delimiter: DelimiterOption = None,
    column: ColumnOption = None,
    header: HeaderOption = None,
    decimal_comma: DecimalCommaOption = False,
    groups: GroupsOption = None,
    confidence: ConfidenceOption = 0.95,
    resamples: ResamplesOption = 2000,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure exact metrics of embeddings with labels, or of a table of predictions, with a bootstrap interval.

    --embeddings: a .npy array of numbers (item, dim); each item is a query
    against all others, or against the items of --reference.

    --labels: a .npy array, or a .csv or .parquet file with one column, or
    with a column named label, target or class. The first line of a single
    column is a header if it is such a name, or a word above numbers. Labels
    are numbers where all are spelt as one (007 and 1_2 are not), else texts.

    PREDICTIONS: a table whose first line names the columns, parted by commas,
    semicolons, tabs or pipes. target is the true class, value or text;
    prediction the predicted one; score one number per sample, higher for the
    positive class; score_NAME the score of each class, the largest of which
    is the prediction. Each metric takes the column that it reads. Usual other
    names (y_true, y_pred, y_score) are taken with a note; --column says others.

    The interval draws queries by class, and samples by the column --groups.
    Of fewer than 20 it is wide, and may still be too narrow.

    A missing label (empty, NaN, NA, None, null) is refused with its row.
    """
    if not metric:
        raise InputError("evaluate: no --metric is given; expected a name that `metricgrad list` knows.")
    if (predictions is None) == (embeddings is None):
        raise InputError("evaluate: expected either --embeddings with --labels, or a file of predictions.")
    if not 0 < confidence < 1:
        raise InputError(
            f"evaluate: --confidence is {confidence}; expected a share between 0 and 1, such as 0.95."
        )
    from metricgrad.cli.figure_document import document, draw
    from metricgrad.cli.figures import of_embeddings, of_predictions
    from metricgrad.cli.named import metric_named
    from metricgrad.cli.naming import Said, assigned
    from metricgrad.cli.progress import Drawing

    exact = [metric_named(name, higher_is_better) for name in metric]
    said = Said(delimiter, assigned(column or ()), header, decimal_comma)
    with noted() as notes, Drawing() as progress:
        if embeddings is not None:
            _refuse_options_of_tables(positive_class, groups, said)
            of = of_embeddings(exact, embeddings, labels, reference, reference_labels, said, progress)
        else:
            _refuse_options_of_embeddings(labels, reference, reference_labels, said)
            assert predictions is not None
            of = of_predictions(exact, predictions, positive_class, said, groups)
        found = [document(one, progress, resamples=resamples, confidence=confidence, seed=seed) for one in of]
    found = [{**one, "notes": notes} for one in found]
    if as_json:
        print_json(found[0] if len(found) == 1 else found)
        return
    for one in found:
        draw(one)


def _refuse_options_of_tables(positive_class: str | None, groups: str | None, said: "Said") -> None:
    given = {
        "--positive-class": positive_class,
        "--groups": groups,
        "--decimal-comma": said.decimal_comma or None,
        **{f"--column {what}": name for what, name in said.columns.items() if what != "label"},
    }
    for option, value in given.items():
        if value is not None:
            raise InputError(
                f"evaluate: {option} came with --embeddings; expected it with a file of predictions."
            )


def _refuse_options_of_embeddings(
    labels: Path | None, reference: Path | None, reference_labels: Path | None, said: "Said"
) -> None:
    if labels is not None or reference is not None or reference_labels is not None:
        raise InputError(
            "evaluate: labels and references go with --embeddings; a table of predictions has its own."
        )
    if said.header is not None or "label" in said.columns:
        raise InputError(
            "evaluate: --header and --column label are for label files; a table of predictions has a header, and "
            "--column target."
        )
