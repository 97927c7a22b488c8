"""Find the long description of a package from its short one: text retrieval with frozen sentence vectors.

Queries are the short descriptions of Debian's packages, documents the long ones; all documents of packages with that
short description are relevant. No source package, and no text, is on two sides of the splits: queries and documents of
select and test are new. Select looks for its documents among some of fit as well, test among all of them.

The start needs no training: two linear towers that begin as a closed form, within-pair whitening. The
proxy, InfoNCE, continues from there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from metricgrad._qrels import Qrels
from metricgrad._types import Observer
from metricgrad.pairing import TwoTowers
from metricgrad.projection import WithinPairWhitening
from metricgrad.tasks.task import Task
from metricgrad.tasks.text_data import FIT, SELECT, TEST, TextData, text_data
from metricgrad.tasks.text_data import TextOptions as Options
from metricgrad.tune import ArraySplit, PairSplit, Plan, Splits

__all__ = ["Options", "load"]

SHRINKAGE, POWER = 0.1, -0.5
"""Of the within-pair whitening that is the start."""

SELECT_INDEX = 16_000
"""Documents that the queries of select are ranked against: all of select, and as many of fit as there is room for."""


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the texts, encode them or read their vectors, divide them, and fit the start.

    Args:
        options: see `TextOptions`.
        observer: receives the progress of the encoder, and a note where the archive has moved.

    Returns:
        The task; inputs are float32 vectors of queries and documents, targets their numbers.

    Raises:
        InputError: the texts are not there, or damaged.
        MissingExtraError: the encoder is not installed.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    data = text_data("text_retrieval", chosen, observer)
    queries, documents = data.pair_vectors()
    asked, found = data.texts.pairs.T
    qrels = Qrels.of_pairs(asked, found, queries=len(queries), items=len(documents))
    of_fit = data.query_part[asked] == FIT
    form = WithinPairWhitening(SHRINKAGE, POWER).fit(queries[asked[of_fit]], documents[found[of_fit]])

    def model(_seed: int) -> nn.Module:
        return TwoTowers(form.query.linear(), form.document.linear())

    def split(part: int, index: np.ndarray) -> ArraySplit:
        rows = np.flatnonzero(data.query_part == part)
        reference = _side("document", documents, index)
        return _side(
            "query", queries, rows, reference=reference, names=[data.texts.queries[row] for row in rows]
        )

    return Task(
        name="text_retrieval",
        splits=Splits(
            PairSplit(
                queries,
                documents,
                qrels,
                query_numbers=np.flatnonzero(data.query_part == FIT),
                batch=chosen.batch,
                shared_documents=False,
                seed=chosen.split_seed,
            ),
            split(SELECT, _select_index(data)),
            split(TEST, np.flatnonzero(data.document_part <= TEST)),
            groups={
                name: torch.from_numpy(data.texts.query_groups[data.query_part == part])
                for name, part in (("select", SELECT), ("test", TEST))
            },
        ),
        model=model,
        proxy="info_nce",
        metric="ndcg@10",
        side_metrics=("recall@10", "recall@100"),
        may_fall=1.0,  # they are shown, and hold nothing back
        method="surrogate:hardest_triplet",
        plan=Plan(steps=300, evaluate_every=25),
        settings={"learning_rate": 1e-3, "pull_to_start": 3.0},
        proxy_settings={"learning_rate": 1e-3, "pull_to_start": 3.0},
        qrels=qrels,
        facts=data.facts,
    )


def _side(side: Any, vectors: np.ndarray, rows: np.ndarray, **more: Any) -> ArraySplit:
    """The vectors of some queries or documents, with their numbers."""
    return ArraySplit(torch.from_numpy(vectors[rows]), torch.from_numpy(rows), side=side, batch=4096, **more)


def _select_index(data: TextData) -> np.ndarray:
    """The documents of select, and some of fit, rising."""
    own, others = (np.flatnonzero(data.document_part == part) for part in (SELECT, FIT))
    drawn = np.random.default_rng(data.options.split_seed).permutation(others)
    return np.sort(np.concatenate([own, drawn[: max(0, SELECT_INDEX - len(own))]]))
