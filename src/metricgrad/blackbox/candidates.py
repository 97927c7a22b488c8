"""Who proposes the next candidate of a search: anything with ask and tell; and what a candidate is."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Proposer", "Tried", "as_candidate", "as_numbers"]


@runtime_checkable
class Proposer(Protocol):
    """What a search asks for candidates: any object with these two calls."""

    def ask(self) -> dict[str, float]:
        """Return the next candidate, `a0` to `a{K-1}`."""
        ...

    def tell(self, candidate: dict[str, float], value: float) -> None:
        """Take the value of a candidate that was asked for; NaN or infinite: it failed."""
        ...


class Tried(NamedTuple):
    """A finished trial.

    Attributes:
        candidate: what was tried.
        value: of the metric; NaN where it failed.
    """

    candidate: dict[str, float]
    value: float


def as_candidate(numbers: Float[Tensor, " number"] | Sequence[float]) -> dict[str, float]:
    """Return numbers as a candidate.

    Example:
        >>> as_candidate([0.5, -1.0])
        {'a0': 0.5, 'a1': -1.0}
    """
    return {f"a{place}": float(number) for place, number in enumerate(numbers)}


def as_numbers(candidate: Mapping[str, float]) -> Float[Tensor, " number"]:
    """Return a candidate as numbers, float64.

    Example:
        >>> as_numbers({"a0": 0.5, "a1": -1.0})
        tensor([ 0.5000, -1.0000], dtype=torch.float64)
    """
    return torch.tensor([candidate[f"a{place}"] for place in range(len(candidate))], dtype=torch.float64)
