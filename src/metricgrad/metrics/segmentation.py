"""Exact metrics of segmentation: a class for every pixel of an image, judged by the pixels of all images together.

They are formulas of the confusion table of the pixels, summed over images, not means over images of a value of each: a
class that an image lacks has no value there. The unit of the bootstrap is the image. Of each image the pixels of every
class that are right, predicted and present are kept; these margins of its table are all that the formulas read, and
three numbers per class where the table has class^2.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail, finite_number, whole_number
from metricgrad.metrics import class_formulas
from metricgrad.metrics.class_rows import Average
from metricgrad.metrics.confusion import Confusion
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.of_rows import OfCounts, of_all

__all__ = ["dice", "mean_iou"]

IGNORED = -100
"""The target of a pixel that counts nothing, as in `torch.nn.functional.cross_entropy`; many data sets have 255."""


def mean_iou(
    outputs: Shaped[Tensor, "image ..."],
    targets: Shaped[Tensor, "image ..."],
    *,
    average: Average = "macro",
    ignore_index: int = IGNORED,
    classes: int | None = None,
    threshold: float | None = None,
) -> Float64[Tensor, ""]:
    """Mean over the classes of intersection over union of predicted and true pixels of all images (exact): mIoU.

        mean_c |predicted_c ∩ true_c| / |predicted_c ∪ true_c|

    Args:
        outputs: class scores [image, class, row, column], of which the largest decides, class ids [image, row, column],
            or one score of class 1 per pixel with a threshold. Any number of places instead of row and column.
        targets: class ids [image, row, column].
        average: `macro` is the mean over the classes that occur among targets or predictions, `weighted` counts each by
            its true pixels, `micro` adds the pixels of all classes, `binary` is the IoU of class 1.
        ignore_index: target of pixels that count nothing, whatever is predicted there.
        classes: how many there are, where outputs are ids; None for the largest id. A part of the data may lack some.
        threshold: of one score per pixel: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better; scikit-learn's `jaccard_score` of all pixels.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, a class id outside of the classes.

    Edge cases:
        ties: the lowest class. A class that occurs nowhere is left out. No pixel: NaN.

    Gradient: none.

    Cost: O(pixel * class).

    Reference:
        [everingham2010voc]

    Example:
        >>> predicted, true = torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 0], [1, -100]]])
        >>> mean_iou(predicted, true)
        tensor(0.5000, dtype=torch.float64)
    """
    rows = image_rows(
        "mean_iou", outputs, targets, ignore_index=ignore_index, classes=classes, threshold=threshold
    )
    return of_all(partial(of_images, class_formulas.jaccard, average=average), rows)


def dice(
    outputs: Shaped[Tensor, "image ..."],
    targets: Shaped[Tensor, "image ..."],
    *,
    average: Average = "macro",
    ignore_index: int = IGNORED,
    classes: int | None = None,
    threshold: float | None = None,
) -> Float64[Tensor, ""]:
    """Mean over the classes of the Dice coefficient of predicted and true pixels of all images (exact): their F1.

        mean_c 2 |predicted_c ∩ true_c| / (|predicted_c| + |true_c|)

    Args:
        outputs: class scores [image, class, row, column], of which the largest decides, class ids [image, row, column],
            or one score of class 1 per pixel with a threshold. Any number of places instead of row and column.
        targets: class ids [image, row, column].
        average: `macro` is the mean over the classes that occur among targets or predictions, `weighted` counts each by
            its true pixels, `micro` adds the pixels of all classes, `binary` is the Dice coefficient of class 1.
        ignore_index: target of pixels that count nothing, whatever is predicted there.
        classes: how many there are, where outputs are ids; None for the largest id. A part of the data may lack some.
        threshold: of one score per pixel: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar in [0, 1], higher is better; scikit-learn's `f1_score` of all pixels.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, a class id outside of the classes.

    Edge cases:
        ties: the lowest class. A class that occurs nowhere is left out. No pixel: NaN.

    Gradient: none.

    Cost: O(pixel * class).

    Reference:
        [dice1945measures]

    Example:
        >>> predicted, true = torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 0], [1, -100]]])
        >>> dice(predicted, true)
        tensor(0.6667, dtype=torch.float64)
    """
    rows = image_rows(
        "dice", outputs, targets, ignore_index=ignore_index, classes=classes, threshold=threshold
    )
    return of_all(partial(of_images, class_formulas.f_beta, average=average), rows)


def image_rows(
    caller: str,
    outputs: Shaped[Tensor, "image ..."],
    targets: Shaped[Tensor, "image ..."],
    *,
    ignore_index: int = IGNORED,
    classes: int | None = None,
    threshold: float | None = None,
) -> Float64[Tensor, "image column"]:
    """Check and return the right, predicted and present pixels of every class in each image: 3 * class columns."""
    skipped = whole_number(caller, "ignore_index", ignore_index, least=-(2**53))
    predicted, truths = _class_ids(caller, outputs, targets, threshold)
    counted = truths.long() != skipped  # as uint8, -100 would be class 156
    known = _classes(caller, outputs, targets, classes, threshold)
    if known is None:
        largest = [int(part[counted].max()) if bool(counted.any()) else 0 for part in (predicted, truths)]
        known = 1 + max(largest)
    rows = []
    for guess, truth, kept in zip(
        predicted, truths, counted, strict=True
    ):  # bounded memory: one image at a time
        pair = guess[kept].long(), truth[kept].long()
        for side, ids in zip(("outputs", "targets"), pair, strict=True):
            if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < known:
                raise fail(
                    caller,
                    f"{side} reach from {int(ids.min())} to {int(ids.max())} where targets are not {skipped}",
                    f"class ids 0 to {known - 1}",
                    f"Pixels that count nothing are named: ignore_index (by name: {caller}:ignore_index=255).",
                )
        parts = (pair[0][pair[0] == pair[1]], *pair)
        rows.append(torch.cat([torch.bincount(ids, minlength=known) for ids in parts]).double())
    return torch.stack(rows) if rows else torch.zeros(0, 3 * known, dtype=torch.float64)


def _class_ids(
    caller: str, outputs: Tensor, targets: Tensor, threshold: float | None
) -> tuple[Shaped[Tensor, "image ..."], Shaped[Tensor, "image ..."]]:
    """Predicted and true class ids of all pixels, on the CPU."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise fail(caller, f"outputs are {describe(outputs)}, targets are {describe(targets)}", "two tensors")
    given, truths = outputs.detach().cpu(), targets.detach().cpu()
    came = f"outputs are {describe(outputs)} and targets are {describe(targets)}"
    if (
        truths.ndim < 2
        or truths.is_complex()
        or (truths.is_floating_point() and bool((truths % 1 != 0).any()))
    ):
        raise fail(caller, came, "targets that are class ids [image, row, column]")
    if given.is_floating_point() and bool(given.isnan().any()):
        raise fail(caller, "outputs have NaN", "numbers")
    if threshold is not None:
        scores = given.squeeze(1) if given.ndim == truths.ndim + 1 and given.shape[1] == 1 else given
        if scores.shape != truths.shape or not scores.is_floating_point():
            raise fail(caller, f"threshold is {threshold} and {came}", "one score of class 1 per pixel")
        return (scores > finite_number(caller, "threshold", threshold)).long(), truths
    if given.ndim == truths.ndim + 1 and given.shape[1] > 1:
        given = given.argmax(1)
    if given.shape != truths.shape or given.is_floating_point():
        raise fail(
            caller,
            came,
            "class scores [image, class, row, column] or class ids [image, row, column]",
            "One score of class 1 per pixel needs its threshold: threshold=0 for a logit, 0.5 for a probability "
            f"(by name: {caller}:threshold=0).",
        )
    return given, truths


