"""Losses of the scores of samples as objectives `(outputs, targets) -> loss`, by what they take."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._columns import class_logits, class_probabilities, logit_of_class_1, one_column
from metricgrad._structures import one_tensor
from metricgrad.averages import mean_valid
from metricgrad.losses.class_scores import counted_samples
from metricgrad.methods.of_pixels import as_samples
from metricgrad.methods.trial import Objective
from metricgrad.relax import positive_ranks_from_scores

__all__ = ["taking_label_logits", "taking_logits", "taking_probabilities", "taking_ranks", "taking_scores"]

SCORE_TEMPERATURE = 0.3
"""Default rank temperature on scores of samples, which spread over several units (logits)."""


def taking_ranks(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """Scores [sample] under targets 0 or 1: one query."""
    own = {key: value for key, value in settings.items() if key not in ("temperature", "step")}
    steps = {"temperature": SCORE_TEMPERATURE, **{key: settings[key] for key in settings if key not in own}}

    def objective(outputs: Tensor, targets: Tensor) -> Tensor:
        scores = _score(name, outputs)
        ranks = positive_ranks_from_scores(scores[None], one_column(targets)[None].bool(), **steps)
        return mean_valid(loss(ranks, **own), ranks)

    return objective


def taking_scores(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """Scores of class 1 [sample]."""
    return lambda outputs, targets: loss(_score(name, outputs), one_column(targets), **settings)


def taking_logits(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """Logits [sample, class], or [image, class, row, column] with a class per pixel."""
    return _of_classes(loss, name, settings, class_logits)


def taking_label_logits(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """One logit per label or pixel, with a target 0 or 1 each; or logits [sample, class] with class numbers."""

    def objective(outputs: Any, targets: Any) -> Tensor:
        logits, labels = one_column(one_tensor(f"surrogate:{name}", outputs)), one_column(targets)
        one_channel = logits.ndim == labels.ndim + 1 and logits.shape[1] == 1
        logits, labels = as_samples(name, logits.squeeze(1) if one_channel else logits, labels)
        return _mean(loss(logits, labels, **settings), labels)

    return objective


def taking_probabilities(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """Probabilities [sample, class], or [image, class, row, column] with a class per pixel."""
    return _of_classes(loss, name, settings, class_probabilities)


def _of_classes(
    loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any], read: Callable[[Tensor], Tensor]
) -> Objective:
    """A loss of class scores."""

    def objective(outputs: Any, targets: Any) -> Tensor:
        scores = one_tensor(f"surrogate:{name}", outputs)
        scores, classes = as_samples(name, scores, one_column(targets))
        return _mean(loss(read(scores), classes, **settings), classes)

    return objective


def _mean(losses: Tensor, targets: Any) -> Tensor:
    """Average a loss: samples to ignore, and images of which all is ignored, have no loss; they are not losses of 0.

    One value for a whole batch is left as it is.
    """
    if losses.ndim == 0:
        return losses
    counted = counted_samples(targets)
    return mean_valid(losses, counted if counted.ndim == 1 else counted.flatten(1).any(1))


def _score(name: str, outputs: Any) -> Tensor:
    """Return the score of class 1 [sample]."""
    scores = logit_of_class_1(one_tensor(f"surrogate:{name}", outputs))
    if scores is None:
        raise fail(f"surrogate:{name}", f"outputs are {describe(outputs)}", "one score per sample, or two")
    return scores
