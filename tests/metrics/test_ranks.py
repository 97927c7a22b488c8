"""Exact ranks: hand-made numbers, the query among its items, chunks, and what is refused."""

import math

import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.metrics import of_ranks, ranks
from tests.oracles import retrieval as slow

SCORES = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.2, 0.1]], dtype=torch.float64)
RELEVANCE = torch.tensor([[False, True, False, True, True, False]])


@pytest.mark.parametrize(
    ("ties", "among_all", "among_positives"),
    [
        ("pessimistic", [3.0, 4.0, 5.0], [1.0, 2.0, 3.0]),
        ("optimistic", [2.0, 3.0, 5.0], [1.0, 2.0, 3.0]),
        ("mid", [3.0, 3.0, 5.0], [1.5, 1.5, 3.0]),
    ],
)
def test_ranks_by_hand(ties, among_all: list[float], among_positives: list[float]) -> None:
    """Two relevant items tied with an irrelevant one, below one item."""
    found = metrics.ranks_from_scores(SCORES, RELEVANCE, ties=ties)
    assert found.among_all.tolist() == [among_all]
    assert found.among_positives.tolist() == [among_positives]
    assert found.competitors.tolist() == [6]


def test_gains_settle_ties_among_relevant_items() -> None:
    """Pessimistic puts the smaller gain first, optimistic the larger."""
    scores, gains = torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 3.0]])
    assert metrics.ranks_from_scores(scores, gains).among_all.tolist() == [[2.0, 3.0]]
    assert metrics.ranks_from_scores(scores, gains, ties="optimistic").among_all.tolist() == [[2.0, 1.0]]


def test_a_collapsed_model_scores_worst() -> None:
    """Equal scores for everything: pessimistic ranks give 0, not 1."""
    scores, relevance = torch.zeros(3, 10), torch.eye(3, 10).bool()
    assert metrics.hit_at_k(scores, relevance, k=5).tolist() == [0.0, 0.0, 0.0]
    assert metrics.hit_at_k(scores, relevance, k=1, ties="optimistic").tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic"])
def test_the_query_is_no_item_of_its_own(generator: torch.Generator, ties) -> None:
    """Leaving it out by index equals removing its column, whether it counts as relevant or not."""
    scores = torch.randint(0, 4, (6, 7), generator=generator).double()
    relevance = torch.rand(6, 7, generator=generator) < 0.5
    own = torch.tensor([0, 3, 6, -1, 2, 2])
    wanted = slow.average_precision(scores.tolist(), relevance.tolist(), ties=ties, query_item=own.tolist())
    found = metrics.average_precision(scores, relevance, ties=ties, query_item=own)
    wanted = torch.tensor([math.nan if value is None else value for value in wanted], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12, equal_nan=True)
    counted = metrics.ranks_from_scores(scores, relevance, ties=ties, query_item=own).competitors
    assert counted.tolist() == [6, 6, 6, 7, 6, 6]


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic"])
def test_infinite_scores_are_ordered(ties) -> None:
    """Infinity beats everything, minus infinity loses to everything, and they tie with their like."""
    scores = torch.tensor(
        [[math.inf, -math.inf, 0.0, -math.inf, math.inf], [0.0, -math.inf, -1.0, 1.0, -math.inf]]
    )
    relevance = torch.tensor([[True, True, False, False, False], [True, True, False, False, True]])
    wanted = slow.average_precision(scores.tolist(), relevance.tolist(), ties=ties)
    found = metrics.average_precision(scores, relevance, ties=ties)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic"])
@pytest.mark.parametrize("few", [0, 1000])
def test_both_ways_of_counting_agree(generator: torch.Generator, monkeypatch, ties, few: int) -> None:
    """Comparing a tile with each positive and sorting it once give the same ranks, in chunks of any size."""
    scores = torch.randint(-3, 3, (20, 30), generator=generator).double()
    relevance = torch.rand(20, 30, generator=generator) < 0.3
    own = torch.randint(-1, 30, (20,), generator=generator)
    wanted = metrics.ranks_from_scores(scores, relevance, ties=ties, query_item=own)
    monkeypatch.setattr(ranks, "_FEW_POSITIVES", few)
    monkeypatch.setattr(ranks, "TILE", 70)
    found = metrics.ranks_from_scores(scores, relevance, ties=ties, query_item=own)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_cutoff_beyond_the_items_is_used_as_is() -> None:
    """K larger than the number of items: recall is whole, precision is divided by k all the same."""
    assert metrics.recall_at_k(SCORES, RELEVANCE, k=100).item() == 1.0
    assert metrics.precision_at_k(SCORES, RELEVANCE, k=100).item() == 0.03
    assert metrics.ndcg(SCORES, RELEVANCE, k=100).item() == metrics.ndcg(SCORES, RELEVANCE).item()


def test_mid_ranks_never_exceed_the_bounds() -> None:
    """A group of equals that straddles k counts whole with mid ranks: capped at k places and at the ideal."""
    scores, relevance = torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool)
    assert metrics.precision_at_k(scores, relevance, k=2, ties="mid").item() == 1.0
    assert metrics.ndcg(scores, relevance, k=2, ties="mid").item() == 1.0
    assert metrics.recall_at_k(scores, relevance, k=2, ties="mid", normalizer="min_k_positives").item() == 1.0


def test_no_item_at_all() -> None:
    """Queries without items are undefined, not an error."""
    found = metrics.ranks_from_scores(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool))
    assert found.competitors.tolist() == [0, 0]
    for value in (of_ranks.average_precision(found), of_ranks.hit_at_k(found, k=1), of_ranks.ndcg(found)):
        assert value.isnan().tolist() == [True, True]
    assert of_ranks.reciprocal_rank(found).isnan().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scores": torch.full((1, 6), math.nan)}, "NaN, first in row 0"),
        ({"relevance": RELEVANCE[:, :4]}, r"one shape \(query, item\)"),
        ({"relevance": RELEVANCE.double() - 0.5}, "negative"),
        ({"relevance": RELEVANCE / 0.0}, "not finite"),
        ({"query_item": torch.tensor([6])}, "out of range"),
        ({"query_item": torch.tensor([0, 1])}, "1 whole numbers"),
        ({"query_item": torch.tensor([0.0])}, "1 whole numbers"),
        ({"ties": "worst"}, "pessimistic, mid, optimistic"),
        ({"k": 0}, "k is"),
        ({"k": -1}, "k is"),
        ({"k": 1.5}, "k is 1.5"),
        ({"k": (1, 2)}, "one whole number"),
        ({"k": True}, "k is"),
        ({"normalizer": "k"}, "normalizer is 'k'"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict, message: str) -> None:
    """Messages say what came and what was expected."""
    given = {"scores": SCORES, "relevance": RELEVANCE, "k": 1} | settings
    with pytest.raises(InputError, match=message):
        metrics.recall_at_k(given.pop("scores"), given.pop("relevance"), **given)
