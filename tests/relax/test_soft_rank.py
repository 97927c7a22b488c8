"""Soft ranks of a list: compiled loops and torch text equal to the slow definition, in value and gradient."""

import itertools

import jaxtyping
import pytest
import torch
from torch import Generator, Tensor

from metricgrad.errors import InputError
from metricgrad.relax import scan, soft_rank, soft_ranks
from tests.oracles.soft_ranks import list_soft_ranks, list_soft_ranks_gradient

STEPS = ("logistic", "laplace")
FORMS = list(itertools.product((0, 0.02, 0.5), STEPS, (True, False)))


@pytest.fixture(autouse=True, params=["numba", "torch"])
def kernel(request, monkeypatch):
    """Every test runs with the compiled loops and with the torch text."""
    monkeypatch.setenv("METRICGRAD_KERNEL", request.param)
    return request.param


def tied(generator: Generator) -> tuple[Tensor, Tensor]:
    """Lists with ties (one all equal) and a mask with an empty and a full row."""
    scores = torch.randint(-6, 7, (2, 4, 11), generator=generator).double() / 8
    scores[0, 2] = 0.25
    mask = torch.rand(2, 4, 11, generator=generator) < 0.6
    mask[0, 0], mask[1, 1] = True, False
    return scores, mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("temperature", "step", "descending"), FORMS)
