"""`metricgrad adapt`: vectors from files, a map that is better for a metric, and the evidence for it."""

from inspect import signature
from pathlib import Path
from typing import Annotated

import typer

from metricgrad.cli.adapt_options import (
    ApplyOption,
    CurveOption,
    DoorArgument,
    ExportOption,
    FitIdsOption,
    GroupsFileOption,
    MethodsOption,
    MetricOption,
    MinutesOption,
    OutOption,
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
    DirectionOption,
    FolderOption,
    HeaderOption,
    LabelsOption,
    PositiveClassOption,
    SeedOption,
)
from metricgrad.cli.output import JsonOption, QuietOption, examples
from metricgrad.cli.table_options import (
    IdColumnOption,
    SampleWeightOption,
    TableOption,
    TargetOption,
    TestTableOption,
    TimeOption,
    TrainTableOption,
)

__all__ = ["EXAMPLES", "adapt"]


EXAMPLES = examples(
    "metricgrad adapt --embeddings x.npy --labels y.csv --metric recall@1",
    "metricgrad adapt --embeddings x.npy --labels y.csv --split query --metric map@r --quick",
    "metricgrad adapt --queries q.npy --corpus d.npy --qrels qrels/train.tsv --metric ndcg@10",
    "metricgrad adapt --queries q.npy --corpus d.npy --qrels qrels/train.tsv --side query --minutes 5 --run runs/mine",
    "metricgrad adapt --table data.csv --target y --metric macro_f1 --minutes 5 --out runs/table",
    "metricgrad adapt --apply runs/mine new.npy --side query --out mapped.npy",
    "metricgrad adapt --export onnx runs/mine --side query --out query.onnx",
    "metricgrad adapt --export sentence-transformers runs/mine --out adapter",
)


def adapt(
    file: DoorArgument = None,
    embeddings: Annotated[Path | None, typer.Option(help="Vectors, one row per item.")] = None,
    labels: LabelsOption = None,
    queries: QueriesOption = None,
    corpus: CorpusOption = None,
    qrels: QrelsOption = None,
    table: TableOption = None,
    train: TrainTableOption = None,
    test: TestTableOption = None,
    target: TargetOption = None,
    metric: MetricOption = None,
    split: SplitOption = None,
    side: SideOption = None,
    groups: GroupsFileOption = None,
    time: TimeOption = None,
    id_column: IdColumnOption = None,
    positive_class: PositiveClassOption = None,
    sample_weight: SampleWeightOption = None,
    higher_is_better: DirectionOption = None,
    fit_ids: FitIdsOption = None,
    select_ids: SelectIdsOption = None,
    test_ids: TestIdsOption = None,
    method: MethodsOption = None,
    steps: StepsOption = None,
    minutes: MinutesOption = None,
    seeds: SeedsOption = 1,
    quick: QuickOption = False,
    curve: CurveOption = False,
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
    apply: ApplyOption = None,
    export: ExportOption = None,
    out: OutOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Resume although data, versions or threads have changed; write over --out."
        ),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make vectors, or a table, better for a metric, and show on held-out data what that brings.

    A table (--table, --target) needs no code: networks and boosted trees learn
    the classes, a rule of decision is fitted for the metric, and the page says
    which of them to use. The folder --out is read by `metricgrad predict`.

    Files are read as `metricgrad evaluate` reads them. Closed forms (centring,
    whitening, LDA, CCA, ...) are tried first; the usual loss, the surrogate of
    the metric and the hardest triplet train on from the best of them. A select
    part chooses, a test part is read once. Where nothing is better than the
    vectors as they came, these are returned.

    The run folder holds adapter.safetensors, apply.py (numpy alone), the report
    and the record. Ctrl-C keeps what is done: the same command with --run goes
    on. --apply maps other vectors by the map of a run, --export writes it in
    another form.
    """
    given = dict(locals())
    said = [name for name, value in given.items() if value != signature(adapt).parameters[name].default]
    from metricgrad.cli.adapt_doors import through_its_door

    through_its_door(given, said)
