"""Exact overlap of boxes: intersection over union (IoU), upright and rotated, pair by pair.

A box is cx, cy, w, h, and where it is rotated its angle in radians, counter-clockwise: the side w lies along the
angle. (w, h, t), (h, w, t + pi/2) and (w, h, t + pi) are one rectangle and have one overlap with any other.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float64, Real
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite
from metricgrad._safe import share
from metricgrad.metrics.facts import Facts

__all__ = ["iou", "iou_above", "rotated_iou", "rotated_iou_above"]

TILE = 65_536
"""Pairs whose vertices are held at a time."""
ROUNDING = 4e-15
"""How far outside a box a point still counts as its own, in units of its side, for every unit that the other reaches.

Where edges coincide but for rounding neither a corner nor the crossing beside it may be lost.
"""
TURNS = 8.0
"""Radians up to which two angles are subtracted as they are."""
LARGEST = 1e300
"""Units of the target's side that a prediction may reach."""


def iou(
    predictions: Real[Tensor, "sample 4"], targets: Real[Tensor, "sample 4"]
) -> Float64[Tensor, "sample"]:
    """Area of the intersection of two upright boxes over that of their union, for every pair (exact).

        |a ∩ b| / |a ∪ b|

    Args:
        predictions: boxes cx, cy, w, h.
        targets: boxes, one for each prediction.

    Returns:
        float64 [sample] in [0, 1] on the device of the predictions, higher is better.

    Raises:
        InputError: other shapes, NaN or infinite numbers.

    Edge cases:
        a side that is 0 or negative: the box is empty, 0 (also against itself). Touching in an edge or a corner: 0. No
        sample: an empty tensor.

    Gradient: none; a learned surrogate has one.

    Cost: O(1) a pair, in float64.

    Example:
        >>> iou(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[0.5, 0.0, 1.0, 1.0]]))
        tensor([0.3333], dtype=torch.float64)
    """
    predictions, targets = _boxes("iou", predictions, targets, 4)
    sides, other_sides = predictions[:, 2:].clamp_min(0), targets[:, 2:].clamp_min(0)
    # Along each axis in units of the longer side: no area is too small or too large for a number.
    unit = torch.maximum(
        sides, other_sides
    )  # 0 where both are empty: then nothing below is a number, and nothing shared
    apart = (predictions[:, :2] - targets[:, :2]).abs() / unit
    sides, other_sides = sides / unit, other_sides / unit
    shared = torch.minimum(torch.minimum(sides, other_sides), (sides + other_sides) / 2 - apart).clamp_min(0)
    common, size, other_size = (pair[:, 0] * pair[:, 1] for pair in (shared, sides, other_sides))
    union = size + other_size - common
    return torch.where(common > 0, common / union, 0.0).clamp(0, 1)


def rotated_iou(
    predictions: Real[Tensor, "sample 5"], targets: Real[Tensor, "sample 5"]
) -> Float64[Tensor, "sample"]:
    """Area of the intersection of two rotated boxes over that of their union, for every pair (exact).

        |a ∩ b| / |a ∪ b|

    Args:
        predictions: boxes cx, cy, w, h, angle (radians, counter-clockwise).
        targets: boxes, one for each prediction.

    Returns:
        float64 [sample] in [0, 1] on the device of the predictions, higher is better; right to 1e-9 (1e-6 for
        slivers, whose sides differ by a factor of a million, and for boxes ten thousand sides away from the origin).

    Raises:
        InputError: other shapes, NaN or infinite numbers.

    Edge cases:
        a side that is 0 or negative: the box is empty, 0 (also against itself). Touching in an edge or a point: 0, up
        to rounding. Order of the sides and period of the angle do not matter. No sample: an empty tensor.

    Gradient: none; a learned surrogate has one.

    Cost: O(1) a pair. On the CPU compiled, millions of pairs a second (the first call of all compiles, for seconds);
        on other devices 24 candidate vertices a pair, sorted by angle, in tiles of 65,536 pairs.

    Example:
        >>> turned = torch.tensor([[0.0, 0.0, 1.0, 1.0, torch.pi / 4]])
        >>> rotated_iou(torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.0]]), turned)
        tensor([0.7071], dtype=torch.float64)
    """
    predictions, targets = _boxes("rotated_iou", predictions, targets, 5)
    if len(predictions) == 0:
        return predictions.new_zeros(0)
    if predictions.device.type != "cpu":
        return overlap_of_vertices(predictions, targets)
    from metricgrad.metrics.overlap_kernel import overlaps  # numba takes half a second to import

    arrays = (boxes.contiguous().numpy() for boxes in (predictions, targets))
    return torch.from_numpy(overlaps(*arrays, threads=torch.get_num_threads()))