def test_equals_the_loops(temperature, step, descending, masked, generator):
    """Values and gradients equal the double loop: batches, ties, all equal, masks, both directions."""
    scores, mask = tied(generator)
    chosen = mask if masked else torch.ones_like(mask)
    leaf = scores.clone().requires_grad_()
    ranks = soft_ranks(
        leaf, temperature=temperature, step=step, descending=descending, mask=mask if masked else None
    )
    upstream = torch.randn(scores.shape, generator=generator, dtype=torch.float64)
    lists = [part.reshape(8, 11).tolist() for part in (scores, upstream, chosen)]
    settings = {"temperature": temperature, "kind": step, "descending": descending}
    expected = [
        list_soft_ranks(values, mask=kept, **settings) for values, _, kept in zip(*lists, strict=True)
    ]
    torch.testing.assert_close(ranks.detach().reshape(8, 11), torch.tensor(expected, dtype=torch.float64))
    if temperature == 0:
        assert not ranks.requires_grad
        return
    ranks.backward(upstream)
    assert leaf.grad is not None
    expected = [
        list_soft_ranks_gradient(values, weights, mask=kept, **settings)
        for values, weights, kept in zip(*lists, strict=True)
    ]
    torch.testing.assert_close(
        leaf.grad.reshape(8, 11), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )
    assert bool((leaf.grad[~chosen] == 0).all())


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_gradient(step, descending, generator):
    """Finite differences agree with the gradient (scores without ties, some masked)."""
    scores = torch.randn(3, 9, generator=generator, dtype=torch.float64).requires_grad_()
    mask = torch.rand(3, 9, generator=generator) < 0.8

    def value(x: Tensor) -> Tensor:
        return soft_ranks(x, temperature=0.3, step=step, descending=descending, mask=mask)

    assert torch.autograd.gradcheck(value, scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-4, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("step", STEPS)
def test_compiled_equals_torch_text(step, temperature, dtype, generator, monkeypatch):
    """On lists with many windows, and far apart ones, both forms agree to float precision."""
    pieces = [torch.randn(400, generator=generator) * width for width in (0.01, 1.0, 1000.0)]
    scores = torch.cat([*pieces, torch.zeros(20)]).to(dtype).expand(2, -1).clone().requires_grad_()
    upstream = torch.randn(scores.shape, generator=generator).to(dtype)
    found = {}
    for form in ("numba", "torch"):
        monkeypatch.setenv("METRICGRAD_KERNEL", form)
        ranks = soft_ranks(scores, temperature=temperature, step=step)
        gradient = torch.autograd.grad(ranks, scores, upstream)[0]
        found[form] = ranks, gradient / gradient.abs().amax()
    precision = {"rtol": 2e-7, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-13, "atol": 1e-12}
    torch.testing.assert_close(found["numba"], found["torch"], **precision)


@pytest.mark.parametrize(("step", "tolerance"), [("logistic", 1e-6), ("laplace", 1e-12)])
def test_float32_is_summed_in_float64(step, tolerance, generator):
    """3,000 crowded float32 scores have the ranks of float64, rounded once (and cut at the window)."""
    scores = torch.randn(3000, generator=generator)
    for temperature in (1e-3, 1.0):
        ranks = soft_ranks(scores, temperature=temperature, step=step)
        wide = soft_ranks(scores.double(), temperature=temperature, step=step)
        torch.testing.assert_close(ranks.double(), wide, rtol=6.1e-8, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_the_window_does_not_matter(dtype, tolerance, generator, monkeypatch):
    """A window ten times as wide changes ranks and gradients by less than is promised."""
    scores = (torch.randn(1500, generator=generator, dtype=torch.float64) * 3).requires_grad_()
    upstream = torch.rand(1500, generator=generator, dtype=torch.float64)
    found = []
    for width in (soft_rank._window(1500, dtype), 250.0):
        monkeypatch.setattr(soft_rank, "_window", lambda *_, width=width: width)
        ranks = soft_ranks(scores, temperature=0.03)
        found.append((ranks, torch.autograd.grad(ranks, scores, upstream)[0] * 0.03))
    torch.testing.assert_close(found[0], found[1], rtol=2e-16 * 1500, atol=tolerance)


@pytest.mark.parametrize(("block", "items"), [(1, 256), (40, 7), (5000, 100)])
def test_blocks_of_the_text_change_nothing(block, items, generator, monkeypatch):
    """Any cut of the torch text gives the same ranks and gradients."""
    scores, mask = tied(generator)
    leaf = scores.requires_grad_()

    def found() -> tuple[Tensor, Tensor]:
        ranks = soft_ranks(leaf, temperature=0.2, mask=mask)
        return ranks, torch.autograd.grad(ranks.square().sum(), leaf)[0]

    whole = found()
    monkeypatch.setattr(scan, "BLOCK_ELEMENTS", block)
    monkeypatch.setattr(scan, "BLOCK_ITEMS", items)
    torch.testing.assert_close(found(), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("step", STEPS)
def test_all_equal(step):
    """Equal scores share the middle rank; each pulls at the others with the slope at 0."""
    scores = torch.full((5,), 3.0, dtype=torch.float64, requires_grad=True)
    ranks = soft_ranks(scores, temperature=0.1, step=step)
    torch.testing.assert_close(ranks, torch.full((5,), 3.0, dtype=torch.float64))
    ranks[0].backward()
    slope = {"logistic": 2.5, "laplace": 5.0}[step]
    torch.testing.assert_close(scores.grad, slope * torch.tensor([-4.0, 1, 1, 1, 1]).double())


@pytest.mark.parametrize("temperature", [0, 0.1])
@pytest.mark.parametrize("step", STEPS)
def test_one_item_and_none(step, temperature):
    """One item has rank 1; an empty list, no list at all and a wholly masked list have no rank to soften."""
    one = torch.zeros(3, 1, requires_grad=True)
    torch.testing.assert_close(soft_ranks(one, temperature=temperature, step=step), torch.ones(3, 1))
    for shape in ((0,), (2, 0), (0, 4), (2, 0, 3)):
        empty = torch.zeros(shape, requires_grad=True)
        ranks = soft_ranks(empty, temperature=temperature, step=step)
        assert ranks.shape == shape
        if temperature:
            ranks.sum().backward()
            assert empty.grad.shape == shape
    nobody = torch.zeros(4, dtype=torch.bool)
    torch.testing.assert_close(
        soft_ranks(torch.rand(4), temperature=temperature, step=step, mask=nobody), torch.ones(4)
    )


@pytest.mark.parametrize("temperature", [0, 0.2])
@pytest.mark.parametrize("step", STEPS)
def test_mirror(step, temperature, generator):
    """Ascending ranks are the descending ones of the negated scores, and both add up to item + 1."""
    scores, mask = tied(generator)
    down = soft_ranks(scores, temperature=temperature, step=step, mask=mask)
    up = soft_ranks(scores, temperature=temperature, step=step, mask=mask, descending=False)
    torch.testing.assert_close(up, soft_ranks(-scores, temperature=temperature, step=step, mask=mask))
    total = torch.where(mask, mask.sum(-1, keepdim=True) + 1.0, 2.0).double()
    torch.testing.assert_close(down + up, total)


@pytest.mark.parametrize("step", STEPS)
def test_permutation(step, generator):
    """Items in another order have the same ranks and gradients in that order."""
    scores, mask = tied(generator)
    order = torch.randperm(11, generator=generator)
    upstream = torch.randn(scores.shape, generator=generator, dtype=torch.float64)
    found = []
    for picked in (torch.arange(11), order):
        leaf = scores[..., picked].clone().requires_grad_()
        ranks = soft_ranks(leaf, temperature=0.2, step=step, mask=mask[..., picked])
        found.append((ranks, torch.autograd.grad(ranks, leaf, upstream[..., picked])[0]))
    torch.testing.assert_close(found[1], tuple(part[..., order] for part in found[0]))


@pytest.mark.parametrize("step", STEPS)
def test_a_mask_removes(step, generator):
    """Masked items are as good as not there, whatever stands in them, NaN and infinities included."""
    scores = torch.randn(9, generator=generator, dtype=torch.float64)
    kept = torch.tensor([0, 2, 3, 5, 8])
    mask = torch.zeros(9, dtype=torch.bool)
    mask[kept] = True
    spoilt = scores.clone()
    spoilt[[1, 4, 6, 7]] = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.1]).double()
    spoilt.requires_grad_()
    alone = scores[kept].clone().requires_grad_()
    ranks = soft_ranks(spoilt, temperature=0.3, step=step, mask=mask)
    fewer = soft_ranks(alone, temperature=0.3, step=step)
    torch.testing.assert_close(ranks[kept], fewer)
    torch.testing.assert_close(ranks[~mask], torch.ones(4).double())
    ranks.square().sum().backward()
    fewer.square().sum().backward()
    torch.testing.assert_close(spoilt.grad, torch.zeros(9).double().index_copy(0, kept, alone.grad))
    torch.testing.assert_close(
        soft_ranks(spoilt, temperature=0, mask=mask)[kept], soft_ranks(alone, temperature=0)
    )


@pytest.mark.parametrize("step", STEPS)
def test_infinite_scores(step, generator):
    """They come first or last, in the middle of their equals, without gradient; the others do not feel them."""
    finite = torch.randn(6, generator=generator, dtype=torch.float64)
    scores = torch.cat([torch.tensor([-torch.inf, torch.inf, -torch.inf, -torch.inf, torch.inf]), finite])
    for temperature in (0, 0.3):
        leaf, alone = scores.double().clone().requires_grad_(), finite.clone().requires_grad_()
        ranks = soft_ranks(leaf, temperature=temperature, step=step)
        among = soft_ranks(alone, temperature=temperature, step=step)
        torch.testing.assert_close(ranks[:5], torch.tensor([10, 1.5, 10, 10, 1.5]).double())
        torch.testing.assert_close(ranks[5:], among + 2)
        if temperature:
            ranks.square().sum().backward()
            (among + 2).square().sum().backward()
            torch.testing.assert_close(leaf.grad, torch.cat([torch.zeros(5).double(), alone.grad]))


@pytest.mark.parametrize("step", STEPS)
def test_nan(step):
    """NaN spoils the ranks and gradients of its row alone; where an exact order is asked for, it is refused."""
    scores = torch.tensor([[0.1, torch.nan, 0.3, torch.inf], [0.1, 0.2, 0.3, 0.4]], requires_grad=True)
    mask = torch.tensor([[True, True, False, True], [True, True, True, True]])
    ranks = soft_ranks(scores, temperature=0.1, step=step, mask=mask)
    nan = torch.nan
    torch.testing.assert_close(ranks[0], torch.tensor([nan, nan, 1, nan]), equal_nan=True)
    assert bool(ranks[1].isfinite().all())
    ranks.sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad[0], torch.tensor([nan, nan, 0, nan]), equal_nan=True)
    assert bool(scores.grad[1].isfinite().all())
    with pytest.raises(InputError, match="NaN in 1 of 2 rows, first in row 0"):
        soft_ranks(scores, temperature=0, step=step, mask=mask)
    with torch.autograd.set_detect_anomaly(True, check_nan=False), pytest.raises(InputError, match="NaN"):
        soft_ranks(scores, temperature=0.1, step=step)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", STEPS)
