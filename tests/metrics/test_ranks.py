"""Exact ranks: hand-made numbers, the query among its items, chunks, and what is refused."""

import math

import pytest
import torch
from sklearn.metrics import ndcg_score

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.metrics import of_ranks, ranks
from tests.oracles import retrieval as slow
from tests.oracles import trec_eval

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


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
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


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
def test_infinite_scores_are_ordered(ties) -> None:
    """Infinity beats everything, minus infinity loses to everything, and they tie with their like."""
    scores = torch.tensor(
        [[math.inf, -math.inf, 0.0, -math.inf, math.inf], [0.0, -math.inf, -1.0, 1.0, -math.inf]]
    )
    relevance = torch.tensor([[True, True, False, False, False], [True, True, False, False, True]])
    wanted = slow.average_precision(scores.tolist(), relevance.tolist(), ties=ties)
    found = metrics.average_precision(scores, relevance, ties=ties)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
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
    for one, other in zip(found[:5], wanted[:5], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert (found.blocks is None) == (wanted.blocks is None)
    assert all(map(torch.equal, found.blocks or (), wanted.blocks or ()))


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
        ({"scores": SCORES.numpy()}, "two tensors of one shape"),
        ({"relevance": RELEVANCE.numpy()}, "two tensors of one shape"),
        ({"scores": SCORES.tolist()}, "two tensors of one shape"),
        ({"query_item": [0]}, "a tensor of 1 whole numbers"),
        ({"query_item": torch.tensor([6])}, "out of range"),
        ({"query_item": torch.tensor([0, 1])}, "1 whole numbers"),
        ({"query_item": torch.tensor([0.0])}, "1 whole numbers"),
        ({"ties": "worst"}, "pessimistic, mid, optimistic, average"),
        ({"retrieved": RELEVANCE[:, :2]}, "retrieved is"),
        ({"retrieved": RELEVANCE.long()}, "retrieved is"),
        ({"retrieved": RELEVANCE.tolist()}, "retrieved is"),
        ({"scores": torch.full((1, 6), math.nan), "retrieved": RELEVANCE}, "NaN, first in row 0"),
        ({"scores": SCORES.to(torch.complex64)}, "real numbers"),
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


# ------------------------------------------------------------------------------------------ whole numbers


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint64])
@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
def test_large_whole_numbers_are_compared_as_such(generator: torch.Generator, dtype, ties) -> None:
    """Beyond 2^53 neighbours are told apart, up to the ends of the type, and equal ones tie."""
    small = torch.randint(0, 6, (12, 9), generator=generator)
    relevance = torch.rand(12, 9, generator=generator) < 0.4
    wanted = metrics.average_precision(small, relevance, ties=ties)
    for offset in (2**53, 2**62, torch.iinfo(dtype).max - 5, torch.iinfo(dtype).min):
        values = [[value + offset for value in row] for row in small.tolist()]
        scores = torch.tensor(values, dtype=dtype)
        torch.testing.assert_close(
            metrics.average_precision(scores, relevance, ties=ties), wanted, rtol=0, atol=0, equal_nan=True
        )


@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float32, torch.uint8, torch.int16, torch.int32, torch.uint32],
)
def test_every_format_of_scores_is_taken_as_it_is(generator: torch.Generator, dtype) -> None:
    """The nearest different scores of a format are told apart."""
    small = torch.randint(0, 6, (12, 9), generator=generator)
    relevance = torch.rand(12, 9, generator=generator) < 0.4
    scores = small
    if dtype.is_floating_point:
        scores = 1 + small * torch.finfo(dtype).eps
    wanted = metrics.average_precision(small, relevance)
    found = metrics.average_precision(scores.to(dtype), relevance)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


# ---------------------------------------------------------------------------------------- not retrieved


RETRIEVAL = {
    "map": (metrics.average_precision, {}),
    "recip_rank": (metrics.reciprocal_rank, {}),
    "Rprec": (metrics.r_precision, {}),
    "ndcg": (metrics.ndcg, {}),
} | {
    f"{name}_{k}": (function, {"k": k})
    for name, function in {
        "P": metrics.precision_at_k,
        "recall": metrics.recall_at_k,
        "success": metrics.hit_at_k,
        "ndcg_cut": metrics.ndcg,
    }.items()
    for k in (1, 5, 30)
}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
def test_not_retrieved_is_what_trec_eval_says(generator: torch.Generator, share: float, ties) -> None:
    """Relevant items that were not retrieved count among what there was to find, at no rank."""
    scores = torch.rand(15, 20, generator=generator, dtype=torch.float64) - 0.5
    levels = torch.randint(-4, 4, (15, 20), generator=generator).clamp(min=0)
    retrieved = torch.rand(15, 20, generator=generator) < share
    scores[0], retrieved[0] = -torch.inf, False
    scores[0, 3], retrieved[0, 3] = -torch.inf, True
    wanted = [
        trec_eval.measured(
            {item: row[item] for item in range(20) if there[item]},
            {item: level for item, level in enumerate(judged)},
            (1, 5, 30),
        )
        for row, judged, there in zip(scores.tolist(), levels.tolist(), retrieved.tolist(), strict=True)
    ]
    unknown = scores.masked_fill(~retrieved, torch.nan)
    for name, (function, settings) in RETRIEVAL.items():
        found = function(unknown, levels.double(), ties=ties, retrieved=~unknown.isnan(), **settings)
        expected = torch.tensor([topic[name] for topic in wanted], dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
def test_not_retrieved_with_ties_and_a_query_among_its_items(generator: torch.Generator, ties) -> None:
    """As the loops say, whatever the scores of what was not retrieved are; competitors are the ranked ones."""
    scores = torch.randint(0, 4, (10, 8), generator=generator).double()
    relevance = torch.rand(10, 8, generator=generator) < 0.5
    relevance[:, 2] = True
    retrieved = torch.rand(10, 8, generator=generator) < 0.6
    own = torch.randint(-1, 2, (10,), generator=generator)
    given = {"ties": ties, "query_item": own, "retrieved": retrieved}
    lists = {"ties": ties, "query_item": own.tolist(), "retrieved": retrieved.tolist()}
    for name in ("average_precision", "reciprocal_rank", "ndcg", "r_precision"):
        wanted = getattr(slow, name)(scores.tolist(), relevance.tolist(), **lists)
        found = getattr(metrics, name)(scores, relevance, **given)
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)
    left_out = [int(own[row] >= 0 and retrieved[row, own[row]]) for row in range(10)]
    ranked = metrics.ranks_from_scores(scores, relevance, **given).competitors
    assert ranked.tolist() == (retrieved.sum(1) - torch.tensor(left_out)).tolist()


