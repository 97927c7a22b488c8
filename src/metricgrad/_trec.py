"""The lines of TREC runs and judgements, as every program that evaluates them reads the same order.

trec_eval reads scores in single precision and orders equal ones by document id. So scores are written that fall
strictly in single precision, too: no program has a tie to break.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

__all__ = ["judgement_lines", "run_lines"]


def run_lines(
    ranked: Iterable[tuple[str, np.ndarray, np.ndarray]], named: Callable[[int], str], tag: str = "metricgrad"
) -> Iterator[str]:
    r"""Yield `qid Q0 docid rank score tag`, line by line.

    Args:
        ranked: of each query its id, the numbers of its documents, best first, and their scores, which do not rise.
        named: the id of a document by its number.
        tag: the last column.

    Scores are written with all digits. One that is not below the one before in single precision (equals, and what
    trec_eval cannot tell apart) is replaced by the next lower number of single precision.

    Example:
        >>> list(run_lines([("q", np.array([7]), np.array([0.5]))], str))
        ['q Q0 7 1 0.5 metricgrad\n']
    """
    for query, items, scores in ranked:
        for rank, (item, score) in enumerate(zip(items.tolist(), _falling(scores), strict=True), start=1):
            yield f"{query} Q0 {named(item)} {rank} {score!r} {tag}\n"


def judgement_lines(
    judged: Iterable[tuple[str, np.ndarray, np.ndarray]], named: Callable[[int], str]
) -> Iterator[str]:
    r"""Yield `qid 0 docid grade`, parted by tabs, line by line; whole grades are written as whole numbers.

    Args:
        judged: of each query its id, the numbers of its documents, and their grades.
        named: the id of a document by its number.

    Example:
        >>> list(judgement_lines([("q", np.array([7]), np.array([2.0]))], str))
        ['q\t0\t7\t2\n']
    """
    for query, items, grades in judged:
        for item, grade in zip(items.tolist(), grades.tolist(), strict=True):
            text = str(int(grade)) if grade == int(grade) else np.format_float_positional(grade)
            yield f"{query}\t0\t{named(item)}\t{text}\n"


def _falling(scores: np.ndarray) -> list[float]:
    """Scores that fall strictly in single precision."""
    single = scores.astype(np.float32)
    if (np.diff(single) < 0).all():
        return scores.tolist()
    found, last = [], np.float32(np.inf)
    for score, rounded in zip(scores.tolist(), single, strict=True):
        if rounded < last:
            found.append(score)
            last = rounded
        else:
            last = np.nextafter(last, np.float32(-np.inf))
            found.append(float(last))
    return found
