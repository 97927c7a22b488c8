"""How an arm looks in every figure and table: by its role, and its number among the arms of that role.

The first of each role (grey, vermilion, blue) differ for all common kinds of colour vision and stand out from a white
and from a near-black page. More arms of a role than there are colours repeat them with another dash; candidates
take colours that only a fourth contender and later ones have. `page.css`
holds the same colours, and those that take their place on a dark page.
"""

from typing import NamedTuple

from metricgrad._records import Role
from metricgrad.report.reading import Run

__all__ = ["Look", "look_of", "look_of_role"]

_COLOURS: dict[Role, tuple[str, ...]] = {
    "start": ("#7a828c",),
    "control": ("#d55e00", "#e69f00", "#b0413e"),
    "candidate": ("#2f7d32", "#7a5195", "#8c6d31"),
    "contender": ("#1f7fc4", "#8c6d31", "#7a5195", "#2f7d32", "#c2185b", "#00838f"),
}
_DASHES: dict[Role, tuple[str, ...]] = {
    "start": ("dot",),
    "control": ("dash", "dashdot"),
    "candidate": ("longdashdot", "longdash"),
    "contender": ("solid", "longdash", "longdashdot"),
}
_MARKERS: dict[Role, tuple[str, ...]] = {
    "start": ("square",),
    "control": ("diamond", "triangle-up", "triangle-down"),
    "candidate": ("pentagon", "star", "hexagon"),
    "contender": ("circle", "cross", "x", "star", "pentagon", "hexagon"),
}


class Look(NamedTuple):
    """Colour, dash and marker as plotly takes them, and the class of the style sheet."""

    colour: str
    dash: str
    marker: str
    style: str


def look_of_role(role: Role, number: int = 0) -> Look:
    """The look of an arm by its role and its number among those of that role, from 0."""
    colours, dashes, markers = _COLOURS[role], _DASHES[role], _MARKERS[role]
    place = number % len(colours)
    return Look(
        colours[place],
        dashes[number // len(colours) % len(dashes)],
        markers[number % len(markers)],
        f"{role}-{place + 1}",
    )


def look_of(run: Run, arm: str) -> Look:
    """The look of an arm of a run."""
    role = run.role(arm)
    return look_of_role(role, run.named(role).index(arm))
