"""A retrieval metric over labels whose queries are ranked among each other and further items."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._labels import Labels
from metricgrad._types import Metric
from metricgrad.metrics.embedded import rank_tiles
from metricgrad.metrics.facts import settings_of
from metricgrad.metrics.known import facts_of
from metricgrad.metrics.of_ranks import hit_at_k, reciprocal_rank
from metricgrad.metrics.stacked import Stacked

__all__ = ["among_others", "beside", "is_among_others"]

_OF_FIRST = (hit_at_k, reciprocal_rank)
"""Formulas that read the best rank of a query alone, where ties have an order."""


def among_others(metric: Metric) -> Metric:
    """The metric with references that stand beside the queries, each of which is left out of its own ranking.

    Args:
        metric: a record of a retrieval metric over labels.

    Raises:
        InputError: another metric.

    Example:
        >>> from metricgrad.metrics import adapt
        >>> metric = among_others(adapt("recall@1"))
        >>> points, others = torch.tensor([[1.0, 0.0], [0.9, 0.1]]), torch.tensor([[1.0, 0.01]])
        >>> metric.measure(points, [0, 0], reference_outputs=others, reference_targets=[1])[:, 0]
        tensor([0., 0.], dtype=torch.float64)
    """
    facts = facts_of("among_others", metric.function, "retrieval")  # pyright: ignore[reportArgumentType]
    assert facts.formula is not None
    own = settings_of(facts.formula)
    formula = partial(facts.formula, **{key: value for key, value in metric.settings.items() if key in own})
    how = {key: metric.settings[key] for key in ("ties", "normalize")}
    description = f"{metric.description}; items are ranked among each other and the others of the index"
    return replace(metric, measure=partial(_rows, metric.name, formula, how), description=description)


def _rows(
    caller: str,
    formula: Callable[..., Tensor],
    how: Mapping[str, Any],
    outputs: Float[Tensor, "query dim"],
    targets: Labels,
    *,
    reference_outputs: Float[Tensor, "item dim"] | None = None,
    reference_targets: Labels | None = None,
) -> Float[Tensor, "query 1"]:
    """Value of every query."""
    found = beside(outputs, targets, reference_outputs, reference_targets)
    first = _function(formula) in _OF_FIRST and how["ties"] != "average"
    ranks = rank_tiles(outputs, targets, **found, **how, first_alone=first, caller=caller)
    return torch.cat([formula(part) for part in ranks])[:, None].cpu()


def _function(formula: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A formula without its settings."""
    return formula.func if isinstance(formula, partial) else formula


def beside(
    outputs: Float[Tensor, "query dim"],
    targets: Labels,
    reference_outputs: Float[Tensor, "item dim"] | None,
    reference_targets: Labels | None,
) -> dict[str, Any]:
    """The references of `retrieval_ranks`: the queries and what stands beside them, each query passed over itself."""
    if reference_outputs is None:
        return {}
    return {
        "reference_embeddings": Stacked(outputs, reference_outputs),
        "reference_labels": torch.cat([torch.as_tensor(targets), torch.as_tensor(reference_targets)]),
        "exclude": torch.arange(len(outputs), device=outputs.device),
    }


def is_among_others(metric: Metric) -> bool:
    """Whether a record is one of `among_others`.

    Example:
        >>> from metricgrad.metrics import adapt
        >>> is_among_others(among_others(adapt("map@r"))), is_among_others(adapt("map@r"))
        (True, False)
    """
    return isinstance(metric.measure, partial) and metric.measure.func is _rows
