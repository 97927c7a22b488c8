"""`metricgrad adapt`: vectors from files, a map that is better for a metric, and the evidence for it."""

from pathlib import Path
from typing import Annotated

import typer

from metricgrad.cli.adapt_options import (
    FitIdsOption,
    GroupsFileOption,
    MethodsOption,
    MinutesOption,
    QuickOption,
    SeedsOption,
    SelectIdsOption,
    SideOption,
    SplitOption,
    StepsOption,
    TestIdsOption,
)
from metricgrad.cli.judged_options import (
    CorpusIdsOption,
    CorpusOption,
    CorpusTextsOption,
    QrelsOption,
    QueriesOption,
    QueryIdsOption,
    QueryTextsOption,
    VectorColumnOption,
)
from metricgrad.cli.options import (
    ColumnOption,
    DelimiterOption,
    FolderOption,
    HeaderOption,
    LabelsOption,
    SeedOption,
)
from metricgrad.cli.output import JsonOption, QuietOption, examples

__all__ = ["EXAMPLES", "adapt"]

EXAMPLES = examples(
    "metricgrad adapt --embeddings x.npy --labels y.csv --metric recall@1",
    "metricgrad adapt --embeddings x.npy --labels y.csv --split query --metric map@r --quick",
    "metricgrad adapt --queries q.npy --corpus d.npy --qrels qrels/train.tsv --metric ndcg@10",
    "metricgrad adapt --queries q.npy --corpus d.npy --qrels qrels/train.tsv --side query --minutes 5 --run runs/mine",
)


def adapt(
    embeddings: Annotated[Path | None, typer.Option(help="Vectors, one row per item.")] = None,
    labels: LabelsOption = None,
    queries: QueriesOption = None,
    corpus: CorpusOption = None,
    qrels: QrelsOption = None,
    metric: Annotated[
        str | None, typer.Option(help="Default: recall@1 with labels, ndcg@10 with judgements.")
    ] = None,
    split: SplitOption = None,
    side: SideOption = "both",
    groups: GroupsFileOption = None,
    fit_ids: FitIdsOption = None,
    select_ids: SelectIdsOption = None,
    test_ids: TestIdsOption = None,
    method: MethodsOption = None,
    steps: StepsOption = None,
    minutes: MinutesOption = None,
    seeds: SeedsOption = 1,
    quick: QuickOption = False,
    query_ids: QueryIdsOption = None,
    corpus_ids: CorpusIdsOption = None,
    query_texts: QueryTextsOption = None,
    corpus_texts: CorpusTextsOption = None,
    vector_column: VectorColumnOption = None,
    delimiter: DelimiterOption = None,
    column: ColumnOption = None,
    header: HeaderOption = None,
    seed: SeedOption = 0,
    run: FolderOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Resume although data, versions or threads have changed.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make vectors better for a metric, without their encoder, and show on held-out data what that brings.

    Files are read as `metricgrad evaluate` reads them. Closed forms (centring,
    whitening, LDA, CCA, ...) are tried first; the usual loss, the surrogate of
    the metric and the hardest triplet train on from the best of them. A select
    part chooses, a test part is read once. Where nothing is better than the
    vectors as they came, these are returned.

    The run folder holds adapter.safetensors, apply.py (numpy alone), the report
    and the record. Ctrl-C keeps what is done: the same command with --run goes
    on.
    """
    given = dict(locals())
    from metricgrad.cli.adapting import carry_out

    carry_out(given)
