"""What is special to the losses of complement entropy: what does not move them, margins, masks, and published traps."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad.errors import InputError
from metricgrad.losses import (
    complement_cross_entropy_loss,
    complement_entropy_loss,
    guided_complement_entropy_loss,
    hierarchical_complement_entropy_loss,
)

GROUPS = [0, 0, 0, 1, 1, 2]


def hierarchical(logits: Tensor, targets: Tensor, **settings: Any) -> Tensor:
    """The loss under groups of six classes."""
    return hierarchical_complement_entropy_loss(logits, targets, groups=GROUPS, **settings)


FLAT = (complement_entropy_loss, hierarchical)
ALL = (*FLAT, complement_cross_entropy_loss, guided_complement_entropy_loss)


def inputs(generator: torch.Generator, classes: int = 6) -> tuple[Tensor, Tensor]:
    """Logits [sample, class] and targets."""
    logits = 3 * torch.randn(20, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (20,), generator=generator)


def slope(
    loss: Callable[..., Tensor], logits: Tensor, targets: Tensor, **settings: Any
) -> tuple[Tensor, Tensor]:
    """The losses, and the gradient of their sum."""
    free = logits.detach().clone().requires_grad_()
    losses = loss(free, targets, **settings)
    return losses.detach(), torch.autograd.grad(losses.sum(), free)[0]


@pytest.mark.parametrize("loss", FLAT)
def test_the_target_has_no_gradient_to_the_last_bit(
    loss: Callable[..., Tensor], generator: torch.Generator
) -> None:
    """Nor has its logit a say: any constant on it, and NaN, leaves value and gradient as they are."""
    logits, targets = inputs(generator)
    losses, gradient = slope(loss, logits, targets)
    at = torch.arange(20), targets
    assert torch.equal(gradient[at], torch.zeros(20, dtype=torch.float64))
    torch.testing.assert_close(gradient.sum(1), torch.zeros(20, dtype=torch.float64), rtol=0, atol=1e-14)
    for other in (-50.0, 1e4, torch.inf, torch.nan):
        moved = logits.clone()
        moved[at] = other
        again = slope(loss, moved, targets)
        assert torch.equal(again[0], losses) and torch.equal(again[1], gradient)


@pytest.mark.parametrize("loss", FLAT)
def test_a_constant_on_all_wrong_classes_changes_nothing(
    loss: Callable[..., Tensor], generator: torch.Generator
) -> None:
    """Only their differences count; classes that change places change them in the gradient."""
    logits, targets = inputs(generator)
    losses, gradient = slope(loss, logits, targets)
    for one, other in zip(slope(loss, logits + 7, targets), (losses, gradient), strict=True):
        torch.testing.assert_close(one, other)
    order = torch.tensor([1, 2, 0, 4, 3, 5])  # within the groups
    moved, back = logits[:, order], torch.argsort(order)
    again = slope(loss, moved, back[targets])
    torch.testing.assert_close(again, (losses, gradient[:, order]))


@pytest.mark.parametrize("margin", [5.0, 15.0, 17.0, 20.0, 30.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_published_code_adds_small_constants_trap(dtype: torch.dtype, margin: float) -> None:
    """From a margin of 16 in float32 they turn the sign of the gradient of the target, and half precision is NaN."""
    logits = torch.tensor([[margin, 1.0, 0.0, -1.0]], dtype=dtype)
    losses, gradient = slope(complement_entropy_loss, logits, torch.tensor([0]))
    wanted, exact = slope(complement_entropy_loss, logits.double(), torch.tensor([0]))
    torch.testing.assert_close(losses.double(), wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        gradient.double(), exact, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-6
    )
    assert float(gradient[0, 0]) == 0.0


def test_the_published_code_has_the_sign_reversed_trap() -> None:
    """Complement cross-entropy rewards level wrong classes; the published code punishes them by default."""
    level, uneven = torch.tensor([[2.0, 0.0, 0.0, 0.0]]), torch.tensor([[2.0, 1.5, 0.0, -1.5]])
    target = torch.tensor([0])
    for logits in (level, uneven):
        entropy = -complement_entropy_loss(logits, target, normalizer="none")
        plain = cross_entropy(logits, target)
        torch.testing.assert_close(complement_cross_entropy_loss(logits, target)[0], plain - entropy[0] / 3)
        with pytest.warns(UserWarning, match="balance is -1"):
            released = complement_cross_entropy_loss(logits, target, balance=-1, normalizer="released")
        torch.testing.assert_close(released[0], plain + entropy[0] / 4)


@pytest.mark.parametrize("classes", [3, 10, 37])
def test_the_published_code_fixes_ten_classes_trap(classes: int, generator: torch.Generator) -> None:
    """Its divisor is the number of classes that there are."""
    logits, targets = inputs(generator, classes)
    entropy = -complement_entropy_loss(logits, targets, normalizer="none")
    for normalizer, divisor in (
        ("support", classes - 1), ("released", classes), ("log_support", math.log(classes - 1) or 1)
    ):  # fmt: skip
        losses = complement_entropy_loss(logits, targets, normalizer=normalizer)
        torch.testing.assert_close(losses, -entropy / divisor)
    guided = guided_complement_entropy_loss(logits, targets, normalizer="released", guide_exponent=0)
    torch.testing.assert_close(guided, -entropy / math.log(classes))


def test_the_published_code_takes_equal_groups_alone_trap() -> None:
    """It picks as many classes as the first group has, from other groups where a group is smaller."""
    logits = torch.tensor([[0.0, 0.0, 0.0, 4.0, 2.0, 9.0]])
    losses = hierarchical(logits, torch.tensor([3]), level_weights=[0, 1], normalizer="none")
    assert float(losses) == 0.0  # one other class in the group of class 3
    entropy = -complement_entropy_loss(logits[:, [0, 1, 2, 5, 3]], torch.tensor([4]), normalizer="none")
    outer = hierarchical(logits, torch.tensor([3]), level_weights=[1, 0], normalizer="none")
    torch.testing.assert_close(-outer, entropy)


@pytest.mark.parametrize("loss", [complement_entropy_loss, complement_cross_entropy_loss])
def test_two_classes_are_warned_of(loss: Callable[..., Tensor]) -> None:
    """The loss is 0 with zero gradient, beside cross-entropy nothing is added."""
    logits, targets = torch.tensor([[3.0, -1.0], [-40.0, 40.0]]), torch.tensor([0, 0])
    for normalizer in ("support", "log_support", "released", "none"):
        with pytest.warns(UserWarning, match="two classes"):
            found = slope(loss, logits, targets, normalizer=normalizer)
        if loss is complement_entropy_loss:
            assert not bool(found[0].any()) and not bool(found[1].any())
        else:
            torch.testing.assert_close(found[0], cross_entropy(logits, targets, reduction="none"))


def test_two_classes_of_a_tree_are_warned_of() -> None:
    """As for the flat loss."""
    with pytest.warns(UserWarning, match="two classes"):
        losses = hierarchical_complement_entropy_loss(
            torch.randn(3, 2), torch.tensor([0, 1, 0]), groups=[0, 1]
        )
    assert not bool(losses.any())


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("normalizer", ["support", "log_support", "released", "none"])
def test_a_class_that_is_masked_is_dropped(
    loss: Callable[..., Tensor], normalizer: str, generator: torch.Generator
) -> None:
    """By its mask or by a logit of -inf, in value and gradient, also where it holds NaN; K counts what is left."""
    logits, targets = inputs(generator)
    targets = targets % 5
    mask = torch.ones(6, dtype=torch.bool)
    mask[5] = False
    dropped = logits.clone()
    dropped[:, 5] = -torch.inf
    spoilt = logits.clone()
    spoilt[:, 5] = torch.nan
    tree = {"groups": GROUPS[:5]} if loss is hierarchical else {}
    alone = hierarchical_complement_entropy_loss if loss is hierarchical else loss
    wanted = slope(alone, logits[:, :5], targets, normalizer=normalizer, **tree)
    for found in (
        slope(loss, logits, targets, normalizer=normalizer, class_mask=mask),
        slope(loss, spoilt, targets, normalizer=normalizer, class_mask=mask.expand(20, 6)),
        slope(loss, dropped, targets, normalizer=normalizer),
    ):
        torch.testing.assert_close((found[0], found[1][:, :5]), wanted)
        assert not bool(found[1][:, 5].any())


@pytest.mark.parametrize("loss", ALL)
def test_an_ignored_sample_may_hold_anything(loss: Callable[..., Tensor], generator: torch.Generator) -> None:
    """NaN and infinity among its logits reach neither its own loss nor anybody's gradient; nor need it be allowed."""
    logits, targets = inputs(generator)
    targets[:2] = -100
    mask = torch.ones(20, 6, dtype=torch.bool)
    mask[0] = False
    logits[0], logits[1] = torch.nan, torch.inf
    losses, gradient = slope(loss, logits, targets, class_mask=mask)
    assert not bool(losses[:2].any()) and not bool(gradient[:2].any())
    torch.testing.assert_close((losses[2:], gradient[2:]), slope(loss, logits[2:], targets[2:]))
    nothing = slope(loss, logits, torch.full((20,), -100))
    assert not bool(nothing[0].any()) and not bool(nothing[1].any())


