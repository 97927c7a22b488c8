"""The files of `metricgrad adapt`: vectors with labels, or queries, a corpus and judgements, as arguments of a call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metricgrad._checks import describe
from metricgrad.cli.cells import is_number
from metricgrad.cli.judged_input import read_judged_vectors
from metricgrad.cli.naming import Said, assigned
from metricgrad.cli.reading import read_labels
from metricgrad.cli.row_names import read_names
from metricgrad.cli.vector_files import read_vectors
from metricgrad.errors import InputError

__all__ = ["kind_of", "labelled", "paired"]

_LABELS = ("embeddings", "labels")
_PAIRS = ("queries", "corpus", "qrels")
_OF_PAIRS = (*_PAIRS, "query_ids", "corpus_ids", "query_texts", "corpus_texts")
_PARTS = {"fit": "fit_ids", "select": "select_ids", "test": "test_ids"}


def kind_of(given: Mapping[str, Any]) -> Literal["labels", "judgements"]:
    """Which of the two jobs the options name; InputError for none, both, half of one or an option of the other."""
    there = {name for name, value in given.items() if value is not None}
    labels, pairs = there & set(_LABELS), there & set(_PAIRS)
    expected = "--embeddings and --labels, or --queries, --corpus and --qrels"
    if bool(labels) == bool(pairs):
        came = "files of both kinds came" if labels else "no file came"
        raise InputError(f"adapt: {came}; expected {expected}.")
    whole, came = (_LABELS, labels) if labels else (_PAIRS, pairs)
    if missing := [f"--{name}" for name in whole if name not in came]:
        raise InputError(
            f"adapt: {', '.join(f'--{name}' for name in whole if name in came)} came without {' and '.join(missing)}; "
            f"expected {expected}."
        )
    of_groups = {"header", "delimiter"} if "groups" in there else set[str]()
    others = set(_OF_PAIRS) if labels else {"column", "header", "delimiter"} - of_groups
    if given["side"] not in ("both", "query"):
        raise InputError(f"adapt: --side is {given['side']!r}; expected both or query where a map is fitted.")
    if labels and given["side"] != "both":
        raise InputError(
            "adapt: --side came with --embeddings; expected it with --queries, --corpus and --qrels."
        )
    if wrong := sorted(there & others):
        raise InputError(
            f"adapt: --{wrong[0].replace('_', '-')} came with {' and '.join(f'--{name}' for name in whole)}, where it "
            "says nothing; leave it out."
        )
    return "labels" if labels else "judgements"


def labelled(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of `adapt_embeddings` that files and split give, and what was read, in words."""
    said = Said(given["delimiter"], assigned(given["column"] or ()), given["header"])
    named = _names_parts(given)
    vectors = read_vectors(given["embeddings"], column=given["vector_column"], identified=named)
    labels = read_labels(given["labels"], len(vectors.array), said)
    _require_classes(given["labels"], labels)
    read = [f"embeddings: {vectors.path}: {'; '.join(vectors.names)}", f"labels: {given['labels']}"]
    arguments = {
        "vectors": vectors.array,
        "labels": labels,
        "split": given["split"] or "class",
        "groups": _groups(given, len(vectors.array)),
        "parts": _parts(given, vectors.row_ids if named else [], str(vectors.path)),
        "ids": vectors.ids,
    }
    return arguments, read


def _require_classes(path: Path, labels: np.ndarray) -> None:
    """Refuse texts that are all numbers, some with a fraction: they are values, and no classes."""
    if labels.dtype.kind != "U" or not all(map(is_number, labels.tolist())):
        return
    fraction = next((one for one in labels.tolist() if not float(one).is_integer()), None)
    if fraction is not None:
        raise InputError(
            f"{path} holds {describe(fraction)} as a label, and only numbers; expected classes, as whole numbers or "
            "texts. Round or number the values first; versions and codes go as texts, such as v1.5."
        )


def paired(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of `adapt_pairs` that files and split give, and what was read, in words."""
    files = read_judged_vectors("adapt", given)
    arguments = {
        "queries": files.queries.array,
        "documents": files.corpus.array,
        "qrels": files.qrels,
        "split": given["split"],
        "side": given["side"],
        "groups": _groups(given, len(files.queries.array)),
        "parts": _parts(given, files.queries.row_ids, str(files.queries.path)),
        "query_ids": files.queries.ids,
        "document_ids": files.corpus.ids,
    }
    return arguments, [f"{what}: {words}" for what, words in files.words.items()]


def _groups(given: Mapping[str, Any], count: int) -> Any:
    said = Said(given["delimiter"], header=given["header"])
    return None if given["groups"] is None else read_labels(given["groups"], count, said)


def _names_parts(given: Mapping[str, Any]) -> bool:
    """Whether files name the parts."""
    there = [name for name in _PARTS.values() if given[name] is not None]
    if there and len(there) < len(_PARTS):
        raise InputError("adapt: expected --fit-ids, --select-ids and --test-ids together, or none of them.")
    if there and (given["split"] or given["groups"]):
        raise InputError(
            "adapt: --fit-ids came with --split or --groups; expected one way to part the items."
        )
    return bool(there)


def _parts(given: Mapping[str, Any], ids: Sequence[str], where: str) -> dict[str, np.ndarray] | None:
    """Numbers of rows by part."""
    if not _names_parts(given):
        return None
    place = {name: row for row, name in enumerate(ids)}
    seen: dict[str, Path] = {}
    found = {}
    for part, option in _PARTS.items():
        names = read_names(given[option])
        unknown = [name for name in names if name not in place]
        if unknown:
            raise InputError(
                f"{given[option]}: {len(unknown):,} of {len(names):,} ids have no vector in {where}, first "
                f"{describe(unknown[0])}; expected ids of its rows."
            )
        for name in names:
            if name in seen:
                raise InputError(
                    f"the id {describe(name)} is in {seen[name]} and in {given[option]}; expected each once."
                )
            seen[name] = given[option]
        found[part] = np.array([place[name] for name in names], dtype=np.int64)
    return found
