"""Retrieval metrics over judged documents (qrels), as records.

The words are those of information retrieval: `recall@k` is the share of the relevant documents that is found, `hit@k`
whether any is. Over labels `recall@k` is the latter, as metric learning has it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import Labels, whole_labels
from metricgrad._qrels import Qrels
from metricgrad._types import Metric
from metricgrad.metrics.facts import settings_of
from metricgrad.metrics.known import facts_of
from metricgrad.metrics.names import metric_by_name
from metricgrad.metrics.over_documents import document_tiles

__all__ = ["judged", "qrels_of"]


def judged(metric: Metric | str, qrels: Qrels) -> Metric:
    """Bind a retrieval metric to judged documents (exact; the unit is the query).

    Args:
        metric: a name, `ndcg@10`, `recall@10`, `hit@10`, `mrr@10`, `map@100`, `map@r`, with settings as on the command
            line (`ndcg@10:gains=exponential`); or a record of a retrieval metric, known by its function. The name
            `recall@10` is the share of the relevant documents that is found; `hit@10` asks for any.
        qrels: which documents are relevant to which query.

    Returns:
        A record whose `measure(outputs, targets, *, reference_outputs, reference_targets)` gives [query, 1]: `targets`
        are numbers of queries and `reference_targets` numbers of documents of the qrels. NaN for a query without a
        relevant document; the summary is the mean of the others.

    Raises:
        InputError: no retrieval metric. When measured: no references, a number out of range, a document twice, or a
            document that is relevant to one of the queries and is not among the references: an index may be a sample,
            but it holds every relevant document.

    Edge cases:
        ties: by the setting. Documents that were not judged count as not relevant. Where queries are documents too,
        leave them out (`judged_ranks(exclude=...)`).

    Gradient: none.

    Cost: as `judged_ranks`, in the memory of a few tiles.

    Example:
        >>> metric = judged("recall@1", Qrels.of_pairs([0, 0], [0, 2], queries=1, items=3))
        >>> documents = torch.tensor([[1.0, 0.1], [1.0, 0.2], [0.0, 1.0]])
        >>> references = {"reference_outputs": documents, "reference_targets": [0, 1, 2]}
        >>> metric.name, metric.measure(torch.tensor([[1.0, 0.0]]), [0], **references)
        ('recall@1', tensor([[0.5000]], dtype=torch.float64))
    """
    name = None
    if isinstance(metric, str):
        name, metric = metric, metric_by_name(re.sub(r"^\s*recall\s*@", "recall_at_k@", metric, flags=re.I))
    if metric.function is None:
        raise fail("judged", f"the metric is {metric.name}", "a retrieval metric of this library")
    facts = facts_of("judged", metric.function, "retrieval")
    assert facts.formula is not None
    own = settings_of(facts.formula)
    formula = partial(facts.formula, **{key: value for key, value in metric.settings.items() if key in own})
    how = {key: metric.settings[key] for key in ("ties", "normalize")}
    name = name or facts.label(
        {key: value for key, value in metric.settings.items() if value != own.get(key)}
    )
    return replace(
        metric,
        name=name,
        measure=partial(_rows, name, formula, qrels, how),
        description=f"{facts.description(metric.settings)}; over judged documents",
        settings={**metric.settings, "qrels": qrels.digest},
    )


def qrels_of(metric: Metric) -> Qrels | None:
    """Return the judgements that a metric is bound to; None for a metric of labels.

    Example:
        >>> qrels = Qrels.of_pairs([0], [2], queries=1, items=3)
        >>> qrels_of(judged("mrr@10", qrels)) is qrels
        True
    """
    measure = metric.measure
    return measure.args[2] if isinstance(measure, partial) and measure.func is _rows else None


def _rows(
    caller: str,
    formula: Callable[..., Tensor],
    qrels: Qrels,
    how: Mapping[str, Any],
    outputs: Tensor | np.ndarray,
    targets: Labels,
    *,
    reference_outputs: Tensor | np.ndarray | None = None,
    reference_targets: Labels | None = None,
) -> Float[Tensor, "query 1"]:
    """Value of every query."""
    if reference_outputs is None or reference_targets is None:
        expected = "reference_outputs and reference_targets, the documents and their numbers"
        raise fail(caller, "no documents came", expected)
    here = qrels.relevant().taking(targets, reference_targets)
    _require_relevant(caller, qrels, targets, here)
    ranks = document_tiles(caller, outputs, reference_outputs, here, **how)
    return torch.cat([formula(part) for part in ranks])[:, None].cpu()


def _require_relevant(caller: str, qrels: Qrels, targets: Labels, here: Qrels) -> None:
    """Raise InputError where a document that is relevant to one of the queries is missing."""
    queries = whole_labels(caller, "targets", targets).cpu()
    missing = qrels.relevant().offsets.diff()[queries] - here.offsets.diff()
    if bool(missing.any()):
        first = int(queries[missing > 0][0])
        raise fail(
            caller,
            f"{int(missing.sum())} relevant documents are not among the references, first of query {first}",
            "an index with every relevant document of its queries",
            "A sample of documents may leave out only those that are relevant to none of them.",
        )
