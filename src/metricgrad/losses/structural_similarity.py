"""Structural similarity for segmentation: cross-entropy of the pixels whose surroundings look otherwise than the truth.

Within a small window, prediction and truth are both standardised; where the two differ, near boundaries above all, the
pixel counts, by as much as they differ. An extra term beside cross-entropy, never alone: a class that is absent and
predicted the same everywhere has no error, however wrong. It is not the index of picture quality of a similar name.
"""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from metricgrad._checks import Number, Whole, describe, fail, finite_number, positive_number, whole_number
from metricgrad.losses.class_scores import counted_samples, widened

__all__ = ["structural_errors", "structural_similarity_loss"]

READS_IMAGES = True
STANDS_FOR = ("mean_iou",)
"""Metrics that it is a surrogate of."""

SPACE = {"fraction": (0.05, 0.1, 0.2)}
"""Values that tries draw from."""

LEAST = 1e-6
"""Errors below are rounding: such a pixel is never selected."""


def structural_similarity_loss(
    logits: Float[Tensor, "image class row column"],
    targets: Shaped[Tensor, "image ..."],
    *,
    window: Whole = 3,
    window_std: Number | None = 1.5,
    constant: Number = 0.01,
    fraction: Number = 0.1,
    cutoff: Number | None = None,
    detach_errors: bool = True,
) -> Float[Tensor, ""]:
    """Return the mean of e * BCE over the pixels and classes with a large structural error e (surrogate).

        e = |(t - mu_t + C) / (sigma_t + C) - (p - mu_p + C) / (sigma_p + C)|      C: `constant`

    with p the sigmoid of a logit, t 1 for the class of the pixel and 0 for the others, mu and sigma their weighted mean
    and standard deviation in the window around the pixel. Selected is what has e > `fraction` times the largest e of
    the batch, or e > `cutoff`.

    Args:
        logits: one per pixel and class; each class is judged for itself.
        targets: class numbers [image, row, column], or 0 and 1 of the shape of the logits; -100 for what to ignore.
        window: side of the window in pixels, odd.
        window_std: of the Gaussian weights in the window, in pixels; None for equal weights.
        constant: > 0, keeps flat regions from being blown up.
        fraction: in [0, 1).
        cutoff: > 0, in place of `fraction`.
        detach_errors: whether e counts as a constant for the gradient.

    Returns:
        A scalar >= 0, lower is better. Add it to cross-entropy (`proxy_weight`).

    Raises:
        InputError: other shapes or targets, an even window, a number out of its range.

    Edge cases:
        The window holds only pixels that are in the image and not ignored: borders are like the inside. Nothing
        selected, or no pixel: 0, attached to the graph. NaN stays NaN.

    Gradient:
        Exact with e and the selection as constants; with detach_errors=False the selection alone is one, and sigma has
        sqrt(v + 1e-8) so that flat regions have a slope. float32 for half precision; e is computed in float64.

    Cost:
        O(pixel class window^2) time, a few float64 copies of the logits.

    Differs from the paper:
        No code of the authors is known. A public version has the fixed cut-off 0.3 and a gradient through e:
        `cutoff=0.3, detach_errors=False`. It takes its variance around a moving mean, here the mean is that of the
        window.

    Reference:
        [zhao2019structural]

    Example:
        >>> logits = torch.tensor([[[[-2.0, -1.0], [1.0, 2.0]]]])
        >>> structural_similarity_loss(logits, torch.tensor([[[[0, 0], [1, 1]]]]))
        tensor(0.0486)
    """
    caller = "structural_similarity_loss"
    if fraction is None or not 0 <= finite_number(caller, "fraction", fraction) < 1:
        raise fail(caller, f"fraction is {fraction!r}", "a number >= 0 and below 1")
    least = None if cutoff is None else positive_number(caller, "cutoff", cutoff)
    known, truth, counted = _read(caller, logits, targets)
    errors = structural_errors(
        known, truth, counted, window=window, window_std=window_std, constant=constant, detach=detach_errors
    )
    if not errors.numel():
        return known[:0].sum()
    bound = float(fraction) * errors.detach().max() if least is None else least
    selected = (errors.detach() > bound) & (errors.detach() >= LEAST) & counted
    selected |= errors.detach().isnan()
    weighted = errors[selected].to(known.dtype) * binary_cross_entropy_with_logits(
        known[selected], truth[selected].to(known.dtype), reduction="none"
    )
    return weighted.sum() / max(1, len(weighted))


