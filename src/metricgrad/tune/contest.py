"""The resumable run: stages one after the other, then the choice on select, then the test split."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from metricgrad.scale import current
from metricgrad.tune.cell import cell_file
from metricgrad.tune.conclusion import Conclusion
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.opening import Opening
from metricgrad.tune.setup import Setup
from metricgrad.tune.side_by_side import Workers, tell_kept, train_side_by_side
from metricgrad.tune.stage import Stage
from metricgrad.tune.stages import stages_of
from metricgrad.tune.state import RunState, fitting
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.training import train

__all__ = ["Contest", "Crew"]

Crew = Callable[[Setup, Mapping[str, Any]], AbstractContextManager[Workers]]
"""From a run and its identity to the workers that train its cells."""


class Contest:
    """The stages of a run, one after the other, each resumable; then the choice; then the test split."""

    def __init__(
        self,
        setup: Setup,
        folder: RunFolder,
        stop: StopRequest,
        task: str | None,
        workers: Workers | None = None,
    ) -> None:
        self.setup, self.folder, self.stop, self.task = setup, folder, stop, task
        self.workers = workers
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
        self._train(stages, state)
        if current().leader:
            self.best_seed = Conclusion(self.setup, self.folder, self.evaluator, began).conclude(
                stages, state
            )
            state.metric_calls = dict(self.evaluator.calls)
            state.finished, state.best_seed = True, self.best_seed
            self.folder.save(state)
        self.best_seed = current().led(lambda: self.best_seed)

    def _train(self, stages: Sequence[Stage], state: RunState) -> None:
        """Train the stages that are left: here, one after the other, or on workers."""
        if current().leader:
            for stage in stages[: len(state.values)]:
                # there where a kill came between checkpoint and removal
                cell_file(self.folder, stage).unlink(missing_ok=True)
        left = stages[len(state.values) :]
        if self.workers is not None and state.stage is not None:  # begun here: it goes on from its checkpoint
            train(left[0], self.setup, self.evaluator, self.folder, self.stop, state)
            left = left[1:]
        if self.workers is not None:
            start = self.setup.start.name
            train_side_by_side(left, start, self.evaluator, self.folder, self.stop, state, self.workers)
            return
        for stage in left:
            if not tell_kept(stage, self.evaluator, self.folder, state):
                train(stage, self.setup, self.evaluator, self.folder, self.stop, state)
