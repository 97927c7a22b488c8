"""Rows of length 1: ordinary rows as torch has them, to the last bit; very long and very short ones as they are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from metricgrad.errors import InputError
from metricgrad.losses import average_precision_loss, recall_at_k_loss, supcon_loss
from metricgrad.pairing import MemoryQueue, SiMix, unit_rows
from metricgrad.ranking import RankingLoss

LABELS = torch.arange(16) % 4


def with_gradient(function, rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The value at the rows and the gradient of its weighted sum."""
    rows = rows.detach().clone().requires_grad_()
    value = function(rows)
    (gradient,) = torch.autograd.grad((value * weights).sum(), rows)
    return value.detach(), gradient


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_unit_rows(dtype, generator):
    """Rows have length 1 in float32 or wider; a zero row stays zero with a zero gradient."""
    rows = torch.randn(4, 3, generator=generator).to(dtype)
    rows[1] = 0
    rows.requires_grad_()
    unit = unit_rows(rows)
    assert unit.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(unit.norm(dim=1), torch.tensor([1, 0, 1, 1], dtype=unit.dtype))
    unit.sum().backward()
    assert rows.grad is not None and bool(rows.grad.isfinite().all())
    torch.testing.assert_close(rows.grad[1], torch.zeros(3, dtype=dtype))


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    dim=st.integers(1, 40),
    strange=st.lists(st.sampled_from([0.0, 1e-45, 1e-30, 1e-14, 1e25, 1e38]), max_size=3),
)
def test_ordinary_rows_keep_every_bit(seed, dtype, dim, strange):
    """Value and gradient equal those of torch's normalize bit for bit, whatever rows stand beside them."""
    generator = torch.Generator().manual_seed(seed)
    lengths = 10 ** (28 * torch.rand(9, 1, generator=generator, dtype=dtype) - 11)  # 1e-11 to 1e17
    rows = torch.randn(9, dim, generator=generator, dtype=dtype) * lengths
    rows = rows + 1e-11 * torch.ones(dim, dtype=dtype)  # none shorter than 1e-12
    rows = rows[rows.norm(dim=1) > 2e-12]
    weights = torch.randn(rows.shape, generator=generator, dtype=dtype)
    beside = torch.tensor(strange, dtype=dtype)[:, None].expand(-1, dim)
    count = len(rows)
    padding = torch.ones_like(beside)
    value, gradient = with_gradient(unit_rows, torch.cat([rows, beside]), torch.cat([weights, padding]))
    expected_value, expected = with_gradient(lambda given: normalize(given), rows, weights)
    assert torch.equal(value[:count], expected_value) and torch.equal(gradient[:count], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", [-1015, -140, -133, -100, -64, -41, 60, 64, 100, 126, 500, 1020])
def test_direction_of_any_length(power, dtype, generator):
    """Rows times a power of two have the directions of the rows; the gradient is divided by it, to 1e12 at most."""
    rows = torch.randn(6, 5, generator=generator, dtype=torch.float64).clamp(-0.9, 0.9).to(dtype)
    weights = torch.randn(6, 5, generator=generator, dtype=torch.float64).to(dtype)
    scaled = rows * 2.0 ** (power // 2) * 2.0 ** (power - power // 2)
    if not bool(scaled.any(1).all()) or not bool(scaled.isfinite().all()):
        return  # out of the range of the type
    exact = scaled.double() if dtype == torch.float32 else rows  # float32 may have lost bits below its range
    value, gradient = with_gradient(unit_rows, scaled, weights)
    length = torch.linalg.vector_norm(exact, dim=1, keepdim=True)
    torch.testing.assert_close(value, (exact / length).to(dtype))
    unit = with_gradient(unit_rows, exact / length, weights.double())[1]
    if dtype == torch.float64:
        length = length * 2.0 ** (power // 2) * 2.0 ** (power - power // 2)
    expected = unit / length.clamp(min=1e-12)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-37)


@pytest.mark.parametrize("factor", [1e-44, 1e-25, 1e-13, 3e19, 1e22, 1e37])
def test_losses_see_the_direction_alone(factor, generator):
    """Losses of the same directions are equal, and so are their gradients times the length."""
    rows = torch.randn(16, 8, generator=generator).clamp(-3, 3)
    criteria = {
        "recall": RankingLoss(recall_at_k_loss, temperature=0.05),
        "precision": RankingLoss(average_precision_loss, temperature=0.05, simix=SiMix(generator=generator)),
        "supcon": lambda given, labels: supcon_loss(given, labels).mean(),
        "inside": lambda given, labels: supcon_loss(given, labels, positives="inside").mean(),
    }
    for name, criterion in criteria.items():
        state = generator.get_state()
        long = (rows * factor).requires_grad_()
        found = criterion(long, LABELS)
        (gradient,) = torch.autograd.grad(found, long)
        generator.set_state(state)
        exact = (long.detach().double() / factor).requires_grad_()
        expected = criterion(exact, LABELS)
        (of_exact,) = torch.autograd.grad(expected, exact)
        torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-5)
        angle = torch.cosine_similarity(
            (gradient.double() / gradient.abs().max()).flatten(), of_exact.flatten(), dim=0
        )
        assert angle > (0.999 if factor > 1e-12 else 0.9), name


def test_a_queue_of_long_rows(generator):
    """Rows that wait in a queue are ranked by their directions too."""
    rows = torch.randn(16, 8, generator=generator)
    values = []
    for factor in (1.0, 1e30):
        memory = MemoryQueue(32, 8)
        memory.push(rows.flip(0) * factor, LABELS)
        criterion = RankingLoss(recall_at_k_loss, temperature=0.05, memory=memory).eval()
        values.append(criterion(rows * factor, LABELS))
    torch.testing.assert_close(*values)


def test_rows_that_are_no_numbers_stay_so():
    """NaN and infinite rows are NaN and touch no other row; no dimension and no row are no error."""
    rows = torch.tensor([[1.0, 0.0], [torch.nan, 1.0], [torch.inf, 1.0], [1e30, 0.0]])
    unit = unit_rows(rows)
    assert unit.isnan().any(1).tolist() == [False, True, True, False]
    assert unit[0].tolist() == unit[3].tolist() == [1.0, 0.0]
    assert unit_rows(torch.zeros(3, 0)).shape == (3, 0) and unit_rows(torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    "rows", [torch.ones(3, dtype=torch.long)[None], torch.ones(3), torch.ones(2, 2) * 1j, [[1.0]]]
)
def test_other_things_are_refused(rows):
    """Whole numbers, complex ones, a vector and a list are no matrix of embeddings."""
    with pytest.raises(InputError, match="unit_rows"):
        unit_rows(rows)