def test_balance_is_linear(generator: torch.Generator) -> None:
    """0 is cross-entropy, and every unit adds the same."""
    logits, targets = inputs(generator)
    plain = cross_entropy(logits, targets, reduction="none")
    added = complement_entropy_loss(logits, targets)
    for balance in (0.0, 0.5, 2.0):
        losses = complement_cross_entropy_loss(logits, targets, balance=balance)
        torch.testing.assert_close(losses, plain + balance * added)


def test_the_guide_is_flat_at_confident_mistakes() -> None:
    """Which is why it is poor after training: cross-entropy has a thousand times that gradient."""
    logits = torch.tensor([[-20.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    guided = slope(guided_complement_entropy_loss, logits, torch.tensor([0]))[1]
    plain = slope(cross_entropy, logits, torch.tensor([0]))[1]
    assert float(guided.abs().max()) * 1e3 < float(plain.abs().max())


@pytest.mark.parametrize("margin", [-torch.inf, -1e4, -100.0, 100.0, 1e4])
@pytest.mark.parametrize("exponent", [0.0, 1 / 3, 1.0])
def test_the_guide_is_finite(exponent: float, margin: float) -> None:
    """Also where the probability of the target is 0, in value and gradient, whose rows add up to 0."""
    logits = torch.tensor([[margin, 0.0, 1.0, -1.0]])
    losses, gradient = slope(
        guided_complement_entropy_loss, logits, torch.tensor([0]), guide_exponent=exponent
    )
    assert bool(losses.isfinite().all()) and bool(gradient.isfinite().all())
    assert -1 <= float(losses) <= 0
    torch.testing.assert_close(gradient.sum(1), torch.zeros(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", ALL)
def test_nan_among_the_wrong_classes_stays(loss: Callable[..., Tensor]) -> None:
    """It is not hidden."""
    logits = torch.zeros(2, 6)
    logits[0, 1] = torch.nan
    assert loss(logits, torch.tensor([0, 0])).isnan().tolist() == [True, False]


@pytest.mark.parametrize(
    ("loss", "logits", "settings", "message"),
    [
        (complement_entropy_loss, torch.zeros(1, 1), {}, "one class"),
        (hierarchical_complement_entropy_loss, torch.zeros(1, 1), {"groups": [0]}, "one class"),
        (complement_cross_entropy_loss, torch.zeros(1, 1), {}, "one class"),
        (guided_complement_entropy_loss, torch.zeros(1, 2), {}, "2 classes"),
        (guided_complement_entropy_loss, torch.zeros(1, 2), {"normalizer": "none"}, "2 classes"),
        (guided_complement_entropy_loss, torch.zeros(1, 3), {"guide_exponent": -0.1}, "guide_exponent"),
        (complement_entropy_loss, torch.zeros(1, 3), {"normalizer": "mean"}, "normalizer is 'mean'"),
        (complement_entropy_loss, torch.zeros(1, 3), {"class_mask": [0, 1, 1]}, "target is 0"),
        (complement_entropy_loss, torch.zeros(1, 3), {"class_mask": [1, 1]}, "class_mask"),
        (complement_entropy_loss, torch.zeros(1, 3), {"class_mask": [2, 1, 1]}, "class_mask"),
        (complement_cross_entropy_loss, torch.zeros(1, 3), {"balance": math.nan}, "balance"),
        (hierarchical_complement_entropy_loss, torch.zeros(1, 3), {}, "neither of tree and groups"),
        (hierarchical_complement_entropy_loss, torch.zeros(1, 3), {"groups": [0, 1], "tree": [0, 1]}, "both"),
        (hierarchical_complement_entropy_loss, torch.zeros(1, 3), {"groups": [0, 1]}, "2 classes"),
        (hierarchical, torch.zeros(1, 6), {"level_weights": [1.0]}, "level_weights"),
        (hierarchical, torch.zeros(1, 6), {"level_weights": [1.0, -1.0]}, "level_weights"),
    ],
)
def test_what_does_not_fit_is_refused(
    loss: Callable[..., Tensor], logits: Tensor, settings: dict[str, Any], message: str
) -> None:
    """With one sentence that names it; no warning before."""
    with warnings.catch_warnings(), pytest.raises(InputError, match=message):
        warnings.simplefilter("error" if logits.shape[1] != 2 else "ignore")
        loss(logits, torch.tensor([0]), **settings)
