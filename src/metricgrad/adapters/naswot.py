"""Score networks before they are trained: how differently their ReLU patterns separate one batch.

A cheap first look at heads and small surrogates, of similar size and for the same batch: larger networks score higher.
Not for pre-trained networks, whose weights it reads as if they were random: measure the metric on frozen features
there. Its authors claim it for convolutional classifiers of pictures.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from metricgrad._checks import Number, Whole, describe, fail, positive_number, whole_number
from metricgrad._forward import forward

__all__ = ["Untrained", "agreement", "log_determinant", "naswot_score", "rank_untrained"]

_GATES = (
    nn.functional.relu, nn.functional.relu6, nn.functional.leaky_relu, nn.functional.prelu, torch.relu, torch.relu_,
    Tensor.relu, Tensor.relu_, torch.prelu, Tensor.prelu,
)  # fmt: skip


def agreement(codes: Bool[Tensor, "item unit"]) -> Float64[Tensor, "item item"]:
    """Return how many units two items have alike: units minus the Hamming distance (exact).

    Args:
        codes: which units are on.

    Example:
        >>> agreement(torch.tensor([[True, False, True], [True, True, True]])).tolist()
        [[3.0, 2.0], [2.0, 3.0]]
    """
    on = codes.double()
    off = 1 - on
    return on @ on.T + off @ off.T


class _Codes(TorchFunctionMode):
    """Adds up the agreements of all ReLU inputs of a forward pass, those of modules and of functions."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items, self.units, self.kernel = items, 0, torch.zeros(items, items, dtype=torch.float64)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _GATES:
            given = args[0] if args else kwargs["input"]
            if given.shape[:1] != (self.items,):
                raise fail(
                    "naswot_score",
                    f"a ReLU is given {describe(given)} for {self.items} items",
                    "one row per item",
                )
            codes = (given.detach() > 0).flatten(1)
            self.units += codes.shape[1]
            self.kernel = self.kernel.to(codes.device) + agreement(codes)
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def _kernel(model: nn.Module, inputs: Any) -> tuple[Float64[Tensor, "item item"], int]:
    first = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
    items = len(first[0]) if isinstance(first, tuple | list) else len(first)
    if not items:
        raise fail("naswot_score", "the batch has no item", "at least one")
    with _Codes(items) as found:
        forward(model, inputs)
    if not found.units:
        raise fail(
            "naswot_score",
            f"no gating units found in {type(model).__name__}",
            "a network with ReLU, ReLU6, LeakyReLU or PReLU",
            "GELU, SiLU and others have no on and off.",
        )
    return found.kernel, found.units


def naswot_score(model: nn.Module, inputs: Any, *, jitter: Number = 0.0) -> float:
    """Return log |det K|, K the number of ReLU units that two items have alike, over all layers (exact).

    Args:
        model: an untrained network, in the mode that it is to be scored in: dropout in train mode makes the score
            random, and normalisation over the batch moves its running statistics.
        inputs: one batch, as the network takes it.
        jitter: >= 0; times the number of units it is added to the diagonal.

    Returns:
        Higher is better; at most N log(units) for N items. -inf where K is singular and there is no jitter: two
        items have the same pattern, or there are more items than units + 1.

    Raises:
        InputError: no item, no ReLU, a ReLU whose input has not one row per item, jitter < 0.

    Edge cases:
        One item: log(units). The order of the items changes nothing. Both `nn.ReLU` and calls of the function are seen.

    Gradient:
        None.

    Cost:
        One forward pass, O(items^2 units) for the agreements and O(items^3) for the determinant, in float64.

    Differs from the paper:
        Nothing; its first version had another score.

    Reference:
        [mellor2021without]

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
        >>> naswot_score(model, torch.randn(1, 4)) == math.log(64)
        True
    """
    kernel, units = _kernel(model, inputs)
    return log_determinant(kernel, positive_number("naswot_score", "jitter", jitter, zero=True) * units)


def log_determinant(kernel: Float64[Tensor, "item item"], added: float = 0.0) -> float:
    """Return log |det| of a matrix of agreements with `added` on its diagonal; -inf where float64 finds it singular.

    Example:
        >>> log_determinant(torch.ones(2, 2, dtype=torch.float64))
        -inf
    """
    levels = torch.linalg.eigvalsh(kernel).clamp_min(0) + added
    if levels[0] <= len(kernel) * torch.finfo(torch.float64).eps * levels[-1]:
        return -math.inf
    return float(levels.log().sum())


class Untrained(NamedTuple):
    """A candidate and its score.

    Attributes:
        name: of the candidate.
        score: mean over the initialisations.
        units: ReLU units per item; candidates of different numbers should not be compared.
    """

    name: str
    score: float
    units: int


def rank_untrained(
    candidates: Mapping[str, Callable[[], nn.Module]], batch: Any, keep: Whole, *, initialisations: Whole = 3
) -> list[Untrained]:
    """Score untrained candidates on one batch and return the best, to be trained and judged by the metric.

    Args:
        candidates: name -> function that makes a new network. Similar numbers of units, the same inputs.
        batch: inputs of about 128 items of the tuning set.
        keep: how many are returned.
        initialisations: networks of each candidate, of the seeds 0, 1, ...; their scores are averaged.

    Returns:
        The best first; of equal scores the first given.

    Raises:
        InputError: no candidate; see `naswot_score`.

    Edge cases:
        One initialisation of -inf makes the mean -inf. The global random state is left as it was.

    Reference:
        [mellor2021without]

    Example:
        >>> def head(width: int) -> nn.Module:
        ...     return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
        >>> candidates = {"narrow": lambda: head(64), "wide": lambda: head(512)}
        >>> [one.name for one in rank_untrained(candidates, torch.randn(16, 4), keep=1)]
        ['wide']
    """
    if not candidates:
        raise fail("rank_untrained", "there is no candidate", "at least one")
    most = whole_number("rank_untrained", "keep", keep)
    count = whole_number("rank_untrained", "initialisations", initialisations)
    found = []
    with torch.random.fork_rng():
        for name, make in candidates.items():
            scores, units = [], 0
            for seed in range(count):
                torch.manual_seed(seed)
                model = make()
                kernel, units = _kernel(model, batch)
                scores.append(log_determinant(kernel))
            found.append(Untrained(name, sum(scores) / count, units))
    return sorted(found, key=lambda one: -one.score)[:most]
