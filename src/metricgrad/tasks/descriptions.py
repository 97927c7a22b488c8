"""Short and long descriptions of packages as queries and documents: cleaned, joined where equal, grouped.

A query is a short description, a document a long one; each text is there once, and a query belongs to every document
that some package has together with it. Packages of one source, and packages whose texts differ in nothing but digits
and punctuation (compilers of several versions), are of one group: groups are what is divided into splits, so that
neither a source nor a text is on both sides.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from metricgrad.tasks.debian_packages import Package

__all__ = ["Descriptions", "descriptions"]

_EMPTY = re.compile(r"\b(transitional|dummy)\b", re.IGNORECASE)
"""What packages without content of their own say of themselves, in the short line or at the beginning."""

_BEGINNING = 200  # characters


@dataclass(frozen=True)
class Descriptions:
    """Texts and what belongs together.

    Attributes:
        queries: different short descriptions.
        documents: different long descriptions, their lines joined.
        pairs: numbers of a query and of a document that belongs to it, each pair once, rising.
        names: of a package that has the document, for tables.
        sections: of the archive, of each document; where packages in several have it, that of most of them.
        query_groups: of each query, numbers from 0.
        document_groups: the same numbers, of each document.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    pairs: Int64[np.ndarray, "pair 2"]
    names: tuple[str, ...]
    sections: tuple[str, ...]
    query_groups: Int64[np.ndarray, "query"]
    document_groups: Int64[np.ndarray, "document"]


def descriptions(packages: Iterable[Package]) -> Descriptions:
    """Clean the texts of packages and say which belong together.

    Left out are packages without a long description and those that say that they are transitional or dummies: their
    texts tell nothing of them.

    Args:
        packages: in the order of the archive, which is that of the texts here.

    Returns:
        The texts; the same packages in the same order give the same numbers.

    Edge cases:
        Texts are compared without their line breaks and double blanks, upper and lower case apart.

    Example:
        >>> of = descriptions(
        ...     [
        ...         Package("a1", "a", "games", "A game", "One plays."),
        ...         Package("a1-data", "a", "games", "A game (data)", "One plays."),
        ...     ]
        ... )
        >>> of.documents, of.pairs.tolist()
        (('One plays.',), [[0, 0], [1, 0]])
    """
    kept = [(one, _joined(one.short), _joined(one.long)) for one in packages]
    kept = [
        (one, short, long)
        for one, short, long in kept
        if short and long and not _EMPTY.search(short) and not _EMPTY.search(long[:_BEGINNING])
    ]
    queries = {text: number for number, text in enumerate(dict.fromkeys(short for _, short, _ in kept))}
    documents = {text: number for number, text in enumerate(dict.fromkeys(long for _, _, long in kept))}
    group_of = _groups([(one.source, short, long) for one, short, long in kept])
    names: dict[str, str] = {}
    sections: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[str, dict[str, int]] = {"query": {}, "document": {}}
    for (one, short, long), group in zip(kept, group_of, strict=True):
        names.setdefault(long, one.package)
        sections[long][one.section] += 1
        groups["query"][short] = groups["document"][long] = group
    pairs = sorted({(queries[short], documents[long]) for _, short, long in kept})
    return Descriptions(
        tuple(queries),
        tuple(documents),
        np.array(pairs, np.int64).reshape(-1, 2),
        tuple(names[text] for text in documents),
        tuple(sections[text].most_common(1)[0][0] for text in documents),
        np.array([groups["query"][text] for text in queries], np.int64),
        np.array([groups["document"][text] for text in documents], np.int64),
    )


def _joined(text: str) -> str:
    """The words of a text with one blank between them."""
    return " ".join(text.split())


def _letters(text: str) -> str:
    """The letters of a text in lower case; the text itself where it has none (another script)."""
    return " ".join(re.findall("[a-z]+", text.lower())) or text


def _groups(triples: Sequence[tuple[str, str, str]]) -> list[int]:
    """Number the groups of packages that are joined by their source or a text, in order of their first package."""
    above: dict[tuple[int, str], tuple[int, str]] = {}

    def top(key: tuple[int, str]) -> tuple[int, str]:
        above.setdefault(key, key)
        while above[key] != key:
            above[key] = above[above[key]]
            key = above[key]
        return key

    for triple in triples:
        first, *others = ((place, _letters(text)) for place, text in enumerate(triple))
        for other in others:
            above[top(other)] = top(first)
    numbers: dict[tuple[int, str], int] = {}
    return [numbers.setdefault(top((0, _letters(source))), len(numbers)) for source, _, _ in triples]
