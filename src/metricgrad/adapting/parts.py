"""Who fits, who selects, who tests: numbers of items or queries, parted so that the run answers one question."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from metricgrad._checks import describe, fail
from metricgrad._labels import Labels, number_labels
from metricgrad._qrels import Qrels
from metricgrad.adapting.links import components

__all__ = ["FEWEST", "LabelSplit", "PairSplitBy", "Parts", "label_parts", "pair_parts"]

LabelSplit = Literal["class", "query"]
PairSplitBy = Literal["query", "document", "both"]

SHARES = (0.6, 0.2, 0.2)
NAMES = ("fit", "select", "test")
FEWEST = 3
"""Classes that select and test have, at least: among fewer nearly everything is found by chance."""
LINKED = 0.1
"""Of the queries: where no more of them hang together by their documents, documents are parted, too."""

_QUESTIONS = {
    "class": "new classes: no class of select or test is in fit",
    "class of query": "new items of known classes",
    "group": "new groups: no group of select or test is in fit",
    "query": "new queries over known documents",
    "document": "new queries and new documents: queries whose documents lie in several parts are left out",
    "both": "new queries and new documents",
    "files": "the parts that were given",
}

_UNITS = {
    "class": ("classes", 'Where new items of these classes will come, say split="query" (--split query).'),
    "group": ("groups", "Leave the groups out, or say which rows fit, select and test."),
    "both": ("queries without a document in common", 'Say split="query" (--split query).'),
    "query": ("queries or items", ""),
}
"""What is parted, in words, and what to do where there are too few."""


@dataclass(frozen=True)
class Parts:
    """Numbers of items (of labels) or queries (of judgements), int64 and rising.

    Attributes:
        fit: what maps are fitted and trained on.
        select: what choices are made on.
        test: what is read once.
        by: what was parted: `class`, `query`, `document`, `both`, `group` or `files`.
        question: which question the figures answer.
        left_out: numbers that are in no part.
    """

    fit: np.ndarray
    select: np.ndarray
    test: np.ndarray
    by: str
    question: str
    left_out: int = 0

    def __post_init__(self) -> None:
        for name in NAMES:
            numbers = getattr(self, name)
            if not len(numbers):
                raise fail("the parts", f"{name} is empty", "items in fit, select and test")
            if len(np.unique(numbers)) < len(numbers):
                raise fail("the parts", f"{name} names an item twice", "each item once")
        for first, second in (("fit", "select"), ("fit", "test"), ("select", "test")):
            shared = np.intersect1d(getattr(self, first), getattr(self, second))
            if len(shared):
                raise fail(
                    "the parts",
                    f"{len(shared):,} items are in {first} and in {second}, e.g. number {int(shared[0])}",
                    "each item in one of fit, select and test",
                )


def given_parts(given: Mapping[str, Any], count: int) -> Parts:
    """Parts that the caller names: numbers by `fit`, `select` and `test`."""
    if set(given) != set(NAMES):
        raise fail("the parts", f"parts are {describe(sorted(map(str, given)))}", "fit, select and test")
    found = {name: np.asarray(given[name]) for name in NAMES}
    for name, numbers in found.items():
        whole = numbers.ndim == 1 and (numbers.dtype.kind in "iu" or not len(numbers))
        if not whole or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < count):
            raise fail("the parts", f"{name} is {describe(numbers)}", f"numbers from 0 to {count - 1}")
    found = {name: np.sort(numbers.astype(np.int64)) for name, numbers in found.items()}
    return Parts(
        **found, by="files", question=_QUESTIONS["files"], left_out=count - sum(map(len, found.values()))
    )


def _told(parts: Parts, what: str, of: Callable[[np.ndarray], np.ndarray]) -> Parts:
    """Parts that were given, whose question says how much of test is known from fit."""
    fit, test = (np.unique(of(numbers)) for numbers in (parts.fit, parts.test))
    known = len(np.intersect1d(fit, test))
    share = f"{known:,} of the {len(test):,}" if known else f"none of the {len(test):,}"
    verb = "is" if known <= 1 else "are"
    return replace(parts, question=f"{parts.question}; of test, {share} {what} {verb} in fit, too")


def label_parts(
    labels: Labels,
    by: LabelSplit = "class",
    *,
    groups: Labels | None = None,
    parts: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Parts:
    """Part items with labels.

    Args:
        labels: one per item.
        by: `class`: whole classes go to one part, .6, .2 and .2 of them. `query`: items do, and all classes are known.
        groups: one per item: whole groups go to one part, in place of `by`.
        parts: numbers of items by `fit`, `select` and `test`, in place of `by`.
        seed: of the draw.

    Raises:
        InputError: one class; fewer than 3 classes in select or test.

    Example:
        >>> found = label_parts([0, 0, 1, 1, 2, 2] * 5, by="query")
        >>> len(found.fit), len(found.select), len(found.test), found.question
        (18, 6, 6, 'new items of known classes')
    """
    codes = number_labels("adapt", {"labels": labels}, device="cpu").codes[0].numpy()
    classes = len(np.unique(codes))
    if classes < 2:
        raise fail("adapt", f"all {len(codes):,} labels are of one class", "two classes at least")
    if parts is not None:
        return _told(given_parts(parts, len(codes)), "classes", lambda rows: codes[rows])
    if groups is not None:
        kinds = number_labels("adapt", {"groups": groups}, device="cpu").codes[0].numpy()
        if len(kinds) != len(codes):
            raise fail("adapt", f"{len(kinds):,} groups for {len(codes):,} items", "one group per item")
        return _of_units(kinds, "group", _QUESTIONS["group"], seed)
    if by == "query":
        return _of_units(np.arange(len(codes)), by, _QUESTIONS["class of query"], seed)
    if by != "class":
        raise fail("adapt", f"split is {by!r}", "'class' or 'query' where items have labels")
    found = _of_units(codes, by, _QUESTIONS["class"], seed)
    for name in ("select", "test"):
        many = len(np.unique(codes[getattr(found, name)]))
        if many < FEWEST:
            raise fail(
                "adapt",
                f"{classes} classes leave {many} for {name}",
                f"at least {FEWEST} there: among fewer nearly everything is found, and the choice is by chance",
                'Where new items of these classes will come, say split="query" (--split query).',
            )
    return found


def pair_parts(
    qrels: Qrels,
    by: PairSplitBy | None = None,
    *,
    groups: Labels | None = None,
    parts: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Parts:
    """Part queries that have a relevant document.

    Args:
        qrels: which documents are relevant.
        by: `query`: documents are known. `both`: queries that share documents go to one part together. `document`:
            documents are parted, and queries whose documents lie in several parts are left out. None: `both` where at
            most a tenth of the queries hang together by their documents, else `query`.
        groups: one per query: whole groups go to one part, in place of `by`.
        parts: numbers of queries by `fit`, `select` and `test`, in place of `by`.
        seed: of the draw.

    Raises:
        InputError: queries that cannot be parted so.

    Example:
        >>> qrels = Qrels.of_pairs(range(50), [q % 40 for q in range(50)], queries=50, items=40)
        >>> pair_parts(qrels).by, pair_parts(qrels, "query").question
        ('both', 'new queries over known documents')
    """
    relevant = qrels.relevant()
    counts = relevant.offsets.diff().numpy()
    asked = np.flatnonzero(counts)
    if parts is not None:
        found = given_parts(parts, qrels.queries)
        kept = {name: getattr(found, name)[counts[getattr(found, name)] > 0] for name in NAMES}
        found = Parts(**kept, by=found.by, question=found.question, left_out=found.left_out)
        return _told(found, "documents that are relevant there", relevant.documents_of)
    if groups is not None:
        kinds = number_labels("adapt", {"groups": groups}, device="cpu").codes[0].numpy()
        if len(kinds) != qrels.queries:
            raise fail("adapt", f"{len(kinds):,} groups for {qrels.queries:,} queries", "one group per query")
        return _of_units(kinds[asked], "group", _QUESTIONS["group"], seed, asked)
    if by not in (None, "query", "document", "both"):
        raise fail("adapt", f"split is {by!r}", "'query', 'document' or 'both' where queries are judged")
    if by == "document":
        return _by_document(relevant, asked, seed)
    linked = None if by == "query" else components(relevant)[asked]
    largest = 1.0 if linked is None else np.bincount(linked).max() / len(asked)
    if by == "both" and largest > SHARES[0]:
        raise fail(
            "adapt",
            f"{largest:.0%} of the queries hang together by documents that they share",
            "queries that can be parted together with their documents",
            'Say split="query", or split="document", which leaves out queries with documents in several parts.',
        )
    if linked is not None and (by == "both" or largest <= LINKED):
        return _of_units(linked, "both", _QUESTIONS["both"], seed, asked)
    return _of_units(np.arange(len(asked)), "query", _QUESTIONS["query"], seed, asked)


def _of_units(
    units: np.ndarray, by: str, question: str, seed: int, numbers: np.ndarray | None = None
) -> Parts:
    """Whole units, drawn in random order, to the parts by their shares of the items."""
    kinds, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    if len(kinds) < len(NAMES):
        what, advice = _UNITS.get(by, _UNITS["query"])
        came = f"there are {len(kinds)} {what} to be parted into fit, select and test"
        raise fail(
            "adapt",
            came,
            f"{len(NAMES)} {what} at least, and many more for figures that mean something",
            advice,
        )
    order = np.random.default_rng(seed).permutation(len(kinds))
    part = np.empty(len(kinds), dtype=np.int64)
    if by in ("class", "group"):  # shares of the classes: a large class would else be a part of its own
        position = (np.arange(len(kinds)) + 0.5) / len(kinds)
    else:
        ends = sizes[order].cumsum()
        position = (ends - 0.5 * sizes[order]) / ends[-1]
    part[order] = np.searchsorted(np.cumsum(SHARES)[:2], position, side="right")
    numbers = np.arange(len(units)) if numbers is None else numbers
    return Parts(*(numbers[part[codes] == place] for place in range(3)), by=by, question=question)


def _by_document(relevant: Qrels, asked: np.ndarray, seed: int) -> Parts:
    """Documents are parted; queries go with theirs, those with documents in several parts to none."""
    part = np.random.default_rng(seed).choice(3, relevant.items, p=SHARES)[relevant.documents.numpy()]
    first = relevant.offsets[:-1].numpy()[asked]
    lowest, highest = np.minimum.reduceat(part, first), np.maximum.reduceat(part, first)
    found: Sequence[np.ndarray] = [asked[(lowest == place) & (highest == place)] for place in range(3)]
    return Parts(
        *found, by="document", question=_QUESTIONS["document"], left_out=int((lowest != highest).sum())
    )
