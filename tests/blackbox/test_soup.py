"""Soups and interpolations: what stays, what is untouched bit for bit, and what a failed metric may not do."""

import pytest
import torch

from metricgrad.blackbox import greedy_soup, interpolation
from metricgrad.errors import InputError

NAN = float("nan")


def _state(value: float, steps: int = 0) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([value, -value]), "steps": torch.tensor(steps)}


def _near(goal: float):
    return lambda state: -abs(float(state["w"][0]) - goal)


def test_the_soup_is_never_below_its_best():
    """Each member raised or held the value; the value is that of the mean."""
    states = [_state(value) for value in (0.2, 3.0, 1.9, 1.0, 8.0)]
    judge = _near(1.5)
    values = [judge(state) for state in states]
    soup = greedy_soup(states, values, judge)
    assert soup.members[0] == 2
    assert soup.value >= max(values)
    assert soup.value == judge(soup.state)
    torch.testing.assert_close(
        soup.state["w"], torch.stack([states[n]["w"] for n in soup.members]).double().mean(0).float()
    )


def test_one_candidate_is_its_own_soup():
    """Bit for bit, without a call."""
    soup = greedy_soup([_state(0.1, 7)], [0.5], lambda state: pytest.fail("called"))
    assert torch.equal(soup.state["w"], _state(0.1)["w"])
    assert (soup.members, int(soup.state["steps"])) == ((0,), 7)


def test_failed_candidates_and_failed_means_stay_out():
    """NaN is no value."""
    soup = greedy_soup([_state(1.0, 5), _state(2.0), _state(3.0)], [0.3, NAN, 0.2], lambda state: NAN)
    assert soup.members == (0,)
    assert int(soup.state["steps"]) == 5


def test_lower_may_be_better():
    """An error is to fall."""
    states = [_state(1.0), _state(2.0), _state(9.0)]
    error = lambda state: abs(float(state["w"][0]) - 1.5)  # noqa: E731
    found = greedy_soup(states, [error(state) for state in states], error, maximize=False)
    assert (found.members, found.value) == ((0, 1), 0)


def test_the_ends_of_an_interpolation_are_the_models():
    """Bit for bit, in every number."""
    start, tuned = _state(0.1, 3), _state(0.7, 9)
    for goal, same in ((-1.0, start), (2.0, tuned)):
        found = interpolation(start, tuned, judge=_near(goal))
        assert all(torch.equal(found.state[name], one) for name, one in same.items())
    assert interpolation(start, tuned, judge=_near(0.4)).share == 0.5


def test_of_equal_values_the_nearest_to_the_start():
    """A metric that does not move keeps the start, in whatever order the shares come; a failed one is not chosen."""
    judge = lambda state: NAN if float(state["w"][0]) == 0 else 0.5  # noqa: E731
    found = interpolation(_state(0.0), _state(1.0), (1.0, 0.5, 0.0), judge=judge)
    assert found.share == 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda: greedy_soup([_state(1.0)], [NAN], _near(0)),
        lambda: greedy_soup([_state(1.0)], [1.0, 2.0], _near(0)),
        lambda: greedy_soup([_state(1.0), {"w": torch.zeros(3)}], [1.0, 2.0], _near(0)),
        lambda: interpolation(_state(1.0), {"w": torch.zeros(2)}, judge=_near(0)),
        lambda: interpolation(_state(1.0), _state(2.0), (0.0, 1.5), judge=_near(0)),
        lambda: interpolation(_state(1.0), _state(2.0), judge=lambda state: NAN),
    ],
)
def test_refused(call):
    """Each with a message."""
    with pytest.raises(InputError, match="expected"):
        call()
