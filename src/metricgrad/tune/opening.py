"""The beginning of a run: a new record with its budget, or the state that a folder holds."""

from collections.abc import Mapping
from typing import Any

import torch

from metricgrad._records import Budget, Note, Resumed, RunStarted
from metricgrad.errors import RunFolderError
from metricgrad.scale import current
from metricgrad.tune.falls import check_measured
from metricgrad.tune.folder import RunFolder, read_config
from metricgrad.tune.identity import check_identity, versions
from metricgrad.tune.setup import Setup
from metricgrad.tune.splits import NAMES, describe_split
from metricgrad.tune.stages import budget_of, stages_of
from metricgrad.tune.state import RunState, fitting

__all__ = ["Opening"]

_ENVIRONMENT = ("versions.", "threads", "kernel")
"""What may change under figures that stand: a finished run can be shown by force."""


class Opening:
    """Finds out where a run stands, or begins it.

    Args:
        setup: of the run.
        folder: of the run.
        task: its name, for the record.
        marks: of a new run.
        began: seconds since the epoch when the call began.
    """

    def __init__(
        self, setup: Setup, folder: RunFolder, task: str | None, marks: list[str], began: float
    ) -> None:
        self.setup, self.folder, self.task, self.marks, self.began = setup, folder, task, marks, began

    def open(self, identity: Mapping[str, Any], *, force: bool) -> RunState:
        """Return the state of the folder's run, a new one where there is none."""
        found = self._found(identity, force=force) if current().leader else None
        if current().led(lambda: found is None):
            return self._new(identity)
        if found is None:  # process 0 has found a state: it stands in the folder
            found = self.folder.load()
        assert found is not None
        return found

    def _found(self, identity: Mapping[str, Any], *, force: bool) -> RunState | None:
        """Return the state that the folder holds; None where it is new, or has no checkpoint yet."""
        config = read_config(self.folder.path)
        if config is None:
            return None
        forced, told = check_identity(self.folder.path, config, identity, force=force)
        state = self.folder.load()
        if state is not None and state.finished and any(not item.startswith(_ENVIRONMENT) for item in forced):
            raise RunFolderError(
                f"the run in {self.folder.path} is finished: force has nothing to resume, and its figures are not "
                f"those of what is asked for now ({'; '.join(forced)}). Choose another folder."
            )
        if state is not None and state.finished:
            check_measured(self.setup.side_metrics, self.folder)
        return None if state is None else self._resumed(state, forced, told)

    def _new(self, identity: Mapping[str, Any]) -> RunState:
        """Begin the record and decide the budget."""
        self.folder.load()  # no checkpoint: cuts a record without one back to nothing
        self.folder.write_config(identity)
        setup = self.setup
        controls = [arm for arm in setup.named("control") if arm.attempts]
        contenders = setup.named("contender")
        splits = {
            name: describe_split(split)
            for name in NAMES
            if (split := getattr(setup.splits, name)) is not None
        }
        self.folder.emit(
            RunStarted(
                setup.metric.name,
                setup.metric.description,
                setup.metric.higher_is_better,
                setup.metric.unit,
                ", ".join(dict.fromkeys(arm.method for arm in contenders)),
                controls[0].method if controls else None,
                self.task,
                list(setup.seeds),
                splits,
                versions(),
                torch.get_num_threads(),
                setup.entrants,
            )
        )
        if current().size > 1:
            self.folder.emit(Note(f"{current().size} processes: each embeds its part of every batch"))
        if setup.splits.test is None:
            self.folder.emit(Note("the run has no test split: nothing will be claimed"))
        for text in [*setup.told, *_not_noticed(identity)]:
            self.folder.emit(Note(text))
        budget = budget_of(setup, self.began)
        self.folder.emit(budget)
        for text in _over_budget(budget):
            self.folder.emit(Note(text))
        state = RunState(budget, marks=self.marks)
        self.folder.save(state)
        return state

    def _resumed(self, state: RunState, forced: list[str], told: list[str]) -> RunState:
        state.marks += [f"resumed by force although {item}" for item in forced]
        if not state.finished:
            state.marks += told
            for text in told:
                self.folder.emit(Note(text))
        if not state.finished:
            with fitting(self.folder.path):
                stages = stages_of(self.setup, state.budget)
                stage, step = stages[min(len(state.values), len(stages) - 1)], state.step
            self.folder.emit(Resumed(**stage.key, step=step, forced=forced))
        return state


def _over_budget(budget: Budget) -> list[str]:
    """Say where the minutes do not reach for what cannot be made shorter."""
    expected = sum(budget.expected.values())
    if budget.minutes is None or expected <= 66 * budget.minutes:
        return []
    return [
        f"{budget.minutes:g} minutes do not reach: about {expected / 60:.2g} are needed for one step of every try, "
        "with start, warm-up, evaluations and test; give more minutes, or fewer seeds or tries"
    ]


def _not_noticed(identity: Mapping[str, Any]) -> list[str]:
    """What may change without being noticed when the run is resumed, as sentences."""
    told = [
        f"the hash of {name} is {digest.partition(': ')[0]}: when the run is resumed, the rest is not compared"
        for name, digest in identity["found"]["data"].items()
        if digest.startswith("of the first ")
    ]
    told += [
        f"{name} gives {digest.partition(': ')[0]}: the arms do not see the same, and a resumed run is not the "
        "uninterrupted one"
        for name, digest in identity["found"]["data"].items()
        if digest.startswith("other ")
    ]
    unread = identity["not compared"]
    return told + (
        [f"what cannot be compared when the run is resumed: {', '.join(unread)}"] if unread else []
    )
