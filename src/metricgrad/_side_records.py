"""What a run records of its side metrics: which there are, what each arm measures, and how far an arm fell."""

from dataclasses import dataclass

__all__ = ["Fall", "Side", "SideMeasured", "SideMetrics"]


@dataclass(frozen=True)
class Side:
    """A side metric as the record names it."""

    name: str
    description: str
    higher_is_better: bool
    may_fall: float | None  # None: it is only measured


@dataclass(frozen=True)
class SideMetrics:
    """What is measured beside the metric once all arms are trained."""

    metrics: list[Side]


@dataclass(frozen=True)
class SideMeasured:
    """A side metric of one arm of one seed, with the weights that stand for it; NaN where it is undefined or failed."""

    metric: str
    seed: int
    arm: str
    split: str  # select, before the choice of the arm that is returned, or test
    value: float
    units: int
    undefined: int = 0


@dataclass(frozen=True)
class Fall:
    """How far one model fell in a side metric on select: start minus arm in the metric's direction, paired over units.

    It is held back, that is not returned, where `low` lies above `may_fall` and nothing speaks against the interval.
    """

    metric: str
    seed: int
    arm: str
    fall: float | None  # positive is worse, whatever the direction; None where it is undefined
    low: float | None
    high: float | None
    may_fall: float | None  # None: it is only measured
    held_back: bool = False
    told: str = ""  # why the interval does not decide
