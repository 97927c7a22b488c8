"""What `evaluate` was given: one of four kinds of files, the options that go with it, and its figures."""

from collections.abc import Iterable, Mapping
from typing import Any

from metricgrad.cli.figure_document import Figure, Progress
from metricgrad.cli.naming import Said, assigned
from metricgrad.errors import InputError
from metricgrad.metrics.names import names_a_program

__all__ = ["figures_of"]

_PREDICTIONS, _EMBEDDINGS, _VECTORS, _RUN = (
    "a file of predictions", "--embeddings and --labels", "--queries, --corpus and --qrels", "--run-file and --qrels",
)  # fmt: skip
_LABELLED, _JUDGED = (_PREDICTIONS, _EMBEDDINGS), (_VECTORS, _RUN)

_GO_WITH: Mapping[str, tuple[str, ...]] = {
    "labels": (_EMBEDDINGS,), "reference": (_EMBEDDINGS,), "reference_labels": (_EMBEDDINGS,),
    "header": (_EMBEDDINGS,), "column label": (_EMBEDDINGS,),
    "positive_class": (_PREDICTIONS,), "groups": (_PREDICTIONS,), "decimal_comma": (_PREDICTIONS,),
    "column target": (_PREDICTIONS,), "column prediction": (_PREDICTIONS,), "column score": (_PREDICTIONS,),
    "delimiter": _LABELLED, "higher_is_better": _LABELLED, "metric_timeout": (_PREDICTIONS,),
    "qrels": _JUDGED, "per_query": _JUDGED, "force": _JUDGED,
    "query_ids": (_VECTORS,), "corpus_ids": (_VECTORS,), "query_texts": (_VECTORS,), "corpus_texts": (_VECTORS,),
    "save_run": (_VECTORS,), "depth": (_VECTORS,), "vector_column": (_EMBEDDINGS, _VECTORS),
}  # fmt: skip
"""Options, and the kinds of files that they go with."""

_INSTEAD = {
    "header": " It is for label files; a table of predictions has a header.",
    "column label": " A table of predictions has --column target.",
}


def figures_of(given: Mapping[str, Any], progress: Progress) -> Iterable[Figure]:
    """Measure what the options name.

    Args:
        given: all options of the command, by name.
        progress: is told.

    Raises:
        InputError: none or several kinds of files, an option that goes with another kind; as the kind.
    """
    said = Said(given["delimiter"], assigned(given["column"] or ()), given["header"], given["decimal_comma"])
    kind = _kind(given)
    _require_fitting(given, said, kind)
    if kind != _PREDICTIONS and any(map(names_a_program, given["metric"])):
        raise InputError(
            f"evaluate: a program came as --metric with {kind}; expected it with {_PREDICTIONS}: it reads a table of "
            "samples and ranks nothing."
        )
    if kind in _JUDGED:
        from metricgrad.cli.judged_files import figures_over_judgements

        return figures_over_judgements(given, progress)
    from metricgrad.cli.named import metric_named, require_program

    require_program(given["metric"], given["metric_timeout"])
    exact = [
        metric_named(name, given["higher_is_better"], given["metric_timeout"]) for name in given["metric"]
    ]
    if kind == _PREDICTIONS:
        from metricgrad.cli.figures import of_predictions

        return of_predictions(exact, given["predictions"], given["positive_class"], said, given["groups"])
    from metricgrad.cli.embedding_figures import of_embeddings

    return of_embeddings(
        exact,
        given["embeddings"],
        given["labels"],
        given["reference"],
        given["reference_labels"],
        said,
        progress,
        given["vector_column"],
    )


def _kind(given: Mapping[str, Any]) -> str:
    """The one kind of files that was given."""
    there = {name for name, value in given.items() if value is not None}
    named = {
        _PREDICTIONS: "predictions" in there,
        _EMBEDDINGS: "embeddings" in there,
        _VECTORS: bool({"queries", "corpus"} & there),
        _RUN: "run_file" in there,
    }
    found = [kind for kind, is_there in named.items() if is_there]
    if len(found) != 1:
        came = f"{' and '.join(found)} came" if found else "no file came"
        raise InputError(
            f"evaluate: {came}; expected one of {_PREDICTIONS}; {_EMBEDDINGS}; {_VECTORS}; {_RUN}."
        )
    if found[0] in _JUDGED and "qrels" not in there:
        raise InputError("evaluate: no --qrels came; expected a file that says which documents are relevant.")
    return found[0]


def _require_fitting(given: Mapping[str, Any], said: Said, kind: str) -> None:
    """Refuse an option that would be ignored."""
    columns = {f"column {what}": name for what, name in said.columns.items()}
    for name, kinds in _GO_WITH.items():
        value = columns.get(name, given.get(name))
        if value is not None and value is not False and kind not in kinds:
            option = name.replace("_", "-") if name not in columns else name
            raise InputError(
                f"evaluate: --{option} came with {kind}; expected it with {' or '.join(kinds)}."
                f"{_INSTEAD.get(name, '') if kind == _PREDICTIONS else ''}"
            )
    for name, other in (("depth", "save_run"), ("force", "save_run")):
        if given[name] and not given[other] and not (name == "force" and given["per_query"]):
            raise InputError(f"evaluate: --{name} came without --save-run; expected both, or neither.")
