"""Soft ranks of a whole list: every item gets one, at the price of a sort.

`rank.py` ranks a few positives against many items; here all items are ranked at once, as NDCG over graded items,
AP of one long binary list or a Spearman correlation need it. Summing a step over all pairs is quadratic. On the
sorted list it is not: for the Laplace step the sums are two scans, and for the logistic one only neighbours within
a window count softly, everybody else by position.
"""

import functools
import importlib
import math
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import Number, describe, fail, positive_number
from metricgrad.relax import scan
from metricgrad.relax.kernels import chosen
from metricgrad.relax.step import StepName, require_step

__all__ = ["soft_ranks"]


def soft_ranks(
    scores: Float[Tensor, "*batch item"],
    *,
    temperature: Number,
    step: StepName = "logistic",
    descending: bool = True,
    mask: Bool[Tensor, "*batch item"] | None = None,
) -> Float[Tensor, "*batch item"]:
    """Return the soft rank of every item of a list (surrogate; exact for `temperature=0`).

    r_i = 1 + sum over j != i of step((s_j - s_i) / temperature): the highest score has the first rank. With
    `descending=False` the lowest one has, by step((s_i - s_j) / temperature); the two add up to item + 1.

    Args:
        scores: any real numbers; each row of the last axis is ranked by itself.
        temperature: width of the step in units of score, >= 0. 0 gives the exact ranks: a tie counts 1/2.
        step: "logistic", 1 / (1 + exp(-u)), or "laplace", 1 - exp(-u) / 2 above 0 and exp(u) / 2 below.
        descending: whether the highest score has rank 1, or the lowest one.
        mask: True where an item takes part; the others neither compete nor have a rank. Of the shape of `scores`.

    Returns:
        The ranks in float32 or wider, in [1, item]; 1 without gradient where `mask` is False.

    Raises:
        InputError: shapes or types that do not fit; a negative temperature; an unknown step; NaN scores that take
            part, where `temperature` is 0 or under `torch.autograd.set_detect_anomaly(True)` (otherwise the ranks
            of their row are NaN).

    Edge cases:
        Ties share their middle rank. One item has rank 1, an empty list no rank. Infinite scores come first or last,
        share the middle rank of their equals and have no gradient. What stands where `mask` is False, NaN included,
        does not matter.

    Gradient:
        Exact for the soft ranks, made by formula in the backward pass. Of two items it falls like
        exp(-gap / temperature); for the logistic step it is 0 beyond the window below. The gradients of a row sum
        up to 0. None for `temperature=0`. There is no second derivative: asking for one raises. Half precision is
        computed in float32, and sums are always made in float64.

    Cost:
        One sort, and for "laplace" time O(item): 1,000,000 items forward and backward take about as long as
        `torch.sort`. For "logistic" time O(item x neighbours), with the neighbours within max(17, ln(item / 1e-6))
        temperatures (40 and 1e-12 in float64): the ranks differ from the whole sum by less than that 1e-6. A
        temperature beyond the spread of the scores makes it quadratic. Extra memory O(item).

    Differs from the paper:
        The sums run over the other items only, so that ranks are those of the field, 1 for the first: the reference
        counts the item itself as 1/2 more or less.

    Reference:
        [qin2010approximation] for the logistic step; [lapsum2025] for sums of Laplace steps in closed form.

    Example:
        >>> soft_ranks(torch.tensor([0.3, 0.9, 0.1, 0.3]), temperature=0)
        tensor([2.5000, 1.0000, 4.0000, 2.5000])
        >>> soft_ranks(torch.tensor([0.0, 1.0]), temperature=1.0, step="laplace")
        tensor([1.8161, 1.1839])
    """
    caller = "soft_ranks"
    if not isinstance(scores, Tensor) or scores.ndim == 0 or not scores.is_floating_point():
        raise fail(caller, f"scores is {describe(scores)}", "a floating-point tensor (..., item)")
    require_step(caller, step)
    width = positive_number(caller, "temperature", temperature, zero=True)
    rows = scores.to(torch.promote_types(scores.dtype, torch.float32))
    rows, counts = _taking_part(caller, rows, mask)
    if width == 0:  # the limit of both steps: equal scores are no way apart, all others infinitely far
        return _ranks(rows.detach(), counts, 0.0, "laplace", descending)[0].reshape(scores.shape)
    return _ranks(rows, counts, width, step, descending)[0].reshape(scores.shape)


