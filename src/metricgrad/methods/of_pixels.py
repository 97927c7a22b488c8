"""Scores of the pixels of images as scores of samples, for the losses that know no images.

A loss that reads images itself says so by `READS_IMAGES = True` in its module.
"""

import sys
from typing import Any

from torch import Tensor

from metricgrad import losses

__all__ = ["as_samples", "example_of", "pixels_as_samples"]


def as_samples(name: str, scores: Tensor, targets: Any) -> tuple[Tensor, Any]:
    """Return every pixel as a sample, where there are pixels and the loss reads no images; else what came.

    Args:
        name: of the loss, without `_loss`.
        scores: [image, class, row, column], or one score per pixel [image, row, column]; or scores of samples.
        targets: [image, row, column].

    Returns:
        Scores [pixel, class] or [pixel], and targets [pixel].
    """
    return (scores, targets) if _reads_images(name) else pixels_as_samples(scores, targets)


def pixels_as_samples(scores: Tensor, targets: Any) -> tuple[Tensor, Any]:
    """Return every pixel as a sample, where there are pixels; else what came. For forms see `as_samples`."""
    if not isinstance(targets, Tensor):
        return scores, targets
    if targets.ndim >= 2 and targets.shape == scores.shape[:1] + scores.shape[2:]:
        return scores.movedim(1, -1).flatten(0, -2), targets.flatten()
    if targets.ndim >= 3 and targets.shape == scores.shape:
        return scores.flatten(), targets.flatten()
    return scores, targets


def example_of(name: str, rows: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
    """Return rows to try a loss with as one image [1, class, row, 1], or [1, row, label] of labels, if it reads images.

    Args:
        name: of the loss, without `_loss`.
        rows: scores [sample, class] and targets [sample], or both [sample, label].
    """
    scores, targets = rows
    if not _reads_images(name):
        return rows
    if targets.ndim == 2:
        return scores.unsqueeze(0), targets.unsqueeze(0)
    return scores.T[None, :, :, None], targets[None, :, None]


def _reads_images(name: str) -> bool:
    module = sys.modules[getattr(losses, f"{name}_loss").__module__]
    return getattr(module, "READS_IMAGES", False)
