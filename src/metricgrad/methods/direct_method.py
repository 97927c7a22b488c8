"""Train on the difference of two decodes: direct loss minimisation of a metric that a structure decodes exactly."""

from collections.abc import Mapping, Sequence
from typing import Any, final

from metricgrad._types import MethodRun
from metricgrad.direct import DirectLoss
from metricgrad.errors import Collapsed
from metricgrad.methods.descent import SPACE, Descent, DescentSettings
from metricgrad.methods.objectives import Objective

__all__ = ["Direct", "space"]


COLLAPSED = 1e-3
"""Share of its first standard deviation to which the spread of the scores may shrink."""


@final
class Direct:
    """One optimiser step on a direct loss, batch after batch; the spread of the scores is watched.

    Args:
        objective: what is followed; may hold more than the direct loss (a share of the proxy).
        settings: see `DescentSettings`; `objective` holds the arguments of `DirectLoss` and of the structure.
        loss: the direct loss within, whose state is kept.
        parts: further losses within the objective, see `Descent`.
    """

    def __init__(
        self,
        objective: Objective,
        settings: DescentSettings,
        loss: DirectLoss,
        *,
        parts: Sequence[Objective | None] = (),
    ) -> None:
        self.objective, self.descent = objective, Descent(settings, parts=parts)
        self.loss, self.first_spread = loss, 0.0

    def begin(self, run: MethodRun) -> None:
        """Prepare the optimiser and forget the state of a former stage."""
        self.descent.begin(run, self.objective)
        self.loss.to(self.descent.parameters[0].device)

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take one step; returns the loss before it, epsilon, and what is watched.

        Raises:
            Collapsed: the scores have shrunk to a thousandth of their first spread.
            Diverged: the loss or its gradient is NaN or infinite; the weights have not moved.
        """
        value = self.descent.follow(batch)
        spread = self.loss.seen["score_std"]
        if self.descent.taken == 1:
            self.first_spread = spread
        if spread < COLLAPSED * self.first_spread:
            raise Collapsed(
                f"the scores collapsed: their standard deviation fell from {self.first_spread:.3g} to {spread:.3g} by "
                f"step {self.descent.taken}. Shrinking the scores lowers this loss and not the metric's; use update "
                "'two', or normalize: std with a margin."
            )
        return {"loss": value, **self.loss.seen}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the descent and of the loss."""
        loss = self.loss.state_dict()
        memory = loss.pop("_extra_state")
        watched = {"loss": loss, "memory": memory, "first_spread": self.first_spread}
        return {"descent": self.descent.state_dict(), **watched}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.descent.load_state_dict(state["descent"])
        self.loss.load_state_dict({**state["loss"], "_extra_state": state["memory"]})
        self.first_spread = state["first_spread"]

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.descent.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.descent.load_beside(state)


def space() -> Mapping[str, tuple[Any, ...]]:
    """Return the settings that tries may draw."""
    return {**SPACE, "objective.update": ("two", "pos"), "objective.moved": (0.05, 0.1, 0.2)}