def _taking_part(caller: str, scores: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the scores [row, item] with NaN where an item takes no part, and how many do [row]."""
    items = scores.shape[-1]
    lists = scores.numel() // items if items else math.prod(scores.shape[:-1])
    if mask is None:
        return scores.reshape(lists, items), torch.full((lists,), items, device=scores.device)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != scores.shape:
        raise fail(
            caller,
            f"mask is {describe(mask)} and scores are {describe(scores)}",
            "a bool tensor of the shape of scores, True where an item takes part",
        )
    kept = scores.masked_fill(~mask, torch.nan)
    return kept.reshape(lists, items), mask.reshape(lists, items).sum(1)


def _refuse_nan(ordered: Tensor, counts: Tensor) -> None:
    """Raise InputError where NaN, which is sorted to the end, is among the items that take part."""
    bad = ordered.gather(1, (counts - 1).clamp(min=0).unsqueeze(1)).isnan().squeeze(1) & (counts > 0)
    if bool(bad.any()):
        rows = f"{int(bad.sum())} of {len(bad)} rows, first in row {int(bad.nonzero()[0])}"
        raise fail(
            "soft_ranks",
            f"scores has NaN in {rows}",
            "numbers",
            "Ranks need an order: find out where NaN comes from, or leave these items out by `mask`.",
        )


@functools.cache
def _compiled() -> ModuleType | None:
    """Return the compiled loops, or None where numba cannot be imported."""
    try:
        return importlib.import_module("metricgrad.relax.kernels.scan")
    except ImportError:
        return None


def _loops_for(scores: Tensor) -> ModuleType | None:
    """Return the compiled loops where they can serve these scores, else None: the torch text does."""
    return _compiled() if chosen(scores.device) == "numba" else None


def _sorted(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return every row in rising order, NaN last, and where each item came from."""
    if scores.device.type == "cpu" and len(scores) <= torch.get_num_threads():
        # torch gives each row to one thread; numpy sorts a long row more than twice as fast
        order = torch.from_numpy(np.argsort(scores.detach().numpy(), axis=1))
        return scores.gather(1, order), order
    ordered, order = torch.sort(scores, dim=1)
    return ordered, order


def _settings(items: int, dtype: torch.dtype, temperature: float, step: str, descending: bool) -> tuple:
    """Return the settings in the order in which all forms of the loops take them."""
    if step == "laplace":
        return temperature, descending
    return temperature, descending, _window(items, dtype)


def _window(items: int, dtype: torch.dtype) -> float:
    """Return how many temperatures apart a step is 0 or 1 for good: so far that all items together make no error."""
    least, tolerance = (40.0, 1e-12) if dtype == torch.float64 else (17.0, 1e-6)
    return max(least, math.log(max(1, items) / tolerance))


# Operators of torch's own kind, so that torch.compile takes them as they are instead of looking into them.


@torch.library.custom_op("metricgrad::soft_ranks", mutates_args=())
def _ranks(
    scores: Tensor, counts: Tensor, temperature: float, step: str, descending: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ranks, sorted scores and their places, all [row, item], of the `counts` items that are not NaN."""
    ordered, order = _sorted(scores.contiguous())
    if ordered.numel() == 0:
        return scores.clone(), ordered, order
    if temperature == 0 or torch.is_anomaly_enabled():
        _refuse_nan(ordered, counts)
    settings = _settings(scores.shape[1], scores.dtype, temperature, step, descending)
    loops = _loops_for(scores)
    if loops is None:
        return getattr(scan, f"{step}_ranks")(ordered, order, counts, *settings), ordered, order
    ranks = torch.empty_like(ordered)
    arrays = (part.detach().numpy() for part in (ordered, order, counts))
    getattr(loops, f"{step}_ranks")(*arrays, *settings, ranks.numpy())
    return ranks, ordered, order


@torch.library.custom_op("metricgrad::soft_ranks_gradient", mutates_args=())
def _gradient(
    ordered: Tensor,
    order: Tensor,
    counts: Tensor,
    upstream: Tensor,
    temperature: float,
    step: str,
    descending: bool,
) -> Tensor:
    """Return the gradient by the scores [row, item], given the one by the ranks."""
    if ordered.numel() == 0:
        return ordered.clone()
    settings = _settings(ordered.shape[1], ordered.dtype, temperature, step, descending)
    loops = _loops_for(ordered)
    if loops is None:
        return getattr(scan, f"{step}_gradient")(ordered, order, counts, *settings, upstream)
    gradient = torch.empty_like(ordered)
    arrays = (part.detach().numpy() for part in (ordered, order, counts))
    weights = upstream.detach().contiguous().numpy()
    getattr(loops, f"{step}_gradient")(*arrays, *settings, weights, gradient.numpy())
    return gradient


@_ranks.register_fake
def _(scores: Tensor, counts: Tensor, temperature: float, step: str, descending: bool) -> Any:
    shape = scores.shape
    return scores.new_empty(shape), scores.new_empty(shape), scores.new_empty(shape, dtype=torch.long)


@_gradient.register_fake
def _(ordered: Tensor, *_rest: Any) -> Tensor:
    return torch.empty_like(ordered)


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, counts, *ctx.settings = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output[1:], counts)


def _backward(ctx: Any, upstream: Tensor | None, *_of_the_order: Any) -> tuple:
    if upstream is None:
        return (None,) * 5
    return _gradient(*ctx.saved_tensors, upstream, *ctx.settings), None, None, None, None


def _refuse(_ctx: Any, *_upstream: Any) -> Any:
    raise NotImplementedError(
        "soft_ranks: a second derivative was asked for (create_graph=True, a gradient penalty, a Hessian); the soft "
        "ranks have a first derivative only. Take ranks of detached scores inside the penalty, or write the small "
        "case with metricgrad.relax.logistic_step."
    )


_ranks.register_autograd(_backward, setup_context=_keep)
_gradient.register_autograd(_refuse)
