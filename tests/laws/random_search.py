"""The smallest method that asks for the exact metric, and a family of it: for tests of the judge and of the laws."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from metricgrad._types import MethodRun
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName
from metricgrad.methods.road import Road

__all__ = ["RANDOM_SEARCH", "RandomSearch"]


class RandomSearch:
    """Moves the weights at random and keeps what the judge prefers."""

    judge_calls = 9

    def begin(self, run: MethodRun) -> None:
        """Prepare the draws."""
        self.run, self.best = run, -1.0
        self.random = np.random.default_rng(run.seed)

    def step(self, batch: Any) -> Mapping[str, float]:
        """Try one move; the weights stay where it is no better, or where the judge has no value."""
        run, kept = self.run, False
        assert run.pool is not None and run.judge is not None
        inputs, targets = next(iter(run.pool))
        before = {name: value.detach().clone() for name, value in run.parameters.items()}
        with torch.no_grad():
            for value in run.parameters.values():
                value += 0.05 * torch.from_numpy(self.random.normal(size=tuple(value.shape))).to(value)
            try:
                found = run.judge(run.model.eval()(inputs), targets)
                kept = found >= self.best
            finally:
                run.model.train()
                if not kept:
                    for name, value in run.parameters.items():
                        value.copy_(before[name])
        self.best = max(self.best, found)
        return {"loss": -found}

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on."""
        return {"best": self.best, "random": self.random.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best, self.random.bit_generator.state = state["best"], state["random"]


class _Nothing(BaseModel):
    """No settings."""


_ROAD = Road("search", lambda settings: RandomSearch(), _Nothing, {})

RANDOM_SEARCH = Family(
    "search",
    "It searches.",
    _Nothing,
    lambda metric: "it never suits",
    lambda name, metric, proxy: _ROAD,
    lambda: {str(MethodName("search")): RandomSearch},
)
"""Not one of ours: a test puts it into `families.FAMILIES` for a while."""
