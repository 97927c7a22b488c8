"""The pairs that a surrogate learns from: the model's own, remembered for a while, and pairs made without data."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail

__all__ = ["PairSource", "Pairs"]


class Pairs(NamedTuple):
    """Pairs in the comparison space and their errors.

    Attributes:
        z: predictions.
        y: targets.
        errors: in units of the metric, no NaN among them.
    """

    z: Float[Tensor, "sample *point"]
    y: Float[Tensor, "sample *point"]
    errors: Float[Tensor, "sample"]

    @classmethod
    def known(cls, z: Tensor, y: Tensor, errors: Tensor) -> "Pairs":
        """Return the pairs whose error is known, without graph."""
        here = ~torch.isnan(errors)
        return cls(z.detach()[here], y.detach()[here], errors.to(z)[here])


class PairSource:
    """Draws a mixture of remembered local pairs and made-up ones; determined by the seed and the number of draws.

    Args:
        make: `rng, count -> Pairs` without data; None where there is no way: then all pairs are local.
        batches: batches of local pairs that are remembered.
        local_fraction: share of the local pairs in a draw.
        seed: of the draws.
    """

    def __init__(
        self,
        make: Callable[[np.random.Generator, int], Pairs] | None,
        *,
        batches: int,
        local_fraction: float,
        seed: int,
    ) -> None:
        self.make, self.batches, self.seed = make, batches, seed
        self.local_fraction = 1.0 if make is None else local_fraction
        self.local: list[Pairs] = []
        self.draws = 0

    def add(self, pairs: Pairs) -> None:
        """Remember a batch of local pairs; the oldest is forgotten."""
        if len(pairs.errors):
            self.local = [*self.local, pairs][-self.batches :]

    def draw(self, count: int, *, made_up_only: bool = False) -> Pairs:
        """Return `count` pairs.

        Raises:
            InputError: there are no local pairs, and none can be made without data.
        """
        rng = np.random.default_rng((self.seed, self.draws))
        self.draws += 1
        local = round(self.local_fraction * count) if self.local else 0
        if made_up_only and self.make is not None:
            local = 0
        parts = [self._remembered(rng, local)] if local else []
        if self.make is not None and count > local:
            parts.append(self.make(rng, count - local))
        if not parts:
            came = "no pair of the model has an error, and the kind of output makes none without data"
            expected = "a metric that is defined for the start model's outputs, or a kind with `pairs`"
            raise fail("learned", came, expected)
        return Pairs(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _remembered(self, rng: np.random.Generator, count: int) -> Pairs:
        sizes = np.array([len(pairs.errors) for pairs in self.local])
        ends = sizes.cumsum()
        places = rng.integers(ends[-1], size=count)
        batch = np.searchsorted(ends, places, side="right")
        within = places - (ends[batch] - sizes[batch])
        chosen = [
            (self.local[number], torch.from_numpy(within[batch == number])) for number in np.unique(batch)
        ]
        return Pairs(*(torch.cat([pairs[column][rows] for pairs, rows in chosen]) for column in range(3)))

    def state_dict(self) -> dict[str, Any]:
        """Return the remembered pairs and the number of draws."""
        return {"draws": self.draws, "local": [pairs._asdict() for pairs in self.local]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.draws = state["draws"]
        self.local = [Pairs(**pairs) for pairs in state["local"]]