def test_extremes(step, dtype):
    """Scores and temperatures at the ends of the floats give finite ranks and no NaN."""
    largest = torch.finfo(dtype).max
    scores = torch.tensor([-largest, -1.0, -0.0, 0.0, 1e-30, 1.0, largest], dtype=dtype)
    for temperature in (1e-30, 1.0, 1e30):
        leaf = scores.clone().requires_grad_()
        ranks = soft_ranks(leaf, temperature=temperature, step=step)
        ranks.square().sum().backward()
        assert bool(ranks.isfinite().all()) and not bool(leaf.grad.isnan().any())
        assert bool((ranks >= 1).all()) and bool((ranks <= 7).all())
        torch.testing.assert_close(ranks.sum().item(), 28.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("step", STEPS)
def test_half_precision_is_computed_in_float32(step, dtype, generator):
    """Half scores give the ranks of their own values in float32; the gradient returns in half."""
    scores = torch.randn(3, 200, generator=generator).to(dtype).requires_grad_()
    ranks = soft_ranks(scores, temperature=0.05, step=step)
    assert ranks.dtype == torch.float32
    torch.testing.assert_close(ranks, soft_ranks(scores.detach().float(), temperature=0.05, step=step))
    ranks.square().mean().backward()
    assert scores.grad.dtype == dtype and bool(scores.grad.isfinite().all())


@pytest.mark.parametrize("step", STEPS)
def test_layout_does_not_matter(step, generator):
    """Transposed, strided and expanded scores and upstream gradients give what contiguous ones give."""
    wide = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    for view in (wide.T, wide[::2, ::2], wide[:1].expand(4, -1), wide[0, ::3]):
        found = []
        for values in (view, view.contiguous()):
            leaf = values.detach().requires_grad_()
            ranks = soft_ranks(leaf, temperature=0.4, step=step)
            upstream = (
                torch.arange(ranks.numel()).double().reshape(ranks.T.shape).T if ranks.ndim > 1 else ranks
            )
            found.append((ranks, torch.autograd.grad(ranks, leaf, upstream.detach())[0]))
        torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("step", STEPS)
def test_limit_is_the_exact_rank(step, generator):
    """As the temperature goes to 0 the soft ranks reach those of temperature 0, ties included."""
    scores, mask = tied(generator)
    exact = soft_ranks(scores, temperature=0, mask=mask)
    torch.testing.assert_close(soft_ranks(scores, temperature=1e-4, step=step, mask=mask), exact)


def test_many_rows_and_one_long_row_sort_alike(generator, monkeypatch):
    """Whether numpy or torch sorts, the ranks are the same."""
    scores = torch.randn(2, 50, generator=generator)
    scores[0, 3] = torch.nan
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(soft_ranks(scores, temperature=0.1))
    torch.testing.assert_close(found[0], found[1], equal_nan=True)


@pytest.mark.parametrize("step", STEPS)
def test_a_constant_upstream_gives_exactly_nothing(step, generator):
    """The sum of all ranks is a constant, and its gradient has no rounding left over."""
    scores = torch.randn(500, generator=generator, requires_grad=True)
    soft_ranks(scores, temperature=0.5, step=step).sum().backward()
    assert bool((scores.grad == 0).all())


@pytest.mark.parametrize("step", STEPS)
def test_compiles_whole(step, generator, monkeypatch):
    """`torch.compile` takes it in one graph and gives the same values and gradients."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the checks of the tests do not compile
    scores = torch.randn(2, 20, generator=generator).requires_grad_()

    def loss(x: Tensor) -> Tensor:
        return soft_ranks(2 * x, temperature=0.3, step=step, mask=x > -1).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = [(value, torch.autograd.grad(value, scores)[0]) for value in (compiled(scores), loss(scores))]
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
@pytest.mark.parametrize("step", STEPS)
def test_a_second_derivative_is_refused(step, generator):
    """Asking for one raises instead of giving 0, also where the upstream gradient is a constant."""
    scores = torch.randn(5, generator=generator, requires_grad=True)
    ranks = soft_ranks(scores, temperature=0.3, step=step)
    for value in (ranks[0], ranks.square().sum()):
        (gradient,) = torch.autograd.grad(value, scores, create_graph=True)
        with pytest.raises(NotImplementedError, match="a first derivative only"):
            gradient.square().sum().backward(retain_graph=True)


def test_what_is_refused():
    """Wrong types, shapes and settings name what came and what was expected."""
    scores = torch.rand(3, 4)
    for wrong in (torch.tensor(1.0), torch.zeros(3, dtype=torch.long), [0.1, 0.2]):
        with pytest.raises(InputError, match="a floating-point tensor"):
            soft_ranks(wrong, temperature=0.1)
    for mask in (torch.ones(4, dtype=torch.bool), torch.ones(3, 4), [True]):
        with pytest.raises(InputError, match="True where an item takes part"):
            soft_ranks(scores, temperature=0.1, mask=mask)
    with pytest.raises(InputError, match="Did you mean 'laplace'"):
        soft_ranks(scores, temperature=0.1, step="laplce")
    for temperature in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature is"):
            soft_ranks(scores, temperature=temperature)


def test_without_numba(kernel, monkeypatch):
    """Where numba cannot be imported the torch text serves."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.delenv("METRICGRAD_KERNEL")
    soft_rank._compiled.cache_clear()
    monkeypatch.setattr(soft_rank.importlib, "import_module", missing)
    try:
        assert soft_rank._loops_for(torch.zeros(1)) is None
        torch.testing.assert_close(
            soft_ranks(torch.tensor([0.0, 9.0]), temperature=0.1), torch.tensor([2.0, 1])
        )
    finally:
        monkeypatch.undo()
        soft_rank._compiled.cache_clear()


@pytest.mark.gpu
@pytest.mark.parametrize("step", STEPS)
def test_on_a_gpu(step, generator):
    """A CUDA device gives the ranks and gradients of the CPU."""
    scores, mask = tied(generator)
    found = []
    for device in ("cpu", "cuda"):
        leaf = scores.to(device).requires_grad_()
        ranks = soft_ranks(leaf, temperature=0.3, step=step, mask=mask.to(device))
        found.append((ranks.cpu(), torch.autograd.grad(ranks.square().sum(), leaf)[0].cpu()))
    torch.testing.assert_close(found[1], found[0])
