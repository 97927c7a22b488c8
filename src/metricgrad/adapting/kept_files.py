"""The files that are left of test: of vectors with labels, and of judged queries."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metricgrad._qrels import Qrels
from metricgrad._types import Metric
from metricgrad.adapting.names import Names
from metricgrad.adapting.query_files import QueryFiles
from metricgrad.adapting.relevance import OfJudgements, OfLabels

__all__ = ["files_of_labels", "files_of_pairs"]


def files_of_labels(metric: Metric, test: Any, codes: np.ndarray, ids: Sequence[str] | None) -> QueryFiles:
    """Of items that are queries and documents; InputError for ids that are not one per item."""
    names = Names(ids, ids).require("adapt_embeddings", len(codes), len(codes))
    return QueryFiles(metric, test, OfLabels(codes), names)


def files_of_pairs(
    metric: Metric,
    test: Any,
    qrels: Qrels,
    query_ids: Sequence[str] | None,
    document_ids: Sequence[str] | None,
) -> QueryFiles:
    """Of queries and documents; InputError for ids that are not one per row."""
    names = Names(query_ids, document_ids).require("adapt_pairs", qrels.queries, qrels.items)
    return QueryFiles(metric, test, OfJudgements(qrels), names)
