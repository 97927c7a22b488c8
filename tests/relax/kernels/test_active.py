"""Gradients where few queries carry one are those of the blocks of all."""

import pytest
import torch
from torch import Tensor

from metricgrad import positive_ranks
from metricgrad.relax.kernels import active, products

LABELS = torch.arange(150).repeat_interleave(4)[
    torch.randperm(600, generator=torch.Generator().manual_seed(0))
]


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks, not the loops of small problems."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "numba")


def gradient(share: float, *, among_positives: bool, noise: float = 2.0, temperature: float = 0.05) -> Tensor:
    """Of ranks that a share of the queries, at random, carries on."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(150, 16, generator=generator, dtype=torch.float64)[LABELS]
    rows = rows + noise * torch.randn(600, 16, generator=generator, dtype=torch.float64)
    rows = torch.nn.functional.normalize(rows).requires_grad_()
    ranks = positive_ranks(rows, LABELS, temperature=temperature)
    weights = torch.rand(600, 3, generator=generator, dtype=torch.float64) + 0.5
    weights[torch.rand(600, generator=generator) >= share] = 0
    value = (ranks.among_all * weights).sum()
    if among_positives:
        value = value + ranks.among_positives.square().sum()
    return torch.autograd.grad(value, rows)[0]


@pytest.mark.parametrize("among_positives", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.8])
def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch, share: float, among_positives: bool) -> None:
    """Below half of the queries the others are left out; of the ranks among the positives nobody is."""
    heights: list[int] = []
    whole = products.gradients_of_products

    def seen(queries: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        heights.append(len(queries))
        return whole(queries, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(products, "gradients_of_products", seen)
        found = gradient(share, among_positives=among_positives)
    assert (min(heights) < 300) == (share < 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(active, "_few", lambda *_: None)
        wanted = gradient(share, among_positives=among_positives)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_blocks_that_were_noted_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes apart need no product at all, however few queries carry a gradient."""
    monkeypatch.setattr(active, "_few", None)  # a call would raise
    assert gradient(0.1, among_positives=False, noise=0.02, temperature=0.002).abs().max() > 0


@pytest.mark.parametrize(("noted", "share"), [("none", 1.0), ("outside", 8 / 36), ("all", 0.0)])
def test_blocks_that_there_are_not_are_not_counted(noted: str, share: float) -> None:
    """Mirrored blocks are half of the square: of 8 by 8 there are 36, and 8 of these lie on the diagonal."""
    entries = torch.full((64,), -1)
    on_diagonal = torch.zeros(36, dtype=torch.bool)
    on_diagonal[:8] = True
    entries[:36] = {"none": -1, "all": 0, "outside": torch.where(on_diagonal, -1, 0)}[noted]
    known = active._of_blocks(entries)
    assert len(known) == 36
    assert float((known < 0).double().mean()) == pytest.approx(share)
    assert len(active._of_blocks(torch.zeros(64, dtype=torch.int64))) == 64  # blocks that are not mirrored
