"""Metrics of samples, counted in pairs a second, beside the loop and the library that one would write them with."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from metricgrad._checks import extra
from metricgrad.bench.contestant import Contestant
from metricgrad.bench.timer import medians
from metricgrad.learned import rotated_boxes
from metricgrad.metrics import edit_distance, rotated_iou
from metricgrad.metrics.overlap import overlap_of_vertices

__all__ = ["measured_boxes", "measured_texts"]

_SHORTEST, _LONGEST = 3, 12
"""Letters of the words whose distance is measured."""

_BOXES_AT_ONCE = 10_000
"""Pairs that are made together: the generator holds a dozen candidates for each."""


def measured_texts(pairs: int, *, threads: int, repeats: int, peers: bool) -> list[dict[str, Any]]:
    """Return a row for every way to edit distances: pairs a second, and how many times as fast as the loop it is.

    Raises:
        AssertionError: they do not all return the same distances.
    """
    ours = [_way("edit_distance", edit_distance, one) for one in sorted({1, threads})]
    peer = [_way("loop", _by_a_loop, 1)] if peers else []
    return _rates(ours, peer, _edited_words(pairs), repeats, tolerance=0.0)


def _by_a_loop(predictions: list[str], targets: list[str]) -> list[int]:
    return [Levenshtein.distance(*pair) for pair in zip(predictions, targets, strict=True)]


def _edited_words(pairs: int) -> tuple[list[str], list[str]]:
    """Random words, and the same with a fifth of the letters drawn again and the end up to two letters off."""
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, (pairs, _LONGEST)).astype(np.uint8)
    others = rng.integers(97, 123, letters.shape).astype(np.uint8)
    edited = np.where(rng.random(letters.shape) < 0.2, others, letters)
    lengths = rng.integers(_SHORTEST, _LONGEST + 1, pairs)
    changed = (lengths + rng.integers(-2, 3, pairs)).clip(_SHORTEST, _LONGEST)

    def cut(rows: np.ndarray, ends: np.ndarray) -> list[str]:
        text, starts = rows.tobytes().decode("ascii"), range(0, rows.size, _LONGEST)
        return [text[start : start + end] for start, end in zip(starts, ends.tolist(), strict=True)]

    return cut(edited, changed), cut(letters, lengths)


def measured_boxes(pairs: int, *, threads: int, repeats: int, peers: bool) -> list[dict[str, Any]]:
    """Return a row for every way to rotated IoU: pairs a second, and how many times as fast as shapely it is.

    Raises:
        AssertionError: two of them differ by more than 1e-9.
    """
    ways = {"compiled": rotated_iou, "plain torch": overlap_of_vertices}
    ours = [_way(name, way, one) for name, way in ways.items() for one in sorted({1, threads})]
    peer = [_way("shapely", _by_shapely, 1)] if peers else []
    return _rates(ours, peer, _overlapping_boxes(pairs), repeats, tolerance=1e-9)


def _overlapping_boxes(pairs: int) -> tuple[Tensor, Tensor]:
    """Boxes cx, cy, w, h, angle and jittered copies, float64 [pair, 5]; their IoU is spread evenly over [0, 1]."""
    make, rng = rotated_boxes().pairs, np.random.default_rng(0)
    assert make is not None
    sizes = [min(_BOXES_AT_ONCE, pairs - start) for start in range(0, pairs, _BOXES_AT_ONCE)]
    first, second = zip(*(make(size, rng) for size in sizes), strict=True)
    return torch.cat(first).double(), torch.cat(second).double()


def _by_shapely(predictions: Tensor, targets: Tensor) -> np.ndarray:
    """IoU of every pair of boxes as shapely has it: polygons made, intersected and measured in vectorised calls."""
    shapely = extra("shapely", "shapely", "the peer of rotated IoU (or leave it out: --no-peers)")
    polygons = []
    for boxes in (predictions, targets):
        x, y, width, height, angle = boxes.numpy().T
        along = np.stack([np.cos(angle) * width, np.sin(angle) * width], 1) / 2
        across = np.stack([-np.sin(angle) * height, np.cos(angle) * height], 1) / 2
        corners = [along + across, across - along, -along - across, along - across]
        polygons.append(shapely.polygons(np.stack(corners, 1) + np.stack([x, y], 1)[:, None]))  # [pair, 4, 2]
    common = shapely.area(shapely.intersection(*polygons))
    return common / (shapely.area(polygons[0]) + shapely.area(polygons[1]) - common)


def _way(name: str, function: Callable[..., Any], threads: int) -> Contestant:
    """A function of predictions and targets, on a number of threads."""
    return Contestant(name, "", lambda pair: partial(function, *pair), threads=threads)


def _rates(
    ours: list[Contestant], peer: list[Contestant], pair: tuple[Any, Any], repeats: int, *, tolerance: float
) -> list[dict[str, Any]]:
    """Check that all return the same values, then let them take turns; ratios are to the peer, where there is one."""
    calls = {(one.name, one.threads): one.call(pair) for one in [*ours, *peer]}
    values = [torch.as_tensor(call(), dtype=torch.float64) for call in calls.values()]  # warms up
    for found in values[1:]:
        torch.testing.assert_close(found, values[0], rtol=0, atol=tolerance)
    seconds, pairs = medians(calls, repeats), len(pair[0])
    slow = seconds[peer[0].name, peer[0].threads] if peer else None
    return [
        {
            "contestant": name,
            "threads": threads,
            "pairs": pairs,
            "pairs_per_second": pairs / taken,
            "times_as_fast": slow / taken if slow else None,
        }
        for (name, threads), taken in seconds.items()
    ]
