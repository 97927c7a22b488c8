"""What a run records of its decision rules: the rule of every arm, what it changed, and what a portfolio chose."""

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Candidate", "CutCurve", "DecisionTables", "Picked", "RuleFitted", "plain_name"]

_PLAIN = {"cuts": "rounding", "rounding": "rounding", "labels": "midpoint", "midpoint": "midpoint"}


def plain_name(rules: Iterable[str]) -> str:
    """What is decided without these rules: argmax of class scores, rounding of one number, the midpoint of labels.

    Example:
        >>> plain_name(["cuts", "rounding"]), plain_name(["slope"])
        ('rounding', 'argmax')
    """
    return next((_PLAIN[rule] for rule in rules if rule in _PLAIN), "argmax")


@dataclass(frozen=True)
class RuleFitted:
    """The rule that decides for one arm of one seed, fitted on all of select with the weights that stand for the arm.

    All three values are of select. `cross_fitted` is the one that chooses: each half is decided by the rule that was
    fitted on the other half. `value` is that of the rule on the items that it was fitted on.
    """

    seed: int
    arm: str
    rule: str  # its name; argmax (rounding, midpoint) where no rule won anything, or none could be fitted
    words: str  # the rule in words
    argmax: float  # the metric without a rule
    value: float
    cross_fitted: float
    note: str = ""  # why argmax was kept
    calls: int = 0  # of a metric that can only be called, for tables that the run had not met before


@dataclass(frozen=True)
class DecisionTables:
    """Confusion tables [true][predicted] of the returned arm, with argmax and with its rule."""

    seed: int
    arm: str
    split: str  # test, or select where there is no test split
    argmax: list[list[int]]
    fitted: list[list[int]]
    names: list[str] = field(default_factory=list)  # of the classes; an older record does not say them


@dataclass(frozen=True)
class CutCurve:
    """The metric of the returned arm over the cut between two classes, on select, where the cut was fitted.

    `low` and `high` are a pointwise bootstrap band; the best cut of 90 % of the resamples lies
    between `cut_low` and `cut_high`. Cuts are log odds of class 1.
    """

    seed: int
    arm: str
    cut: float  # that was fitted
    default: float  # that argmax means
    cuts: list[float]
    values: list[float | None]
    low: list[float | None]
    high: list[float | None]
    cut_low: float | None = None
    cut_high: float | None = None
    resamples: int = 0


@dataclass(frozen=True)
class Candidate:
    """What a portfolio may return: the weights of an arm, or a mean of several, with argmax or with a rule."""

    name: str
    arms: list[str]  # whose weights; several are averaged
    rule: str  # argmax, or the name of the rule
    value: float  # on select, cross-fitted where a rule decides


@dataclass(frozen=True)
class Picked:
    """What a portfolio returned for one seed, and why.

    `gain` is that of the best candidate over the start with its rule, on select; `low` is the 10 % quantile of its
    paired bootstrap. Where that does not lie above 0, the start with its rule is returned.
    """

    seed: int
    arm: str
    returned: str  # name of the candidate
    best: str  # of all candidates by value
    gain: float | None
    low: float | None
    told: str  # in words
    candidates: list[Candidate] = field(default_factory=list)
