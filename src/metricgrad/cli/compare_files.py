"""The run of `metricgrad compare` on files: read, measured, beside each other, shown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metricgrad._types import Metric
from metricgrad.cli.aligned_files import Rows, arm_names, of_embedding_files, of_prediction_files
from metricgrad.cli.compare_verdict import document, draw
from metricgrad.cli.named import metric_named, require_program
from metricgrad.cli.naming import Said, assigned
from metricgrad.cli.output import noted, print_json
from metricgrad.cli.progress import Drawing
from metricgrad.errors import InputError

__all__ = ["compare_files"]


def compare_files(what: Sequence[str], given: Mapping[str, Any], *, arrays: bool) -> None:
    """Compare files and print the document, as text or as JSON.

    Args:
        what: the files.
        given: the options of the command by name.
        arrays: whether they are embeddings.

    Raises:
        InputError: an option or a file does not fit.
    """
    if given["metric"] is None:
        raise InputError("compare: no --metric is given; expected a name that `metricgrad list` knows.")
    if not 0 < given["confidence"] < 1:
        raise InputError(
            f"compare: --confidence is {given['confidence']}; expected a share between 0 and 1, such as 0.95."
        )
    require_program([given["metric"]], given["metric_timeout"])
    exact = metric_named(given["metric"], given["higher_is_better"], given["metric_timeout"])
    paths = [Path(one) for one in what]
    arms = arm_names(paths)
    baseline = arms[0] if given["baseline"] is None else given["baseline"]
    if baseline not in arms:
        raise InputError(
            f"compare: --baseline is {baseline!r}; expected one of the files: {', '.join(arms)}."
        )
    draws: dict[str, Any] = {name: given[name] for name in ("resamples", "confidence", "seed")}
    with noted() as notes, Drawing() as progress:
        rows = (_of_arrays if arrays else _of_tables)(exact, paths, given, progress)
        found = document(exact, arms, rows, baseline, progress, **draws)
    if given["as_json"]:
        print_json({**found, "notes": notes})
    else:
        draw(found)


def _said(given: Mapping[str, Any], *, label: bool) -> Said:
    """What the user said of the files; InputError for a column of the other kind of files."""
    columns = assigned(given["column"] or ())
    for role in columns:
        if (role == "label") != label:
            place = "tables of predictions" if label else ".npy files of embeddings"
            raise InputError(f"compare: --column {role} goes with {place}.")
    return Said(given["delimiter"], columns, given["header"], given["decimal_comma"])


def _of_arrays(exact: Metric, paths: list[Path], given: Mapping[str, Any], progress: Drawing) -> Rows:
    said = _said(given, label=True)
    labels, references = given["labels"], given["reference"] or []
    return of_embedding_files(exact, paths, labels, references, given["reference_labels"], said, progress)


def _of_tables(exact: Metric, paths: list[Path], given: Mapping[str, Any], progress: Drawing) -> Rows:
    del progress  # nothing there takes long
    if given["by_order"] and given["ids"] is not None:
        raise InputError("compare: --by-order came with --id; expected one of them.")
    names = ("positive_class", "groups", "ids", "by_order", "common")
    return of_prediction_files(
        exact, paths, _said(given, label=False), **{name: given[name] for name in names}
    )
