"""Means of weights: a greedy soup of candidates, and the way from the start to the tuned model."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metricgrad._checks import fail, finite_number

__all__ = ["Interpolation", "Soup", "State", "greedy_soup", "interpolation"]

State = Mapping[str, Tensor]
"""Weights by name, as `state_dict` gives them."""

Judge = Callable[[dict[str, Tensor]], float]
"""Weights -> the metric of the network with them, NaN where it fails."""


class Soup(NamedTuple):
    """A mean of weights that was built one candidate at a time.

    Attributes:
        state: the mean.
        members: numbers of the candidates in it, the best first.
        value: of the metric.
    """

    state: dict[str, Tensor]
    members: tuple[int, ...]
    value: float


def greedy_soup(
    states: Sequence[State], values: Sequence[float], judge: Judge, *, maximize: bool = True
) -> Soup:
    """Average the weights of candidates, from the best on; each stays if the value of the mean does not fall.

    Args:
        states: weights of networks that began at the same start.
        values: their metric, NaN where it failed: such a candidate is left out.
        judge: the metric of a mean.
        maximize: whether higher values are better.

    Returns:
        The soup. Whole numbers (counts of batches) are those of the best candidate.

    Raises:
        InputError: no candidate with a value; other names, shapes or types of weights.

    Edge cases:
        One candidate is its own soup, bit for bit, and costs no call. A mean whose metric is NaN is not kept. Equal
        values: the earlier first.

    Cost:
        One call of the metric per candidate after the first. Sums are kept in float64.

    Reference:
        [wortsman2022soups]

    Example:
        >>> states = [{"w": torch.tensor([n])} for n in (1.0, 2.0, 9.0)]
        >>> near = lambda state: -abs(float(state["w"]) - 1.5)
        >>> greedy_soup(states, [near(one) for one in states], near).members
        (0, 1)
    """
    if len(states) != len(values):
        raise fail(
            "greedy_soup", f"there are {len(values)} values", f"one for each of the {len(states)} states"
        )
    for state in states:
        _require_alike("greedy_soup", states[0], state)
    sign = 1.0 if maximize else -1.0
    known = torch.tensor(list(values), dtype=torch.float64) * sign
    usable = known.isfinite().nonzero()[:, 0]
    if not len(usable):
        raise fail(
            "greedy_soup", f"none of {len(values)} candidates has a value", "at least one finite value"
        )
    order = usable[known[usable].argsort(descending=True, stable=True)].tolist()
    first = states[order[0]]
    members, best, value = (
        [order[0]],
        {name: one.clone() for name, one in first.items()},
        float(known[order[0]]),
    )
    sums = {name: one.double() for name, one in first.items() if one.is_floating_point()}
    for number in order[1:]:
        more = {name: total + states[number][name].double() for name, total in sums.items()}
        mean = {
            name: (more[name] / (len(members) + 1)).to(one.dtype) if name in more else one.clone()
            for name, one in first.items()
        }
        found = sign * float(judge(mean))
        if found >= value:  # NaN is not
            members, best, value, sums = [*members, number], mean, found, more
    return Soup(best, tuple(members), sign * value)


class Interpolation(NamedTuple):
    """Models on the straight way from a start to a tuned model.

    Attributes:
        shares: of the tuned model.
        values: of the metric at each.
        share: where the value is best; of equal ones the smallest share, which is nearest to the start.
        state: the weights there.
    """

    shares: tuple[float, ...]
    values: tuple[float, ...]
    share: float
    state: dict[str, Tensor]


def interpolation(
    start: State,
    tuned: State,
    shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    *,
    judge: Judge,
    maximize: bool = True,
) -> Interpolation:
    """Judge `(1 - share) * start + share * tuned` at several shares and return the best.

    Args:
        start: weights.
        tuned: weights of the same network.
        shares: of the tuned model, in [0, 1].
        judge: the metric of weights.
        maximize: whether higher values are better.

    Returns:
        Everything that was judged, and the best. Whole numbers are those of `tuned`, at share 0 those of `start`.

    Raises:
        InputError: other names, shapes or types of weights; no share, or one outside [0, 1]; no share with a value.

    Edge cases:
        Shares 0 and 1 are the two models, bit for bit. A share whose metric is NaN cannot be the best.

    Cost:
        One call of the metric per share.

    Reference:
        [wortsman2022robust]

    Example:
        >>> start, tuned = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
        >>> interpolation(start, tuned, judge=lambda state: -abs(float(state["w"]) - 0.4)).share
        0.5
    """
    _require_alike("interpolation", start, tuned)
    parts = [finite_number("interpolation", "a share", one) for one in shares]
    if not parts or min(parts) < 0 or max(parts) > 1:
        raise fail("interpolation", f"shares are {list(shares)}", "numbers in [0, 1]")
    sign, found = 1.0 if maximize else -1.0, []
    for part in parts:
        found.append(float(judge(_between(start, tuned, part))))
    known = torch.tensor(found, dtype=torch.float64) * sign
    if not bool(known.isfinite().any()):
        raise fail("interpolation", f"values are {found}", "at least one finite value")
    top = float(known[known.isfinite()].max())
    best = min(part for part, value in zip(parts, known.tolist(), strict=True) if value == top)
    return Interpolation(tuple(parts), tuple(found), best, _between(start, tuned, best))


def _between(start: State, tuned: State, share: float) -> dict[str, Tensor]:
    if share in (0.0, 1.0):
        return {name: one.clone() for name, one in (tuned if share else start).items()}
    return {
        name: torch.lerp(start[name].double(), one.double(), share).to(one.dtype)
        if one.is_floating_point()
        else one.clone()
        for name, one in tuned.items()
    }


def _require_alike(caller: str, one: State, other: State) -> None:
    """InputError unless two states are of the same network."""
    for name in {**one, **other}:
        if (
            name not in one
            or name not in other
            or one[name].shape != other[name].shape
            or one[name].dtype != other[name].dtype
        ):
            raise fail(caller, f"the states differ in {name!r}", "weights of the same network")
