"""The shapes of marks and the dashes of lines, as SVG paths."""

import math

from markupsafe import Markup

__all__ = ["DASHES", "mark_path"]

DASHES = {
    "solid": "",
    "dot": "2 4",
    "dash": "9 5",
    "dashdot": "9 4 2 4",
    "longdash": "15 6",
    "longdashdot": "15 5 2 5",
}
"""Lengths of strokes and gaps by name."""

_CORNERS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "diamond": [(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)],
    "triangle-up": [(0.0, -1.15), (1.05, 0.8), (-1.05, 0.8)],
    "triangle-down": [(0.0, 1.15), (1.05, -0.8), (-1.05, -0.8)],
    "cross": [
        (-0.38, -1.1), (0.38, -1.1), (0.38, -0.38), (1.1, -0.38), (1.1, 0.38), (0.38, 0.38),
        (0.38, 1.1), (-0.38, 1.1), (-0.38, 0.38), (-1.1, 0.38), (-1.1, -0.38), (-0.38, -0.38),
    ],
}  # fmt: skip


def _turned(count: int, *, inner: float = 1.0) -> list[tuple[float, float]]:
    """Corners of a regular figure, the first on top; of a star where every other one lies further in."""
    return [
        (
            1.15 * (inner if corner % 2 else 1.0) * math.sin(2 * math.pi * corner / count),
            -1.15 * (inner if corner % 2 else 1.0) * math.cos(2 * math.pi * corner / count),
        )
        for corner in range(count)
    ]


_CORNERS |= {"pentagon": _turned(5), "hexagon": _turned(6), "star": _turned(10, inner=0.45)}
_CORNERS["x"] = [((x - y) * math.sqrt(0.5), (x + y) * math.sqrt(0.5)) for x, y in _CORNERS["cross"]]


def mark_path(mark: str, x: float, y: float, size: float) -> Markup:
    """The attribute `d` of a mark.

    Args:
        mark: `circle`, `tick` (a short upright line), `ring` (a diamond to be drawn as an outline), or one of the
            other shapes.
        x: its middle, across.
        y: its middle, down.
        size: its height in pixels.

    Example:
        >>> str(mark_path("tick", 10, 20, 8))
        'M10 16v8'
    """
    half = size / 2
    if mark == "tick":
        return Markup(f"M{x:.4g} {y - half:.4g}v{size:.4g}")
    if mark == "circle":
        return Markup(
            f"M{x - half:.1f} {y:.1f}a{half:g} {half:g} 0 1 0 {size:g} 0a{half:g} {half:g} 0 1 0-{size:g} 0"
        )
    corners = _CORNERS["diamond" if mark == "ring" else mark]
    return Markup("M" + "L".join(f"{x + half * dx:.1f} {y + half * dy:.1f}" for dx, dy in corners) + "Z")
