"""The models that stand for the arms of every seed, and what they give for a split: outputs, and decided classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from metricgrad._decision_records import RuleFitted
from metricgrad._records import Progress
from metricgrad.decision import Fitted, Threshold
from metricgrad.tune.checkpoint import load_weights, save_weights
from metricgrad.tune.decided import cut_curve, decision_tables
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.kept_rule import save_with_rule
from metricgrad.tune.outputs import Outputs
from metricgrad.tune.projected import Head, projected, save_projection
from metricgrad.tune.setup import Setup
from metricgrad.tune.weights import load_into

__all__ = ["Finalists"]


class Finalists:
    """The try of every seed and arm that select prefers, with the rule that decides for its weights.

    Args:
        setup: of the run.
        folder: of the run, with the weights of all tries.
        evaluator: measures, and counts.
        attempts: seed -> arm -> number of the try.

    Attributes:
        rules: of every seed and arm, fitted on all of select; empty where no rule applies.
        heads: of the seeds and arms that train nothing: what becomes of outputs or inputs of the start.
    """

    def __init__(
        self,
        setup: Setup,
        folder: RunFolder,
        evaluator: Evaluator,
        attempts: dict[str, dict[str, int]],
    ) -> None:
        self.setup, self.folder, self.evaluator, self.attempts = setup, folder, evaluator, attempts
        self.rules: dict[tuple[int, str], Fitted] = {}
        self.heads: dict[tuple[int, str], Head] = {}

    def weights(self, seed: int, arm: str) -> dict[str, Any]:
        """The weights that stand for an arm; those of the start where it trains nothing."""
        arm = self.setup.start.name if (seed, arm) in self.heads else arm
        return load_weights(self.folder.weights(seed, arm, self.attempts[str(seed)][arm]))

    def network(self, seed: int, arm: str) -> nn.Module:
        """The network of an arm with the weights that stand for it, and with its closed form."""
        model, head = self._bare(seed, arm), self.heads.get((seed, arm))
        return model if head is None else projected(model, head).eval()

    def _bare(self, seed: int, arm: str) -> nn.Module:
        """The same without a closed form."""
        model = self.setup.build(seed)
        load_into(model, self.weights(seed, arm))
        return model.eval()

    def crown(self, seed: int, arm: str, head: Head) -> None:
        """Let the start with a closed form stand for an arm that trains nothing."""
        self.attempts[str(seed)][arm] = 0
        self.heads[seed, arm] = head

    def install(self, seed: int, arm: str, weights: Mapping[str, Any], fitted: Fitted | None) -> None:
        """Let weights, with what decides for them, stand for an arm that was not trained."""
        self.attempts[str(seed)][arm] = 0
        save_weights(self.folder.weights(seed, arm, 0), weights)
        if fitted is not None:
            self.rules[seed, arm] = fitted
            self.folder.emit(_record_of(seed, arm, fitted))

    def fit_rules(self, models: Sequence[tuple[int, str]]) -> None:
        """Fit the rule of every (seed, arm) on select and write what it says; nothing where the run has none."""
        if self.setup.deciding is None:
            return
        for number, (seed, arm) in enumerate(models):
            self.folder.emit(Progress("rules", number, len(models), "model"))
            found = self.evaluator.outputs(self.network(seed, arm), self.setup.splits.select)
            fitted = self.evaluator.fitted(found)
            if fitted is not None:
                self.rules[seed, arm] = fitted
                self.folder.emit(_record_of(seed, arm, fitted))
        self.folder.emit(Progress("rules", len(models), len(models), "model"))

    def on_select(self, seed: int, arm: str) -> Outputs:
        """What the model gives for select, each item decided by the rule that was fitted on the other half."""
        found = self.evaluator.outputs(self.network(seed, arm), self.setup.splits.select)
        fitted = self.rules.get((seed, arm))
        return found if fitted is None else found._replace(decided=fitted.decisions)

    def on_test(self, seed: int, arm: str) -> Outputs:
        """What the model gives for test, decided by the rule that was fitted on all of select."""
        test, deciding = self.setup.splits.test, self.setup.deciding
        assert test is not None
        found, fitted = self.evaluator.outputs(self.network(seed, arm), test), self.rules.get((seed, arm))
        return found if deciding is None or fitted is None else deciding.by(fitted.rule, found)

    def save(self, path: Path, seed: int, arm: str, facts: Mapping[str, str]) -> None:
        """Write the weights of an arm, with its rule, into a file, and the arrays of its closed form beside it."""
        fitted = self.rules.get((seed, arm))
        facts = {**facts, **save_projection(path, self.heads.get((seed, arm)))}
        save_with_rule(path, self._bare(seed, arm), None if fitted is None else fitted.rule, facts)

    def show_rule(self, seed: int, arm: str, tested: Mapping[tuple[int, str], Outputs] | None) -> None:
        """Write what the rule of a model changes: confusion tables, and the metric over the cut where it is one.

        Args:
            seed: of the model.
            arm: of the model.
            tested: what models give for test, this one among them; None without a test split.
        """
        fitted = self.rules.get((seed, arm))
        if fitted is None or self.setup.deciding is None:
            return
        on_select = self.on_select(seed, arm)
        shown, split = (on_select, "select") if tested is None else (tested[seed, arm], "test")
        names = list(self.setup.splits.classes or ())
        tables, curve = decision_tables(shown, fitted.rule, seed, arm, split, names), None
        if isinstance(fitted.rule, Threshold):
            curve = cut_curve(on_select, fitted.rule, self.setup.deciding.metric, seed, arm)
        for record in (tables, curve):
            if record is not None:
                self.folder.emit(record)

    @property
    def told(self) -> list[str]:
        """Why argmax was kept, where the reason is one and the same for all."""
        notes = {fitted.note for fitted in self.rules.values()}
        return [f"select: {note}" for note in notes if note and len(notes) == 1]

    @property
    def rule_names(self) -> set[str]:
        """Names of the rules that decide."""
        return {fitted.rule.name for fitted in self.rules.values()}

    @property
    def argmax(self) -> dict[str, dict[str, float]]:
        """Seed -> arm -> the metric on select without the rule."""
        values: dict[str, dict[str, float]] = {}
        for (seed, arm), fitted in self.rules.items():
            values.setdefault(str(seed), {})[arm] = fitted.argmax_value
        return values


def _record_of(seed: int, arm: str, fitted: Fitted) -> RuleFitted:
    return RuleFitted(
        seed,
        arm,
        fitted.rule.name,
        fitted.rule.words(),
        fitted.argmax_value,
        fitted.value,
        fitted.cross_fitted,
        fitted.note or "",
        fitted.calls,
    )
