"""Similarities between rows."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import require_matrix

__all__ = ["unit_rows"]

SMALLEST_NORM = 1e-12


def unit_rows(embeddings: Float[Tensor, "item dim"]) -> Float[Tensor, "item dim"]:
    """Scale every row to length 1 (exact), so that dot products are cosines.

    x / |x|, also where the sum of the squares would leave the range of the type.

    Args:
        embeddings: rows of any length; half precision is computed and returned in float32.

    Returns:
        Unit rows.

    Raises:
        InputError: not a floating-point matrix.

    Edge cases:
        A row of zeros stays zero. A row with NaN or an infinite number becomes NaN.

    Gradient:
        Exact; that of a row shorter than 1e-12 is as of a row of this length in its direction, which bounds it by
        1e12 times its share. 0 for a row of zeros, which has no direction.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    require_matrix("unit_rows", "embeddings", embeddings, "item, dim")
    rows = embeddings if embeddings.dtype.itemsize >= 4 else embeddings.float()
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)  # [item, 1]
    ordinary = (norms >= SMALLEST_NORM) & (norms < torch.inf)
    if not bool(ordinary.all()):
        rows = _within_range(rows, ordinary)
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        rows = torch.where(norms == 0, rows.detach(), rows)
    return rows / norms.clamp(min=SMALLEST_NORM)


def _within_range(rows: Tensor, ordinary: Tensor) -> Tensor:
    """Return rows of the same directions whose squares neither overflow nor vanish; ordinary ones keep every bit."""
    if rows.shape[1] == 0:
        return rows
    largest = rows.detach().abs().amax(1, keepdim=True)  # [item, 1]
    range_ = torch.finfo(rows.dtype)
    factor = (1 / largest).clamp(range_.tiny, 1 / range_.tiny)
    # of a row of zeros or with an infinite number nothing can be made
    factor = torch.where(ordinary | (largest == 0) | ~largest.isfinite(), 1, factor)
    # |x| factor / 1e-12: less than the factor where |x| < 1e-12
    limit = torch.linalg.vector_norm(rows.detach() * factor, dim=1, keepdim=True) / SMALLEST_NORM
    return _Scaled.apply(rows, factor, torch.minimum(factor, limit))  # pyright: ignore[reportReturnType]


class _Scaled(torch.autograd.Function):
    """Rows times a factor each, and their gradient times another."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, factor: Tensor, factor_back: Tensor) -> Tensor:
        ctx.save_for_backward(factor_back)
        return rows * factor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (factor_back,) = ctx.saved_tensors
        return gradients[0] * factor_back, None, None
