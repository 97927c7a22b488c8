"""Fit a rule of decision to the pixels of images: each is an item, and the pixels of one image stay together."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from metricgrad._labels import number_labels
from metricgrad._types import Metric
from metricgrad.decision import ClassBiases, CutPoints, Fitted, fit_rule
from metricgrad.decision.known import kind_of_rule
from metricgrad.decision.rule import Rule
from metricgrad.metrics.segmentation import IGNORED
from metricgrad.metrics.table_metric import TableMetric
from metricgrad.tune.decidable import kind_of
from metricgrad.tune.decided_pixels import pixels_of
from metricgrad.tune.outputs import Outputs

__all__ = ["MOST", "fitted_to_pixels"]

MOST = 2**15
"""Pixels that a rule is fitted to; of more, so many are drawn. What the rule decides is measured on all."""


def fitted_to_pixels(
    found: Outputs,
    metric: Metric,
    rule: str | Rule,
    cut: float | None,
    groups: Any,
    class_counts: Callable[[int], Tensor | None],
) -> Fitted | None:
    """Fit a rule with pixels as items; those of one image, or of one group of images, are in the same half.

    Args:
        found: outputs and targets of images.
        metric: a formula of the table of all pixels.
        rule: `auto` of more than two classes is a bias for each of them: there are pixels enough for one fit.
        cut: the threshold of the metric of the run, where one score per pixel is compared with it.
        groups: of the images; None for none.
        class_counts: for a number of classes, how often each comes where the network was trained.

    Returns:
        The rule, with decisions [image, *place]. None where outputs are no scores of pixels, no pixel counts, or the
        metric compares probabilities and these are none.
    """
    pixels = pixels_of(found, int(metric.settings.get("ignore_index", IGNORED)))
    if pixels is None or not len(pixels.targets) or issubclass(kind_of_rule(rule), CutPoints):
        return None
    kind = kind_of(pixels.scores, cut)
    if kind is None:
        return None
    classes = 2 if pixels.scores.ndim == 1 else pixels.scores.shape[1]
    if rule == "auto" and classes > 2:
        rule = ClassBiases(bags=1, sweeps=2)
    images = pixels.images
    if groups is not None:
        images = number_labels("decision", {"groups of select": groups}, device="cpu").codes[0][images]
    fitted = fit_rule(
        pixels.scores,
        pixels.targets,
        TableMetric(metric, classes),
        rule,
        class_counts=class_counts(classes),
        inputs=kind,
        groups=images,
        most=MOST,
    )
    return replace(fitted, decisions=pixels.arranged(fitted.decisions))
