"""What a run records of the closed form that stands for a control which trains nothing."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ClosedFormChosen", "TriedForm"]


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
