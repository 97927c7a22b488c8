"""Teaches a surrogate what the metric says of pairs: Adam on its fit, over remembered and made-up pairs."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad.learned import LearnedSurrogate
from metricgrad.learned.pairs import Pairs, PairSource
from metricgrad.methods.descent import require_finite
from metricgrad.methods.learned_settings import LearnedSettings

__all__ = ["Teacher"]


class Teacher:
    """Takes the steps of a surrogate.

    Args:
        surrogate: that is taught.
        make: `rng, count -> Pairs` without data; None where there is no way.
        settings: see `LearnedSettings`.
        seed: of the draws of pairs.

    Attributes:
        pairs: what it teaches from.
        taken: number of steps so far.
        seconds: that they took.
        latest: fit and penalty of the last step.
    """

    def __init__(
        self,
        surrogate: LearnedSurrogate,
        make: Callable[[np.random.Generator, int], Pairs] | None,
        settings: LearnedSettings,
        *,
        seed: int,
    ) -> None:
        self.surrogate, self.settings = surrogate, settings
        self.optimiser = torch.optim.Adam(surrogate.parameters(), lr=settings.surrogate_learning_rate)
        self.pairs = PairSource(
            make, batches=settings.replay_batches, local_fraction=settings.local_fraction, seed=seed
        )
        self.taken, self.seconds = 0, 0.0
        self.latest: dict[str, float] = {}

    def remember(self, z: Tensor, y: Tensor, errors: Tensor) -> None:
        """Keep a batch of the model's own pairs; those without an error are left out."""
        self.pairs.add(Pairs.known(z, y, errors))

    def step(self, *, followed: int, made_up_only: bool = False) -> None:
        """Take one step.

        Args:
            followed: model steps so far, for the message.
            made_up_only: teach from made-up pairs alone, where there are any.

        Raises:
            Diverged: the loss or the gradient is not finite; the surrogate has not moved.
            InputError: there is no pair to teach from.
        """
        began = time.perf_counter()
        fit = self.surrogate.fit(*self.pairs.draw(self.settings.surrogate_batch, made_up_only=made_up_only))
        self.optimiser.zero_grad(set_to_none=True)
        what = f"the surrogate's {{}} after {self.taken} steps of its own"
        require_finite(what.format("loss"), float(fit.objective.detach()), followed)
        fit.objective.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.surrogate.parameters(), 1.0)
        require_finite(what.format("gradient"), float(norm), followed)
        self.optimiser.step()
        self.taken += 1
        self.latest = {"fit": float(fit.fit.detach()), "penalty": float(fit.penalty.detach())}
        self.seconds += time.perf_counter() - began

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on; the seconds are no part of it."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "pairs": self.pairs.state_dict(),
            "taken": self.taken,
            "latest": dict(self.latest),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.pairs.load_state_dict(state["pairs"])
        self.taken, self.latest = state["taken"], dict(state["latest"])
