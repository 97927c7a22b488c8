"""Drop groups of an adapter by the exact metric: greedily, or by two swarms that look for weights and for masks.

Both ask a function for the value of a mask on held-out items, count the calls, and score the network without any group
first: on those items what they return is no worse than it. Report the result on other items.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metricgrad._checks import Number, Whole, describe, fail, positive_number, whole_number

__all__ = ["Pruned", "prune_by_swarms", "prune_greedily", "swarm_mask_step", "swarm_step"]

INERTIA, PULL, LIMIT = 0.7, 1.5, 4.0


@dataclass(frozen=True)
class Pruned:
    """What is left.

    Attributes:
        mask: the groups that stay.
        value: of the metric with them.
        weights: the numbers of the groups, where they were looked for, too.
        calls: of the metric.
        best: the best objective after every call, or every removal.
    """

    mask: Bool[Tensor, " group"]
    value: float
    calls: int
    weights: Float[Tensor, " group"] | None = None
    best: list[float] = field(default_factory=list)


def prune_greedily(
    value: Callable[[Bool[Tensor, " group"]], float], groups: Whole, *, allowed: Number = 0.0
) -> Pruned:
    """Remove the group whose removal costs least, again and again, until the value has dropped by more than `allowed`.

    Args:
        value: of a mask, higher is better; exact, on held-out items.
        groups: how many there are.
        allowed: >= 0; the drop below all groups that is accepted, such as one standard error.

    Returns:
        The mask, its value, and `best`: the values as groups went, all groups first.

    Raises:
        InputError: allowed < 0.

    Edge cases:
        NaN is worse than any value. The network without a group is scored first and is returned where it is as good as
        the rest. Of equal groups the first goes. No group: one call.

    Cost:
        At most 1 + groups (groups + 1) / 2 calls and one.

    Reference:
        [adam2012zeronorm]

    Example:
        >>> weights = torch.tensor([0.5, 0.0, 0.3])
        >>> found = prune_greedily(lambda mask: float(weights @ mask.float()), 3, allowed=0.1)
        >>> found.mask.tolist(), round(found.value, 3)
        ([True, False, True], 0.8)
    """
    count = whole_number("prune_greedily", "groups", groups, least=0)
    drop = positive_number("prune_greedily", "allowed", allowed, zero=True)
    calls = 0

    def ask(mask: Tensor) -> float:
        nonlocal calls
        calls += 1
        return _ordered(value(mask.clone()))

    closed = torch.zeros(count, dtype=torch.bool)
    without, mask = ask(closed), torch.ones(count, dtype=torch.bool)
    kept = without if not count else ask(mask)
    full, path = kept, [kept]
    while int(mask.sum()) > 1:
        tries = {place: ask(_without(mask, place)) for place in mask.nonzero().flatten().tolist()}
        place = max(tries, key=lambda one: tries[one])
        if tries[place] < full - drop:
            break
        mask, kept = _without(mask, place), tries[place]
        path.append(kept)
    if without >= kept or (count and without >= full - drop and int(mask.sum()) == 1):
        mask, kept = closed, without
    return Pruned(mask, kept if kept > -math.inf else math.nan, calls, best=path)


def swarm_step(
    position: Float[Tensor, "*particle number"],
    velocity: Float[Tensor, "*particle number"],
    own_best: Float[Tensor, "*particle number"],
    leader: Float[Tensor, " number"],
    random_own: Float[Tensor, "*particle number"],
    random_leader: Float[Tensor, "*particle number"],
    *,
    inertia: Number = INERTIA,
    own: Number = PULL,
    social: Number = PULL,
    limit: Number = LIMIT,
) -> tuple[Float[Tensor, "*particle number"], Float[Tensor, "*particle number"]]:
    """Return positions and velocities after a step of a swarm.

        v <- inertia v + own r1 (own_best - w) + social r2 (leader - w), held within -limit and limit; w <- w + v

    Args:
        position: w.
        velocity: v.
        own_best: where each particle was best.
        leader: where the best of all was.
        random_own: r1, uniform in 0 to 1.
        random_leader: r2, the same.
        inertia: weight of the velocity.
        own: weight of the way to the own best.
        social: weight of the way to the leader.
        limit: > 0, of a velocity.

    Example:
        >>> zero, one = torch.zeros(1), torch.ones(1)
        >>> swarm_step(zero, zero, one, one, one, one)
        (tensor([3.]), tensor([3.]))
    """
    found = _velocity(
        position, velocity, own_best, leader, random_own, random_leader, (inertia, own, social, limit)
    )
    return position + found, found


def swarm_mask_step(
    mask: Shaped[Tensor, "*particle group"],
    velocity: Float[Tensor, "*particle group"],
    own_best: Shaped[Tensor, "*particle group"],
    leader: Shaped[Tensor, " group"],
    random_own: Float[Tensor, "*particle group"],
    random_leader: Float[Tensor, "*particle group"],
    uniforms: Float[Tensor, "*particle group"],
    *,
    inertia: Number = INERTIA,
    own: Number = PULL,
    social: Number = PULL,
    limit: Number = LIMIT,
) -> tuple[Bool[Tensor, "*particle group"], Float[Tensor, "*particle group"]]:
    """Return masks and velocities after a step of a swarm of masks: a bit is 1 where u < sigmoid(v).

    Args:
        mask: the bits, which count as 0 and 1.
        velocity: v.
        own_best: where each particle was best.
        leader: where the best of all was.
        random_own: uniform in 0 to 1.
        random_leader: the same.
        uniforms: u, the same.
        inertia: weight of the velocity.
        own: weight of the way to the own best.
        social: weight of the way to the leader.
        limit: > 0, of a velocity.

    Example:
        >>> zero, one = torch.zeros(1), torch.ones(1)
        >>> swarm_mask_step(zero, zero, one, one, one, one, one / 2)
        (tensor([True]), tensor([3.]))
    """
    bits = (part.to(velocity.dtype) for part in (mask, own_best, leader))
    now, best, first = bits
    found = _velocity(now, velocity, best, first, random_own, random_leader, (inertia, own, social, limit))
    return uniforms < found.sigmoid(), found


def prune_by_swarms(
    value: Callable[[Float[Tensor, " group"], Bool[Tensor, " group"]], float],
    start: Float[Tensor, " group"],
    *,
    penalty: Number,
    calls: Whole = 200,
    particles: Whole = 10,
    spread: Number = 0.3,
    seed: Whole = 0,
) -> Pruned:
    """Look for weights and a mask of the largest value - penalty x open groups, without a gradient (search).

    One swarm moves weights, each scored with the best mask so far; the other moves masks, each scored with the best
    weights so far.

    Args:
        value: of weights and a mask, higher is better; exact, on held-out items.
        start: weights to begin with, one per group, such as gains of 1.
        penalty: >= 0, of an open group in units of the value.
        calls: most calls of the metric, at least 2.
        particles: of each swarm.
        spread: of the first weights around the start.
        seed: of all that is drawn.

    Returns:
        The best pair, its value (without the penalty), and the best objective after every call.

    Raises:
        InputError: fewer than 2 calls, penalty < 0, a start that is not a vector.

    Edge cases:
        NaN is worse than any value. All groups closed is scored first, then the start with all open. No group: one
        call.

    Cost:
        Two calls per particle and round, never more than `calls`.

    Differs from the paper:
        Its constants and rules are not public; these are those of `swarm_step` with the best pair as leader.

    Reference:
        [adam2012zeronorm]

    Example:
        >>> found = prune_by_swarms(
        ...     lambda w, mask: float((mask * (1 - w.abs())).sum()), torch.ones(4), penalty=0.5
        ... )
        >>> found.calls, len(found.best), found.best == sorted(found.best)
        (200, 200, True)
    """
    caller = "prune_by_swarms"
    if start.ndim != 1:
        raise fail(caller, f"start is {describe(start)}", "one number per group")
    cost = positive_number(caller, "penalty", penalty, zero=True)
    budget = whole_number(caller, "calls", calls, least=2)
    swarm = whole_number(caller, "particles", particles)
    width = positive_number(caller, "spread", spread, zero=True)
    generator = torch.Generator().manual_seed(whole_number(caller, "seed", seed, least=0))
    search = _Search(value, cost, budget)
    search.ask(start, torch.zeros(len(start), dtype=torch.bool))
    if not len(start):
        return search.result()
    search.ask(start, torch.ones(len(start), dtype=torch.bool))

    def drawn() -> Tensor:
        return torch.rand(swarm, len(start), generator=generator, dtype=start.dtype)

    w = start + width * torch.randn(swarm, len(start), generator=generator, dtype=start.dtype)
    masks = drawn() < 0.5
    v, speed = torch.zeros_like(w), torch.zeros_like(w)
    best_w, best_masks = w.clone(), masks.clone()
    of_w, of_masks = [-math.inf] * swarm, [-math.inf] * swarm
    while search.left:
        for place in range(swarm):
            if (found := search.ask(w[place], search.mask)) > of_w[place]:
                of_w[place], best_w[place] = found, w[place]
        for place in range(swarm):
            if (found := search.ask(search.weights, masks[place])) > of_masks[place]:
                of_masks[place], best_masks[place] = found, masks[place]
        w, v = swarm_step(w, v, best_w, search.weights, drawn(), drawn())
        masks, speed = swarm_mask_step(masks, speed, best_masks, search.mask, drawn(), drawn(), drawn())
    return search.result()


class _Search:
    """The best pair so far, and the calls that are left."""

    def __init__(self, value: Callable[[Tensor, Tensor], float], cost: float, budget: int) -> None:
        self.value, self.cost, self.left = value, cost, budget
        self.best: list[float] = []
        self.found = -math.inf
        self.weights = self.mask = torch.empty(0)

    def ask(self, weights: Tensor, mask: Tensor) -> float:
        """The objective of a pair; minus infinity where no call is left."""
        if not self.left:
            return -math.inf
        self.left -= 1
        value = _ordered(self.value(weights.clone(), mask.clone()))
        objective = value - self.cost * int(mask.sum())
        if not self.best or objective > self.best[-1]:
            self.found, self.weights, self.mask = value, weights.clone(), mask.clone()
        self.best.append(max([objective, *self.best[-1:]]))
        return objective

    def result(self) -> Pruned:
        """What was found."""
        value = self.found if self.found > -math.inf else math.nan
        return Pruned(self.mask, value, len(self.best), self.weights, self.best)


def _velocity(
    now: Tensor,
    velocity: Tensor,
    best: Tensor,
    leader: Tensor,
    first: Tensor,
    second: Tensor,
    by: tuple[Number, ...],
) -> Tensor:
    inertia, own, social, limit = (float(value) for value in by)
    found = inertia * velocity + own * first * (best - now) + social * second * (leader - now)
    return found.clamp(-limit, limit)


def _ordered(value: float) -> float:
    """NaN as the worst value."""
    return -math.inf if math.isnan(value) else float(value)


def _without(mask: Tensor, place: int) -> Tensor:
    found = mask.clone()
    found[place] = False
    return found
