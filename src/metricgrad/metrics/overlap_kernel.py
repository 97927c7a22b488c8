"""Overlap of rotated boxes on the CPU, compiled: what `overlap.py` says, one pair after the other.

A pair is brought into the frame of its target and measured in units of the target's sides. The target is then the
unit square around 0 and the prediction a parallelogram; shares of area are as before, and slivers, tiny and far-away
boxes are numbers of ordinary size. The parallelogram is cut at the four lines of the square, and what is left of it
(at most 8 corners) has an area by the shoelace formula.
"""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np

from metricgrad.metrics.compiling import compiled

__all__ = ["overlaps"]

PAIRS_PER_THREAD = 8192
"""Fewer are not worth the start of a thread."""
CORNERS = 20
"""Room for the corners of a pair: 8 by geometry; where edges coincide but for rounding a cut may add half as many."""
TURNS = 8.0
"""Radians up to which two angles are subtracted as they are."""
LARGEST = 1e300
"""Units of the target's side; a prediction that reaches further shares nothing with it that a number could hold."""


@compiled
@no_type_check  # numba compiles the function itself, not a check around it
def _cut(along, across, corners, sign, cut_along, cut_across):
    """Keep what lies on the inner side of the line `sign * along = 1/2`; return the number of corners that are left."""
    kept = 0
    for corner in range(corners):
        following = corner + 1 if corner + 1 < corners else 0
        here, there = sign * along[corner], sign * along[following]
        if here <= 0.5:
            cut_along[kept], cut_across[kept] = along[corner], across[corner]
            kept += 1
        if (here < 0.5 < there) or (there < 0.5 < here):
            share = (0.5 - here) / (there - here)
            cut_along[kept] = sign * 0.5
            cut_across[kept] = across[corner] + share * (across[following] - across[corner])
            kept += 1
    return kept


@compiled
@no_type_check
def _overlap(prediction, target, x, y, other_x, other_y):
    """Return the IoU of one pair; the last four arrays are room for corners."""
    width, height, unit_x, unit_y = prediction[2], prediction[3], target[2], target[3]
    if not (width > 0 and height > 0 and unit_x > 0 and unit_y > 0):
        return 0.0
    right, up = prediction[0] - target[0], prediction[1] - target[1]
    cosine, sine = math.cos(target[4]), math.sin(target[4])
    centre_x, centre_y = (cosine * right + sine * up) / unit_x, (cosine * up - sine * right) / unit_y
    angle, other = prediction[4], target[4]
    if (
        max(abs(angle), abs(other)) > TURNS
    ):  # the difference of a large and a small angle would be rounded first
        angle, other = math.atan2(math.sin(angle), math.cos(angle)), math.atan2(sine, cosine)
    cosine, sine = math.cos(angle - other), math.sin(angle - other)
    first_x, first_y = 0.5 * cosine * width / unit_x, 0.5 * sine * width / unit_y
    second_x, second_y = -0.5 * sine * height / unit_x, 0.5 * cosine * height / unit_y
    reach_x, reach_y = abs(first_x) + abs(second_x), abs(first_y) + abs(second_y)
    if not (abs(centre_x) < 0.5 + reach_x < LARGEST and abs(centre_y) < 0.5 + reach_y < LARGEST):
        return 0.0
    x[0], y[0] = centre_x + first_x + second_x, centre_y + first_y + second_y
    x[1], y[1] = centre_x - first_x + second_x, centre_y - first_y + second_y
    x[2], y[2] = centre_x - first_x - second_x, centre_y - first_y - second_y
    x[3], y[3] = centre_x + first_x - second_x, centre_y + first_y - second_y
    corners = _cut(x, y, 4, 1.0, other_x, other_y)
    corners = _cut(other_x, other_y, corners, -1.0, x, y)
    corners = _cut(y, x, corners, 1.0, other_y, other_x)
    corners = _cut(other_y, other_x, corners, -1.0, y, x)
    doubled = 0.0
    for corner in range(corners):
        following = corner + 1 if corner + 1 < corners else 0
        doubled += x[corner] * y[following] - x[following] * y[corner]
    size = 4 * (first_x * second_y - first_y * second_x)  # of the prediction; the target's is 1
    common = min(max(0.5 * doubled, 0.0), 1.0, size)
    return min(max(common / (1 + size - common), 0.0), 1.0)


@compiled
@no_type_check
def _overlaps(predictions, targets, found):
    """Write the IoU of every pair of rows."""
    room = np.empty((4, CORNERS))
    for row in range(found.shape[0]):
        found[row] = _overlap(predictions[row], targets[row], room[0], room[1], room[2], room[3])


def overlaps(predictions: np.ndarray, targets: np.ndarray, threads: int) -> np.ndarray:
    """Return the IoU of every pair of rows.

    Args:
        predictions: [sample, 5] float64, finite, C-contiguous: cx, cy, w, h, angle.
        targets: as the predictions.
        threads: that share the pairs; fewer where there are few pairs.

    Returns:
        float64 [sample].
    """
    found = np.empty(len(predictions))
    parts = max(1, min(threads, len(found) // PAIRS_PER_THREAD))
    if parts == 1:
        _overlaps(predictions, targets, found)
        return found
    ends = np.linspace(0, len(found), parts + 1).astype(int)
    pieces = [slice(first, last) for first, last in itertools.pairwise(ends)]
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(lambda piece: _overlaps(predictions[piece], targets[piece], found[piece]), pieces))
    return found
