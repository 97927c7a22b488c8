"""TREC runs, `qid Q0 docid rank score tag`: what was retrieved for each query, read and written; per-query figures.

A run is in the order in which trec_eval reads it: by score in single precision, highest first; equal scores by
document id, last first. Its column of ranks is not looked at. What is written here has scores that fall strictly in
single precision, too, so that every program sees our order.
"""

import array
import csv
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metricgrad._checks import describe
from metricgrad._trec import run_lines
from metricgrad.cli.arrays import require_file
from metricgrad.cli.row_names import normal
from metricgrad.cli.written import writing
from metricgrad.errors import InputError

__all__ = ["Run", "read_run", "require_ids_of_runs", "write_per_query", "write_run"]


@dataclass(frozen=True)
class Run:
    """What was retrieved for each query.

    Attributes:
        path: of the file.
        queries: ids, in the order in which they came first.
        offsets: int64 [query + 1]: the documents of query q stand at `offsets[q]:offsets[q + 1]`.
        documents: distinct ids.
        ranked: int64 [entry], numbers of `documents`, the best of each query first.
    """

    path: Path
    queries: list[str]
    offsets: np.ndarray
    documents: list[str]
    ranked: np.ndarray


def read_run(path: Path) -> Run:
    """Read a run.

    Raises:
        InputError: no such file, no text, nothing in it, a line of another form or with a score that is no number (with
            its number, from 1), a document twice for one query.

    Warns:
        UserWarning: scores that differ only beyond single precision; they are equal for trec_eval, and here.

    Cost: a pass of Python over the lines; memory of some 24 bytes per line and of the distinct ids.
    """
    require_file(path)
    queries: dict[str, int] = {}
    documents: dict[str, int] = {}
    query, document, score = array.array("q"), array.array("q"), array.array("d")
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                fields = line.split()
                if not fields:
                    continue
                query.append(queries.setdefault(normal(fields[0]), len(queries)))
                score.append(_score(path, number, fields))
                document.append(documents.setdefault(normal(fields[2]), len(documents)))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a TREC run: {error}; expected UTF-8 text.") from error
    if not query:
        raise InputError(f"{path} has no line with content; expected a TREC run.")
    return _ordered(path, list(queries), list(documents), *map(np.asarray, (query, document, score)))


def _score(path: Path, number: int, fields: Sequence[str]) -> float:
    """The score of a line; InputError where it is no line of a run."""
    value = math.nan
    if len(fields) == 6:
        try:
            value = float(fields[4])
        except ValueError:
            value = math.nan
    if math.isnan(value):
        raise InputError(
            f"{path} line {number} is {describe(' '.join(fields))}; expected qid Q0 docid rank score tag, parted by "
            "spaces or tabs, with a number as score."
        )
    return value


def _ordered(
    path: Path,
    queries: list[str],
    documents: list[str],
    query: np.ndarray,
    document: np.ndarray,
    score: np.ndarray,
) -> Run:
    """The entries in the order of trec_eval."""
    place = np.empty(len(documents), dtype=np.int64)
    place[sorted(range(len(documents)), key=documents.__getitem__)] = np.arange(len(documents))
    with np.errstate(over="ignore"):
        single = score.astype(np.float32)
    order = np.lexsort((-place[document], -single, query))
    query, document, single, score = query[order], document[order], single[order], score[order]
    same = np.diff(query) == 0
    merged = same & (np.diff(single) == 0) & (np.diff(score) != 0)
    if merged.any():
        warnings.warn(
            f"{path}: {int(merged.sum()):,} scores differ from the one before only beyond single precision; as in "
            "trec_eval they count as equal, and equal scores go by document id, last first.",
            stacklevel=3,
        )
    pairs = np.sort(query * len(documents) + document)
    if len(twice := pairs[1:][np.diff(pairs) == 0]):
        asked, named = divmod(int(twice[0]), len(documents))
        raise InputError(
            f"{path} has the document {describe(documents[named])} twice for the query {describe(queries[asked])}; "
            "expected each once."
        )
    offsets = np.concatenate([[0], np.bincount(query, minlength=len(queries)).cumsum()])
    return Run(path, queries, offsets, documents, document)


def require_ids_of_runs(where: str, ids: Iterable[str]) -> None:
    """Refuse ids that a run cannot hold."""
    if broken := next((one for one in ids if len(one.split()) != 1), None):
        raise InputError(
            f"{where}: the id {describe(broken)} has a space within, which parts the columns of a TREC run; expected "
            "ids without spaces."
        )


def write_run(
    path: Path,
    queries: Sequence[str],
    documents: Sequence[str],
    ranked: Iterable[tuple[np.ndarray, np.ndarray]],
    tag: str = "metricgrad",
) -> None:
    """Write a run.

    Args:
        path: of the file.
        queries: ids.
        documents: ids by number.
        ranked: of each query the numbers of its documents, best first, and their scores, which do not rise.
        tag: the last column.

    Scores are written as `run_lines` has it: strictly falling in single precision.

    Raises:
        InputError: the file cannot be written.
    """
    entries = ((query, items, scores) for query, (items, scores) in zip(queries, ranked, strict=True))
    with writing(path, "--save-run"), path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(run_lines(entries, documents.__getitem__, tag))


def write_per_query(path: Path, queries: Sequence[str], values: Mapping[str, np.ndarray]) -> None:
    """Write a CSV file with a line per query: its id, then each metric with all digits, empty where it is undefined.

    Raises:
        InputError: the file cannot be written.
    """
    columns = [
        ["" if math.isnan(one) else repr(one) for one in column.tolist()] for column in values.values()
    ]
    with writing(path, "--per-query"), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["query", *values])
        writer.writerows(zip(queries, *columns, strict=True))
