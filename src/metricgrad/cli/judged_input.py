"""Queries, a corpus and judgements from files, joined: what `evaluate` measures, and what can be adapted."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metricgrad._qrels import Qrels
from metricgrad.cli.judgements import Side, first_few, joined
from metricgrad.cli.relevance_files import Judged, read_relevance
from metricgrad.cli.row_names import read_names
from metricgrad.cli.vector_files import Vectors, read_vectors
from metricgrad.errors import InputError

__all__ = ["JudgedVectors", "read_judged_vectors"]


@dataclass(frozen=True)
class JudgedVectors:
    """Vectors of queries and documents, and which documents are relevant to which query.

    Attributes:
        queries: the vectors that ask.
        corpus: the vectors that are found.
        judged: the judgements, as their file has them.
        qrels: the same by rows.
    """

    queries: Vectors
    corpus: Vectors
    judged: Judged
    qrels: Qrels

    @property
    def words(self) -> dict[str, str]:
        """What was recognised, by what it is."""
        return {
            "query file": f"{self.queries.path}: {'; '.join(self.queries.names)}",
            "corpus file": f"{self.corpus.path}: {'; '.join(self.corpus.names)}",
            "judged": self.judged.words,
        }


def read_judged_vectors(caller: str, given: Mapping[str, Any]) -> JudgedVectors:
    """Read and join them.

    Args:
        caller: the command, for messages.
        given: the options by name: queries, corpus, qrels, query_ids, corpus_ids, query_texts, corpus_texts,
            vector_column.

    Raises:
        InputError: one of the files is missing, as `read_vectors`, `read_relevance` and `joined`; one file on both
            sides, other dimensions on each.

    Warns:
        UserWarning: queries that are documents, by id and by vector.
    """
    queries, corpus = _read_vectors(caller, given)
    judged = read_relevance(given["qrels"])
    sides = [_side(what, vectors, given) for what, vectors in (("query", queries), ("document", corpus))]
    return JudgedVectors(queries, corpus, judged, joined(judged, *sides))


def _read_vectors(caller: str, given: Mapping[str, Any]) -> tuple[Vectors, Vectors]:
    """The vectors of both sides, which fit each other."""
    for option in ("queries", "corpus"):
        if given[option] is None:
            raise InputError(
                f"{caller}: --qrels came without --{option}; expected --queries and --corpus with it."
            )
    queries_path, corpus_path = given["queries"], given["corpus"]
    if queries_path.exists() and corpus_path.exists() and os.path.samefile(queries_path, corpus_path):
        raise InputError(
            f"{caller}: {queries_path} is given as --queries and as --corpus, so that every query would find itself; "
            "expected two files. Of one set of items with classes: --embeddings and --labels."
        )
    queries = read_vectors(queries_path, given["query_ids"], given["vector_column"])
    corpus = read_vectors(corpus_path, given["corpus_ids"], given["vector_column"])
    if queries.array.shape[1] != corpus.array.shape[1]:
        raise InputError(
            f"{queries.path} has {queries.array.shape[1]:,} dimensions and {corpus.path} {corpus.array.shape[1]:,}; "
            "expected vectors of one model."
        )
    _warn_of_queries_in_corpus(queries, corpus)
    return queries, corpus


def _warn_of_queries_in_corpus(queries: Vectors, corpus: Vectors) -> None:
    """Warn of queries that are documents, by id and by vector."""
    if queries.ids is None or corpus.ids is None:
        return
    place = {name: row for row, name in enumerate(corpus.ids)}
    found = [
        name
        for row, name in enumerate(queries.ids)
        if name in place and np.array_equal(queries.array[row], corpus.array[place[name]])
    ]
    if found:
        warnings.warn(
            f"{len(found):,} queries are documents, by id and by vector ({first_few(found)}): each finds itself, as in "
            "trec_eval. (BEIR leaves them out.)",
            stacklevel=2,
        )


def _side(what: str, vectors: Vectors, given: Mapping[str, Any]) -> Side:
    """What the rows of one side are called."""
    option = {"query": "query", "document": "corpus"}[what]
    texts = given[f"{option}_texts"]
    found = None if texts is None else read_names(texts, "text")
    if found is not None and len(found) != len(vectors.array):
        raise InputError(
            f"{texts} holds {len(found):,} texts, but {vectors.path} {len(vectors.array):,} vectors; expected one text "
            "per vector, in the same order."
        )
    advice = f"Say --{option}-ids with the file or the column of the ids"
    advice += "." if texts else f", or --{option}-texts where the judgements name texts."
    return Side(what, f"{vectors.path} ({vectors.names[1]})", vectors.row_ids, found, advice)
