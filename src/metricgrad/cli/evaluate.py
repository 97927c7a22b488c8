"""`metricgrad evaluate`: an exact metric of files, with an interval, undefined units counted, the name explained."""

from pathlib import Path
from typing import Annotated

import typer

from metricgrad.cli.judged_options import (
    CorpusIdsOption,
    CorpusOption,
    CorpusTextsOption,
    DepthOption,
    PerQueryOption,
    QrelsOption,
    QueriesOption,
    QueryIdsOption,
    QueryTextsOption,
    RunFileOption,
    SaveRunOption,
    VectorColumnOption,
)
from metricgrad.cli.options import (
    ColumnOption,
    ConfidenceOption,
    DecimalCommaOption,
    DelimiterOption,
    DirectionOption,
    ForceOption,
    GroupsOption,
    HeaderOption,
    LabelsOption,
    MetricTimeoutOption,
    PositiveClassOption,
    ReferenceLabelsOption,
    ResamplesOption,
    SeedOption,
)
from metricgrad.cli.output import JsonOption, examples, noted, print_json
from metricgrad.errors import InputError

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = examples(
    "metricgrad evaluate --embeddings x.npy --labels y.csv --metric recall@1",
    "metricgrad evaluate --embeddings q.npy --labels q.csv --reference x.npy --reference-labels x.csv --metric ndcg",
    "metricgrad evaluate --queries q.npy --corpus d.npy --qrels qrels/test.tsv --metric ndcg@10 --metric recall@100",
    "metricgrad evaluate --run-file run.trec --qrels qrels/test.tsv --metric ndcg@10",
    "metricgrad evaluate predictions.parquet --metric f1 --json",
    "metricgrad evaluate predictions.csv --metric roc_auc",
    "metricgrad evaluate predictions.csv --metric 'cmd: ./score.sh {predictions}' --higher-is-better",
)


PredictionsArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[PREDICTIONS]", help="A .csv or .parquet file, columns as said above."),
]
MetricsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A name (see list), package.module:name, or cmd: and a program; may be given several times."
    ),
]
EmbeddingsOption = Annotated[Path | None, typer.Option(help="Vectors, one row per item.")]
ReferenceOption = Annotated[
    Path | None, typer.Option(help="Rank these vectors; else the others in --embeddings.")
]


def evaluate(
    predictions: PredictionsArgument = None,
    metric: MetricsOption = None,
    embeddings: EmbeddingsOption = None,
    labels: LabelsOption = None,
    reference: ReferenceOption = None,
    reference_labels: ReferenceLabelsOption = None,
    queries: QueriesOption = None,
    corpus: CorpusOption = None,
    qrels: QrelsOption = None,
    query_ids: QueryIdsOption = None,
    corpus_ids: CorpusIdsOption = None,
    query_texts: QueryTextsOption = None,
    corpus_texts: CorpusTextsOption = None,
    vector_column: VectorColumnOption = None,
    run_file: RunFileOption = None,
    save_run: SaveRunOption = None,
    depth: DepthOption = None,
    per_query: PerQueryOption = None,
    force: ForceOption = False,
    higher_is_better: DirectionOption = None,
    metric_timeout: MetricTimeoutOption = None,
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
    """Measure exact metrics of vectors, of a TREC run or of a table of predictions, with a bootstrap interval.

    Vectors are a .npy array (item, dim), which is mapped and not copied, a
    .parquet file (lists, or one column per dimension), .safetensors or .csv.

    --embeddings: each item is a query against all others, or against the items
    of --reference; those with its label are relevant.

    --queries --corpus --qrels: all documents are ranked for each judged query.
    --qrels is a BEIR folder or table (query-id corpus-id score), a TREC file
    (qid 0 docid rel), a table (anchor, positive, negative; id_1, id_2, label)
    or JSON lines (query, pos, neg). Ids are texts: 007 is not 7. recall@10 is
    then the share of the relevant documents that is found, hit@10 whether any
    is. --run-file measures a TREC run instead, in the order of trec_eval.

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

    --metric "cmd: ./score.sh {predictions}" runs a program, without a shell, on
    a CSV file (Parquet: {predictions.parquet}) with the columns index, target and
    prediction, score or score_0, ...; it prints one number. See the page
    "A program as the metric".

    The interval draws queries (by class, where there are labels), and samples
    by the column --groups.
    Of fewer than 20 it is wide, and may still be too narrow.

    A missing label (empty, NaN, NA, None, null) is refused with its row.
    """
    given = dict(locals())
    if not metric:
        raise InputError("evaluate: no --metric is given; expected a name that `metricgrad list` knows.")
    if not 0 < confidence < 1:
        raise InputError(
            f"evaluate: --confidence is {confidence}; expected a share between 0 and 1, such as 0.95."
        )
    from metricgrad.cli.evaluated import figures_of
    from metricgrad.cli.figure_document import document, draw
    from metricgrad.cli.progress import Drawing

    with noted() as notes, Drawing() as progress:
        of = figures_of(given, progress)
        found = [document(one, progress, resamples=resamples, confidence=confidence, seed=seed) for one in of]
    found = [{**one, "notes": notes} for one in found]
    if as_json:
        print_json(found[0] if len(found) == 1 else found)
        return
    for one in found:
        draw(one)
