"""The resumable run: stages one after the other, then the choice on select, then the test split."""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad.scale import current
from metricgrad.tune.conclusion import Conclusion
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.opening import Opening
from metricgrad.tune.setup import Setup
from metricgrad.tune.stages import stages_of
from metricgrad.tune.state import fitting
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.training import train

__all__ = ["Contest"]


class Contest:
    """The stages of a run, one after the other, each resumable; then the choice; then the test split."""

    def __init__(self, setup: Setup, folder: RunFolder, stop: StopRequest, task: str | None) -> None:
        self.setup, self.folder, self.stop, self.task = setup, folder, stop, task
        self.evaluator = setup.evaluator()
        self.best_seed = setup.seeds[0]

    def go(
        self, identity: Mapping[str, Any], marks: Sequence[str] = (), *, began: float, force: bool
    ) -> None:
        """Run, or go on, to the end; a new run has these marks."""
        opening = Opening(self.setup, self.folder, self.task, list(marks), began)
        state = opening.open(identity, force=force)
        current().wait()  # nobody writes before everybody has read
        self.evaluator.calls.update(state.metric_calls)
        if state.finished:
            self.best_seed = self.best_seed if state.best_seed is None else state.best_seed
            return
        with fitting(self.folder.path):
            stages = stages_of(self.setup, state.budget)
        for stage in stages[len(state.values) :]:
            train(stage, self.setup, self.evaluator, self.folder, self.stop, state)
        if current().leader:
            self.best_seed = Conclusion(self.setup, self.folder, self.evaluator, began).conclude(
                stages, state
            )
            state.metric_calls = dict(self.evaluator.calls)
            state.finished, state.best_seed = True, self.best_seed
            self.folder.save(state)
        self.best_seed = current().led(lambda: self.best_seed)
