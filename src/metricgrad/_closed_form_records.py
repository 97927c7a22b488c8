"""What a run records of closed forms: the one that is a control, and what smaller parts of fit would give."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ClosedFormChosen", "SizeCurve", "SizePoint", "TriedForm"]


@dataclass(frozen=True)
class TriedForm:
    """A closed form that was fitted on fit, and the metric of what it gives for select."""

    words: str
    value: float


@dataclass(frozen=True)
class ClosedFormChosen:
    """The closed form that select prefers for one seed; of equals the one that was tried first."""

    seed: int
    arm: str
    words: str  # LDA to 128 directions, shrinkage 0.1, of the inputs
    of: str  # outputs of the start model, or inputs
    name: str
    settings: dict[str, Any]
    value: float  # on select
    tried: list[TriedForm] = field(default_factory=list)  # in their order
    note: str = ""  # why something could not be fitted


@dataclass(frozen=True)
class SizePoint:
    """What a share of fit gives on select, with the whole index of select."""

    share: float
    many: int  # units of fit
    words: str  # the closed form, its settings chosen anew
    value: float  # of it
    trained: (
        float | None
    )  # of the method that select preferred in the contest, trained once with its settings
    why: str = ""  # why it was not trained


@dataclass(frozen=True)
class SizeCurve:
    """What smaller parts of fit give on select, to see whether more data would help; no part of any choice."""

    unit: str  # classes, items or queries
    method: str  # name of the arm
    raw: float | None  # of the vectors as they came
    points: list[SizePoint] = field(default_factory=list)
