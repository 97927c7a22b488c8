"""Similarities between rows."""

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["unit_rows"]


def unit_rows(embeddings: Float[Tensor, "item dim"]) -> Float[Tensor, "item dim"]:
    """Scale every row to length 1, so that dot products are cosines.

    x / max(|x|, 1e-12).

    Args:
        embeddings: rows of any length; half precision is computed and returned in float32.

    Returns:
        Unit rows; a row of zeros stays zero, with a finite gradient.

    Example:
        >>> import torch
        >>> unit_rows(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    return nn.functional.normalize(embeddings if embeddings.dtype.itemsize >= 4 else embeddings.float(), dim=1)
