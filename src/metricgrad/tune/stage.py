"""A stage: one arm of one seed with one set of settings, and where its training stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metricgrad._records import Role

__all__ = ["Stage", "Standing"]


@dataclass(frozen=True)
class Stage:
    """One arm of one seed with one set of settings.

    Attributes:
        seed: of the run.
        arm: its name.
        role: of the arm; what is trained from nothing may end where it began, the others may not.
        attempt: number of the try, from 0.
        settings: of the method.
        steps: how many at most.
        evaluate_every: steps between two evaluations on `select`.
        checkpoint_every: steps between two checkpoints.
        patience: stop after so many evaluations without a better value; None trains all the steps.
        chunk: rows that are embedded at once.
        first_epoch: number of the first epoch of the fit split: stages with the same one see the same batches.
        method: name of the road.
        number: of the stages that train, from 1.
        of: how many stages train.
        later: most steps of the stages after this one.
    """

    seed: int
    arm: str
    role: Role
    attempt: int
    settings: Mapping[str, Any] = field(hash=False)
    steps: int
    evaluate_every: int
    checkpoint_every: int
    patience: int | None = None
    first_epoch: int = 0
    chunk: int | Literal["auto"] | None = None
    method: str = ""
    number: int = 0
    of: int = 0
    later: int = 0

    @property
    def key(self) -> dict[str, Any]:
        """What names the stage in the record."""
        return {"seed": self.seed, "arm": self.arm, "attempt": self.attempt}


@dataclass
class Standing:
    """Where a stage stands; all of it goes into the checkpoint."""

    step: int = 0
    epoch: int = 0
    position: int = 0  # batches of the epoch that were used
    best: float = float("nan")
    best_step: int = 0
    since_best: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    stopped: bool = False
    diverged: int | None = None  # the step at which it did