def iou_above(
    predictions: Real[Tensor, "sample 4"], targets: Real[Tensor, "sample 4"], *, threshold: float = 0.5
) -> Float64[Tensor, ""]:
    """Share of the samples whose upright boxes overlap at least so much (exact).

        mean_i [iou_i >= threshold]

    Args:
        predictions: boxes cx, cy, w, h.
        targets: boxes, one for each prediction.
        threshold: IoU from which a box is found, in (0, 1].

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: as `iou`, or a threshold outside (0, 1].

    Edge cases:
        an IoU equal to the threshold counts. No sample: NaN.

    Gradient: none.

    Cost: as `iou`.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
        >>> iou_above(boxes, torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.5, 0.0, 1.0, 1.0]]))
        tensor(0.5000, dtype=torch.float64)
    """
    return reached_rows(predictions, targets, threshold=threshold).mean()


def rotated_iou_above(
    predictions: Real[Tensor, "sample 5"], targets: Real[Tensor, "sample 5"], *, threshold: float = 0.5
) -> Float64[Tensor, ""]:
    """Share of the samples whose rotated boxes overlap at least so much (exact).

        mean_i [rotated_iou_i >= threshold]

    Args:
        predictions: boxes cx, cy, w, h, angle (radians, counter-clockwise).
        targets: boxes, one for each prediction.
        threshold: IoU from which a box is found, in (0, 1].

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: as `rotated_iou`, or a threshold outside (0, 1].

    Edge cases:
        an IoU equal to the threshold counts, up to its rounding. No sample: NaN.

    Gradient: none.

    Cost: as `rotated_iou`.

    Example:
        >>> turned = torch.tensor([[0.0, 0.0, 1.0, 1.0, torch.pi / 4]])
        >>> rotated_iou_above(torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.0]]), turned, threshold=0.75)
        tensor(0., dtype=torch.float64)
    """
    return rotated_reached_rows(predictions, targets, threshold=threshold).mean()


def reached_rows(
    predictions: Real[Tensor, "sample 4"], targets: Real[Tensor, "sample 4"], *, threshold: float = 0.5
) -> Float64[Tensor, "sample"]:
    """1 for every sample whose upright boxes overlap enough, else 0."""
    return (iou(predictions, targets) >= _threshold("iou_above", threshold)).double()


def rotated_reached_rows(
    predictions: Real[Tensor, "sample 5"], targets: Real[Tensor, "sample 5"], *, threshold: float = 0.5
) -> Float64[Tensor, "sample"]:
    """1 for every sample whose rotated boxes overlap enough, else 0."""
    return (rotated_iou(predictions, targets) >= _threshold("rotated_iou_above", threshold)).double()


def overlap_of_vertices(
    predictions: Float64[Tensor, "sample 5"], targets: Float64[Tensor, "sample 5"]
) -> Float64[Tensor, "sample"]:
    """IoU of rotated boxes in plain torch, on any device: the reference of the compiled form.

    The corners of the intersection are among 24 points: the corners of each box that lie in the other one, and where
    the four edges of the one cross the four lines of the other. Sorted by angle around their mean they bound it.
    """
    tiles = zip(predictions.split(TILE), targets.split(TILE), strict=True)
    return torch.cat([_overlap_of_vertices(*tile) for tile in tiles])


def _overlap_of_vertices(predictions: Tensor, targets: Tensor) -> Float64[Tensor, "sample"]:
    """IoU of one tile."""
    solid = (predictions[:, 2:4] > 0).all(1) & (targets[:, 2:4] > 0).all(1)
    corners, extent = _corners_in_frame(predictions, targets)
    others, other_extent = _corners_in_frame(targets, predictions)  # the target, seen from the prediction
    solid = solid & (extent < LARGEST) & (other_extent < LARGEST)
    square = corners.new_tensor([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]).expand_as(corners)
    room, other_room = (0.5 + ROUNDING * (1 + size) for size in (extent, other_extent))
    crossings, crossed = _crossings(corners, room)
    points = torch.cat([corners, square, crossings], 1)  # [sample, 24, 2]
    inside = (corners.abs() <= room[:, None, None]).all(2), (others.abs() <= other_room[:, None, None]).all(2)
    common = _area(points, torch.cat([*inside, crossed], 1) & solid[:, None])
    first, second = corners[:, 0] - corners[:, 1], corners[:, 1] - corners[:, 2]
    size = (
        first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    ).abs()  # of the prediction; the target's is 1
    common = torch.minimum(common, size.clamp_max(1))
    return torch.where(solid, common / (1 + size - common), 0.0).clamp(0, 1)


