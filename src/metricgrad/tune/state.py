"""Where a run stands, as its checkpoint holds it; checked when it is read: it may have been written by hand."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metricgrad._records import Budget
from metricgrad.errors import CheckpointError, MetricgradError
from metricgrad.tune.checkpoint import load_state

__all__ = ["RunState", "fitting", "read_state"]


@dataclass
class RunState:
    """Where a run stands.

    Attributes:
        budget: of every arm.
        values: best select value of every stage that is finished, in their order.
        metric_calls: measurements by split.
        marks: what a reader of the verdict must know.
        finished: whether the run is over.
        best_seed: of the returned weights, of a finished run.
        stage: of a stage that was interrupted, what `train_stage` goes on from.
        record_length: bytes of the record that belong to it; the folder knows.
    """

    budget: Budget
    values: list[float] = field(default_factory=list)
    metric_calls: dict[str, int] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    finished: bool = False
    best_seed: int | None = None
    stage: Mapping[str, Any] | None = None
    record_length: int = 0

    @property
    def begun(self) -> bool:
        """Whether there is something to resume."""
        return bool(self.values) or self.stage is not None

    @property
    def step(self) -> int:
        """Steps of the stage that was interrupted."""
        return 0 if self.stage is None else self.stage["progress"]["step"]

    def document(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        document = {**vars(self), "budget": vars(self.budget).copy()}
        return {key: value for key, value in document.items() if value is not None}


class _Stage(BaseModel):
    """Of the stage that was interrupted."""

    model_config = ConfigDict(strict=True)

    progress: dict[str, Any]
    model: dict[str, Any]
    best: dict[str, Any]
    method: dict[str, Any]
    random: dict[str, Any]


class _Run(BaseModel):
    """Of the whole run; further keys are passed over."""

    model_config = ConfigDict(strict=True)

    budget: dict[str, Any]
    values: list[float]
    metric_calls: dict[str, int]
    marks: list[str]
    finished: bool
    record_length: int = Field(ge=0)
    best_seed: int | None = None
    stage: _Stage | None = None


def read_state(folder: Path) -> RunState | None:
    """Read the checkpoint of a run folder; None where there is none.

    Raises:
        CheckpointError: it is damaged, or a part is missing or of another type.
    """
    document = load_state(folder / "last")
    return None if document is None else _state_of(document, folder)


def _state_of(document: Mapping[str, Any], folder: Path) -> RunState:
    """Return the state that a checkpoint holds; see `read_state`."""
    try:
        _Run.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _misfit(folder, f"{place}: {first['msg'].lower()}") from error
    known = {key: value for key, value in document.items() if key in RunState.__dataclass_fields__}
    with fitting(folder):
        return RunState(**{**known, "budget": Budget(**known["budget"])})


@contextlib.contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while the parts of a state are put in their places into an error that names the folder."""
    try:
        yield
    except MetricgradError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise _misfit(folder, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _misfit(folder: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint in {folder} does not fit the run ({reason}). Restore the folder from a copy, or start anew in "
        "another one."
    )
