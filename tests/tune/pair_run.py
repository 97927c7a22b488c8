"""Pairs that a run of `tune` takes seconds for: noisy queries of random documents, graded, two relevant ones each."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from metricgrad import Qrels, metrics
from metricgrad.pairing import TwoTowers
from metricgrad.tune import ArraySplit, PairSplit, Plan, Result, Splits, tune

QUERIES, DOCUMENTS, DIM = 120, 60, 10


def judgements() -> Qrels:
    """Query q: document q % 60 of grade 2, its neighbour of grade 1, and one that was judged and is not relevant."""
    query = torch.arange(QUERIES)
    document = torch.stack([query % DOCUMENTS, (query + 1) % DOCUMENTS, (query + 7) % DOCUMENTS], 1)
    grades = torch.tensor([2.0, 1.0, 0.0]).expand(QUERIES, 3)
    return Qrels.of_pairs(
        query.repeat_interleave(3), document.flatten(), grades.flatten(), queries=QUERIES, items=DOCUMENTS
    )


def vectors() -> tuple[torch.Tensor, torch.Tensor]:
    """Queries [query, dim] and documents [document, dim]."""
    generator = torch.Generator().manual_seed(0)
    documents = torch.randn(DOCUMENTS, DIM, generator=generator)
    turned = documents @ torch.randn(DIM, DIM, generator=generator)
    noise = torch.randn(QUERIES, DIM, generator=generator)
    return turned[torch.arange(QUERIES) % DOCUMENTS] + noise, documents


def pair_splits(**changes: Any) -> Splits:
    """60 queries to fit, 30 to select, 30 to test, all against all documents."""
    queries, documents = vectors()
    reference = ArraySplit(documents, torch.arange(DOCUMENTS), side="document")
    fit = PairSplit(
        queries, documents, judgements(), **{"query_numbers": torch.arange(60), "batch": 20, **changes}
    )
    others = (
        ArraySplit(queries[some], some, side="query", reference=reference)
        for some in (torch.arange(60, 90), torch.arange(90, 120))
    )
    return Splits(fit, *others)


def towers(_seed: int = 0, **changes: Any) -> nn.Module:
    """Two towers, one of them with dropout so that the random states matter."""
    torch.manual_seed(0)
    query = nn.Sequential(nn.Linear(DIM, 8), nn.Dropout(0.1))
    return TwoTowers(query, **{"document": nn.Linear(DIM, 8), **changes})


def pair_run(folder: Path | None, *, observer: Any = lambda event: None, **changes: Any) -> Result:
    """Tune the towers for NDCG@10."""
    arguments: dict[str, Any] = {
        "metric": metrics.judged("ndcg@10", judgements()),
        "proxy": "info_nce",
        "method": "surrogate:ndcg",
        "plan": Plan(steps=6, evaluate_every=3, checkpoint_every=4),
        "folder": folder,
        "observer": observer,
    }
    splits = changes.pop("splits", None) or pair_splits()
    return tune(changes.pop("model", towers), splits, **(arguments | changes))
