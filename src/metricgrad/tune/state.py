"""The form of a run's checkpoint, checked when it is read: it may have been written by hand, or for another run."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metricgrad.errors import CheckpointError, MetricgradError

__all__ = ["check_state", "fitting"]


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


def check_state(state: Mapping[str, Any], folder: Path) -> None:
    """Check the form of a state that was read.

    Raises:
        CheckpointError: a part is missing or of another type.
    """
    try:
        _Run.model_validate(dict(state))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _misfit(folder, f"{place}: {first['msg'].lower()}") from error


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
