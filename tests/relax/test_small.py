"""Small problems: the same ranks and gradients as plain torch, by a way of their own."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metricgrad import positive_ranks
from metricgrad.losses import recall_at_k_loss
from metricgrad.relax import operator, small
from metricgrad.relax.setting import Setting


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is ours."""
    monkeypatch.delenv("METRICGRAD_KERNEL", raising=False)


def uneven(
    queries: int = 23, items: int = 31, *, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Setting]:
    """Rows, items and lists of none to four positives; some queries are an item that does not compete."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.arange(queries) % 5
    positives = torch.stack(
        [torch.randperm(items - queries, generator=generator)[:4] + queries for _ in range(queries)]
    )
    positives = positives.masked_fill(torch.arange(4) >= counts.unsqueeze(1), 0)
    excluded = torch.arange(queries).masked_fill(torch.arange(queries) % 3 == 0, -1)
    rows = torch.randn(queries, 6, generator=generator, dtype=dtype)
    return (
        rows,
        torch.randn(items, 6, generator=generator, dtype=dtype),
        Setting(positives, counts, excluded, 0.3, "logistic"),
    )


def both(
    monkeypatch: pytest.MonkeyPatch, what: Callable[[], list[Tensor]]
) -> tuple[list[Tensor], list[Tensor]]:
    """By the small way, which must be taken, and by plain torch."""
    taken: list[int] = []
    ranks = small.ranks_of_products
    with monkeypatch.context() as patch:
        patch.setattr(small, "ranks_of_products", lambda *given: taken.append(1) or ranks(*given))
        ours = what()
    assert taken
    with monkeypatch.context() as patch:
        patch.setenv("METRICGRAD_KERNEL", "torch")
        return ours, what()


@pytest.mark.parametrize("step", ["logistic", "laplace"])
@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_equals_plain_torch(
    monkeypatch: pytest.MonkeyPatch, step: str, which: tuple[bool, bool], dtype: torch.dtype
) -> None:
    """Ranks and both gradients, whichever ranks a loss reads."""
    rows, items, setting = uneven(dtype=dtype)
    setting = setting._replace(step=step)

    def found() -> list[Tensor]:
        leaves = rows.clone().requires_grad_(), items.clone().requires_grad_()
        ranks = operator.products(*leaves, setting)
        value = sum(
            (one * torch.arange(4)).sin().sum() for one, read in zip(ranks, which, strict=True) if read
        )
        return [*ranks, *torch.autograd.grad(value, leaves)]

    wide = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}  # both are so far from float64
    torch.testing.assert_close(*both(monkeypatch, found), **wide)


def test_rows_that_are_their_own_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tensor twice has the sum of both gradients."""
    labels = torch.arange(40) // 4
    rows = torch.nn.functional.normalize(
        torch.randn(40, 8, generator=torch.Generator().manual_seed(1)), dim=1
    )

    def found() -> list[Tensor]:
        leaf = rows.clone().requires_grad_()
        loss = recall_at_k_loss(positive_ranks(leaf, labels, temperature=0.05), k=(1, 2)).mean()
        return [loss.detach(), *torch.autograd.grad(loss, leaf)]

    torch.testing.assert_close(*both(monkeypatch, found))


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_a_few_hundred_rows(monkeypatch: pytest.MonkeyPatch, noise: float) -> None:
    """Classes apart and overlapping, at a temperature at which most scores are far from every level."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(75).repeat_interleave(4)
    rows = torch.randn(75, 16, generator=generator, dtype=torch.float64)[labels]
    rows = rows + noise * torch.randn(300, 16, generator=generator, dtype=torch.float64)
    rows = torch.nn.functional.normalize(rows)

    def found() -> list[Tensor]:
        leaf = rows.clone().requires_grad_()
        ranks = positive_ranks(leaf, labels, temperature=0.01)
        loss = recall_at_k_loss(ranks).mean() + ranks.among_positives.sin().mean()
        return [ranks.among_all.detach(), *torch.autograd.grad(loss, leaf)]

    torch.testing.assert_close(*both(monkeypatch, found), rtol=1e-9, atol=1e-12)


def test_gradients_that_are_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go where plain torch carries them."""
    rows, items, setting = uneven()

    def found() -> list[Tensor]:
        leaf = rows.clone().requires_grad_()
        among_all, _ = operator.products(leaf, items, setting)
        weights = torch.ones_like(among_all)
        weights[3, 0] = torch.nan
        return list(torch.autograd.grad(among_all, leaf, weights))

    torch.testing.assert_close(*both(monkeypatch, found), equal_nan=True)