def _corners_in_frame(boxes: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Corners of boxes, counter-clockwise, in the frames of others and in units of their sides, and how far they reach.

    Returns:
        [sample, 4, 2] and [sample].
    """
    units = frames[:, 2:4]
    cosine, sine = frames[:, 4].cos(), -frames[:, 4].sin()
    centre = _turned(boxes[:, :2] - frames[:, :2], cosine, sine) / units
    along, across = _difference(boxes[:, 4], frames[:, 4])
    none = torch.zeros_like(along)
    first = _turned(torch.stack([boxes[:, 2] / 2, none], 1), along, across) / units
    second = _turned(torch.stack([none, boxes[:, 3] / 2], 1), along, across) / units
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    corners = torch.stack([centre + along * first + across * second for along, across in signs], 1)
    return corners, (centre.abs() + first.abs() + second.abs()).amax(1)


def _difference(angle: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the difference of two angles.

    Angles of many turns are brought into one turn before they are subtracted: the difference of a large and a small
    angle would be rounded to what the large one resolves.
    """
    many = torch.maximum(angle.abs(), other.abs()) > TURNS
    angle, other = (torch.where(many, torch.atan2(item.sin(), item.cos()), item) for item in (angle, other))
    return (angle - other).cos(), (angle - other).sin()


def _turned(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Vectors [sample, 2], turned counter-clockwise by the angle of this cosine and sine."""
    x, y = vectors.unbind(1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], 1)


def _crossings(corners: Tensor, room: Tensor) -> tuple[Tensor, Bool[Tensor, "sample 16"]]:
    """Where the edges of a parallelogram cross the edges of the unit square [sample, 16, 2], and which of them do."""
    points, valid = [], []
    following = corners.roll(-1, 1)
    for axis, line in ((0, 0.5), (0, -0.5), (1, 0.5), (1, -0.5)):
        here, there = corners[..., axis], following[..., axis]
        share = (line - here) / (
            there - here
        )  # an edge along the line: no number between 0 and 1, or its own corners
        across = corners[..., 1 - axis] + share * (following[..., 1 - axis] - corners[..., 1 - axis])
        along = torch.full_like(across, line)
        points.append(torch.stack([along, across] if axis == 0 else [across, along], 2))
        valid.append((share >= 0) & (share <= 1) & (across.abs() <= room[:, None]))
    return torch.cat(points, 1), torch.cat(valid, 1)


def _area(points: Tensor, valid: Bool[Tensor, "sample point"]) -> Float64[Tensor, "sample"]:
    """Area of the convex polygon whose corners are the valid points [sample, point, 2], in any order."""
    points = torch.where(valid[..., None], points, 0.0)
    middle = share(points.sum(1), valid.sum(1)[:, None])
    points = points - middle[:, None]
    angles = torch.where(valid, torch.atan2(points[..., 1], points[..., 0]), torch.inf)
    angles, order = angles.sort(1)
    points = points.gather(1, order[..., None].expand_as(points))
    # What is no corner comes last and is laid onto the first corner, where it bounds nothing.
    points = torch.where(angles.isfinite()[..., None], points, points[:, :1])
    following = points.roll(-1, 1)
    doubled = points[..., 0] * following[..., 1] - points[..., 1] * following[..., 0]
    area = doubled.sum(1) / 2
    return torch.where(valid.any(1), area, 0.0).clamp_min(0)


def _threshold(caller: str, threshold: float) -> float:
    """Check and return the threshold."""
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise fail(caller, f"threshold is {threshold!r}", "a number in (0, 1]")
    return float(threshold)


def _boxes(caller: str, predictions: Tensor, targets: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Check both sides and return them as float64 on the device of the predictions."""
    sides = ("predictions", predictions), ("targets", targets)
    axes = "cx, cy, w, h" + (", angle in radians" if columns == 5 else "")
    for name, boxes in sides:
        if not isinstance(boxes, Tensor) or boxes.ndim != 2 or boxes.shape[1] != columns or not _real(boxes):
            came = f"{name} is {describe(boxes)}"
            raise fail(caller, came, f"a tensor of numbers [sample, {columns}]: {axes}")
    if len(predictions) != len(targets):
        came = f"{len(predictions)} predictions for {len(targets)} targets"
        raise fail(caller, came, "one target for each prediction")
    first, second = (boxes.detach().to(predictions.device, torch.float64) for _, boxes in sides)
    return require_finite(caller, "predictions", first), require_finite(caller, "targets", second)


def _real(boxes: Tensor) -> bool:
    """Whether the numbers are real and no booleans."""
    return not boxes.is_complex() and boxes.dtype != torch.bool


_upright = partial(Facts, reads="boxes", per_sample=True)
_rotated = partial(_upright, nothing=(torch.zeros(0, 5), torch.zeros(0, 5)))

FACTS = (
    _upright(iou, rows=iou),
    _upright(iou_above, rows=reached_rows),
    _rotated(rotated_iou, rows=rotated_iou),
    _rotated(rotated_iou_above, rows=rotated_reached_rows),
)
