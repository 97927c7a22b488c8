"""What a run records of the groups of test: the metric of two arms in each of them."""

from dataclasses import dataclass, field

__all__ = ["GroupFigures"]


@dataclass(frozen=True)
class GroupFigures:
    """The metric of an arm and of its opponent in every group of test, each a mean over seeds.

    Groups stand in the order in which they first appear in test: the first is number 1. They have names only where
    the user asked for that. A value is None where the metric is undefined in the group.
    """

    arm: str
    opponent: str
    noun: str  # what a group is called: group, or class
    items: list[int]  # units of each group, those that are left out as undefined among them
    values: list[float | None]  # of the arm
    against: list[float | None]  # of the opponent
    names: list[str] = field(default_factory=list)
    why: str = ""  # why the groups have no values, where none has
