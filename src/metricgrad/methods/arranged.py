"""Outputs of a network and their targets, arranged as the structure of a direct loss takes them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._columns import logit_of_class_1, one_column
from metricgrad._structures import one_tensor
from metricgrad.direct import DirectLoss
from metricgrad.losses.class_scores import counted_samples
from metricgrad.methods.of_embeddings import sides_of
from metricgrad.methods.of_pixels import pixels_as_samples
from metricgrad.pairing import label_codes, unit_rows

__all__ = ["DirectObjective", "embedded", "in_rows", "of_classes"]

Arrangement = Callable[[Tensor, Any], tuple[Tensor, Any, Tensor | None]]
"""`(outputs, targets) -> scores, targets and mask` of a structure."""


class DirectObjective:
    """A direct loss of a network's outputs: arranges them for the structure, and keeps the loss's state.

    Args:
        loss: what is minimised.
        arrange: outputs and targets as the structure takes them.
    """

    def __init__(self, loss: DirectLoss, arrange: Arrangement) -> None:
        self.loss, self.arrange = loss, arrange

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the mean loss over the units that have one."""
        return self.loss(*self.arrange(outputs, targets))


def embedded(outputs: Any, targets: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return cosine similarities [query, item], relevance, and that nobody is an item of its own.

    Of a batch of pairs: queries against documents, by the relevance of the pairs.
    """
    sides = sides_of("direct", outputs, targets)
    if sides is not None:
        queries, documents, relevance = sides
        return unit_rows(queries) @ unit_rows(documents).T, relevance > 0, None
    rows = unit_rows(one_tensor("direct", outputs))
    (codes,) = label_codes(targets, device=outputs.device)
    return rows @ rows.T, codes[:, None] == codes, ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)


def of_classes(outputs: Any, targets: Any) -> tuple[Tensor, Any, None]:
    """Return class scores [sample, class] and the class of every sample, or pixel; those to ignore are left out."""
    scores, classes = pixels_as_samples(one_tensor("direct", outputs), one_column(targets))
    if one_column(scores).ndim == 1:
        raise fail(
            "direct:multiclass",
            f"outputs are {describe(outputs)}",
            "class scores [sample, class] of two classes or more",
            "One score of class 1 per sample is what direct:error_rate takes.",
        )
    if isinstance(classes, Tensor) and classes.shape == scores.shape[:1]:
        counted = counted_samples(classes).to(scores.device)
        if not bool(counted.all()):
            return scores[counted], classes[counted.to(classes.device)], None
    return scores, classes, None


def in_rows(
    outputs: Any, targets: Any, *, threshold: float = 0.0, positive_class: int = 1
) -> tuple[Tensor, Tensor, None]:
    """Return one row of scores [1, sample], or one for each class [class, sample], and 0 or 1 for every score.

    A single column is one score, and two are, as the metrics of two classes read them. A structure decides at 0, hence
    the threshold of the metric is subtracted; where class 0 is the positive one scores and targets change sides.
    """
    outputs = one_tensor("direct", outputs)
    targets, logit = one_column(targets), logit_of_class_1(outputs)
    if not isinstance(targets, Tensor) or targets.shape != outputs.shape[:1]:
        came = f"outputs are {describe(outputs)} and targets are {describe(targets)}"
        raise fail("direct", came, "one target for every sample")
    if logit is not None:
        logit = logit - threshold if threshold else logit
        if positive_class == 0:
            logit, targets = -logit, targets == 0
        return logit[None], targets[None], None
    if outputs.ndim != 2:
        raise fail("direct", f"outputs are {describe(outputs)}", "scores [sample] or [sample, class]")
    classes = torch.arange(outputs.shape[1], device=outputs.device)
    return outputs.T, classes[:, None] == targets, None
