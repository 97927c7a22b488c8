"""Ranks of a small problem in a few operations of torch: what they cost is less than starting a kernel.

Every step [query, positive, item] is made at once and its difference kept for the backward pass, as one would write
it down; the gradient is the formula of `tile.py`. `operator.py` comes here with some hundred rows on the CPU.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metricgrad.relax.setting import Setting
from metricgrad.relax.tile import SLOPES, STEPS

__all__ = ["LIMIT", "is_small", "ranks_of_products"]

LIMIT = 2**17
"""Most steps [query, positive, item] of a small problem: half a megabyte of differences in float32."""


def is_small(queries: Tensor, items: Tensor | None, setting: Setting) -> bool:
    """Whether a problem is small, on the CPU, and not cast by autocast; None are the queries themselves."""
    steps = len(queries) * len(queries if items is None else items) * setting.positives.shape[1]
    return 0 < steps <= LIMIT and queries.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def ranks_of_products(queries: Tensor, items: Tensor, setting: Setting, refuse: Any) -> tuple[Tensor, Tensor]:
    """Return both ranks [query, positive] of the scores `queries @ items.T`.

    Args:
        queries: [query, dim], float32 or wider.
        items: [item, dim], of the same type.
        setting: the lists of positives and the step; a temperature above 0.
        refuse: called with whatever a second derivative would need; raises.
    """
    return _Ranks.apply(queries, items, setting, refuse)


class _Ranks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, setting: Setting, refuse: Any) -> Any:
        rows, valid = queries / setting.temperature, setting.valid
        scores = rows @ items.T
        levels = scores.gather(1, setting.positives)
        if setting.excluded is not None:
            own = setting.excluded.unsqueeze(1)
            out = scores.new_full(own.shape, -torch.inf)
            if bool((own < 0).any()):  # a query that is no item keeps what stands at item 0
                out = torch.where(own < 0, scores[:, :1], out)
                own = own.clamp(min=0)
            scores.scatter_(1, own, out)
        absent = ~valid
        among = levels.masked_fill(absent, -torch.inf)
        above = scores.unsqueeze(1) - levels.unsqueeze(2)
        positives_above = among.unsqueeze(1) - levels.unsqueeze(2)
        steps = [_steps(one, setting.step) for one in (above, positives_above)]
        ctx.save_for_backward(queries, items, setting.positives, valid, above, positives_above, *steps)
        ctx.setting, ctx.refuse = setting, refuse
        ctx.set_materialize_grads(False)
        # an item meets itself with a step of 1/2, which is not counted: 1 + (sum - 1/2)
        return tuple(step.sum(2).add_(0.5).masked_fill_(absent, 1) for step in steps)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        queries, items, positives, valid, *kept = ctx.saved_tensors
        with torch.no_grad():
            of_scores = _gradient(positives, valid, kept, upstream, ctx.setting)
            of_queries, of_items = of_scores @ items, of_scores.T @ queries
        if torch.is_grad_enabled():  # a second derivative may follow
            of_queries, of_items = _Refusing.apply(of_queries, of_items, ctx.refuse, queries, items)
        return of_queries, of_items, None, None


class _Refusing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of_queries: Tensor, of_items: Tensor, refuse: Any, *inputs: Tensor) -> Any:
        ctx.refuse = refuse
        return of_queries.clone(), of_items.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.refuse(ctx, *gradients)


def _gradient(
    positives: Tensor,
    valid: Tensor,
    kept: Sequence[Tensor],
    upstream: tuple[Tensor | None, ...],
    setting: Setting,
) -> Tensor:
    """Gradient by the scores [query, item]; `kept` are the differences of both kinds of ranks, then their steps."""
    above, positives_above, steps, steps_of_positives = kept
    of_all, of_positives = upstream
    gradient = above.new_zeros(above.shape[0], above.shape[2])
    of_levels = torch.zeros_like(valid, dtype=above.dtype)
    if of_all is not None:
        slope, weight = _slopes(above, steps, setting.step), of_all * valid
        gradient = torch.bmm(weight.unsqueeze(1), slope).squeeze(1)
        of_levels -= weight * slope.sum(2)
    if of_positives is not None:
        slope = _slopes(positives_above, steps_of_positives, setting.step)
        weight = of_positives * valid
        of_levels += torch.bmm(weight.unsqueeze(1), slope).squeeze(1)
        of_levels -= weight * slope.sum(2)
    return gradient.scatter_add_(1, positives, of_levels).div_(setting.temperature)


def _steps(above: Tensor, step: str) -> Tensor:
    return torch.sigmoid(above) if step == "logistic" else STEPS[step](above.clone())


def _slopes(above: Tensor, steps: Tensor, step: str) -> Tensor:
    """The slope of the step, correct to float precision on both sides."""
    return (-above).sigmoid_().mul_(steps) if step == "logistic" else SLOPES[step](above.clone())
