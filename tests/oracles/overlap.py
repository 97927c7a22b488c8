"""Overlap of boxes: slow, without torch, once by cutting polygons in exact fractions and once by shapely.

The corners of a box are rounded once, to floating point; everything after is exact in the first form.
"""

import math
from fractions import Fraction

import numpy as np
import shapely

SIGNS = ((1, 1), (-1, 1), (-1, -1), (1, -1))


def corners(box, origin=(0.0, 0.0)):
    """Corners of cx, cy, w, h, angle, counter-clockwise, as fractions around an origin."""
    x, y = (Fraction(box[axis]) - Fraction(origin[axis]) for axis in (0, 1))
    half_width, half_height = Fraction(box[2]) / 2, Fraction(box[3]) / 2
    angle = box[4] if len(box) == 5 else 0.0
    cosine, sine = Fraction(math.cos(angle)), Fraction(math.sin(angle))
    found = []
    for first, second in SIGNS:
        right, up = first * half_width, second * half_height
        found.append((x + cosine * right - sine * up, y + sine * right + cosine * up))
    return found


def area(polygon):
    """Shoelace formula."""
    doubled = sum(
        x * following_y - following_x * y
        for (x, y), (following_x, following_y) in zip(polygon, polygon[1:] + polygon[:1], strict=True)
    )
    return abs(doubled) / 2


def cut(polygon, start, end):
    """The part of a convex polygon on the left of the line from start to end."""

    def side(point):
        return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])

    found = []
    for here, there in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        left, right = side(here), side(there)
        if left >= 0:
            found.append(here)
        if left * right < 0:
            share = left / (left - right)
            found.append((here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1])))
    return found


def overlap(prediction, target):
    """IoU of one pair, exact but for the rounding of sine and cosine."""
    if min(*prediction[2:4], *target[2:4]) <= 0:
        return 0.0
    first, second = corners(prediction, target[:2]), corners(target, target[:2])
    common = first
    for start, end in zip(second, second[1:] + second[:1], strict=True):
        common = cut(common, start, end)
    shared = area(common)
    return float(shared / (area(first) + area(second) - shared))


def iou(predictions, targets):
    """IoU of every pair of upright boxes."""
    return [overlap(*pair) for pair in zip(predictions, targets, strict=True)]


rotated_iou = iou  # a box of five numbers has an angle


def iou_above(predictions, targets, *, threshold=0.5):
    """Share of the pairs that reach the threshold."""
    found = iou(predictions, targets)
    return sum(value >= threshold for value in found) / len(found)


rotated_iou_above = iou_above


def by_shapely(predictions, targets):
    """IoU of every pair of boxes [sample, 5] with positive sides: numpy arrays in and out."""
    first, second = _polygons(predictions, targets[:, :2]), _polygons(targets, targets[:, :2])
    common = shapely.area(shapely.intersection(first, second))
    return common / (shapely.area(first) + shapely.area(second) - common)


def _polygons(boxes, origins):
    """Boxes around their origins as polygons."""
    half = np.array(SIGNS) / 2 * boxes[:, None, 2:4]  # [sample, corner, 2]
    cosine, sine = np.cos(boxes[:, 4:]), np.sin(boxes[:, 4:])
    x = cosine * half[..., 0] - sine * half[..., 1]
    y = sine * half[..., 0] + cosine * half[..., 1]
    return shapely.polygons(np.stack([x, y], 2) + (boxes[:, :2] - origins)[:, None])
