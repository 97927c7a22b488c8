"""Circle loss of classes: a sample must be near the weights of its class and away from those of all others.

The form of the circle loss for classification and face recognition: one learned vector per class instead of pairs, so
that a batch needs no two samples of one class. A proxy: it optimises no reported metric.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from metricgrad._checks import Number
from metricgrad._labels import Labels
from metricgrad.averages import mean_valid
from metricgrad.losses.circle import circle_sums, log_of_one_and, margin_and_scale
from metricgrad.losses.class_scores import counted_samples, widened
from metricgrad.losses.prototypes import ClassMeans, Prototypes, rows_and_prototypes
from metricgrad.losses.similarities import Compared
from metricgrad.pairing.similarity import unit_rows

__all__ = ["CircleClassLoss", "circle_class_loss"]

SPACE = {"margin": (0.25, 0.4), "scale": (64.0, 128.0, 256.0)}
"""Values that tries draw from."""


def circle_class_loss(
    embeddings: Float[Tensor, "sample dim"],
    targets: Integer[Tensor, " sample"] | Labels,
    class_weights: Float[Tensor, "class dim"],
    *,
    margin: Number = 0.25,
    scale: Number = 256.0,
    normalize: bool = True,
) -> Float[Tensor, " sample"]:
    """Return the circle loss of every sample against all classes (exact value of a proxy loss; weights are constants).

    As `circle_loss` with one positive, the cosine with the weights of the sample's class, and the cosines with those of
    all other classes as negatives.

    Args:
        embeddings: rows.
        targets: class numbers from 0; -100 for a sample to ignore.
        class_weights: one row per class, usually a parameter.
        margin: m.
        scale: gamma, > 0; 256 is for faces, 128 for persons.
        normalize: scale rows and class weights to length 1 first.

    Returns:
        One value per sample, >= 0, lower is better.

    Raises:
        InputError: scale <= 0; shapes that do not fit; a target that is no class number.

    Warns:
        UserWarning: a margin outside -1 to 1.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. With one class
        there are no negatives: 0. NaN stays NaN.

    Gradient:
        As of `circle_loss`: the factors a_p and a_n are constants, so it is not the derivative of the value. float32
        for half precision.

    Cost:
        O(sample class dim), see `circle_loss`.

    Differs from the paper:
        Nothing.

    Reference:
        [sun2020circle] sections 3.1 and 4.

    Example:
        >>> weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])
        >>> circle_class_loss(torch.tensor([[0.9, 0.3]]), torch.tensor([0]), weights, scale=64.0)
        tensor([0.2316])
    """
    margin, scale = margin_and_scale("circle_class_loss", margin, scale)
    rows, numbers, weights = rows_and_prototypes(
        "circle_class_loss", embeddings, targets, class_weights, normalize=normalize
    )
    classes = torch.arange(len(weights), device=numbers.device)
    with torch.autocast(rows.device.type, enabled=False):
        sums = circle_sums(
            Compared(rows, weights, codes=numbers, item_codes=classes), margin=margin, scale=scale
        )
    # an ignored sample has no positive: its sum over them is -inf
    return log_of_one_and(sums.sum(1))


class CircleClassLoss(nn.Module):
    """`circle_class_loss` with the weights of classes as a parameter, averaged over the samples.

    Args:
        class_means: where the weights begin, see `ExtendedSupConLoss`.
        margin: m.
        scale: gamma, > 0.

    Attributes:
        prototypes: `prototypes.rows` is the parameter [class, dim]. Train it without weight decay.

    Raises:
        InputError: as `circle_class_loss`; a label without weights.

    Example:
        >>> criterion = CircleClassLoss(torch.eye(3), scale=8.0)
        >>> criterion(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.2]]), torch.tensor([0, 1]))
        tensor(0.9243, grad_fn=<DivBackward0>)
    """

    def __init__(
        self,
        class_means: ClassMeans | Float[Tensor, "class dim"],
        *,
        margin: Number = 0.25,
        scale: Number = 256.0,
    ) -> None:
        super().__init__()
        self.prototypes = Prototypes("CircleClassLoss", class_means)
        self.margin, self.scale = margin_and_scale("CircleClassLoss", margin, scale)

    def forward(self, embeddings: Float[Tensor, "sample dim"], targets: Labels) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        numbers = self.prototypes.numbers(targets)
        losses = circle_class_loss(
            embeddings, numbers, self.prototypes.rows, margin=self.margin, scale=self.scale
        )
        return mean_valid(losses, counted_samples(numbers))

    def logits(self, embeddings: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample class"]:
        """Return the cosines with the weights of all classes, of which the largest decides."""
        return unit_rows(widened(embeddings)) @ unit_rows(self.prototypes.rows).T


RUNNING = CircleClassLoss
"""What `tune` trains with."""
