"""`metricgrad evaluate`: an exact metric of files, with an interval, undefined units counted, the name explained."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricgrad.cli.output import JsonOption, console, examples, print_json
from metricgrad.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from metricgrad._types import Metric

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = examples(
    "metricgrad evaluate --embeddings x.npy --labels y.csv --metric recall@1",
    "metricgrad evaluate --embeddings q.npy --labels q.csv --reference x.npy --reference-labels x.csv --metric ndcg",
    "metricgrad evaluate predictions.parquet --metric f1 --json",
    "metricgrad evaluate predictions.csv --metric roc_auc",
)


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Argument(metavar="[PREDICTIONS]", help="A .csv or .parquet file, columns as said above."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="A name (see list), or package.module:name of a callable.")
    ] = "",
    embeddings: Annotated[Path | None, typer.Option(help="A .npy file, one row per item.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A .npy or .csv file, one label per item.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Rank these items (.npy); else the others in --embeddings.")
    ] = None,
    reference_labels: Annotated[Path | None, typer.Option(help="Labels of --reference.")] = None,
    higher_is_better: Annotated[
        bool | None,
        typer.Option(
            "--higher-is-better/--lower-is-better", help="For a callable that does not say it itself."
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Share of resamples that the interval holds.")] = 0.95,
    resamples: Annotated[int, typer.Option(help="Draws of units for the interval.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure an exact metric of embeddings with labels, or of a table of predictions, with a bootstrap interval.

    --embeddings: a .npy array of numbers (item, dim); each item is a query
    against all others, or against the items of --reference.

    --labels: a .npy array, or a .csv file with one column, or with a column
    named label, target or class. A single column has a header if and only if
    it has one line more than there are items.

    PREDICTIONS: a table whose first line names the columns. target is the
    true class; prediction the predicted one, or score_NAME the score of each
    class, the largest of which is the prediction; score is one number per
    sample, higher for class 1, for metrics that rank the samples (roc_auc,
    binary_average_precision).
    """
    if not metric:
        raise InputError("evaluate: no --metric is given; expected a name that `metricgrad list` knows.")
    if (predictions is None) == (embeddings is None):
        raise InputError("evaluate: expected either --embeddings with --labels, or a file of predictions.")
    from metricgrad.cli.resolve import metric_named
    from metricgrad.interval import bootstrap

    exact = metric_named(metric, higher_is_better)
    facts: Mapping[str, Any]
    if embeddings is not None:
        statistics, facts = _of_embeddings(exact, embeddings, labels, reference, reference_labels)
    elif labels is not None or reference is not None or reference_labels is not None:
        raise InputError(
            "evaluate: labels and references go with --embeddings; a table of predictions has its own."
        )
    else:
        assert predictions is not None
        statistics, facts = _of_predictions(exact, predictions)
    interval = None
    if exact.unit != "whole":
        interval = bootstrap(
            [statistics], exact.summarise, resamples=resamples, confidence=confidence, seed=seed
        )
    found = {
        "metric": exact.name,
        "means": exact.description,
        "value": float(exact.summarise(statistics)),
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "confidence": confidence,
        "resamples": 0 if interval is None else interval.resamples,
        "higher_is_better": exact.higher_is_better,
        "unit": exact.unit,
        "units": len(statistics),
        "undefined": int(statistics.isnan().any(1).sum()),
        **facts,
    }
    if as_json:
        print_json(found)
    else:
        _draw(found)


def _of_embeddings(
    exact: "Metric",
    embeddings: Path,
    labels: Path | None,
    reference: Path | None,
    reference_labels: Path | None,
) -> tuple["Tensor", dict[str, Any]]:
    from metricgrad.cli.reading import read_embeddings, read_labels

    if exact.unit != "query":
        raise InputError(
            f"evaluate: {exact.name} is measured per {exact.unit}, not of embeddings; expected a file of predictions."
        )
    if labels is None or (reference is None) != (reference_labels is None):
        raise InputError(
            "evaluate: embeddings came without labels; expected one file of labels for each file of them."
        )
    queries = read_embeddings(embeddings)
    names = read_labels(labels, len(queries))
    further: dict[str, Any] = {}
    if reference is not None and reference_labels is not None:
        items = read_embeddings(reference)
        further = {"reference_outputs": items, "reference_targets": read_labels(reference_labels, len(items))}
    statistics = exact.measure(queries, names, **further)
    if bool(statistics.isnan().any(1).all()):
        raise InputError(
            f"evaluate: no query has a relevant item: no label in {labels} occurs "
            + (f"in {reference_labels}" if reference else "twice")
            + f"; {exact.name} needs at least one class with two items. Are these labels of classes, not of items?"
        )
    return statistics, {"items": len(further.get("reference_outputs", queries)), "dim": queries.shape[1]}


def _of_predictions(exact: "Metric", path: Path) -> tuple["Tensor", dict[str, Any]]:
    from metricgrad.cli.reading import read_predictions
    from metricgrad.metrics.classification import score_rows

    if exact.unit == "query":
        raise InputError(
            f"evaluate: {exact.name} ranks items for each query; expected --embeddings and --labels, not predictions."
        )
    table = read_predictions(path)
    ways = {"prediction": table.prediction, "score_<class>": table.class_scores, "score": table.score}
    if getattr(exact.measure, "func", None) is score_rows:  # it ranks the samples, whatever it is called
        ways = {"score": table.score}
        if table.class_scores is not None and table.class_scores.shape[1] == 2:
            ways[f"score_{table.classes[1]}"] = table.class_scores[:, 1]
    column, outputs = next(((name, value) for name, value in ways.items() if value is not None), ("", None))
    if outputs is None:
        raise InputError(
            f"evaluate: {exact.name} of {path} needs a column {' or '.join(ways)}, which is missing."
        )
    ids = {name: index for index, name in enumerate(table.classes)}
    facts: dict[str, Any] = {"column": column, "classes": ids}
    return exact.measure(outputs, table.target), facts


def _draw(found: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    many = "queries" if found["unit"] == "query" else f"{found['unit']}s"
    direction = "higher is better" if found["higher_is_better"] else "lower is better"
    table.add_row(found["metric"], Text(f"{found['value']:.4f}  ({direction})"))
    if found["low"] is None:
        table.add_row(
            "interval", Text("none can be given: one number stands for the whole set, or too few units")
        )
    else:
        how = f"{found['confidence']:.0%} bootstrap over {many}, {found['resamples']:,} resamples"
        table.add_row("interval", Text(f"{found['low']:.4f} to {found['high']:.4f}  ({how})"))
    if found["unit"] != "whole":
        undefined = f", {found['undefined']:,} of them undefined (no relevant item) and left out"
        table.add_row(many, Text(f"{found['units']:,}{undefined if found['undefined'] else ''}"))
    if "items" in found:
        table.add_row("items", Text(f"{found['items']:,} ranked, {found['dim']:,} dimensions"))
    if "classes" in found:
        renamed = [
            f"{name} is class {index}" for name, index in found["classes"].items() if name != str(index)
        ]
        shown = f"from the column {found['column']}" + (f"; {', '.join(renamed[:6])}" if renamed else "")
        table.add_row("classes", Text(f"{len(found['classes'])}, {shown}"))
    table.add_row("means", Text(found["means"] or "as the callable computes it"))
    console().print(table)