def _classes(
    caller: str, outputs: Tensor, targets: Tensor, classes: int | None, threshold: float | None
) -> int | None:
    """How many classes there are, where the outputs or the caller say it."""
    found = 2 if threshold is not None else outputs.shape[1] if outputs.ndim > targets.ndim else None
    if classes is None:
        return found
    said = whole_number(caller, "classes", classes)
    if found not in (None, said):
        raise fail(caller, f"classes is {said} and outputs have {found}", "their number, or leave it out")
    return said


def of_images(
    formula: Callable[..., Tensor], rows: Float[Tensor, "image column"], *, average: str = "macro"
) -> OfCounts:
    """The formula of the pixels of all images, of rows as `image_rows` makes them."""
    return lambda times: formula(_Margins(times @ rows), average=average)


class _Margins(Confusion):
    """The counts of pixels whose table is not kept: (right, predicted, present) of every class."""

    def __init__(self, margins: Float[Tensor, "*resample column"]) -> None:
        self.right, self.predicted, self.present = margins.tensor_split(3, -1)
        self.numbers = torch.arange(self.right.shape[-1], dtype=margins.dtype)


_of_pixels = partial(Facts, reads="pixels", unit="image")

FACTS = (
    _of_pixels(
        dice,
        rows=partial(image_rows, "dice"),
        of_rows=partial(of_images, class_formulas.f_beta),
        of_confusion=partial(class_formulas.f_beta, average="macro"),
        aliases={"mean_dice": {}},
    ),
    _of_pixels(
        mean_iou,
        rows=partial(image_rows, "mean_iou"),
        of_rows=partial(of_images, class_formulas.jaccard),
        of_confusion=partial(class_formulas.jaccard, average="macro"),
        aliases={"miou": {}},
    ),
)
