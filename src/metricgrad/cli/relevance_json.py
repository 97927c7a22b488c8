"""Judgements in JSON: one object per query, or one object with all of them.

`query, pos, neg` (also `anchor, positive, negative`), `query, relevant_passages, hard_negatives`, and
`queries, corpus, relevant_docs`, where `relevant_docs` names the relevant documents of each query, with or without
grades. The values are ids or exact texts; which of them, the rows to which they belong will tell.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metricgrad._checks import describe
from metricgrad.errors import InputError

__all__ = ["json_judgements"]

_QUERY = ("query", "anchor", "question")
_RELEVANT = ("pos", "positive", "positives", "relevant_passages")
_NEGATIVE = ("neg", "negative", "negatives", "hard_negatives")

Pairs = list[tuple[Any, Any, float]]


def json_judgements(path: Path, text: str) -> tuple[str, Pairs]:
    """Judgements of a JSON text: the form in words, and (query, document, grade).

    Raises:
        InputError: no JSON (with its line), objects of another form, a document that is no text and no whole number.
    """
    pairs: Pairs = []
    seen: dict[str, None] = {}
    for place, record in _records(path, text):
        if not isinstance(record, dict):
            raise InputError(f"{path} {place} is {describe(record)}; expected a JSON object per query.")
        if "relevant_docs" in record:
            seen |= dict.fromkeys(("queries", "corpus", "relevant_docs"))
            pairs += _of_one_object(path, place, record["relevant_docs"])
            continue
        query, relevant, negative = (
            next((name for name in names if name in record), None) for names in (_QUERY, _RELEVANT, _NEGATIVE)
        )
        if query is None or relevant is None:
            raise InputError(
                f"{path} {place} has the keys {describe(', '.join(record))}; expected query, pos and neg, or query, "
                "relevant_passages and hard_negatives, or queries, corpus and relevant_docs."
            )
        seen |= dict.fromkeys(name for name in (query, relevant, negative) if name)
        (asked,) = _listed(path, place, record[query])
        pairs += [(asked, one, 1.0) for one in _listed(path, place, record[relevant])]
        pairs += [(asked, one, 0.0) for one in _listed(path, place, record[negative] if negative else [])]
    return f"JSON ({', '.join(seen)})", pairs


def _records(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """The objects, each with its place: of lines, or of one document that is an object or a list."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if text.lstrip().startswith("[") or not _is_json(lines[0][1]):
        whole = _parsed(f"{path}", text)
        for number, record in enumerate(whole if isinstance(whole, list) else [whole], start=1):
            yield f"object {number}", record
        return
    for number, line in lines:
        yield f"line {number}", _parsed(f"{path} line {number}", line)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {error}; expected an object per query.") from error


def _listed(path: Path, place: str, value: Any) -> list[str | int]:
    """One id or text, or a list of them."""
    found = value if isinstance(value, list) else [value]
    for one in found:
        if not isinstance(one, str | int) or isinstance(one, bool):
            raise InputError(f"{path} {place} holds {describe(one)}; expected ids or texts.")
    return found


def _of_one_object(path: Path, place: str, relevant: Any) -> Pairs:
    """Query -> its documents, as a list or with grades."""
    if not isinstance(relevant, dict):
        raise InputError(
            f"{path} {place}: relevant_docs is {describe(relevant)}; expected the documents by query."
        )
    pairs: Pairs = []
    for query, documents in relevant.items():
        graded = (
            documents if isinstance(documents, Mapping) else dict.fromkeys(_listed(path, place, documents), 1)
        )
        for document, grade in graded.items():
            if isinstance(grade, bool) or not isinstance(grade, int | float):
                raise InputError(
                    f"{path} {place}: the grade of {describe(document)} is {describe(grade)}, no number."
                )
            pairs.append((query, document, float(grade)))
    return pairs
