"""The operator: equal to the slow definition in value and gradient, in every form, and what it refuses."""

import itertools

import pytest
import torch
from torch import Generator, Tensor

from metricgrad.errors import InputError
from metricgrad.relax import PositiveRanks, plain, positive_ranks_from_scores, tile
from tests.oracles.soft_ranks import soft_ranks


def problem(generator: Generator, queries: int = 7, items: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Scores with ties, relevance with empty and full rows, and the query's own item (none for some)."""
    scores = torch.randint(-4, 5, (queries, items), generator=generator).double() / 8
    relevance = torch.rand(queries, items, generator=generator) < 0.4
    relevance[0], relevance[1] = True, False
    own = torch.randint(-1, items, (queries,), generator=generator)
    own[2] = -1
    return scores, relevance, own


FORMS = list(itertools.product((0, 0.01, 0.3), ("logistic", "laplace"), (False, True, "positive")))


@pytest.mark.parametrize(("temperature", "step", "include_query"), FORMS)
def test_equals_the_loops(temperature, step, include_query, generator):
    """Both ranks, validity and the number of competitors equal the slow definition."""
    scores, relevance, own = problem(generator)
    ranks = positive_ranks_from_scores(
        scores, relevance, query_item=own, include_query=include_query, temperature=temperature, step=step
    )
    for query in range(len(scores)):
        item = int(own[query]) if own[query] >= 0 else None
        settings = {"temperature": temperature, "kind": step, "include_query": include_query}
        expected = soft_ranks(scores[query].tolist(), relevance[query].tolist(), query_item=item, **settings)
        valid = ranks.valid[query]
        assert int(valid.sum()) == len(expected)
        found = torch.stack([ranks.among_all[query, valid], ranks.among_positives[query, valid]], 1)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64).reshape(-1, 2))
        assert int(ranks.competitors[query]) == scores.shape[1] - (item is not None and not include_query)
    torch.testing.assert_close(ranks.among_all[~ranks.valid], torch.ones(int((~ranks.valid).sum())).double())


def weighted(ranks: PositiveRanks, generator: Generator) -> Tensor:
    """A random linear function of both kinds of valid ranks."""
    first, second = torch.randn(2, *ranks.valid.shape, generator=generator, dtype=torch.float64)
    return (ranks.valid * (first * ranks.among_all + second * ranks.among_positives)).sum()


@pytest.mark.parametrize("include_query", [False, True, "positive"])
@pytest.mark.parametrize("step", ["logistic", "laplace"])
def test_gradient(step, include_query, generator):
    """Finite differences agree with the gradient of both kinds of ranks (scores without ties)."""
    _, relevance, own = problem(generator)
    scores = torch.randn(relevance.shape, generator=generator, dtype=torch.float64).requires_grad_()
    seed = int(torch.randint(1000, (), generator=generator))

    def value(x: Tensor) -> Tensor:
        ranks = positive_ranks_from_scores(
            x, relevance, query_item=own, include_query=include_query, temperature=0.1, step=step
        )
        return weighted(ranks, torch.Generator().manual_seed(seed))

    assert torch.autograd.gradcheck(value, scores)


