"""Similarities between rows."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["unit_rows"]

SMALLEST_NORM = 1e-12


def unit_rows(embeddings: Float[Tensor, "item dim"]) -> Float[Tensor, "item dim"]:
    """Scale every row to length 1 (exact), so that dot products are cosines.

    x / max(|x|, 1e-12).

    Args:
        embeddings: rows of any length; half precision is computed and returned in float32.

    Returns:
        Unit rows.

    Edge cases:
        A row of zeros stays zero.

    Gradient:
        Exact; 0 for a row shorter than 1e-12, which has no direction and would otherwise get 1e12 times its share.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    rows = embeddings if embeddings.dtype.itemsize >= 4 else embeddings.float()
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)  # [item, 1]
    rows = torch.where(norms < SMALLEST_NORM, rows.detach(), rows)
    return rows / norms.clamp(min=SMALLEST_NORM)
