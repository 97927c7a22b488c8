"""Losses of ranks of queries against documents, by the graded relevance of the pairs."""

import pytest
import torch

from metricgrad import losses, metrics
from metricgrad.errors import InputError
from metricgrad.losses import recall_at_k_loss
from metricgrad.pairing import MemoryQueue
from metricgrad.ranking import RankingLoss, positive_ranks


def graded_sides() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Five queries, seven documents, grades 0 to 3; nothing is relevant to the first query."""
    generator = torch.Generator().manual_seed(0)
    queries, documents = (torch.randn(rows, 6, generator=generator, dtype=torch.float64) for rows in (5, 7))
    grades = torch.randint(-1, 4, (5, 7), generator=generator).double()
    grades[0], grades[1, 2] = 0, 3
    return queries, documents, grades


JUDGED = (
    (recall_at_k_loss, metrics.recall_at_k, {"k": 3, "normalizer": "positives"}, {"k": 3}),
    (losses.average_precision_loss, metrics.average_precision, {}, {}),
    (losses.reciprocal_rank_loss, metrics.reciprocal_rank, {}, {}),
    (losses.precision_at_k_loss, metrics.precision_at_k, {"k": 3}, {"k": 3}),
    (losses.ndcg_loss, metrics.ndcg, {}, {}),
    (losses.ndcg_loss, metrics.ndcg, {"k": 3}, {"k": 3}),
)


@pytest.mark.parametrize(
    ("loss", "metric", "settings", "cut"), JUDGED, ids=lambda one: getattr(one, "__name__", "")
)
def test_relevance_in_the_limit_is_the_graded_metric(loss, metric, settings, cut):
    """Queries against documents: a sharp loss is one minus the exact metric of the cosines, grades being gains."""
    queries, documents, grades = graded_sides()
    sharp = {"cutoff_temperature": 1e-4, "offset": 0.5} if cut else {}
    found = RankingLoss(loss, temperature=1e-7, **settings, **sharp).judged(queries, documents, grades)
    scores = torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(documents).T
    wanted = 1 - metric(scores, grades.clamp(min=0), ties="mid", **cut).nanmean()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("loss", [recall_at_k_loss, losses.ndcg_loss])
def test_relevance_has_a_gradient_to_both_sides(loss):
    """float64 gradcheck by queries and documents."""
    queries, documents, grades = graded_sides()
    criterion = RankingLoss(loss, temperature=0.1)
    sides = queries.requires_grad_(), documents.requires_grad_()
    assert torch.autograd.gradcheck(lambda one, other: criterion.judged(one, other, grades), sides)


def test_relevance_of_equal_labels_is_labels():
    """Both ways to say what is relevant, with references and with a query among its own items."""
    queries, documents, _ = graded_sides()
    labels, others = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0, 0, 1, 1, 2, 3, 3])
    relevance = labels[:, None] == others
    criterion = RankingLoss(recall_at_k_loss, k=2, temperature=0.1)
    torch.testing.assert_close(
        criterion.judged(queries, documents, relevance), criterion(queries, labels, None, documents, others)
    )
    torch.testing.assert_close(
        criterion.judged(queries, queries, labels[:, None] == labels), criterion(queries, labels)
    )
    found = positive_ranks(queries, relevance=labels[:, None] == labels, temperature=0.1)
    for one, other in zip(found, positive_ranks(queries, labels, temperature=0.1), strict=True):
        torch.testing.assert_close(one, other)


def test_relevance_refuses():
    """Labels beside relevance, neither, another shape, a memory."""
    queries, documents, grades = graded_sides()
    with pytest.raises(InputError, match="labels came beside relevance"):
        positive_ranks(queries, [0] * 5, reference_embeddings=documents, relevance=grades, temperature=0.1)
    with pytest.raises(InputError, match="neither labels nor relevance"):
        positive_ranks(queries, temperature=0.1)
    with pytest.raises(InputError, match="5 queries and 7 items"):
        RankingLoss(recall_at_k_loss, temperature=0.1).judged(queries, documents, grades[:, :3])
    criterion = RankingLoss(recall_at_k_loss, temperature=0.1, memory=MemoryQueue(8, 6))
    with pytest.raises(InputError, match="a memory was set"):
        criterion.judged(queries, documents, grades)
