"""A stage as one piece: trained anywhere from what it begins with, kept in the run folder until its turn has come.

Cells may end in any order; the record tells them in one. A cell that has ended stands in `arms/`: its weights as those
of any stage, and `seed0-tuned-try0-cell.json` with its value, its events and what it has measured. Once the stages
before it are told, its events go into the record, the checkpoint moves past it, and that file is removed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from metricgrad._documents import MEGABYTE, Unreadable, content_of, json_value
from metricgrad._records import Progress, event_of, record_of
from metricgrad.errors import CheckpointError
from metricgrad.tune.checkpoint import write_atomically
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.setup import Setup
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.training import Begun, Trained, keep_trained, trained

__all__ = ["Cell", "KeptCell", "cell_file", "keep_cell", "kept_cell", "train_cell"]

FORMAT = 1
_LARGEST = 256 * MEGABYTE


class Cell(NamedTuple):
    """What a stage gives that was trained elsewhere.

    Attributes:
        found: value and weights.
        events: for the record, in order.
        calls: measurements by split.
    """

    found: Trained
    events: list[dict[str, Any]]
    calls: dict[str, int]


class KeptCell(BaseModel):
    """What the file of a cell holds; its weights stand beside it."""

    model_config = ConfigDict(strict=True)

    format: int = FORMAT
    value: float
    calls: dict[str, int]
    events: list[dict[str, Any]]


class _Gathering(RunFolder):
    """The folder as a cell sees it: events are gathered, and there are no checkpoints."""

    def __init__(self) -> None:
        self.path = Path("arms")  # for messages: nothing is read or written
        self.gathered: list[dict[str, Any]] = []

    def emit(self, record: Any, *, durable: bool = False) -> None:
        """Keep an event for the record."""
        if not isinstance(record, Progress):
            self.gathered.append(event_of(record))

    def save(self, state: RunState) -> None:
        """A cell that is lost is trained again from its beginning."""


def train_cell(stage: Stage, setup: Setup, state: RunState, begun: Begun) -> Cell:
    """Train a stage from its beginning to its end, without a folder; the same bits as `train` gives.

    Args:
        stage: what is trained.
        setup: of the run.
        state: a new one: its budget is that of the run.
        begun: the weights that it begins with.
    """
    folder, evaluator = _Gathering(), setup.evaluator()
    found = trained(stage, setup, evaluator, folder, StopRequest(), state, begun)
    return Cell(found, folder.gathered, dict(evaluator.calls))


def cell_file(folder: RunFolder, stage: Stage) -> Path:
    """Return where a cell is kept whose turn has not come."""
    weights = folder.weights(stage.seed, stage.arm, stage.attempt)
    return weights.with_name(f"{weights.stem}-cell.json")


def keep_cell(folder: RunFolder, stage: Stage, cell: Cell) -> None:
    """Keep a cell in the run folder: once its file is there, it is never trained again.

    Raises:
        RunFolderError: the folder is read-only or full.
    """
    keep_trained(folder, stage, cell.found)
    kept = KeptCell(value=cell.found.value, calls=cell.calls, events=cell.events)
    write_atomically(cell_file(folder, stage), json.dumps(kept.model_dump()).encode())


def kept_cell(folder: RunFolder, stage: Stage) -> KeptCell | None:
    """Return what is kept of a cell whose turn has not come; None where it is still to be trained.

    Raises:
        CheckpointError: its file is damaged, or belongs to another stage.
    """
    path = cell_file(folder, stage)
    if not path.exists():
        return None
    try:
        kept = KeptCell.model_validate(json_value(content_of(path, most=_LARGEST)))
        if kept.format != FORMAT:
            raise Unreadable("another version wrote it")
        for event in kept.events:
            record_of(event)
            if not _belongs(event, stage.key):
                raise Unreadable(f"its event {event['event']} is of another stage")
    except (Unreadable, ValidationError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} is not a trained cell that can be read: {reason}. Restore it from a copy, or remove it: the cell "
            "is then trained again."
        ) from error
    return kept


def _belongs(event: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    """Whether an event is one of a stage; notes name none."""
    return event["event"] == "note" or {name: event.get(name) for name in key} == key
