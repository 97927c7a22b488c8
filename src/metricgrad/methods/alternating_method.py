"""Train on two objectives in turn: a step down the proxy, then one down a second objective at the new weights."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

from pydantic import Field, field_validator
from torch import Tensor

from metricgrad._documents import NumberField, WholeField
from metricgrad._structures import one_tensor
from metricgrad._types import MethodRun
from metricgrad.errors import MetricgradError
from metricgrad.methods import descent
from metricgrad.methods.descent import Descent, DescentSettings
from metricgrad.methods.objectives import Objective
from metricgrad.methods.two_steps import Guard, TwoSteps, warn_of_rate

__all__ = ["SPACE", "Alternating", "AlternatingSettings"]

SPACE: Mapping[str, tuple[Any, ...]] = {**descent.SPACE, "second_rate": (0.03, 0.1, 0.3)}
"""Values that tries draw from, for any second objective."""

SECOND = 2**32
"""Added to the seed of the second step: several processes draw other dropout masks in it than in the first."""


class AlternatingSettings(DescentSettings):
    """How both objectives are followed: the first step is down the proxy, the second down the loss that is named.

    Together they are two forward and two backward passes.

    Args:
        objective: settings of the second loss by its own argument names.
        proxy_weight: 0: the proxy has a step of its own.
        proxy: settings of the proxy, like `objective`.
        second_rate: learning rate of the second step as a share of that of the first; None for 1 / (classes - 1). Both
            optimisers are AdamW, whose steps do not depend on the scale of a loss: at 1 the second step is as large as
            the first. From there on it is warned of.
        decay_once: whether the second step leaves out weight decay and `pull_to_start`.
        freeze_statistics_in_second_forward: whether BatchNorm updates its running statistics in the first pass alone.
        guard: whether the second step is left out for the rest of a stage, with a warning, once the moving average of
            the first loss stays above its smallest value.
        guard_tolerance: by more than this share of it.
        guard_patience: for so many steps.
    """

    second_rate: NumberField | None = Field(default=None, gt=0)
    decay_once: bool = True
    freeze_statistics_in_second_forward: bool = True
    guard: bool = True
    guard_tolerance: NumberField = Field(default=0.2, ge=0)
    guard_patience: WholeField = Field(default=100, ge=1)

    @field_validator("proxy_weight")
    @classmethod
    def _has_a_step(cls, weight: float) -> float:
        if weight:
            raise ValueError("0: the proxy has a step of its own, and second_rate weighs the other one")
        return weight


@final
class Alternating:
    """Two optimiser steps per batch, each with its own forward pass and its own state of the optimiser.

    Args:
        name: of the method, for messages.
        first: `(outputs, targets) -> Tensor`, the proxy.
        second: the same, of class scores.
        settings: see `AlternatingSettings`.

    Reference:
        [chen2019complement], [chen2019hierarchical]
    """

    def __init__(self, name: str, first: Objective, second: Objective, settings: AlternatingSettings) -> None:
        self.first, self.second, self.settings = first, second, settings
        watched = Guard(tolerance=settings.guard_tolerance, patience=settings.guard_patience)
        self.both = TwoSteps(
            name,
            watched if settings.guard else None,
            freeze_statistics=settings.freeze_statistics_in_second_forward,
        )
        if settings.second_rate is not None:
            warn_of_rate(name, settings.learning_rate, settings.second_rate * settings.learning_rate)
        self.descent = Descent(settings, parts=[first])
        self.second_descent = Descent(settings, parts=[second])
        self.columns = 0

    def begin(self, run: MethodRun) -> None:
        """Make both optimisers of the trainable parameters, and forget the state of a former stage."""
        self.model, self.columns = run.model, 0
        if self.both.guard is not None:
            self.both.guard.forget()
        self.second_descent.settings = self._second_settings()
        self.descent.begin(run, self._counting)
        self.second_descent.begin(dataclasses.replace(run, seed=run.seed + SECOND), self.second)

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take both steps; returns the proxy before the first, and the second objective between them.

        Raises:
            Diverged: a loss or its gradient is NaN or infinite. The weights are those before both steps; where it is
                the second one, the optimiser of the first has moved.
        """
        before = [value.detach().clone() for value in self.descent.trained]
        try:
            values = self.both.take(
                self.model, partial(self.descent.follow, batch), partial(self._follow_second, batch)
            )
        except (
            MetricgradError
        ):  # of the second step, too: what ends a step leaves the weights where they were
            for value, former in zip(self.descent.trained, before, strict=True):
                value.detach().copy_(former)
            raise
        seen = dict(self.descent.seen())
        if values["second_steps"]:
            for key, value in self.second_descent.seen().items():
                seen[key] = seen.get(key, 0.0) + value
        return {**values, **seen}

    def _counting(self, outputs: Any, targets: Any) -> Tensor:
        """The proxy; it also counts the classes that the network tells apart."""
        scores = one_tensor("alternating", outputs)
        self.columns = scores.shape[1] if scores.ndim > 1 else 1
        return self.first(outputs, targets)

    def _follow_second(self, batch: Sequence[Any]) -> float:
        self.second_descent.settings = self._second_settings()
        return self.second_descent.follow(batch)

    def _second_settings(self) -> DescentSettings:
        """Return the settings of the second step; its rate depends on the number of classes."""
        share = self.settings.second_rate or 1 / max(1, self.columns - 1)
        changes: dict[str, Any] = {"learning_rate": share * self.settings.learning_rate}
        if self.settings.decay_once:
            changes |= {"weight_decay": 0.0, "pull_to_start": 0.0}
        return self.settings.model_copy(update=changes)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both descents and of the guard."""
        second = {"second": self.second_descent.state_dict(), "guard": self.both.state_dict()}
        return {"descent": self.descent.state_dict(), **second}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.descent.load_state_dict(state["descent"])
        self.second_descent.load_state_dict(state["second"])
        self.both.load_state_dict(state["guard"])

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.descent.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.descent.load_beside(state)
