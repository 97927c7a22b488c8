"""The laws that every loss keeps, one test per law and row of `cases.py`."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from metricgrad import losses, positive_ranks
from metricgrad.losses import row_chunks
from metricgrad.losses.class_scores import IGNORED
from metricgrad.methods.objectives import loss_named, objectives, trained_as
from metricgrad.relax import plain, positive_ranks_from_scores, tile
from tests.laws.cases import LOSS_CASES, LossCase
from tests.laws.test_completeness import MAKERS

every_loss = pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: case.label)
SEEDS = range(3)


def skip_unless(case: LossCase, law: str) -> None:
    """Skip a law that the case excuses itself from, with its reason."""
    if law in case.skip:
        pytest.skip(case.skip[law])


def value(case: LossCase, outputs: Tensor, targets: Tensor, of_ranks: float = 0.1, **settings: Any) -> Tensor:
    """Return the loss of every unit; a loss of ranks gets the ranks of its scores, of that temperature."""
    first = (
        (positive_ranks_from_scores(outputs, targets, temperature=of_ranks),)
        if case.takes == "ranks"
        else (outputs, targets)
    )
    return case.target(*first, **{**settings_of(case, outputs), **settings})


def settings_of(case: LossCase, outputs: Tensor) -> dict[str, Any]:
    """The settings of a row, those per class for as many classes as there are."""
    return {
        key: setting(outputs.shape[1]) if callable(setting) else setting
        for key, setting in case.settings.items()
    }


def slope(
    case: LossCase, outputs: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient of its (weighted) sum by the outputs."""
    leaf = outputs.detach().clone().requires_grad_()
    loss = value(case, leaf, targets)
    return loss.detach(), torch.autograd.grad((loss if weights is None else loss * weights).sum(), leaf)[0]


def close(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    """Equal up to the rounding of sums taken in another order."""
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_every_public_loss_has_a_row():
    """The rows and `losses.__all__` name the same losses; what remembers has its rows among the methods.

    A tree of classes is a setting of a loss.
    """
    functions = {name for name in losses.__all__ if name.endswith("_loss")}
    assert {case.target.__name__ for case in LOSS_CASES} == functions
    assert {name for name in losses.__all__ if name not in functions | MAKERS | {"ClassTree"}} == {
        trained_as(name).__name__ for name in objectives() if trained_as(name) is not loss_named(name)
    }


@every_loss
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])])
def test_gradient_equals_differences(case: LossCase, seed: int):
    """float64 gradcheck away from kinks."""
    skip_unless(case, "differences")
    outputs, targets = case.make_inputs(Generator().manual_seed(seed))
    assert torch.autograd.gradcheck(lambda leaf: value(case, leaf, targets, 0.3), outputs.requires_grad_())


def without_a_loss(case: LossCase, targets: Tensor) -> Tensor:
    """Targets like these under which no unit has a loss."""
    if case.takes == "logits" or (case.whole and case.takes != "embeddings"):
        return torch.full_like(targets, IGNORED)
    return torch.zeros_like(targets) if case.takes in ("ranks", "scores") else torch.arange(len(targets))


def first(values: Tensor, items: int = 1) -> Tensor:
    """The first unit, with the first of its items."""
    return values[(slice(1), slice(items), *[slice(1)] * (values.ndim - 2))[: values.ndim]]


def extremes(outputs: Tensor, targets: Tensor, none: Tensor, fewest: int = 1) -> list[tuple[Tensor, Tensor]]:
    """Huge, tiny and equal outputs; one label or relevance for all; nothing relevant; the fewest items, or no row."""
    return [
        (outputs * 1e4, targets),
        (outputs * 1e-30, targets),
        (torch.zeros_like(outputs), targets),
        (torch.ones_like(outputs), targets),
        (-1e4 * torch.ones_like(outputs), targets),
        (outputs, torch.ones_like(targets)),
        (outputs, none),
        (first(outputs, fewest), first(targets, fewest)),
        (outputs[:0], targets[:0]),
    ]


@every_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_value_and_gradient_are_finite(case: LossCase, dtype: torch.dtype):
    """At extremes and in half precision; the loss itself is float32 or wider."""
    drawn, labels = case.make_inputs(Generator().manual_seed(0))
    for outputs, targets in extremes(drawn, labels, without_a_loss(case, labels), case.fewest):
        loss, gradient = slope(case, outputs.to(dtype), targets)
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert gradient.dtype == dtype
        assert bool(loss.isfinite().all())
        assert bool(gradient.isfinite().all())


@every_loss
def test_half_precision_is_close(case: LossCase):
    """bfloat16 outputs give the loss of their own values."""
    outputs, targets = case.make_inputs(Generator().manual_seed(1))
    outputs = outputs.bfloat16()
    found, wanted = value(case, outputs, targets), value(case, outputs.double(), targets)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


