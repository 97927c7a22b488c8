"""Gradients of products where few queries carry one: blocks of these by all items, in place of mirrored blocks.

In a large batch that overlaps, most positives are far beyond every cut-off. A mirrored block costs one and a half times
the product of its scores whoever carries a gradient, a block of active queries by all items costs it three times.
"""

import math

from torch import Tensor

from metricgrad.relax.kernels import Windows, empty_windows, products
from metricgrad.relax.kernels.prepared import negligible
from metricgrad.relax.setting import Setting

__all__ = ["gradients_of_products"]


def gradients_of_products(
    queries: Tensor,
    items: Tensor,
    setting: Setting,
    windows: Windows,
    of_all: Tensor | None,
    of_positives: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return what `products.gradients_of_products` does, in the way that takes less time."""
    active = None
    if of_all is not None and items is queries and not bool((windows.table[:, 1] > 0).any()):
        active = _few(of_all, setting, windows)
    if of_all is None or active is None:
        return products.gradients_of_products(queries, items, setting, windows, of_all, of_positives)
    rows = queries[active]
    excluded = None if setting.excluded is None else setting.excluded[active]
    lists = Setting(
        setting.positives[active], setting.counts[active], excluded, setting.temperature, setting.step
    )
    nothing = empty_windows(rows, queries, False)
    of_rows, total = products.gradients_of_products(rows, queries, lists, nothing, of_all[active], None)
    total.index_add_(0, active, of_rows)
    if of_positives is not None:
        total += products.gradients_of_products(queries, queries, setting, windows, None, of_positives)[0]
    return total, total


def _few(of_all: Tensor, setting: Setting, windows: Windows) -> Tensor | None:
    """Return the queries that carry a gradient, where they are fewer than half of what blocks must be done; or None."""
    sizes = of_all.abs() * setting.valid
    active = (sizes > negligible(sizes)).any(1).nonzero().squeeze(1)
    noted = _of_blocks(windows.table[:, 1]) >= 0  # nothing is in the windows of such a block
    share = 1 - float(noted.double().mean()) if len(noted) else 1.0
    return active if len(active) < share * len(of_all) / 2 else None


def _of_blocks(entries: Tensor) -> Tensor:
    """Leave out the places of blocks that there are not: mirrored blocks are half of the square, and numbered first."""
    edge = math.isqrt(len(entries))
    half = edge * (edge + 1) // 2
    return entries if bool((entries[half:] >= 0).any()) else entries[:half]