def test_gradcheck() -> None:
    """In float64, of both kinds of ranks and both operands."""
    rows, items, setting = uneven(7, 12)
    leaves = rows.requires_grad_(), items.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, i: operator.products(q, i, setting), leaves)


def test_far_scores_keep_their_slope() -> None:
    """A step of 1 - 1e-13 has a slope, although float32 takes it for 1."""
    rows = torch.tensor([[30.0, 0.0]], requires_grad=True)
    items = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    setting = Setting(torch.tensor([[0]]), torch.tensor([1]), None, 1.0, "logistic")
    among_all, _ = operator.products(rows, items, setting)
    (gradient,) = torch.autograd.grad(among_all.sum(), rows)
    torch.testing.assert_close(gradient[0, 0], torch.tensor(-30.0).exp(), rtol=1e-4, atol=0)


def test_a_second_derivative_is_refused() -> None:
    """With the sentence of the other ways; a first one with create_graph is given."""
    rows, items, setting = uneven()
    leaf = rows.requires_grad_()
    (first,) = torch.autograd.grad(operator.products(leaf, items, setting)[0].sum(), leaf, create_graph=True)
    (plain,) = torch.autograd.grad(operator.products(leaf, items, setting)[0].sum(), leaf)
    torch.testing.assert_close(first.detach(), plain)
    with pytest.raises(NotImplementedError, match="second derivative"):
        first.sum().backward()


def test_a_graph_that_is_kept_gives_the_same_twice() -> None:
    """Nothing that is saved is overwritten."""
    rows, items, setting = uneven()
    leaf = rows.requires_grad_()
    value = sum(one.sum() for one in operator.products(leaf, items, setting))
    first, second = (torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_nan_stays_with_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in plain torch."""
    rows, items, setting = uneven()
    rows[2] = torch.nan

    def found() -> list[Tensor]:
        return list(operator.products(rows.clone().requires_grad_(), items, setting))

    torch.testing.assert_close(*both(monkeypatch, found), equal_nan=True)


@pytest.mark.parametrize("why", ["large", "autocast", "no gradient"])
def test_other_problems_go_another_way(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Where there are many steps, where autocast would cast the product, and where nothing is trained."""
    rows, items, setting = uneven()
    monkeypatch.setattr(small, "ranks_of_products", None)  # a call would raise
    if why == "large":
        monkeypatch.setattr(small, "LIMIT", 23 * 31 * 4 - 1)
    with torch.autocast("cpu", enabled=why == "autocast"), torch.set_grad_enabled(why != "no gradient"):
        found = operator.products(rows.requires_grad_(), items, setting)
    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    torch.testing.assert_close(found, operator.products(rows, items, setting))


@pytest.mark.parametrize("upstream", [[float("inf"), float("-inf")], [3e38, 3e38]])
def test_numbers_that_are_not_finite_warn_of_nothing(upstream: list[float]) -> None:
    """Nor do finite ones whose sum is none: where warnings are errors, a loss would raise."""
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ranks = positive_ranks(rows, torch.arange(6) % 3, temperature=0.3).among_all
    weights = torch.ones_like(ranks)
    weights[:2, 0] = torch.tensor(upstream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = torch.autograd.grad(ranks, rows, weights)
    assert not bool(found.isfinite().all())
