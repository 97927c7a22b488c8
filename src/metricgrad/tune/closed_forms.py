"""Makes the controls that train nothing, once the start model is there: the inputs as they are, the best closed form.

Closed forms are fitted on fit, in one pass over the outputs of the start model and, where inputs are vectors, over
these as well. What each gives for select is measured once; the best one stands for the control of that seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from torch import nn

from metricgrad._closed_form_records import ClosedFormChosen, TriedForm
from metricgrad._records import RAW, Progress
from metricgrad._types import Split
from metricgrad.errors import InputError
from metricgrad.projection import Projection, label_grid
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.finalists import Finalists
from metricgrad.tune.outputs import Outputs, collect
from metricgrad.tune.projected import RAW_HEAD, Head, Projected
from metricgrad.tune.setup import Setup
from metricgrad.tune.splits import ArraySplit, ClassBatchSplit
from metricgrad.tune.untrained import vectors_in

__all__ = ["CHOOSING", "ClosedForms"]

CHOOSING = "select, to choose closed forms"
"""What the measurements are counted under by which a closed form is chosen."""
MOST_BATCHES = 2_000
"""Of a fit split that does not lie in memory: the first ones are read."""
FORMS = 40
"""About as many are tried, for the progress that is shown."""


class ClosedForms:
    """Makes the controls that train nothing.

    Args:
        setup: of the run.
        evaluator: measures, and counts.
        emit: is given what was chosen, and how far the choice is.
    """

    def __init__(self, setup: Setup, evaluator: Evaluator, emit: Callable[[Any], None]) -> None:
        self.setup, self.evaluator, self.emit = setup, evaluator, emit
        self._of_inputs: _Best | None = None
        self._told: dict[str, None] = {}

    def stand(self, finalists: Finalists, select: dict[str, dict[str, float]]) -> list[tuple[int, str]]:
        """Make every such control of a run and let it stand for its arm.

        Args:
            finalists: of the run.
            select: seed -> arm -> value on select; theirs are added.

        Returns:
            Seed and arm of each.
        """
        made = [(seed, arm.name) for arm in self.setup.closed_forms for seed in self.setup.seeds]
        for seed, arm in made:
            head, value = self.make(seed, arm, finalists.network(seed, self.setup.start.name))
            finalists.crown(seed, arm, head)
            select[str(seed)][arm] = value
        return made

    def make(self, seed: int, arm: str, start: nn.Module) -> tuple[Head, float]:
        """Return what stands for a control of a seed, and its value on select.

        Args:
            seed: of the run.
            arm: name of the control.
            start: the trained start model of that seed, in eval mode.
        """
        select = self.setup.splits.select
        if arm == RAW:
            return RAW_HEAD, self.evaluator.value(Projected(start, RAW_HEAD), select, "select")
        best = self._best(start, "outputs")
        if vectors_in(self.setup.splits):
            if self._of_inputs is None:
                self._of_inputs = self._best(nn.Identity(), "inputs")
            best = best.beside(self._of_inputs, self.evaluator)
        self._told |= dict.fromkeys(best.told)
        self.emit(best.record(seed, arm))
        return best.head, best.value

    @property
    def told(self) -> list[str]:
        """Why closed forms are missing, each reason once."""
        return list(self._told)

    def _best(self, network: nn.Module, of: Literal["outputs", "inputs"]) -> "_Best":
        """Fit every closed form over what a network gives and measure each on select; the first one of equals."""
        rows = collect(network, _in_order(self.setup.splits.fit))
        found = self.evaluator.outputs(network, self.setup.splits.select)
        told: list[str] = []
        tried: list[TriedForm] = []
        best: tuple[Head, float] | None = None
        for number, projection in enumerate(_forms(rows, told)):
            self.emit(Progress(f"closed forms of the {of}", number, max(FORMS, number + 1), "form"))
            head = Head(of, projection)
            value = self.evaluator.summarised(
                self.evaluator.measured(_projected(found, projection), CHOOSING)
            )
            tried.append(TriedForm(head.words, value))
            if best is None or self.evaluator.better(value, best[1]):
                best = head, value
        assert best is not None
        self.emit(Progress(f"closed forms of the {of}", len(tried), len(tried), "form"))
        return _Best(
            *best, tried, [f"some closed forms of the {of} are missing: {reason}" for reason in told]
        )


@dataclass(frozen=True)
class _Best:
    """The best of the closed forms that were tried, its value on select, and why some could not be fitted."""

    head: Head
    value: float
    tried: list[TriedForm]
    told: list[str]

    def beside(self, other: "_Best", evaluator: Evaluator) -> "_Best":
        """The better one, with what was tried for both."""
        better = other if evaluator.better(other.value, self.value) else self
        return _Best(better.head, better.value, self.tried + other.tried, self.told + other.told)

    def record(self, seed: int, arm: str) -> ClosedFormChosen:
        """What the record says of it."""
        form = self.head.projection
        name, settings = ("", {}) if form is None else (form.name, dict(form.settings))
        told = "; ".join(self.told)
        return ClosedFormChosen(
            seed, arm, self.head.words, self.head.of, name, settings, self.value, self.tried, told
        )


class _FirstBatches:
    """A fit split that does not lie in memory, or has no end, as far as it is read."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __iter__(self) -> Iterator[Any]:
        """Yield the first batches."""
        return islice(self.split, MOST_BATCHES)


def _in_order(fit: Any) -> Split:
    """The items of fit, each once and in their order where they lie in memory; views are left out."""
    if isinstance(fit, ArraySplit | ClassBatchSplit):
        return ArraySplit(fit.inputs, fit.targets)
    return _FirstBatches(fit)


def _forms(rows: Outputs, told: list[str]) -> Iterator[Projection | None]:
    """Every closed form that can be fitted, none of them (None) where that is so; `told` gets the reason."""
    count = 0
    try:
        for projection in label_grid(rows.outputs, rows.targets):
            count += 1
            yield projection
    except InputError as error:
        told.append(str(error))
        if count == 0:
            yield None


def _projected(found: Outputs, projection: Projection | None) -> Outputs:
    if projection is None:
        return found
    form = projection.to(found.outputs.device)
    reference = found.reference_outputs
    return found._replace(
        outputs=form(found.outputs), reference_outputs=None if reference is None else form(reference)
    )
