"""Pairs that teach: a mixture in the asked share, the oldest forgotten, determined, and never nothing."""

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.learned.pairs import Pairs, PairSource


def marked(value: float, count: int = 4) -> Pairs:
    """Pairs whose error says where they come from."""
    return Pairs.known(torch.zeros(count, 2), torch.zeros(count, 2), torch.full((count,), value))


def made_up(_: np.random.Generator, count: int) -> Pairs:
    """Pairs with the error -1."""
    return marked(-1.0, count)


def test_the_share_of_local_pairs_and_the_oldest_batch() -> None:
    """Three of four are local, and none from the batch that was pushed out; before there are any, none."""
    source = PairSource(made_up, batches=2, local_fraction=0.75, seed=0)
    assert source.draw(8).errors.tolist() == [-1.0] * 8
    for value in (1.0, 2.0, 3.0):
        source.add(marked(value))
    errors = source.draw(80).errors
    assert (errors == -1).sum() == 20 and set(errors.tolist()) == {-1.0, 2.0, 3.0}
    assert (source.draw(8, made_up_only=True).errors == -1).all()


def test_draws_go_on_from_a_state() -> None:
    """The same draws after a restart; samples without an error are not remembered."""
    first, second = (PairSource(None, batches=3, local_fraction=0.5, seed=1) for _ in range(2))
    first.add(Pairs.known(torch.zeros(3, 1), torch.zeros(3, 1), torch.tensor([1.0, torch.nan, 2.0])))
    first.draw(5)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.draw(50).errors, second.draw(50).errors)
    assert set(first.draw(50).errors.tolist()) == {1.0, 2.0}


def test_nothing_to_draw_from_is_told() -> None:
    """No local pair and no way to make one."""
    with pytest.raises(InputError, match="kind with `pairs`"):
        PairSource(None, batches=1, local_fraction=0.5, seed=0).draw(4)
