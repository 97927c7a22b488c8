"""The stages of a run as cells that workers train side by side, told in the order in which one process trains them."""

import signal
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from metricgrad._records import Budget, Note, Progress
from metricgrad.errors import Interrupted, MetricgradError
from metricgrad.scale import current
from metricgrad.tune.cell import Cell, cell_file, keep_cell, kept_cell
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.training import Begun, begun_in

__all__ = ["MOST_LOSSES", "Arrived", "CellLost", "Workers", "tell_kept", "train_side_by_side"]

MOST_LOSSES = 5
"""So often a cell is trained again whose worker has died: one that kills every worker must come to an end."""
SECONDS = 0.5
"""How long workers are waited for before the request to stop is looked at again."""


class CellLost(MetricgradError):
    """A cell's worker died again and again; what other cells gave is kept in the run folder."""


class Arrived(NamedTuple):
    """A cell that came back.

    Attributes:
        stage: that was sent.
        cell: what it gave; None where its worker is gone.
        lost: then why, in words.
    """

    stage: Stage
    cell: Cell | None
    lost: str = ""


class Workers(Protocol):
    """What trains cells elsewhere.

    Attributes:
        described: where, as a sentence for the record.
    """

    described: str

    def send(self, stage: Stage, begun: Begun, budget: Budget) -> None:
        """Have a cell trained as soon as there is room."""
        ...

    def arrived(self, seconds: float) -> tuple[list[Arrived], list[str]]:
        """Wait for cells, not longer than this; return those that came, and sentences for the record.

        What the user's code raises in a worker is raised here.
        """
        ...


def tell_kept(stage: Stage, evaluator: Evaluator, folder: RunFolder, state: RunState) -> bool:
    """Move the checkpoint past a stage that is kept as a cell; returns whether it is."""
    kept = kept_cell(folder, stage)
    if kept is None:
        return False
    for event in kept.events:
        folder.tell(event)
    evaluator.calls.update(kept.calls)
    state.values.append(kept.value)
    state.metric_calls = dict(evaluator.calls)
    current().wait()  # every process has read it
    folder.save(state)
    if current().leader:
        cell_file(folder, stage).unlink(missing_ok=True)
    return True


def train_side_by_side(
    stages: Sequence[Stage],
    start: str,
    evaluator: Evaluator,
    folder: RunFolder,
    stop: StopRequest,
    state: RunState,
    workers: Workers,
) -> None:
    """Train stages on workers; record, checkpoint and weights become those of one process that trains them in order.

    Every cell is kept in the folder as soon as it is there, whatever its turn. The arms of a seed are sent once its
    start is there. A cell whose worker is gone is sent again.

    Args:
        stages: those that are left, in their order.
        start: name of the start.
        evaluator: counts what the cells have measured.
        folder: of the run.
        stop: a request to stop.
        state: of the run.
        workers: train the cells.

    Raises:
        Interrupted: a stop was requested; the cells that have ended are kept.
        CellLost: the workers of one cell died too often.
    """
    untold = list(stages)
    unsent = [stage for stage in stages if not cell_file(folder, stage).exists()]
    if unsent:
        folder.emit(Note(workers.described))
    of, away, losses = len(unsent), list[Stage](), Counter[Stage]()
    while True:
        while untold and tell_kept(untold[0], evaluator, folder, state):
            untold.pop(0)
        if not untold:
            return
        missing = {stage.seed for stage in [*unsent, *away] if stage.role == "start"}
        ready = [stage for stage in unsent if stage.role == "start" or stage.seed not in missing]
        for stage in ready:
            workers.send(stage, begun_in(folder, stage, start), state.budget)
        unsent = [stage for stage in unsent if stage not in ready]
        away += ready
        came, notes = workers.arrived(SECONDS)
        for text in notes:
            folder.emit(Note(text))
        for stage, cell, lost in came:
            away.remove(stage)
            if cell is not None:
                keep_cell(folder, stage, cell)
                continue
            losses[stage] += 1
            _tell_loss(stage, lost, losses[stage], folder)
            unsent.insert(0, stage)
        if came:
            folder.emit(Progress("cells", of - len(unsent) - len(away), of, "cell"))
        if stop.signal is not None:
            raise Interrupted(
                f"stopped by {signal.Signals(stop.signal).name} with {len(unsent) + len(away)} cells still to be "
                f"trained; what the others gave is kept in {folder.path}"
            )


def _tell_loss(stage: Stage, reason: str, times: int, folder: RunFolder) -> None:
    cell = f"seed {stage.seed}: {stage.arm} (try {stage.attempt})"
    if times > MOST_LOSSES:
        raise CellLost(
            f"{cell}: its worker died {times} times, the last time: {reason}. Expected one that lives until the cell "
            f"is trained: it may have no memory left. The other cells are kept in {folder.path}, and the same call "
            "goes on with it; without a cluster or processes it is trained in the program's own process."
        )
    folder.emit(Note(f"{cell} was lost with its worker ({reason}) and is trained again"))
