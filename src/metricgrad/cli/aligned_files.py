"""Two or more files of the same rows: read, aligned and measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from metricgrad._types import Metric
from metricgrad.cli.alignment import aligned, members, require_equal, require_one_reading, taken
from metricgrad.cli.columns import Predictions
from metricgrad.cli.embedding_figures import of_embeddings
from metricgrad.cli.naming import Said
from metricgrad.cli.reading import read_predictions
from metricgrad.differences import Grouping
from metricgrad.errors import InputError

__all__ = ["Rows", "arm_names", "of_embedding_files", "of_prediction_files"]

Progress = Callable[[Mapping[str, Any]], None]
"""Draws events."""


@dataclass(frozen=True)
class Rows:
    """What the files give for the same rows.

    Attributes:
        statistics: of each file, on the same units in the same order.
        grouping: which units are drawn together.
        facts: what the document says of the files.
    """

    statistics: list[Tensor]
    grouping: Grouping
    facts: dict[str, Any]


def of_prediction_files(
    metric: Metric,
    paths: Sequence[Path],
    said: Said,
    *,
    positive_class: str | None,
    groups: str | None,
    ids: str | None,
    by_order: bool,
    common: bool,
) -> Rows:
    """Read tables of predictions, align their rows and measure each.

    Args:
        metric: of samples.
        paths: of the files.
        said: what the user said of them.
        positive_class: the same.
        groups: the column of samples that go together; that of the first file counts, others must agree.
        ids: the column of ids; None: `id` where there is one.
        by_order: take no notice of ids.
        common: leave out rows that some file lacks.

    Raises:
        InputError: as `read_predictions`, `aligned` and `Predictions.of`; targets or groups that differ; files that
            the metric would read in different ways.
    """
    if metric.unit == "query":
        raise InputError(
            f"compare: {metric.name} ranks items for each query; expected .npy files of embeddings with --labels."
        )
    tables = [
        read_predictions(path, said, *_further(number == 0, groups, ids)) for number, path in enumerate(paths)
    ]
    alignment = aligned(tables, common=common, by_order=by_order)
    found = [Predictions(table, positive_class).of(metric) for table in tables]
    require_equal(tables, "target", "target", alignment, exact=metric.reads == "texts")
    require_equal(tables, "--groups", "group", alignment, exact=False)
    require_one_reading(metric, paths, found)
    grouping = Grouping(None, metric.unit)
    if groups is not None:
        grouping = Grouping(members(tables[0], alignment.rows[0]), "group")
    statistics = [
        metric.measure(taken(one.outputs, rows), taken(one.targets, rows))
        for one, rows in zip(found, alignment.rows, strict=True)
    ]
    facts = {
        "aligned_by": alignment.by,
        "rows": len(alignment.rows[0]),
        "rows_left_out": alignment.left_out,
        "positive_class": found[0].positive,
    }
    return Rows(statistics, grouping, facts)


def _further(first: bool, groups: str | None, ids: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Columns that must be there and that may be there, by option."""
    kept, maybe = {}, {}
    if groups is not None:
        (kept if first else maybe)["--groups"] = groups
    if ids is not None:
        kept["--id"] = ids
    elif groups is None or groups.lower() != "id":
        maybe["--id"] = "id"
    return kept, maybe


def of_embedding_files(
    metric: Metric,
    paths: Sequence[Path],
    labels: Path | None,
    references: Sequence[Path],
    reference_labels: Path | None,
    said: Said,
    progress: Progress,
) -> Rows:
    """Read embeddings of the same items and rank each file by itself.

    Args:
        metric: of retrieval.
        paths: of the embeddings.
        labels: one per item, the same for all files.
        references: none, or one file for each of `paths`: what its queries are ranked against.
        reference_labels: the same for all references.
        said: what the user said of the label files.
        progress: is told how far it is.

    Raises:
        InputError: as `of_embeddings`; other numbers of references than files.
    """
    if references and len(references) != len(paths):
        raise InputError(
            f"compare: {len(references)} --reference came with {len(paths)} files; expected one for each, in the same "
            "order: every model embeds both sides."
        )
    figures = [
        next(iter(of_embeddings([metric], path, labels, reference, reference_labels, said, progress)))
        for path, reference in zip(paths, references or [None] * len(paths), strict=True)
    ]
    _, first, facts, classes = figures[0]
    facts = {
        "aligned_by": "order",
        "rows": len(first),
        "rows_left_out": [0] * len(paths),
        "items": facts["items"],
    }
    return Rows([statistics for _, statistics, _, _ in figures], Grouping(classes, "class"), facts)


def arm_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its path; one that comes again is numbered.

    Example:
        >>> arm_names([Path("a.csv"), Path("b.csv"), Path("a.csv")])
        ['a.csv', 'b.csv', 'a.csv (2)']
    """
    texts = [str(path) for path in paths]
    counts = [texts[: place + 1].count(text) for place, text in enumerate(texts)]
    return [text if count == 1 else f"{text} ({count})" for text, count in zip(texts, counts, strict=True)]
