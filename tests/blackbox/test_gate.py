"""The gates: what they accept, what they leave out, and how often they are wrong where there is no gain."""

import numpy as np
import pytest
import torch

from metricgrad.blackbox import (
    cross_fit_gain,
    paired_bootstrap,
    paired_bootstrap_of_calls,
    permutation_check,
)
from metricgrad.errors import InputError, MetricFailed

NAN = float("nan")


def _items(seed: int, count: int = 60, rate: float = 0.6) -> torch.Tensor:
    return (torch.rand(count, 1, generator=torch.Generator().manual_seed(seed)) < rate).double()


def test_tables_and_calls_say_the_same():
    """One draw, two roads."""
    one, other = _items(0), _items(1)
    found = paired_bootstrap(one, other, resamples=200)
    called = paired_bootstrap_of_calls(
        lambda rows: float(one[rows].mean()), lambda rows: float(other[rows].mean()), 60, resamples=200
    )
    np.testing.assert_allclose(called, found)


def test_a_model_does_not_replace_itself():
    """The lower bound is 0, and 0 is not accepted."""
    found = paired_bootstrap(_items(0), _items(0))
    assert (found.lower, found.accept) == (0, False)


def test_direction_turns_the_sign():
    """Of an error rate, lower is better."""
    one, other = _items(0), _items(1)
    up = paired_bootstrap(one, other, resamples=100)
    down = paired_bootstrap(1 - one, 1 - other, resamples=100, maximize=False)
    np.testing.assert_allclose(down, up, atol=1e-12)


def test_groups_are_drawn_whole():
    """Rows that are copies of each other are one group: the error is that of the groups, not of the rows."""
    one, other = _items(0, 30), _items(1, 30)
    alone = paired_bootstrap(one, other, resamples=500)
    copied = paired_bootstrap(
        one.repeat(4, 1), other.repeat(4, 1), groups=torch.arange(30).repeat(4), resamples=500
    )
    np.testing.assert_allclose(copied, alone)


def test_undefined_resamples_are_left_out_or_refused():
    """A few are dropped from both models; above a fifth, the gate says that it cannot tell."""

    def model(rare: int):
        def value(rows: torch.Tensor) -> float:
            if int((rows < rare).sum()) == 0:
                raise MetricFailed("no positive")
            return float(rows.double().mean())

        return value

    found = paired_bootstrap_of_calls(model(3), model(60), 60, resamples=300)
    assert found.undefined > 0
    assert found.resamples + found.undefined == 300
    with pytest.raises(InputError, match="at most 20% may be without one"):
        paired_bootstrap_of_calls(model(1), model(60), 60, resamples=300)


def test_false_acceptance():
    """Of two models that are equally good, at most about alpha are accepted."""
    accepted = sum(
        paired_bootstrap(_items(2 * n), _items(2 * n + 1), resamples=200).accept for n in range(200)
    )
    assert accepted <= 20


def test_cross_fit_scores_on_the_other_half():
    """Each point is judged on the rows that its search did not get; the mean point is handed on."""
    halves = torch.tensor([0, 2, 4]), torch.tensor([1, 3])
    seen = []

    def gain(point: torch.Tensor, rows: torch.Tensor) -> float:
        seen.append((point.tolist(), rows.tolist()))
        return 0.2 if len(rows) == 2 else -0.1

    found = cross_fit_gain(lambda rows: rows.double().mean()[None], gain, halves)
    assert seen == [([2.0], [1, 3]), ([2.0], [0, 2, 4])]
    assert found.gains == (0.2, -0.1)
    assert found.accept
    assert not cross_fit_gain(lambda rows: torch.zeros(1), lambda point, rows: 0.0, halves).accept


def test_permutations():
    """A leak does not pass, no gain at all does, and every repetition has its own generator."""
    assert permutation_check(lambda generator: 0.0).passed
    assert not permutation_check(lambda generator: 0.3).passed
    draws = []
    permutation_check(lambda generator: draws.append(float(torch.rand((), generator=generator))) or 0.0)
    again = []
    permutation_check(lambda generator: again.append(float(torch.rand((), generator=generator))) or 0.0)
    assert len(set(draws)) == 5
    assert draws == again


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired_bootstrap(_items(0), _items(0, 59)),
        lambda: paired_bootstrap(_items(0), _items(1), alpha=0.7),
        lambda: paired_bootstrap(_items(0, 1), _items(1, 1)),
        lambda: paired_bootstrap(_items(0), _items(1), resamples=1),
        lambda: cross_fit_gain(
            lambda rows: torch.zeros(1), lambda *_: 0.0, (torch.tensor([0]), torch.tensor([0, 1]))
        ),
        lambda: cross_fit_gain(
            lambda rows: torch.zeros(1), lambda *_: NAN, (torch.tensor([0]), torch.tensor([1]))
        ),
        lambda: permutation_check(lambda generator: NAN),
        lambda: permutation_check(lambda generator: 0.0, n=1),
    ],
)
def test_refused(call):
    """Each with a message."""
    with pytest.raises(InputError, match="expected"):
        call()