@every_loss
def test_an_undefined_unit_is_zero(case: LossCase):
    """A unit without positives has loss 0 and, where it stands alone, zero gradient."""
    skip_unless(case, "undefined")
    outputs, targets = case.make_inputs(Generator().manual_seed(0))
    undefined = case.exact(outputs, targets).isnan()
    assert bool(undefined.any())
    loss, gradient = slope(case, outputs, targets, undefined.double())
    assert not bool(loss[undefined].any())
    assert not bool(gradient.any())
    assert bool(slope(case, outputs, targets)[1].any())


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_queries_do_not_meet(case: LossCase, seed: int):
    """A query removed is a query whose loss is not counted."""
    skip_unless(case, "items")
    outputs, targets = case.make_inputs(Generator().manual_seed(seed))
    kept = torch.tensor([5, 0, 2])
    weights = torch.zeros(len(outputs), dtype=torch.float64)
    weights[kept] = 1
    loss, gradient = slope(case, outputs, targets, weights)
    close(slope(case, outputs[kept], targets[kept]), (loss[kept], gradient[kept]))


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_a_masked_item_is_a_removed_item(case: LossCase, seed: int):
    """An irrelevant item (a class that is no target) at -inf gives the loss and gradient of one that is not there."""
    skip_unless(case, "masked")
    outputs, targets = case.make_inputs(Generator().manual_seed(seed))
    kept = [item for item in range(outputs.shape[1]) if item != 4]
    rest = targets
    if case.takes == "ranks":
        targets[:, 4] = False
        rest = targets[:, kept]
    masked = outputs.clone()
    masked[:, 4] = -torch.inf
    loss, gradient = slope(case, masked, targets)
    close(slope(case, outputs[:, kept], rest), (loss, gradient[:, kept]))


@every_loss
def test_chunked_equals_whole(case: LossCase, monkeypatch: pytest.MonkeyPatch):
    """Budgets that cut the work into the smallest pieces change nothing."""
    outputs, targets = case.make_inputs(Generator().manual_seed(2))
    whole = slope(case, outputs, targets)
    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    monkeypatch.setattr(plain, "MEMORY_BUDGET", 1)
    monkeypatch.setattr(tile, "BLOCK_BYTES", {"cpu": 1})
    monkeypatch.setattr(row_chunks, "MEMORY_BUDGET", 1)
    close(slope(case, outputs, targets), whole)


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_is_the_exact_metric(case: LossCase, seed: int):
    """As the temperatures go to 0 the loss becomes one minus the exact metric; ties in the scores count 1/2."""
    skip_unless(case, "limit")
    outputs, targets = case.make_inputs(Generator().manual_seed(seed))
    wanted = case.exact(outputs, targets).nan_to_num(0)
    torch.testing.assert_close(value(case, outputs, targets, 1e-6, **case.limit), wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(value(case, outputs, targets, 0, **case.limit), wanted, rtol=0, atol=1e-12)


@every_loss
def test_descent_does_not_lower_the_metric(case: LossCase):
    """60 steps on free outputs: the loss falls and the exact metric does not."""
    outputs, targets = case.make_inputs(Generator().manual_seed(0))
    before, free = case.exact(outputs, targets).nanmean(), outputs.clone().requires_grad_()
    first = value(case, free, targets, 0.3).mean()
    optimiser = torch.optim.Adam([free], lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        value(case, free, targets, 0.3).mean().backward()
        optimiser.step()
    assert value(case, free, targets, 0.3).mean() < first
    assert case.exact(free.detach(), targets).nanmean() <= before


@every_loss
@pytest.mark.parametrize("seed", SEEDS)
def test_order_does_not_matter(case: LossCase, seed: int):
    """Permuted rows permute loss and gradient; permuted items of a ranking permute the gradient only."""
    outputs, targets = case.make_inputs(Generator().manual_seed(seed))
    generator = Generator().manual_seed(100 + seed)
    loss, gradient = slope(case, outputs, targets)
    rows = torch.randperm(len(outputs), generator=generator)
    if case.takes == "ranks":
        items = torch.randperm(outputs.shape[1], generator=generator)
        outputs, targets, gradient = outputs[:, items], targets[:, items], gradient[:, items]
    close(slope(case, outputs[rows], targets[rows]), (loss if case.whole else loss[rows], gradient[rows]))


@every_loss
def test_threads_leave_every_bit_in_place(case: LossCase):
    """A batch that several threads share gives the same bits each time, so that a resumed run can."""
    rows = torch.randn(1024, 64, generator=Generator().manual_seed(0))
    one_score = case.make_inputs(Generator())[0].ndim == 1
    rows = rows[:, 0] if one_score else rows
    classes = 2 if one_score else 64 if case.takes in ("logits", "label_logits") else 170
    labels = torch.arange(len(rows)) % classes
    if case.make_inputs(Generator())[0].ndim == 4:  # images
        rows, labels = rows.reshape(4, 64, 16, 16), labels.reshape(4, 16, 16)
    threads, found = torch.get_num_threads(), []
    torch.set_num_threads(4)
    try:
        for _ in range(5):
            leaf = rows.clone().requires_grad_()
            outputs = (
                (positive_ranks(leaf, labels, temperature=0.1),) if case.takes == "ranks" else (leaf, labels)
            )
            loss = case.target(*outputs, **settings_of(case, rows))
            found.append((loss.detach(), *torch.autograd.grad(loss.sum(), leaf)))
    finally:
        torch.set_num_threads(threads)
    for loss, gradient in found[1:]:
        assert torch.equal(loss, found[0][0]) and torch.equal(gradient, found[0][1])


@every_loss
@pytest.mark.parametrize("temperature", [1e-3, 0.1, 3.0])
def test_bounds(case: LossCase, temperature: float):
    """The loss stays within its bounds, also with many ties."""
    skip_unless(case, "bounds")
    low, high = case.bounds
    for seed in SEEDS:
        outputs, targets = case.make_inputs(Generator().manual_seed(seed))
        for tied in (outputs, outputs.round()):
            loss = value(case, tied, targets, temperature)
            assert low - 1e-12 <= float(loss.min())
            assert float(loss.max()) <= high + 1e-12
