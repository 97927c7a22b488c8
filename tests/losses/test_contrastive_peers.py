"""SupCon and circle loss beside those of pytorch-metric-learning: where they are equal, and where they differ."""

import math

import pytest
import torch
from torch import Tensor

from metricgrad.averages import mean_valid
from metricgrad.losses import circle_loss, supcon_loss
from metricgrad.pairing import has_positive

losses = pytest.importorskip("pytorch_metric_learning.losses")
reducers = pytest.importorskip("pytorch_metric_learning.reducers")

LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 0, 3, 3, 1])
"""One class has a single row."""


def drawn(generator: torch.Generator) -> Tensor:
    """Rows of different lengths."""
    return 3 * torch.randn(10, 6, generator=generator, dtype=torch.float64)


def of_anchors(name: str, rows: Tensor, labels: Tensor, **settings: float) -> Tensor:
    """Their loss of every anchor, before their average."""
    made = getattr(losses, name)(reducer=reducers.DoNothingReducer(), **settings)
    return made(rows, labels)["loss"]["losses"].flatten()


@pytest.mark.parametrize(("margin", "scale"), [(0.4, 80.0), (0.25, 256.0), (0.3, 4.0)])
def test_circle_of_every_anchor(margin: float, scale: float, generator: torch.Generator) -> None:
    """Equal in value and gradient; both hold the weights constant."""
    found = []
    for one in (
        lambda rows: circle_loss(rows, LABELS, margin=margin, scale=scale),
        lambda rows: of_anchors("CircleLoss", rows, LABELS, m=margin, gamma=scale),
    ):
        leaf = drawn(generator.manual_seed(0)).requires_grad_()
        value = one(leaf)
        found.append((value.detach(), torch.autograd.grad(value.sum(), leaf)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-8)
    assert bool(found[0][0][has_positive(LABELS)].all())


def test_the_mean_of_circle_losses_that_underflow_differs() -> None:
    """Theirs is over losses above 0, ours over anchors with pairs of both kinds: an anchor that is right counts."""
    rows = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0], [0, 0.5, 0.75**0.5], [0, 0, -1.0]])
    labels = torch.tensor([0, 0, 1, 1, 2])
    each = circle_loss(rows, labels, margin=0.25, scale=2000.0)
    assert each[:2].tolist() == [0.0, 0.0] and bool((each[2:4] > 0).all())
    theirs = float(losses.CircleLoss(m=0.25, gamma=2000.0)(rows, labels))
    assert theirs == pytest.approx(float(each[2:4].mean()), rel=1e-4)
    assert float(mean_valid(each, has_positive(labels))) == pytest.approx(float(each.sum()) / 4)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_supcon_of_every_anchor(temperature: float, generator: torch.Generator) -> None:
    """Equal in value and gradient, and in the mean over anchors with a positive."""
    found = []
    for one in (
        lambda rows: supcon_loss(rows, LABELS, temperature=temperature),
        lambda rows: of_anchors("SupConLoss", rows, LABELS, temperature=temperature),
    ):
        leaf = drawn(generator.manual_seed(0)).requires_grad_()
        value = one(leaf)
        found.append((value.detach(), torch.autograd.grad(value.sum(), leaf)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-8)
    theirs = losses.SupConLoss(temperature=temperature)(drawn(generator.manual_seed(0)), LABELS)
    torch.testing.assert_close(mean_valid(found[0][0], has_positive(LABELS)), theirs)


def test_supcon_of_a_single_class_differs(generator: torch.Generator) -> None:
    """Theirs is 0 without a negative. By the definition the positives are also in the sum: ours stays above ln 3."""
    rows = drawn(generator)[:4]
    assert float(losses.SupConLoss(temperature=0.5)(rows, torch.zeros(4))) == 0
    unit = torch.nn.functional.normalize(rows, dim=1)
    scores = (unit @ unit.T / 0.5).masked_fill(torch.eye(4).bool(), -torch.inf)
    wanted = scores.logsumexp(1) - scores.masked_fill(scores == -torch.inf, 0).sum(1) / 3
    found = supcon_loss(rows, [0, 0, 0, 0], temperature=0.5)
    torch.testing.assert_close(found, wanted)
    assert bool((found >= math.log(3) - 1e-12).all())
