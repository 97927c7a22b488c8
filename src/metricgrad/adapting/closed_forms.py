"""The closed forms of a run: all are measured on select, the best one is where training starts."""

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from metricgrad._closed_form_records import TriedForm
from metricgrad._records import Progress, event_of
from metricgrad._types import Metric, Observer
from metricgrad.adapting.rows import RowSplit
from metricgrad.errors import Interrupted
from metricgrad.projection import PairProjection, Projection
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.stop import StopRequest

__all__ = ["FORMS", "Forms", "best_form"]

Form = TypeVar("Form", Projection, PairProjection)
FORMS = "closed forms"
"""What is done, as its progress names it."""
ABOUT = 45
"""So many forms are tried, for the progress that is shown."""


@dataclass(frozen=True)
class Forms:
    """What select says of the closed forms.

    Attributes:
        tried: all of them in their order; the first is the vectors as they are, where both sides have one space.
        best: place of the best one, the first of equals.
        name: of the best one, without its settings.
    """

    tried: list[TriedForm]
    best: int
    name: str

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
    what: str = FORMS,
) -> tuple[Form, Forms]:
    """Measure every form on select and return the best one, the first of equals, with all values.

    Args:
        forms: fitted on fit.
        network: form -> what maps the inputs of select.
        select: the queries, with what they are ranked against.
        metric: that chooses.
        observer: is told how far it is.
        what: is done, in words.

    Raises:
        Interrupted: SIGINT or SIGTERM.
    """
    evaluator, tried = Evaluator(metric), list[TriedForm]()
    best: tuple[int, Form] | None = None
    with StopRequest() as stop:
        for number, form in enumerate(forms):
            observer(event_of(Progress(what, number, max(ABOUT, number + 1), "form")))
            tried.append(TriedForm(form.words(), evaluator.value(network(form), select, "select")))
            if best is None or evaluator.better(tried[-1].value, tried[best[0]].value):
                best = number, form
            if stop.signal:
                name = signal.Signals(stop.signal).name
                raise Interrupted(
                    f"stopped by {name} after {len(tried)} {what}, which the next call makes anew"
                )
    assert best is not None
    observer(event_of(Progress(what, len(tried), len(tried), "form")))
    return best[1], Forms(tried, best[0], best[1].name)