# --------------------------------------------------------------------------------- mean over all orders


def test_two_relevant_items_on_top_are_a_hit() -> None:
    """Whatever their order, one of them is first; by mid-ranks neither is."""
    scores, relevance = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[True, True, False]])
    assert metrics.hit_at_k(scores, relevance, k=1, ties="average").item() == 1.0
    assert metrics.hit_at_k(scores, relevance, k=1, ties="mid").item() == 0.0


@pytest.mark.parametrize("items", [3, 400, 30_000])
def test_a_collapsed_model_gets_the_mean_of_chance(items: int) -> None:
    """Known means: k / n, H(n) / n, and for two relevant items in a hundred places a hypergeometric share."""
    scores, relevance = torch.zeros(1, items), torch.zeros(1, items, dtype=torch.bool)
    relevance[0, 1] = True
    harmonic = math.fsum(1 / rank for rank in range(1, items + 1))
    wanted = {"hit_at_k": 2 / items, "recall_at_k": 2 / items, "precision_at_k": 1 / items}
    for name, value in wanted.items():
        assert getattr(metrics, name)(scores, relevance, k=2, ties="average").item() == pytest.approx(
            value, rel=1e-12
        )
    for name in ("average_precision", "reciprocal_rank"):
        found = getattr(metrics, name)(scores, relevance, ties="average").item()
        assert found == pytest.approx(harmonic / items, rel=1e-12)
    relevance[0, 2] = True
    hit = metrics.hit_at_k(scores, relevance, k=2, ties="average").item()
    assert hit == pytest.approx(1 - (items - 2) * (items - 3) / (items * (items - 1)), rel=1e-9)


def test_a_block_far_down_keeps_its_digits() -> None:
    """Behind 200,000 items: the mean of two orders, to the last digits."""
    scores = torch.arange(200_004.0, 0, -1)[None]
    scores[0, 200_001:200_003] = scores[0, 200_001]
    relevance = torch.zeros(1, 200_004, dtype=torch.bool)
    relevance[0, 200_001] = relevance[0, 200_000] = True
    for name in ("average_precision", "reciprocal_rank", "ndcg"):
        ends = [
            getattr(metrics, name)(scores, relevance, ties=ties).item()
            for ties in ("optimistic", "pessimistic")
        ]
        found = getattr(metrics, name)(scores, relevance, ties="average").item()
        assert found == pytest.approx(sum(ends) / 2, rel=1e-14)


def test_average_lies_between_the_ends_and_equals_them_without_ties(generator: torch.Generator) -> None:
    """By tiles of embeddings as by scores."""
    points = torch.randint(-1, 2, (40, 3), generator=generator).double()
    labels = torch.randint(0, 6, (40,), generator=generator)
    for function in (
        of_ranks.average_precision,
        of_ranks.ndcg,
        of_ranks.reciprocal_rank,
        of_ranks.r_precision,
    ):
        worst, mean, best = (
            function(metrics.retrieval_ranks(points, labels, ties=ties, tile=150))
            for ties in ("pessimistic", "average", "optimistic")
        )
        assert bool((worst <= mean + 1e-12).all()) and bool((mean <= best + 1e-12).all())
        assert bool((worst < mean).any())
        free = points + torch.rand(40, 3, generator=generator)
        ends = [function(metrics.retrieval_ranks(free, labels, ties=ties)) for ties in ("mid", "average")]
        torch.testing.assert_close(*ends, rtol=0, atol=1e-15)


@pytest.mark.parametrize("k", [None, 1, 4])
def test_average_of_graded_ties_is_scikit_learns(generator: torch.Generator, k: int | None) -> None:
    """Its `ndcg_score` averages over equal scores as well."""
    scores = torch.randint(0, 4, (30, 9), generator=generator).double()
    gains = torch.randint(0, 4, (30, 9), generator=generator).double()
    gains[:, 0] = 1
    wanted = [ndcg_score(gains[row : row + 1], scores[row : row + 1], k=k) for row in range(30)]
    found = metrics.ndcg(scores, gains, k=k, ties="average")
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)
