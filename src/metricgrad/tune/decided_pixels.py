"""The pixels of images as items that a rule decides. The pixels of one image stay together."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from metricgrad._checks import fail
from metricgrad.tune.outputs import Outputs

__all__ = ["Pixels", "are_pixels", "marked_pixels", "pixel_scores", "pixels_of"]


class Pixels(NamedTuple):
    """The pixels that count, of all images in a row.

    Attributes:
        scores: of the classes, or of class 1.
        targets: the true class.
        images: number of the image that a pixel is of.
        counted: which pixels of the images these are.
    """

    scores: Float[Tensor, "pixel class"] | Float[Tensor, "pixel"]
    targets: Int64[Tensor, "pixel"]
    images: Int64[Tensor, "pixel"]
    counted: Bool[Tensor, "image *place"]

    def arranged(self, decided: Int64[Tensor, "pixel"]) -> Int64[Tensor, "image *place"]:
        """Classes of these pixels in their places; class 0 where nothing counts."""
        whole = torch.zeros(self.counted.shape, dtype=torch.int64)
        whole[self.counted] = decided
        return whole


def pixels_of(found: Outputs, ignored: int) -> Pixels | None:
    """Scores and true classes of pixels, on the CPU; None where outputs or targets are something else.

    Args:
        found: outputs [image, class, *place], or one score of class 1 per pixel, [image, *place] or [image, 1, *place];
            targets [image, *place].
        ignored: the target of pixels that do not count.
    """
    outputs, targets = found.outputs, found.targets
    if not isinstance(targets, Tensor) or not are_pixels(outputs):
        return None
    of_classes = targets.shape == outputs.shape[:1] + outputs.shape[2:]
    if not of_classes and targets.shape != outputs.shape:
        return None
    truths, single = targets.detach().cpu(), not of_classes or outputs.shape[1] == 1
    counted, classes = truths != ignored, 2 if single else outputs.shape[1]
    kept = truths[counted]
    if len(kept) and not bool(((kept == kept.long()) & (kept >= 0) & (kept < classes)).all()):
        return None
    scores = _in_rows(outputs, single=single)[counted.flatten()]
    images = torch.arange(len(truths)).repeat_interleave(counted.flatten(1).sum(1))
    return Pixels(scores, kept.long(), images, counted)


def pixel_scores(
    caller: str, outputs: Any, classes: int
) -> tuple[Float[Tensor, "pixel *class"], torch.Size] | None:
    """Scores of all pixels in rows for a rule of so many classes, and the shape [image, *place] of what it decides.

    Two classes may have one score: outputs [image, 1, *place], or [image, *place] with other than two rows.

    Returns:
        None where outputs are no scores of pixels.

    Raises:
        InputError: scores of another number of classes.
    """
    if not are_pixels(outputs):
        return None
    columns = outputs.shape[1]
    single = classes == 2 and columns != 2
    if not single and columns != classes:
        raise fail(caller, f"outputs are scores of {columns} classes", f"{classes}, as the rule was fitted")
    whole = single and columns != 1
    shape = outputs.shape if whole else outputs.shape[:1] + outputs.shape[2:]
    return _in_rows(outputs, single=single), shape


def marked_pixels(
    decided: Int64[Tensor, "image *place"], outputs: Tensor
) -> Float[Tensor, "image class *place"]:
    """Decided classes as scores of 0 and 1, so that a class that nobody decides is still one of the classes."""
    if outputs.ndim == decided.ndim or outputs.shape[1] == 1:
        return decided
    return torch.zeros(outputs.shape, dtype=torch.float32).scatter_(1, decided.unsqueeze(1), 1.0)


def are_pixels(outputs: Any) -> bool:
    """Whether outputs can be scores of the pixels of images."""
    return isinstance(outputs, Tensor) and outputs.is_floating_point() and outputs.ndim >= 3


def _in_rows(outputs: Tensor, *, single: bool) -> Tensor:
    given = outputs.detach().cpu()
    return given.flatten() if single else given.movedim(1, -1).flatten(0, -2)
