"""The structured hinge of average precision: the baseline that direct losses are compared with."""

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.direct.interleaving import Interleaving

__all__ = ["hinge_average_precision_loss"]


def hinge_average_precision_loss(
    scores: Float[Tensor, "query item"],
    targets: Shaped[Tensor, "query item"],
    *,
    mask: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, " query"]:
    """Return max over rankings of F + (1 - AP), minus F of the perfect ranking: the structured SVM of AP (surrogate).

    Args:
        scores: higher is ranked earlier.
        targets: 1 where the item is relevant, else 0.
        mask: False at padding.

    Returns:
        One value a query, >= 1 - AP of the ranking by score.

    Raises:
        InputError: shapes that do not fit, targets other than 0 and 1, NaN or infinite scores.

    Edge cases:
        A query without positives or without negatives has 0 and no gradient.

    Gradient:
        Exact: the difference of the two rankings' features. No second derivative.

    Cost:
        Two sorts and O((m + N) log N) a query.

    Reference:
        [yue2007map]

    Example:
        >>> import torch
        >>> hinge_average_precision_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[1, 0]]))
        tensor([0.])
    """
    return DirectLoss(Interleaving("average_precision"), update="hinge").per_unit(scores, targets, mask)[0]