def structural_errors(
    logits: Float[Tensor, "image class row column"],
    truth: Float[Tensor, "image class row column"],
    counted: Bool[Tensor, "image class row column"],
    *,
    window: Whole = 3,
    window_std: Number | None = 1.5,
    constant: Number = 0.01,
    detach: bool = True,
) -> Float[Tensor, "image class row column"]:
    """Return the errors e in float64; 0 where a pixel does not count."""
    caller = "structural_similarity_loss"
    side, small = whole_number(caller, "window", window), positive_number(caller, "constant", constant)
    if side % 2 == 0:
        raise fail(caller, f"window is {window!r}", "an odd number of pixels, 1, 3, 5, ...")
    std = None if window_std is None else positive_number(caller, "window_std", window_std)
    seen = logits.detach() if detach else logits
    weights = _weights(side, std)
    truths = _standardised(truth.double(), counted, weights, small, 0.0)
    found = _standardised(seen.double().sigmoid(), counted, weights, small, 0.0 if detach else 1e-8)
    return (truths - found).abs().where(counted, 0.0)


def _read(caller: str, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits (0 where ignored), the truth 0 or 1, and what counts, each [image, class, row, column]."""
    if not isinstance(logits, Tensor) or logits.ndim != 4:
        raise fail(caller, f"logits are {describe(logits)}", "[image, class, row, column]")
    whole = isinstance(targets, Tensor) and not targets.is_floating_point() and not targets.is_complex()
    of_pixels = logits.shape[:1] + logits.shape[2:]
    if not whole or targets.shape not in (of_pixels, logits.shape):
        came = f"targets are {describe(targets)} for logits {describe(logits)}"
        raise fail(caller, came, "class numbers [image, row, column], or 0 and 1 of the shape of the logits")
    of_classes = targets.shape == of_pixels
    classes = logits.shape[1] if of_classes else 2
    counted = counted_samples(targets)
    wrong = counted & ((targets < 0) | (targets.long() >= classes))
    if bool(wrong.any()):
        came = f"a target is {int(targets[wrong][0])}"
        raise fail(caller, came, f"numbers from 0 to {classes - 1}, or -100 for what to ignore")
    if of_classes:
        numbers = torch.arange(classes, device=targets.device).view(1, -1, 1, 1)
        truth = (targets.unsqueeze(1) == numbers).double()
        counted = counted.unsqueeze(1).expand_as(logits)
    else:
        truth = (targets == 1).double()
    return widened(logits).masked_fill(~counted, 0), truth, counted


def _weights(side: int, std: float | None) -> dict[tuple[int, int], float]:
    """How far each neighbour is (rows down, columns right), and its weight."""
    half = side // 2
    near = [(down, right) for down in range(-half, half + 1) for right in range(-half, half + 1)]
    if std is None:
        return dict.fromkeys(near, 1.0)
    return {(down, right): math.exp(-(down**2 + right**2) / (2 * std**2)) for down, right in near}


def _standardised(
    values: Tensor, counted: Tensor, weights: dict[tuple[int, int], float], constant: float, floor: float
) -> Tensor:
    """Values less their mean in the window, by their deviation there.

    Two passes, as the mean of squares less the square of the mean would cancel where a region is flat.
    """
    total = _summed(counted.double(), weights, counted).clamp_min(torch.finfo(torch.float64).tiny)
    mean = _summed(values, weights, counted) / total
    variance = _summed(values, weights, counted, mean) / total
    return (values - mean + constant) / ((variance + floor).sqrt() + constant)


def _summed(
    values: Tensor, weights: dict[tuple[int, int], float], counted: Tensor, mean: Tensor | None = None
) -> Tensor:
    """The weighted sum of the neighbours that count, or of their squared distance to a mean of the pixel itself."""
    half = max(down for down, _ in weights)
    wide, marked = pad(values, (half,) * 4), pad(counted, (half,) * 4)
    rows, columns, total = values.shape[2], values.shape[3], torch.zeros_like(values)
    for (down, right), weight in weights.items():
        place = (..., slice(half + down, half + down + rows), slice(half + right, half + right + columns))
        one = wide[place] if mean is None else (wide[place] - mean).square()
        total = total + weight * one.where(marked[place], 0.0)
    return total
