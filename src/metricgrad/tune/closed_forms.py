"""Makes the controls that train nothing, once the start model is there: the inputs as they are, the best closed form.

Closed forms are fitted on fit, in one pass over the outputs of the start model and, where inputs are vectors, over
these as well. What each gives for select is measured once; the best one stands for the control of that seed, and of
any other seed whose start gives the same outputs.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metricgrad._closed_form_records import ClosedFormChosen, TriedForm
from metricgrad._records import RAW, Progress
from metricgrad.pairing import TwoTowers
from metricgrad.projection import PairProjection
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.finalists import Finalists
from metricgrad.tune.fit_rows import fit_rows
from metricgrad.tune.outputs import Outputs
from metricgrad.tune.pair_split import PairSplit
from metricgrad.tune.projected import Form, Head, projected
from metricgrad.tune.setup import Setup
from metricgrad.tune.untrained import vectors_in

__all__ = ["CHOOSING", "ClosedForms"]

CHOOSING = "select, to choose closed forms"
"""What the measurements are counted under by which a closed form is chosen."""
FORMS = 40
"""About as many are tried, for the progress that is shown."""


class ClosedForms:
    """Makes the controls that train nothing.

    Args:
        setup: of the run.
        evaluator: measures, and counts.
        emit: is given what was chosen, and how far the choice is.
        anew: fit for every seed, though its start gives the outputs of another one: to time it.
    """

    def __init__(
        self, setup: Setup, evaluator: Evaluator, emit: Callable[[Any], None], *, anew: bool = False
    ) -> None:
        self.setup, self.evaluator, self.emit, self.anew = setup, evaluator, emit, anew
        self.of_pairs = isinstance(setup.splits.fit, PairSplit)
        self._of_inputs: _Best | None = None
        self._of_outputs: dict[str, _Best] = {}
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
        given = self.setup.arm(arm)
        if given.head is not None:
            value = self.evaluator.value(projected(start, given.head), self.setup.splits.select, "select")
            if given.tried:
                self.emit(_Best((given.head, value), list(given.tried), []).record(seed, arm))
            return given.head, value
        raw = Head("inputs", None, sides=self.of_pairs)
        if arm == RAW:
            return raw, self.evaluator.value(projected(start, raw), self.setup.splits.select, "select")
        stay = self._documents_stay(start)
        best = self._best(start, "outputs", documents_stay=stay)
        if vectors_in(self.setup.splits):
            if self._of_inputs is None:
                self._of_inputs = self._best(projected(start, raw), "inputs", documents_stay=stay)
            best = best.beside(self._of_inputs, self.evaluator)
        self._told |= dict.fromkeys(best.told)
        self.emit(best.record(seed, arm))
        return best.head, best.value

    @property
    def told(self) -> list[str]:
        """Why closed forms are missing, each reason once."""
        return list(self._told)

    def _documents_stay(self, start: nn.Module) -> bool:
        """Whether the run trains no embedding of documents, so that an index of them need not be built again."""
        if not self.of_pairs or not isinstance(start, TwoTowers):
            return False
        trained = set(map(id, self.setup.parameters(start, "contender").values()))
        return not any(id(weight) in trained for weight in start.towers["document"].parameters())

    def _best(self, network: nn.Module, of: Literal["outputs", "inputs"], *, documents_stay: bool) -> "_Best":
        """Fit every closed form over what a network gives and measure each on select; the first one of equals."""
        fit = fit_rows(network, self.setup.splits.fit, documents_stay=documents_stay)
        found = self.evaluator.outputs(network, self.setup.splits.select)
        key = None if self.anew else _digest((*fit.rows, found.outputs, found.reference_outputs))
        if of == "outputs" and key in self._of_outputs:
            return self._of_outputs[key]
        told: list[str] = []
        tried: list[TriedForm] = []
        best: tuple[Head, float] | None = None
        for number, form in enumerate(fit.forms(told)):
            self.emit(Progress(f"closed forms of the {of}", number, max(FORMS, number + 1), "form"))
            head = Head(of, form, sides=self.of_pairs)
            value = self.evaluator.summarised(self.evaluator.measured(_applied(found, form), CHOOSING))
            tried.append(TriedForm(head.words, value))
            if best is None or self.evaluator.better(value, best[1]):
                best = head, value
        self.emit(Progress(f"closed forms of the {of}", len(tried), len(tried), "form"))
        told = [f"some closed forms of the {of} are missing: {reason}" for reason in told]
        made = _Best(best, tried, told)
        if of == "outputs" and key is not None:
            self._of_outputs[key] = made
        return made


@dataclass(frozen=True)
class _Best:
    """The best of the closed forms that were tried with its value on select, and why some could not be fitted."""

    found: tuple[Head, float] | None  # None: sides of two spaces, and no form brings them together
    tried: list[TriedForm]
    told: list[str]

    @property
    def head(self) -> Head:
        """The best one; outputs have one."""
        assert self.found is not None
        return self.found[0]

    @property
    def value(self) -> float:
        """On select."""
        assert self.found is not None
        return self.found[1]

    def beside(self, other: "_Best", evaluator: Evaluator) -> "_Best":
        """The better one, with what was tried for both."""
        better = other.found is not None and evaluator.better(other.value, self.value)
        return _Best(other.found if better else self.found, self.tried + other.tried, self.told + other.told)

    def record(self, seed: int, arm: str) -> ClosedFormChosen:
        """What the record says of it."""
        form = self.head.projection
        name, settings = ("", {}) if form is None else (form.name, dict(form.settings))
        told = "; ".join(self.told)
        return ClosedFormChosen(
            seed, arm, self.head.words, self.head.of, name, settings, self.value, self.tried, told
        )


def _applied(found: Outputs, form: Form | None) -> Outputs:
    """The same embeddings, mapped."""
    if form is None:
        return found
    form = form.to(found.outputs.device)
    asking, ranked = (form.query, form.document) if isinstance(form, PairProjection) else (form, form)
    reference = found.reference_outputs
    return found._replace(
        outputs=asking(found.outputs), reference_outputs=None if reference is None else ranked(reference)
    )


def _digest(parts: Iterable[Any]) -> str | None:
    """Hash (SHA-256) of outputs and labels; None where these are neither tensors nor lists of texts and numbers."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            total.update(f"{tuple(part.shape)}{part.dtype}".encode())
            total.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        elif isinstance(part, list) and all(isinstance(one, str | int) for one in part):
            total.update(repr(part).encode())
        elif part is not None:
            return None
    return total.hexdigest()
