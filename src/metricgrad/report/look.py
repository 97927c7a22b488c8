"""How an arm looks in every figure and table: by its role, and its number among the arms of that role.

The first of each role (grey, vermilion, blue) differ for all common kinds of colour vision and stand out from a white
and from a near-black page. More arms of a role than there are colours repeat them with another dash; candidates
take colours that only a fourth contender and later ones have. `page.css` holds the colours, by day, by night and on
paper.
"""

from typing import NamedTuple

from metricgrad._records import Role
from metricgrad.report.marks import DASHES
from metricgrad.report.reading import Run

__all__ = ["Look", "look_of", "look_of_role"]

_COLOURS: dict[Role, int] = {"start": 1, "control": 3, "candidate": 3, "contender": 6}
_DASHES: dict[Role, tuple[str, ...]] = {
    "start": ("dot",),
    "control": ("dash", "dashdot"),
    "candidate": ("longdashdot", "longdash"),
    "contender": ("solid", "longdash", "longdashdot"),
}
_MARKS: dict[Role, tuple[str, ...]] = {
    "start": ("square",),
    "control": ("diamond", "triangle-up", "triangle-down"),
    "candidate": ("pentagon", "star", "hexagon"),
    "contender": ("circle", "cross", "x", "star", "pentagon", "hexagon"),
}


class Look(NamedTuple):
    """Dash and mark of an arm, and its ink: the class of the style sheet that has its colour."""

    ink: str
    dash: str
    mark: str

    @property
    def strokes(self) -> str:
        """The lengths of strokes and gaps of its line."""
        return DASHES[self.dash]


def look_of_role(role: Role, number: int = 0) -> Look:
    """The look of an arm by its role and its number among those of that role, from 0."""
    colours, dashes, marks = _COLOURS[role], _DASHES[role], _MARKS[role]
    return Look(
        f"{role}-{number % colours + 1}", dashes[number // colours % len(dashes)], marks[number % len(marks)]
    )


def look_of(run: Run, arm: str) -> Look:
    """The look of an arm of a run."""
    role = run.role(arm)
    return look_of_role(role, run.named(role).index(arm))
