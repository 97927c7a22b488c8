"""Prototype-augmented SupCon: the supervised contrastive loss with one learned prototype per class among the rows.

One loss trains an encoder and a classifier, the softmax of the similarities to the prototypes. Every sample has a
positive, its prototype, so that small batches and rare classes have a loss, too. A proxy: it optimises no metric.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn

from metricgrad._checks import Number, fail, positive_number
from metricgrad._labels import Labels
from metricgrad.averages import mean_by_class, mean_valid
from metricgrad.losses.class_scores import counted_samples, widened
from metricgrad.losses.contrastive import contrast
from metricgrad.losses.prototypes import ClassMeans, Prototypes, rows_and_prototypes
from metricgrad.pairing.similarity import unit_rows

__all__ = ["ExtendedSupConLoss", "extended_supcon_loss", "have_positives"]

SPACE = {"temperature": (0.05, 0.1, 0.2), "anchors": ("samples", "all")}
"""Values that tries draw from."""

Anchors = Literal["samples", "all"]


def extended_supcon_loss(
    embeddings: Float[Tensor, "sample dim"],
    targets: Integer[Tensor, " sample"] | Labels,
    prototypes: Float[Tensor, "class dim"],
    *,
    temperature: Number = 0.1,
    anchors: Anchors = "samples",
    prototype_negatives: bool = True,
    normalize: bool = True,
) -> Float[Tensor, " anchor"]:
    """Return the prototype-augmented SupCon loss of every anchor (exact value of a proxy loss).

    The pool is the samples and the prototypes, prototype c with label c. With A all of the pool but the anchor, Pos
    those of its label in it and s the similarity divided by the temperature: LSE over A of s - mean over Pos of s.

    Args:
        embeddings: rows.
        targets: class numbers from 0; -100 for a row to ignore, which then is not in the pool.
        prototypes: one row per class, usually a parameter.
        temperature: > 0; tau.
        anchors: `samples`; `all` takes the prototypes as anchors, too.
        prototype_negatives: whether an anchor that is a prototype meets the other prototypes; for `all` only.
        normalize: scale rows and prototypes to length 1 first.

    Returns:
        One value per sample, with `all` then one per prototype; lower is better.

    Raises:
        InputError: temperature <= 0; shapes that do not fit; a target that is no class number; unknown `anchors`.

    Edge cases:
        An ignored row, and a prototype of a class that the batch lacks, has 0 and zero gradient: average over
        `have_positives`. A single sample has the cross-entropy of its class by the prototypes, 0 if there is one class.
        NaN stays NaN.

    Gradient:
        Exact, by embeddings and prototypes; float32 for half precision.

    Cost:
        O(sample (sample + class) dim) time, O(sample (sample + class)) memory, beyond 256 MB of similarities in chunks
        that are computed again. For more than some 10^5 classes pass the prototypes of the batch's classes and a random
        sample of others.

    Differs from the paper:
        The definition is ours, after the idea of the paper: its equation, temperature and code were not available to
        us. Hence the name prototype-augmented SupCon.

    Reference:
        [aljundi2023esupcon]; [khosla2020supcon] for the loss without prototypes.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
        >>> extended_supcon_loss(embeddings, torch.tensor([0, 0, 1, 1]), torch.eye(2), temperature=0.5)
        tensor([0.8840, 1.2648, 1.0714, 0.8431])
    """
    caller = "extended_supcon_loss"
    warmth = positive_number(caller, "temperature", temperature)
    _require_anchors(caller, anchors)
    rows, numbers, weights = rows_and_prototypes(caller, embeddings, targets, prototypes, normalize=normalize)
    kept = counted_samples(numbers).nonzero().squeeze(1)
    codes = torch.cat([numbers[kept], torch.arange(len(weights), device=numbers.device)])
    chosen = have_positives(numbers, len(weights), anchors)
    if anchors == "all":
        ours = torch.cat([torch.ones_like(kept).bool(), chosen[len(rows) :]]).nonzero().squeeze(1)
    else:
        ours = torch.arange(len(kept), device=kept.device)
    pool = torch.cat([rows.index_select(0, kept), weights])
    losses = contrast(pool, codes, ours, temperature=warmth, apart=None if prototype_negatives else len(kept))
    found = torch.zeros(len(chosen), dtype=losses.dtype, device=losses.device)
    return found.index_add(0, chosen.nonzero().squeeze(1), losses)


def have_positives(
    targets: Int[Tensor, " sample"], classes: int, anchors: Anchors = "samples"
) -> Bool[Tensor, " anchor"]:
    """Return which anchors of `extended_supcon_loss` have a loss.

    Args:
        targets: class numbers from 0, or -100.
        classes: number of prototypes.
        anchors: as there.

    Example:
        >>> have_positives(torch.tensor([0, -100]), 2, "all")
        tensor([ True, False,  True, False])
    """
    counted = counted_samples(targets)
    if anchors == "samples":
        return counted
    return torch.cat([counted, targets[counted].long().bincount(minlength=classes) > 0])


class ExtendedSupConLoss(nn.Module):
    """`extended_supcon_loss` with its prototypes as a parameter, averaged over the anchors that have a positive.

    Args:
        class_means: where the prototypes begin: `prototypes.class_means(embeddings, targets)` of the training set, or
            one row per class number, such as the weights of a classifier. `tune` gives the class means of fit under the
            network with which a stage begins.
        temperature: > 0; tau.
        anchors: see `extended_supcon_loss`.
        prototype_negatives: see `extended_supcon_loss`.
        reduction: `mean` over the anchors, or `class_balanced`: the mean over classes of the mean over their anchors.

    Attributes:
        prototypes: `prototypes.rows` is the parameter [class, dim]. Train it without weight decay.

    Raises:
        InputError: as `extended_supcon_loss`; a label without a prototype; unknown `reduction`.

    Example:
        >>> from metricgrad.losses.prototypes import class_means
        >>> embeddings, labels = torch.eye(4), ["cat", "cat", "dog", "dog"]
        >>> criterion = ExtendedSupConLoss(class_means(embeddings, labels), temperature=0.5)
        >>> criterion(embeddings, labels), criterion.logits(embeddings).softmax(1)[0]
        (tensor(1.3864, grad_fn=<DivBackward0>), tensor([0.8044, 0.1956], grad_fn=<SelectBackward0>))
    """

    def __init__(
        self,
        class_means: ClassMeans | Float[Tensor, "class dim"],
        *,
        temperature: Number = 0.1,
        anchors: Anchors = "samples",
        prototype_negatives: bool = True,
        reduction: Literal["mean", "class_balanced"] = "mean",
    ) -> None:
        super().__init__()
        self.prototypes = Prototypes("ExtendedSupConLoss", class_means)
        self.temperature = positive_number("ExtendedSupConLoss", "temperature", temperature)
        _require_anchors("ExtendedSupConLoss", anchors)
        if reduction not in ("mean", "class_balanced"):
            raise fail("ExtendedSupConLoss", f"reduction is {reduction!r}", "'mean' or 'class_balanced'")
        self.anchors: Anchors = anchors
        self.prototype_negatives, self.reduction = prototype_negatives, reduction

    def forward(self, embeddings: Float[Tensor, "sample dim"], targets: Labels) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        weights = self.prototypes.rows
        numbers = self.prototypes.numbers(targets)
        losses = extended_supcon_loss(
            embeddings,
            numbers,
            weights,
            temperature=self.temperature,
            anchors=self.anchors,
            prototype_negatives=self.prototype_negatives,
        )
        valid = have_positives(numbers, len(weights), self.anchors)
        if self.reduction == "mean":
            return mean_valid(losses, valid)
        classes = torch.cat([numbers, torch.arange(len(weights), device=numbers.device)])
        return mean_by_class(losses, classes[: len(losses)], valid)

    def logits(self, embeddings: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample class"]:
        """Return <embedding, prototype> / temperature of unit rows: their softmax is the prediction."""
        return unit_rows(widened(embeddings)) @ unit_rows(self.prototypes.rows).T / self.temperature


RUNNING = ExtendedSupConLoss
"""What `tune` trains with."""


def _require_anchors(caller: str, anchors: str) -> None:
    if anchors not in get_args(Anchors):
        raise fail(caller, f"anchors is {anchors!r}", "'samples' or 'all'")
