"""The closed forms of a run: all are measured on select, the best one is where training starts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from metricgrad._records import Progress, event_of
from metricgrad._types import Metric, Observer
from metricgrad.adapting.rows import RowSplit
from metricgrad.projection import PairProjection, Projection
from metricgrad.tune.evaluator import Evaluator

__all__ = ["Forms", "best_form"]

Form = TypeVar("Form", Projection, PairProjection)
ABOUT = 45
"""So many forms are tried, for the progress that is shown."""


@dataclass(frozen=True)
class Tried:
    """A closed form and its value on select."""

    words: str
    value: float


@dataclass(frozen=True)
class Forms:
    """What select says of the closed forms.

    Attributes:
        tried: all of them in their order; the first is the vectors as they are, where both sides have one space.
        best: place of the best one, the first of equals.
    """

    tried: list[Tried]
    best: int

    @property
    def words(self) -> str:
        """Of the best one."""
        return self.tried[self.best].words

    @property
    def value(self) -> float:
        """Of the best one, on select."""
        return self.tried[self.best].value


def best_form(
    forms: Iterable[Form],
    network: Callable[[Form], nn.Module],
    select: RowSplit,
    metric: Metric,
    observer: Observer,
) -> tuple[Form, Forms]:
    """Measure every form on select and return the best one, the first of equals, with all values.

    Args:
        forms: fitted on fit.
        network: form -> what maps the inputs of select.
        select: the queries, with what they are ranked against.
        metric: that chooses.
        observer: is told how far it is.
    """
    evaluator, tried = Evaluator(metric), list[Tried]()
    best: tuple[int, Form] | None = None
    for number, form in enumerate(forms):
        observer(event_of(Progress("closed forms", number, max(ABOUT, number + 1), "form")))
        tried.append(Tried(form.words(), evaluator.value(network(form), select, "select")))
        if best is None or evaluator.better(tried[-1].value, tried[best[0]].value):
            best = number, form
    assert best is not None
    observer(event_of(Progress("closed forms", len(tried), len(tried), "form")))
    return best[1], Forms(tried, best[0])
