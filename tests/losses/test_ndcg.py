"""Graded gains in the NDCG loss."""

import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.losses import ndcg_loss
from metricgrad.relax import positive_ranks_from_scores


@pytest.mark.parametrize("k", [None, 2])
def test_graded_limit(k, generator):
    """Gains in the order of the item numbers: the limit is the exact graded metric."""
    scores = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    grades = torch.randint(0, 4, (5, 7), generator=generator).double()
    grades[0, :2] = 0
    ranks = positive_ranks_from_scores(scores, grades > 0, temperature=1e-6)
    gains = torch.zeros(ranks.valid.shape).double()
    gains[ranks.valid] = grades[grades > 0]
    loss = ndcg_loss(ranks, gains=gains, k=k, cutoff_temperature=1e-3, offset=0.5)
    torch.testing.assert_close(loss, 1 - metrics.ndcg(scores, grades, k=k, ties="mid"), rtol=0, atol=1e-9)


def test_no_gain_is_undefined():
    """A query whose gains are all 0 has loss 0 and zero gradient."""
    scores = torch.tensor([[0.1, 0.2]], requires_grad=True)
    ranks = positive_ranks_from_scores(scores, torch.tensor([[True, False]]), temperature=0.1)
    loss = ndcg_loss(ranks, gains=torch.zeros(1, 1))
    loss.sum().backward()
    assert loss.item() == 0 and scores.grad is not None and not bool(scores.grad.any())


def test_refuses():
    """Gains of another shape, negative gains and k < 1 are refused."""
    ranks = positive_ranks_from_scores(torch.zeros(1, 2), torch.tensor([[True, False]]), temperature=0.1)
    with pytest.raises(InputError, match="one gain per positive"):
        ndcg_loss(ranks, gains=torch.ones(1, 2))
    with pytest.raises(InputError, match="smallest gain is -1"):
        ndcg_loss(ranks, gains=-torch.ones(1, 1))
    with pytest.raises(InputError, match="k is 0"):
        ndcg_loss(ranks, k=0)
