"""Judgements of ids become judgements of rows: who is known, who is not, and what cannot be told apart."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from metricgrad._checks import describe
from metricgrad._qrels import Qrels
from metricgrad.cli.relevance_files import Judged
from metricgrad.errors import InputError

__all__ = ["Side", "first_few", "joined"]

_SHOWN = 3


@dataclass(frozen=True)
class Side:
    """What the rows of one side are called.

    Attributes:
        what: `query` or `document`.
        where: the file of the rows, with where their ids are from.
        ids: of the rows.
        texts: of the rows, where judgements may name them by their exact texts.
        advice: what to say where nothing fits.
    """

    what: str
    where: str
    ids: list[str]
    texts: list[str] | None = None
    advice: str = ""

    @property
    def plural(self) -> str:
        """The word for several."""
        return "queries" if self.what == "query" else "documents"


def joined(judged: Judged, queries: Side, documents: Side) -> Qrels:
    """The relevance of rows to rows.

    A name is the row of that id, else all rows of that text.

    Raises:
        InputError: no name of one side is known; nothing is relevant; a pair with two grades; every query has every
            document as relevant.

    Warns:
        UserWarning: names that are not known, how many and the first few: their judgements are left out. Queries to
            which every document is relevant.
    """
    query_rows, document_rows = (
        _rows(judged, judged.queries, queries),
        _rows(judged, judged.documents, documents),
    )
    pairs = [
        (query, document, place)
        for place, (asked, named) in enumerate(zip(judged.queries, judged.documents, strict=True))
        for query in query_rows.get(asked, ())
        for document in document_rows.get(named, ())
    ]
    if not pairs:
        raise InputError(
            f"{judged.path}: no judgement is of a query and a document that both have vectors; expected ids of "
            f"{queries.where} and {documents.where}."
        )
    query, document, place = np.array(pairs, dtype=np.int64).T
    grades = judged.grades[place]
    _require_one_grade(judged, query, document, grades, place)
    _require_relevant(judged, queries, documents, query, document, grades)
    return Qrels.of_pairs(query, document, grades, queries=len(queries.ids), items=len(documents.ids))


def first_few(names: Iterable[str]) -> str:
    """The first names, and whether there are more."""
    names = list(names)
    return ", ".join(map(describe, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")


def _rows(judged: Judged, names: Sequence[str], side: Side) -> dict[str, tuple[int, ...]]:
    """The rows of every name that is known."""
    needed = set(names)
    by_id = {name: (row,) for row, name in enumerate(side.ids) if name in needed}
    by_text: dict[str, tuple[int, ...]] = {}
    for row, text in enumerate(side.texts or ()):
        if text in needed and text not in by_id:
            by_text[text] = (*by_text.get(text, ()), row)
    found = {**by_id, **by_text}
    unknown = [name for name in dict.fromkeys(names) if name not in found]
    if not found:
        raise InputError(
            f"{judged.path}: none of its {len(unknown):,} {side.plural} ({first_few(unknown)}) is known; expected ids "
            f"of {side.where} ({first_few(side.ids)}). {side.advice}"
        )
    if unknown:
        warnings.warn(
            f"{judged.path}: {len(unknown):,} of {len(unknown) + len(found):,} judged {side.plural} have no vector in "
            f"{side.where} ({first_few(unknown)}); their judgements are left out"
            + (
                "."
                if side.what == "query"
                else ", though trec_eval counts a relevant document that is nowhere as not found."
            ),
            stacklevel=3,
        )
    return found


def _require_one_grade(
    judged: Judged, query: np.ndarray, document: np.ndarray, grades: np.ndarray, place: np.ndarray
) -> None:
    """Refuse a pair that was judged twice, otherwise the second time."""
    order = np.lexsort((document, query))
    again = (np.diff(query[order]) == 0) & (np.diff(document[order]) == 0) & (np.diff(grades[order]) != 0)
    if again.any():
        one, other = order[again.argmax()], order[again.argmax() + 1]
        raise InputError(
            f"{judged.path}: the query {describe(judged.queries[place[one]])} and the document "
            f"{describe(judged.documents[place[one]])} have the grades {grades[one]:g} and {grades[other]:g} "
            f"({int(again.sum()):,} such pairs); expected one grade per pair."
        )


def _require_relevant(
    judged: Judged,
    queries: Side,
    documents: Side,
    query: np.ndarray,
    document: np.ndarray,
    grades: np.ndarray,
) -> None:
    """Refuse judgements by which nothing can be ranked, and warn of queries of which that is so."""
    relevant = grades > 0
    if not relevant.any():
        raise InputError(f"{judged.path}: no document is relevant to a query (no grade is above 0).")
    pairs = np.unique(query[relevant] * len(documents.ids) + document[relevant])
    counts = np.bincount(pairs // len(documents.ids), minlength=len(queries.ids))
    every = (counts == len(documents.ids)).nonzero()[0]
    if len(every) == (counts > 0).sum():
        raise InputError(
            f"{judged.path}: every document is relevant to each of its {len(every):,} queries, so that every order is "
            "as good; expected documents that are not relevant, too."
        )
    if len(every):
        warnings.warn(
            f"{judged.path}: every document is relevant to {len(every):,} queries "
            f"({first_few(queries.ids[row] for row in every)}); whatever the order, they count as found.",
            stacklevel=3,
        )
