"""Two steps on one batch: the second at the weights that the first one left, watched by a guard.

What both ways to it share: a loop of the user with two optimisers, and the family `alternating`.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn

from metricgrad._checks import positive_number, whole_number

__all__ = ["Guard", "TwoSteps", "frozen_statistics", "warn_of_rate"]


class Guard:
    """Leaves the second step out for good once the first loss gets worse and stays so.

    Its average moves over the last steps; it counts as worse where it is above the smallest average so far by more than
    a share of that.

    Args:
        tolerance: that share, >= 0.
        patience: steps in a row for which it is worse.
        memory: steps that the average reaches back; before as many, none is the smallest.

    Raises:
        InputError: a number out of range.

    Example:
        >>> guard = Guard(patience=2, memory=1)
        >>> [guard.watch(loss) for loss in (1.0, 1.1, 1.3, 1.3, 0.9)]
        [False, False, False, True, True]
    """

    def __init__(self, *, tolerance: float = 0.2, patience: int = 100, memory: int = 20) -> None:
        self.tolerance = positive_number("Guard", "tolerance", tolerance, zero=True)
        self.patience = whole_number("Guard", "patience", patience)
        self.memory = whole_number("Guard", "memory", memory)
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.taken = self.worse = 0
        self.average, self.smallest = 0.0, float("inf")
        self.stopped = False

    def watch(self, loss: float) -> bool:
        """Take in the loss of a step; returns whether the second step is to be left out from now on."""
        if self.stopped:
            return True
        self.taken += 1
        self.average += (loss - self.average) / min(self.taken, self.memory)
        if self.taken < self.memory:
            return False
        self.smallest = min(self.smallest, self.average)
        above = self.average - self.smallest > self.tolerance * abs(self.smallest)
        self.worse = self.worse + 1 if above else 0
        self.stopped = self.worse >= self.patience
        return self.stopped

    def state_dict(self) -> dict[str, Any]:
        """Return what it has seen."""
        seen = {"taken": self.taken, "worse": self.worse, "stopped": self.stopped}
        return {**seen, "average": self.average, "smallest": self.smallest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.taken, self.worse, self.stopped = state["taken"], state["worse"], state["stopped"]
        self.average, self.smallest = state["average"], state["smallest"]


class TwoSteps:
    """A step, and a second one unless the guard leaves it out.

    Args:
        caller: for messages.
        guard: None for none.
        freeze_statistics: whether normalisation leaves its running statistics as they are in the second forward pass.
    """

    def __init__(self, caller: str, guard: Guard | None, *, freeze_statistics: bool) -> None:
        self.caller, self.guard, self.freeze_statistics = caller, guard, freeze_statistics

    def take(
        self, model: nn.Module, first: Callable[[], float], second: Callable[[], float]
    ) -> dict[str, float]:
        """Take both steps, each of which returns its loss before it.

        Returns:
            `loss` of the first; `second_steps`, 1 or 0; `second_loss` where it was taken.
        """
        loss = first()
        if self.guard is not None:
            before = self.guard.stopped
            if self.guard.watch(loss):
                if not before:
                    warnings.warn(
                        f"{self.caller}: the moving average of the first loss was more than {self.guard.tolerance:.0%} "
                        f"above its smallest value for {self.guard.patience} steps; the second step is left out from "
                        f"step {self.guard.taken} on.",
                        stacklevel=3,
                    )
                return {"loss": loss, "second_steps": 0.0}
        with frozen_statistics(model) if self.freeze_statistics else nullcontext():
            return {"loss": loss, "second_steps": 1.0, "second_loss": second()}

    def state_dict(self) -> dict[str, Any]:
        """Return what the guard has seen."""
        return {} if self.guard is None else self.guard.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if self.guard is not None:
            self.guard.load_state_dict(state)


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Let BatchNorm and InstanceNorm forget what they see meanwhile; in train mode no output depends on it."""
    remembered = [
        (buffer, buffer.clone())
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.training
        for buffer in module.buffers(recurse=False)
    ]
    try:
        yield
    finally:
        for buffer, before in remembered:
            buffer.copy_(before)


def warn_of_rate(caller: str, first: float, second: float) -> None:
    """Warn where an adaptive second optimiser is not slower than the first one."""
    if second >= first:
        warnings.warn(
            f"{caller}: the second optimiser is adaptive and its learning rate is {second:g}, that of the first one "
            f"{first:g}. An adaptive step does not depend on the scale of a loss, so the second one is as large as the "
            "first. Recommended: the first rate divided by the number of classes minus one.",
            stacklevel=4,
        )
