"""Rows in chunks that are computed again: the same value, gradient and second derivative as all at once."""

import pytest
import torch
from torch import Tensor

from metricgrad.losses import hardest_triplet_loss, info_nce_loss, row_chunks, supcon_loss
from metricgrad.losses.row_chunks import in_row_chunks


def of_rows(rows: Tensor, left: Tensor, right: Tensor, still: Tensor) -> Tensor:
    """Return a loss of every row that has both derivatives."""
    return ((left[rows] @ right.T).square() * still).sum(1)


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_chunks_give_value_and_both_derivatives(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64 against the function of all rows and against differences."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(7, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    still = torch.arange(7.0, dtype=torch.float64)
    monkeypatch.setattr(row_chunks, "MEMORY_BUDGET", size)

    def chunked(left: Tensor, right: Tensor) -> Tensor:
        return in_row_chunks(of_rows, torch.arange(7), (left, right, still), row_bytes=1)

    whole = of_rows(torch.arange(7), left, right, still)
    torch.testing.assert_close(chunked(left, right), whole, rtol=1e-14, atol=1e-14)
    wanted = (left.requires_grad_(), right.requires_grad_())
    assert torch.autograd.gradcheck(chunked, wanted)
    assert torch.autograd.gradgradcheck(chunked, wanted)
    assert torch.autograd.gradcheck(lambda one: chunked(one, right.detach()), left)  # of one input alone


@pytest.mark.parametrize("loss", [info_nce_loss, hardest_triplet_loss, supcon_loss])
def test_chunks_stay_wide_under_autocast(loss, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backward pass computes again in the width of the forward pass, also where autocast is on."""
    rows = torch.randn(40, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    labels = torch.arange(40) // 4
    (alone,) = torch.autograd.grad(loss(rows, labels).sum(), rows)
    monkeypatch.setattr(row_chunks, "MEMORY_BUDGET", 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (chunked,) = torch.autograd.grad(loss(rows, labels).sum(), rows)
    torch.testing.assert_close(chunked, alone, rtol=1e-5, atol=1e-6)
