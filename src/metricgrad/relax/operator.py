"""The hot operator as torch sees it: four custom operations with fake implementations, and their gradients.

As custom operations they are opaque to `torch.compile` and blind to autocast. Which kernel does the work is decided
at every call, by the device and by METRICGRAD_KERNEL.
"""

from typing import Any

import torch
from torch import Tensor

from metricgrad.relax import kernels, plain, small
from metricgrad.relax.setting import Setting, wide

__all__ = ["products", "scores"]


def products(queries: Tensor, items: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Return both ranks [query, positive] of the scores `queries @ items.T`; same tensor twice for a square problem."""
    square = items is queries
    dtype = wide(queries, items)
    trained = setting.temperature > 0 and torch.is_grad_enabled()
    noted = trained and (queries.requires_grad or items.requires_grad)
    rows = queries.to(dtype)
    columns = None if square else items.to(dtype)
    if not trained:
        rows, columns = rows.detach(), None if columns is None else columns.detach()
    elif not torch.compiler.is_compiling() and kernels.free() and small.is_small(rows, columns, setting):
        return small.ranks_of_products(rows, columns, setting, _refuse)
    among_all, among_positives, *_ = _ranks_of_products(rows, columns, *setting, noted)
    return among_all, among_positives


def scores(given: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Return both ranks [query, positive] of given scores [query, item]."""
    return _ranks_of_scores(given if setting.temperature > 0 else given.detach(), *setting)


@torch.library.custom_op("metricgrad::ranks_of_products", mutates_args=())
def _ranks_of_products(
    queries: Tensor,
    items: Tensor | None,
    positives: Tensor,
    counts: Tensor,
    excluded: Tensor | None,
    temperature: float,
    step: str,
    noted: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    setting = Setting(positives, counts, excluded, temperature, step)
    others = queries if items is None else items
    windows = kernels.empty_windows(queries, others, noted)
    backend = kernels.chosen(queries.device) if temperature > 0 else "torch"
    if backend == "numba" and kernels.finite(queries, others):
        from metricgrad.relax.kernels import products

        among = products.ranks_of_products(queries, others, setting, windows)
    else:
        among = plain.ranks_of_products(queries, others, setting, kernels.tile(backend))
    return among[0], among[1], windows.pair, windows.score, windows.table


@_ranks_of_products.register_fake
def _(
    queries: Tensor,
    items: Tensor | None,
    positives: Tensor,
    counts: Tensor,
    excluded: Tensor | None,
    temperature: float,
    step: str,
    noted: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    ranks = queries.new_empty(positives.shape)
    others = queries if items is None else items
    pair, score, table = kernels.empty_windows(queries, others, noted)
    return ranks, torch.empty_like(ranks), pair, score, table


@torch.library.custom_op("metricgrad::gradients_of_products", mutates_args=())
def _gradients_of_products(
    queries: Tensor,
    items: Tensor | None,
    positives: Tensor,
    counts: Tensor,
    excluded: Tensor | None,
    temperature: float,
    step: str,
    pair: Tensor,
    score: Tensor,
    table: Tensor,
    of_all: Tensor | None,
    of_positives: Tensor | None,
) -> tuple[Tensor, Tensor]:
    setting = Setting(positives, counts, excluded, temperature, step)
    others = queries if items is None else items
    upstream = (of_all, of_positives)
    backend = kernels.chosen(queries.device)
    if backend == "numba" and kernels.finite(queries, others, of_all, of_positives):
        from metricgrad.relax.kernels import active

        windows = kernels.Windows(pair, score, table)
        of_queries, of_items = active.gradients_of_products(queries, others, setting, windows, *upstream)
    else:
        kernel = kernels.tile(backend)
        of_queries, of_items = plain.gradients_of_products(queries, others, setting, upstream, kernel)
        if items is None:
            of_queries += of_items
    return of_queries, queries.new_empty(0) if items is None else of_items


@_gradients_of_products.register_fake
def _(
    queries: Tensor,
    items: Tensor | None,
    positives: Tensor,
    counts: Tensor,
    excluded: Tensor | None,
    temperature: float,
    step: str,
    pair: Tensor,
    score: Tensor,
    table: Tensor,
    of_all: Tensor | None,
    of_positives: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(queries), queries.new_empty(0) if items is None else torch.empty_like(items)


@torch.library.custom_op("metricgrad::ranks_of_scores", mutates_args=())
def _ranks_of_scores(
    scores: Tensor, positives: Tensor, counts: Tensor, excluded: Tensor | None, temperature: float, step: str
) -> tuple[Tensor, Tensor]:
    setting = Setting(positives, counts, excluded, temperature, step)
    backend = kernels.chosen(scores.device) if temperature > 0 else "torch"
    if backend == "numba" and kernels.ordered(scores, setting):
        from metricgrad.relax.kernels import given

        return given.ranks_of_scores(scores, setting)
    return plain.ranks_of_scores(scores, setting, kernels.tile(backend))


@_ranks_of_scores.register_fake
def _(
    scores: Tensor, positives: Tensor, counts: Tensor, excluded: Tensor | None, temperature: float, step: str
) -> tuple[Tensor, Tensor]:
    ranks = scores.new_empty(positives.shape, dtype=wide(scores))
    return ranks, torch.empty_like(ranks)


@torch.library.custom_op("metricgrad::gradient_of_scores", mutates_args=())
def _gradient_of_scores(
    scores: Tensor,
    positives: Tensor,
    counts: Tensor,
    excluded: Tensor | None,
    temperature: float,
    step: str,
    of_all: Tensor | None,
    of_positives: Tensor | None,
) -> Tensor:
    setting = Setting(positives, counts, excluded, temperature, step)
    backend = kernels.chosen(scores.device)
    if backend == "numba" and kernels.ordered(scores, setting) and kernels.finite(of_all, of_positives):
        from metricgrad.relax.kernels import given

        return given.gradient_of_scores(scores, setting, of_all, of_positives)
    return plain.gradient_of_scores(scores, setting, (of_all, of_positives), kernels.tile(backend))


@_gradient_of_scores.register_fake
def _(
    scores: Tensor,
    positives: Tensor,
    counts: Tensor,
    excluded: Tensor | None,
    temperature: float,
    step: str,
    of_all: Tensor | None,
    of_positives: Tensor | None,
) -> Tensor:
    return torch.empty_like(scores)


def _keep_products(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    queries, items, positives, counts, excluded, temperature, step, _ = inputs
    ctx.save_for_backward(queries, items, positives, counts, excluded, *output[2:])
    ctx.how = temperature, step
    ctx.set_materialize_grads(False)


def _back_from_products(ctx: Any, *upstream: Tensor | None) -> tuple[Any, ...]:
    queries, items, positives, counts, excluded, *windows = ctx.saved_tensors
    of_all, of_positives = (None if part is None else part.contiguous() for part in upstream[:2])
    of_queries, of_items = _gradients_of_products(
        queries, items, positives, counts, excluded, *ctx.how, *windows, of_all, of_positives
    )
    return of_queries, None if items is None else of_items, *[None] * 6


def _keep_scores(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    scores, positives, counts, excluded, temperature, step = inputs
    ctx.save_for_backward(scores, positives, counts, excluded)
    ctx.how = temperature, step
    ctx.set_materialize_grads(False)


def _back_from_scores(ctx: Any, *upstream: Tensor | None) -> tuple[Any, ...]:
    of_all, of_positives = (None if part is None else part.contiguous() for part in upstream)
    return _gradient_of_scores(*ctx.saved_tensors, *ctx.how, of_all, of_positives), *[None] * 5


def _refuse(ctx: Any, *gradients: Any) -> Any:
    raise NotImplementedError(
        "positive_ranks: a second derivative was asked for (create_graph=True, a gradient penalty, a Hessian); "
        "the soft ranks have a first derivative only. Take ranks of detached embeddings inside the penalty, or "
        "write the small case with metricgrad.relax.step.logistic_step."
    )


_ranks_of_products.register_autograd(_back_from_products, setup_context=_keep_products)
_ranks_of_scores.register_autograd(_back_from_scores, setup_context=_keep_scores)
_gradients_of_products.register_autograd(_refuse)
_gradient_of_scores.register_autograd(_refuse)
