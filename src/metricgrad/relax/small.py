"""Ranks of a small problem: one product, one loop over its rows; what is around them costs more than they do.

`operator.py` comes here with some hundred rows on the CPU. A custom operation and blocks for every thread would take
longer than the whole.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad.relax import kernels, plain
from metricgrad.relax.setting import Setting

__all__ = ["LIMIT", "is_small", "ranks_of_products"]

LIMIT = 2**21
"""Most steps [query, positive, item] of a small problem."""

NOBODY = np.zeros(0, np.int64)
"""No item is excluded."""

NOTHING = {dtype: torch.zeros(0, 0, dtype=dtype).numpy() for dtype in (torch.float32, torch.float64)}
"""The gradient by ranks that no loss reads."""

Refuse = Callable[..., Any]


def is_small(queries: Tensor, items: Tensor | None, setting: Setting) -> bool:
    """Whether a problem is small, on the CPU, and not cast by autocast; None are the queries themselves."""
    steps = len(queries) * len(queries if items is None else items) * setting.positives.shape[1]
    return (
        0 < steps <= LIMIT
        and queries.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and kernels.chosen(queries.device) == "numba"
    )


def ranks_of_products(
    queries: Tensor, items: Tensor | None, setting: Setting, refuse: Refuse
) -> tuple[Tensor, Tensor]:
    """Return both ranks [query, positive] of the scores `queries @ items.T`.

    Args:
        queries: [query, dim] finite, float32 or float64.
        items: [item, dim], of the same type; None for the queries themselves.
        setting: the lists of positives and the step; a temperature above 0.
        refuse: called with whatever a second derivative would need; raises.
    """
    return _Ranks.apply(queries, items, setting, refuse)


class _Ranks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor | None, setting: Setting, refuse: Refuse) -> Any:
        others = queries if items is None else items
        scores = queries @ others.T
        ctx.save_for_backward(queries, items)
        ctx.setting, ctx.refuse = setting, refuse
        ctx.set_materialize_grads(False)
        if not _finite(scores):
            ctx.kept = None
            return plain.ranks_of_products(queries, others, setting, kernels.tile("torch"))
        from metricgrad.relax.kernels import few

        among_all, among_positives, levels = (scores.new_empty(setting.positives.shape) for _ in range(3))
        arrays = scores.numpy(), setting.positives.contiguous().numpy(), setting.counts.contiguous().numpy()
        out = NOBODY if setting.excluded is None else setting.excluded.contiguous().numpy()
        how = arrays[0].dtype.type(1 / setting.temperature), setting.step == "laplace"
        ctx.kept = *arrays, levels.numpy(), *how
        few.ranks_of_few(*arrays, out, *how, among_all.numpy(), among_positives.numpy(), levels.numpy())
        return among_all, among_positives

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        queries, items = ctx.saved_tensors
        with torch.no_grad():
            gradients = _gradients(ctx, queries, items, upstream)
        if torch.is_grad_enabled():  # a second derivative may follow
            gradients = _Refusing.apply(*gradients, ctx.refuse, queries, items)
        return *gradients, None, None


class _Refusing(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, of_queries: Tensor, of_items: Tensor | None, refuse: Refuse, *inputs: Tensor | None
    ) -> Any:
        ctx.refuse = refuse
        return of_queries.clone(), None if of_items is None else of_items.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.refuse(ctx, *gradients)


def _gradients(
    ctx: Any, queries: Tensor, items: Tensor | None, upstream: tuple[Tensor | None, Tensor | None]
) -> tuple[Tensor, Tensor | None]:
    """Gradients by the queries and by the items; None for the latter where these are the queries."""
    others = queries if items is None else items
    if ctx.kept is None or not all(part is None or _finite(part) for part in upstream):
        found = plain.gradients_of_products(queries, others, ctx.setting, upstream, kernels.tile("torch"))
        return (found[0] + found[1], None) if items is None else found
    from metricgrad.relax.kernels import few

    of_scores = torch.empty(len(queries), len(others), dtype=queries.dtype)
    given = (NOTHING[queries.dtype] if part is None else part.contiguous().numpy() for part in upstream)
    few.slopes_of_few(*ctx.kept, *given, of_scores.numpy())
    if items is None:  # each row is a query and an item
        return (of_scores + of_scores.T) @ queries, None
    return of_scores @ items, of_scores.T @ queries


def _finite(values: Tensor) -> bool:
    """As `kernels.finite`, of few numbers."""
    with np.errstate(all="ignore"):  # a sum that is not finite is the answer
        return math.isfinite(values.numpy().sum())
