"""What the compiled loops compare every block with: the positives' own similarities and the windows around them."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metricgrad.relax.kernels import sparse
from metricgrad.relax.kernels.threads import parts, run_on_threads
from metricgrad.relax.setting import Setting

__all__ = [
    "Prepared",
    "ends",
    "negligible",
    "on_parts",
    "prepare",
    "ranks_among_all",
    "ranks_among_positives",
    "slopes_among_positives",
    "weights_of",
]


class Prepared(NamedTuple):
    """The lists of a problem as arrays.

    Attributes:
        order: [query, positive] place in the given lists; here they are in the order of their similarities.
        positives: [query, positive] int64 item numbers.
        counts: [query] int64.
        excluded: [query] int64, -1 for none.
        levels: [query, positive] similarities of the positives, ascending; 0 beyond the count.
        columns: [positive, query] the same, infinite beyond the count.
        valid: [query, positive] bool.
        scale: 1 / temperature, in the type of the levels.
        margin: half width of a window in units of similarity.
        laplace: the step: Laplace, else logistic.
        threads: how many work.
    """

    order: np.ndarray
    positives: np.ndarray
    counts: np.ndarray
    excluded: np.ndarray
    levels: np.ndarray
    columns: np.ndarray
    valid: np.ndarray
    scale: Any
    margin: Any
    laplace: bool
    threads: int


def prepare(setting: Setting, levels: np.ndarray, items: int, threads: int) -> Prepared:
    """Return the lists of a problem as arrays, given the similarities [query, positive] of the positives."""
    valid = setting.valid.numpy()
    excluded = setting.excluded
    real = levels.dtype.type
    levels = np.where(valid, levels, real(np.inf))
    order = np.argsort(levels, axis=1, kind="stable")
    levels = np.take_along_axis(levels, order, 1)
    return Prepared(
        order=order,
        positives=np.take_along_axis(setting.positives.numpy(), order, 1),
        counts=setting.counts.contiguous().numpy(),
        excluded=np.full(len(levels), -1) if excluded is None else excluded.contiguous().numpy(),
        levels=np.where(valid, levels, real(0)),
        columns=np.ascontiguousarray(levels.T),
        valid=valid,
        scale=real(1 / setting.temperature),
        margin=real(_window(levels.dtype, items) * setting.temperature),
        laplace=setting.step == "laplace",
        threads=threads,
    )


def _window(dtype: np.dtype, items: int) -> float:
    """Return the half width of a window in temperatures; all that lies outside adds up to less than the precision."""
    if dtype == np.float64:
        return max(40.0, math.log(max(1, items) / 1e-14))
    return max(17.0, math.log(max(1, items) / 1e-6))


def ends(prepared: Prepared, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends [query] of the window around the positives that `among` marks; infinite without any."""
    real = prepared.levels.dtype.type
    low = np.where(among, prepared.levels, real(np.inf)).min(1, initial=real(np.inf)) - prepared.margin
    high = np.where(among, prepared.levels, -real(np.inf)).max(1, initial=-real(np.inf)) + prepared.margin
    return low, high


def weights_of(upstream: Tensor, prepared: Prepared) -> np.ndarray:
    """Return the gradient by the ranks times the scale; 0 for padding and for what is lost in rounding.

    The rank of a saturated positive is far beyond every cut-off, and its gradient falls exponentially: below the
    square of the float precision times the largest one it is left out, and with it all that it would cost.
    """
    given = np.take_along_axis(upstream.numpy(), prepared.order, 1).astype(prepared.levels.dtype, copy=False)
    weights = np.where(prepared.valid, given, given.dtype.type(0)) * prepared.scale
    sizes = np.abs(weights)
    weights[sizes <= negligible(torch.from_numpy(sizes))] = 0
    return weights


def negligible(sizes: Tensor) -> float:
    """Return the size up to which a gradient by a rank is lost in rounding, given all of their sizes."""
    return float(sizes.max()) * torch.finfo(sizes.dtype).eps ** 2 if sizes.numel() else 0.0


def on_parts(loop: Any, length: int, threads: int) -> None:
    """Run `loop(start, stop)` on ranges that share `length` rows out to the threads."""
    ranges = parts(length, threads)
    run_on_threads(lambda thread: loop(*ranges[thread]), threads)


def ranks_among_all(prepared: Prepared, sums: np.ndarray) -> Tensor:
    """Return the ranks [query, positive] in the order of the given lists, given the sums of steps; 1 beyond the count.

    A positive met itself with a step of 1/2, which is not counted: 1 + (sum - 1/2).
    """
    return _in_given_order(prepared, np.where(prepared.valid, sums + 0.5, 1.0).astype(prepared.levels.dtype))


def _in_given_order(prepared: Prepared, values: np.ndarray) -> Tensor:
    result = np.empty_like(values)
    np.put_along_axis(result, prepared.order, values, 1)
    return torch.from_numpy(result)


def ranks_among_positives(prepared: Prepared) -> Tensor:
    """Return the ranks [query, positive] among the positives in the order of the given lists, 1 beyond the count."""
    ranks = np.ones_like(prepared.levels)
    on_parts(
        lambda start, stop: sparse.among_positives(
            prepared.levels, prepared.counts, prepared.scale, prepared.laplace, ranks, start, stop
        ),
        len(ranks),
        prepared.threads,
    )
    return _in_given_order(prepared, ranks)


def slopes_among_positives(prepared: Prepared, upstream: Tensor | None) -> np.ndarray:
    """Return the gradient [query, positive] float64 by the levels, from the ranks among the positives alone."""
    of_levels = np.zeros(prepared.levels.shape)
    if upstream is not None:
        weights = weights_of(upstream, prepared)
        on_parts(
            lambda start, stop: sparse.positive_slopes(
                prepared.levels,
                prepared.counts,
                prepared.scale,
                prepared.laplace,
                weights,
                of_levels,
                start,
                stop,
            ),
            len(weights),
            prepared.threads,
        )
    return of_levels
