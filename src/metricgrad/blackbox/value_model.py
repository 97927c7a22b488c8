"""A small ensemble that learns the metric as a function of few numbers, and says how far it can be believed."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, Whole, fail, positive_number, whole_number
from metricgrad._safe import or_one
from metricgrad.blackbox.value_function import LEAST_VARIANCE, clear_pairs, loss_of_pairs

__all__ = ["Observed", "ValueModel", "observed"]

MOST_PAIRS = 2000
"""Clear pairs that teach a member; of more, this many are drawn."""

_LEAST_SPREAD = 1e-12


class Observed(NamedTuple):
    """Where the metric is known.

    Attributes:
        points: the numbers, one point per row, float64.
        values: of the metric.
        variances: of the values, at least `LEAST_VARIANCE`.
    """

    points: Tensor
    values: Tensor
    variances: Tensor

    @property
    def spread(self) -> float:
        """Population deviation of the values; 0 where they are equal to rounding."""
        found = float(self.values.std(correction=0))
        return found if found > _LEAST_SPREAD * max(1.0, float(self.values.abs().max())) else 0.0

    def nearness(self, phi: Float[Tensor, " number"], radius: float) -> float:
        """exp(-d^2 / (2 radius^2)), d the distance to the nearest point."""
        distance = float((self.points - phi).norm(dim=1).min())
        return math.exp(-(distance**2) / (2 * radius**2))


def observed(
    caller: str,
    points: Float[Tensor, "point number"],
    values: Float[Tensor, " point"],
    variances: Float[Tensor, " point"] | None,
) -> Observed:
    """Return observations checked, those that failed left out; without variances all count alike."""
    if variances is None:
        variances = torch.full_like(values, LEAST_VARIANCE)
    if not len(points) == len(values) == len(variances):
        raise fail(
            caller,
            f"{len(points)} points, {len(values)} values and {len(variances)} variances",
            "one of each per observation",
        )
    usable = values.isfinite() & variances.isfinite() & points.isfinite().all(1)
    if not bool(usable.any()) or bool((variances[usable] < 0).any()):
        raise fail(
            caller,
            f"{int(usable.sum())} of {len(values)} observations have a value",
            "at least one, and variances >= 0",
        )
    kept = [one.detach()[usable].double().cpu() for one in (points, values, variances)]
    return Observed(kept[0], kept[1], kept[2].clamp(min=LEAST_VARIANCE))


class ValueModel:
    """The metric as a function f(phi), learned by an ensemble of networks D-64-64-1 with tanh.

    Points and values are standardised, so that neither the scale of the numbers nor that of the metric matters. Each
    member has its own start and its own bootstrap of the observations, and learns with `value_loss`.

    Args:
        radius: of the trust region, rho > 0: how far from an observation the model is believed.
        members: of the ensemble, at least 2.
        width: units of each hidden layer.
        steps: of Adam per fit.
        learning_rate: of Adam.
        pair_weight: of the order of clear pairs.
        seed: of starts and bootstraps. Equal seeds and observations give equal models.

    Raises:
        InputError: a setting out of range.

    Edge cases:
        Equal observations (or one): the value is theirs, the gradient 0, the confidence 0. A number that never differed
        among the observations has gradient 0. Failed observations (NaN) are left out.

    Gradient:
        `value` is differentiable in phi; `gradient` is that of the mean of the members.

    Cost:
        A fit takes `steps` passes over all observations by all members; at most 2,000 pairs each.

    Differs from the paper:
        Known of it are phi as input, few observations along several fine-tuning trajectories, interpolated values with
        variances and the use beside the loss gradient. Architecture, loss, ensemble and confidence are ours;
        nothing is learned across tasks.

    Reference:
        [huang2021metricopt]

    Example:
        >>> points = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> model = ValueModel(1.0).fit(points, points[:, 0].tanh())
        >>> rise = model.gradient(torch.zeros(2))
        >>> bool(rise[0] > 5 * rise[1].abs()), 0.5 < model.confidence(torch.zeros(2)) <= 1
        (True, True)
    """

    def __init__(
        self,
        radius: Number,
        *,
        members: Whole = 5,
        width: Whole = 64,
        steps: Whole = 100,
        learning_rate: Number = 1e-2,
        pair_weight: Number = 0.5,
        seed: int = 0,
    ) -> None:
        self.radius = positive_number("ValueModel", "radius", radius)
        self.members = whole_number("ValueModel", "members", members, least=2)
        self.width = whole_number("ValueModel", "width", width)
        self.steps = whole_number("ValueModel", "steps", steps)
        self.learning_rate = positive_number("ValueModel", "learning_rate", learning_rate)
        self.pair_weight = positive_number("ValueModel", "pair_weight", pair_weight, zero=True)
        self.seed = seed
        self._seen: Observed | None = None
        self._weights: list[Tensor] = []

    def fit(
        self,
        points: Float[Tensor, "point number"],
        values: Float[Tensor, " point"],
        variances: Float[Tensor, " point"] | None = None,
    ) -> "ValueModel":
        """Learn from all observations, from the beginning, and return itself.

        Args:
            points: phi of each observation.
            values: of the metric, higher is better; NaN where it failed.
            variances: of the values; None: all alike and sure.

        Raises:
            InputError: no observation with a value; other lengths.
        """
        seen = observed("ValueModel", points, values, variances)
        self._seen = seen
        deviation = seen.points.std(0, correction=0)
        self._middle, self._mean = seen.points.mean(0), float(seen.values.mean())
        self._scale = torch.where(deviation > _LEAST_SPREAD, 1 / or_one(deviation), 0.0)
        if seen.spread > 0:
            self._learn(seen)
        return self

    def value(self, phi: Float[Tensor, "*point number"]) -> Float[Tensor, "*point"]:
        """Return the mean of the members, in the units of the metric, differentiable in phi."""
        seen = self._fitted()
        if seen.spread == 0:
            return self._mean + 0 * phi.double().sum(-1)
        return self._mean + seen.spread * self._members(phi, self._weights).mean(0)

    def deviation(self, phi: Float[Tensor, "*point number"]) -> Float[Tensor, "*point"]:
        """Return the deviation of the members, in the units of the metric."""
        seen = self._fitted()
        if seen.spread == 0:
            return torch.zeros(phi.shape[:-1], dtype=torch.float64)
        with torch.no_grad():
            return seen.spread * self._members(phi, self._weights).std(0)

    def gradient(self, phi: Float[Tensor, " number"]) -> Float[Tensor, " number"]:
        """Return the gradient of the value: the way in which the metric is expected to rise, in the type of phi."""
        at = phi.detach().double().cpu().requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(self.value(at), at)
        return found.to(phi)

    def confidence(self, phi: Float[Tensor, " number"]) -> float:
        """Return how far the gradient can be believed, in [0, 1]: 0 far from all observations or without consent.

        exp(-deviation of the members / deviation of the observations) * exp(-d^2 / (2 rho^2)), d the distance to the
        nearest observation. Members agree on noise, too: on values without any structure it is about 0.5 where 240
        observations surround phi in 10 dimensions. `LocalRidge.confidence` is 0 there.
        """
        seen = self._fitted()
        if seen.spread == 0:
            return 0.0
        at = phi.detach().double().cpu()
        return math.exp(-float(self.deviation(at)) / seen.spread) * seen.nearness(at, self.radius)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the observations and weights."""
        found = {} if self._seen is None else self._seen._asdict()
        return found | {f"weight{place}": one.clone() for place, one in enumerate(self._weights)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave, without a new fit."""
        self._seen, self._weights = None, []
        if "points" in state:
            steps, self.steps = self.steps, 0
            try:
                self.fit(*(state[name] for name in Observed._fields))
            finally:
                self.steps = steps
            self._weights = [state[f"weight{place}"].clone() for place in range(len(self._weights))]

    def _fitted(self) -> Observed:
        if self._seen is None:
            raise fail("ValueModel", "it has seen no observation", "a call of fit before")
        return self._seen

    def _learn(self, seen: Observed) -> None:
        random = torch.Generator().manual_seed(self.seed)
        sizes = [seen.points.shape[1], self.width, self.width, 1]
        self._weights = []
        for inputs, outputs in itertools.pairwise(sizes):
            bound = inputs**-0.5
            for shape in ((self.members, inputs, outputs), (self.members, 1, outputs)):
                drawn = torch.rand(shape, generator=random, dtype=torch.float64)
                self._weights.append(((2 * drawn - 1) * bound).requires_grad_())
        values = (seen.values - self._mean) / seen.spread
        variances = seen.variances / seen.spread**2
        lessons = [self._lesson(values, variances, random) for _ in range(self.members)]
        optimiser = torch.optim.Adam(self._weights, lr=self.learning_rate)
        for _ in range(self.steps):
            optimiser.zero_grad()
            outputs = self._members(seen.points, self._weights)
            torch.stack([lesson(one) for lesson, one in zip(lessons, outputs, strict=True)]).sum().backward()
            optimiser.step()
        self._weights = [one.detach() for one in self._weights]

    def _lesson(
        self, values: Tensor, variances: Tensor, random: torch.Generator
    ) -> Callable[[Tensor], Tensor]:
        """The loss of one member on its bootstrap of the observations."""
        rows = torch.randint(len(values), (len(values),), generator=random)
        better, worse = clear_pairs(values[rows], variances[rows]).nonzero(as_tuple=True)
        if len(better) > MOST_PAIRS:
            kept = torch.randperm(len(better), generator=random)[:MOST_PAIRS]
            better, worse = better[kept], worse[kept]
        target, trust = values[rows], variances[rows].clamp(min=LEAST_VARIANCE)
        return lambda outputs: loss_of_pairs(outputs[rows], target, trust, better, worse, self.pair_weight)

    def _members(self, phi: Tensor, weights: list[Tensor]) -> Tensor:
        """The standardised value by every member [member, *point]."""
        flat = ((phi.double() - self._middle) * self._scale).reshape(-1, phi.shape[-1])
        hidden = flat.expand(self.members, *flat.shape)
        for place in (0, 2, 4):
            hidden = hidden @ weights[place] + weights[place + 1]
            hidden = hidden if place == 4 else hidden.tanh()
        return hidden[..., 0].reshape(self.members, *phi.shape[:-1])