def test_gradient_at_ties(generator):
    """All equal scores: every competitor pulls with the slope at 0, 1/(4 t), and pushes back equally."""
    scores = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    relevance = torch.tensor([[True, False, False, False, False]])
    positive_ranks_from_scores(scores, relevance, temperature=0.1).among_all.sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.tensor([[-10.0, 2.5, 2.5, 2.5, 2.5]]).double())


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 200, 100_000])
def test_tiles_and_blocks_change_nothing(rows, block, generator, monkeypatch):
    """Any cut of queries and of positives gives the same ranks and gradients."""
    _, relevance, own = problem(generator)
    scores = torch.randn(relevance.shape, generator=generator, dtype=torch.float64).requires_grad_()

    def value_and_gradient() -> tuple[Tensor, Tensor]:
        ranks = positive_ranks_from_scores(scores, relevance, query_item=own, temperature=0.2)
        value = weighted(ranks, torch.Generator().manual_seed(3))
        return ranks.among_all, torch.autograd.grad(value, scores)[0]

    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    whole = value_and_gradient()
    monkeypatch.setattr(plain, "TILE_ROWS", rows)
    monkeypatch.setattr(tile, "BLOCK_BYTES", {"cpu": block})
    for one, other in zip(value_and_gradient(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_memory_stays_within_the_budget(generator, monkeypatch):
    """No tensor beside input and output is larger than the budget allows."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    scores = torch.randn(64, 500, generator=generator).requires_grad_()
    relevance = torch.rand(64, 500, generator=generator) < 0.02
    monkeypatch.setattr(plain, "MEMORY_BUDGET", 3 * 500 * 4 * 8)  # eight rows
    monkeypatch.setattr(tile, "BLOCK_BYTES", {"cpu": 500 * 4 * 2})
    seen = []

    def note(module_scores: Tensor, *rest):
        seen.append(module_scores.numel())
        return original(module_scores, *rest)

    original = tile.tile_ranks
    monkeypatch.setattr(tile, "tile_ranks", note)
    positive_ranks_from_scores(scores, relevance, temperature=0.1).among_all.sum().backward()
    assert max(seen) <= 8 * 500
    assert len(seen) >= 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype, generator):
    """Half scores give the ranks of their own values in float32; the gradient returns in half."""
    scores = torch.randn(3, 400, generator=generator).to(dtype).requires_grad_()
    relevance = torch.zeros(3, 400, dtype=torch.bool)
    relevance[:, :3] = True
    ranks = positive_ranks_from_scores(scores, relevance, temperature=0.05)
    exact = positive_ranks_from_scores(scores.detach().double(), relevance, temperature=0.05)
    assert ranks.among_all.dtype == torch.float32
    torch.testing.assert_close(ranks.among_all.double(), exact.among_all, rtol=1e-5, atol=1e-5)
    ranks.among_all.sum().backward()
    assert scores.grad is not None and scores.grad.dtype == dtype and bool(scores.grad.isfinite().all())


def test_slope_does_not_die_early():
    """In float32 a competitor 20 temperatures above still feels exp(-20) / temperature."""
    scores = torch.tensor([[0.0, 2.0]], requires_grad=True)
    positive_ranks_from_scores(
        scores, torch.tensor([[True, False]]), temperature=0.1
    ).among_all.sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad[0, 1].item(), 2.0611536e-9 * 10, rtol=1e-4, atol=0)


def test_an_item_at_minus_infinity_does_not_compete(generator):
    """A score of -inf is as good as removing the item, for value and gradient."""
    scores = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    relevance = torch.tensor([[True, False, True, False, False, False]]).expand(4, -1).clone()
    masked = scores.clone()
    masked[:, 3] = -torch.inf
    kept = [0, 1, 2, 4, 5]
    gradients = []
    for values, which in ((masked, relevance), (scores[:, kept], relevance[:, kept])):
        leaf = values.clone().requires_grad_()
        ranks = positive_ranks_from_scores(leaf, which, temperature=0.3)
        gradients.append((ranks.among_all, torch.autograd.grad(ranks.among_all.square().sum(), leaf)[0]))
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    torch.testing.assert_close(gradients[0][1][:, kept], gradients[1][1])
    torch.testing.assert_close(gradients[0][1][:, 3], torch.zeros(4).double())


def test_empty_and_one_column():
    """No query, no item, or no positive at all: at least one column, nothing valid."""
    for queries, items in ((0, 3), (2, 0), (0, 0)):
        relevance = torch.zeros(queries, items, dtype=torch.bool)
        ranks = positive_ranks_from_scores(torch.zeros(queries, items), relevance, temperature=0.1)
        assert ranks.among_all.shape == (queries, 1)
        assert not bool(ranks.valid.any())


def test_a_second_derivative_is_refused(generator):
    """create_graph passes as long as nobody differentiates twice; then it raises instead of giving 0."""
    scores = torch.randn(2, 5, generator=generator, requires_grad=True)
    relevance = torch.tensor([[True, False, False, True, False]]).expand(2, -1)
    ranks = positive_ranks_from_scores(scores, relevance, temperature=0.1)
    (first,) = torch.autograd.grad(ranks.among_all.sum(), scores, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivative"):
        first.square().sum().backward()


def test_temperature_zero_has_no_gradient(generator):
    """Exact ranks are cut off from the graph."""
    scores = torch.randn(2, 5, generator=generator, requires_grad=True)
    relevance = torch.tensor([[True, False, False, True, False]]).expand(2, -1)
    assert not positive_ranks_from_scores(scores, relevance, temperature=0).among_all.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"step": "logistik"}, "Did you mean 'logistic'"),
        ({"include_query": "yes"}, "include_query is 'yes'"),
        ({"query_item": [0, 7]}, "one item number below 3"),
        ({"query_item": [0]}, "one item number below 3"),
        ({"relevance": torch.ones(2, 2, dtype=torch.bool)}, "relevance is"),
        ({"relevance": torch.ones(2, 3)}, "relevance is"),
        ({"scores": torch.zeros(6)}, "scores is"),
        ({"scores": torch.full((2, 3), torch.nan), "temperature": 0}, "NaN in 2 of 2 rows, first in row 0"),
    ],
)
def test_refuses(change, message):
    """What does not fit is refused in one sentence that says what came."""
    arguments = {
        "scores": torch.zeros(2, 3),
        "relevance": torch.ones(2, 3, dtype=torch.bool),
        "temperature": 0.1,
    }
    arguments |= change
    with pytest.raises(InputError, match=message):
        positive_ranks_from_scores(arguments.pop("scores"), arguments.pop("relevance"), **arguments)


def test_nan_is_seen_or_refused():
    """NaN scores make NaN ranks; with anomaly detection on they are refused."""
    scores, relevance = torch.tensor([[0.1, torch.nan, 0.3]]), torch.tensor([[True, False, False]])
    assert bool(positive_ranks_from_scores(scores, relevance, temperature=0.1).among_all.isnan().all())
    with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly():
        with pytest.raises(InputError, match="NaN in 1 of 1 rows"):
            positive_ranks_from_scores(scores, relevance, temperature=0.1)
