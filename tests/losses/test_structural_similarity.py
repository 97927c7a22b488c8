"""What is special to structural similarity: borders, flat regions, ignored pixels, inputs that do not fit."""

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import structural_similarity_loss
from metricgrad.losses.structural_similarity import structural_errors


def scene(generator: torch.Generator, side: int = 6) -> tuple[Tensor, Tensor]:
    """Logits [2, 3, side, side] and class numbers."""
    logits = torch.randn(2, 3, side, side, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 3, (2, side, side), generator=generator)


def test_borders_are_like_the_inside(generator: torch.Generator) -> None:
    """Pixels beyond the image are as pixels that are ignored, not as pixels of value 0."""
    logits, targets = scene(generator)
    wide = torch.full((2, 3, 8, 8), 7.0, dtype=torch.float64)
    around = torch.full((2, 8, 8), -100)
    wide[:, :, 1:7, 1:7], around[:, 1:7, 1:7] = logits, targets
    torch.testing.assert_close(
        structural_similarity_loss(wide, around), structural_similarity_loss(logits, targets)
    )


def test_an_absent_class_with_a_flat_prediction_has_no_error(generator: torch.Generator) -> None:
    """However wrong it is: the reason why this loss is never used alone."""
    logits, targets = scene(generator)
    flat = torch.cat([logits, torch.full((2, 1, 6, 6), 9.0, dtype=torch.float64)], 1)
    torch.testing.assert_close(
        structural_similarity_loss(flat, targets), structural_similarity_loss(logits, targets)
    )


@pytest.mark.parametrize("level", [1e-8, 0.3, 0.9999999])
def test_rounding_of_a_flat_region_selects_nothing(level: float) -> None:
    """In float32 as well: the mean of squares less the square of the mean would be noise there."""
    logits = torch.full((1, 1, 5, 5), level).logit()
    assert structural_similarity_loss(logits, torch.zeros(1, 1, 5, 5, dtype=torch.long)) == 0


def test_a_window_of_one_pixel_has_no_errors(generator: torch.Generator) -> None:
    """A pixel is its own mean, so that truth and prediction are standardised to 1."""
    assert structural_similarity_loss(*scene(generator), window=1) == 0


def test_what_is_ignored_may_hold_anything(generator: torch.Generator) -> None:
    """NaN and infinite logits there change neither value nor gradient."""
    logits, targets = scene(generator)
    targets[:, 2, 3], spoilt = -100, logits.clone()
    spoilt[:, 0, 2, 3], spoilt[:, 1, 2, 3] = torch.nan, torch.inf
    found = []
    for values in (logits, spoilt):
        leaf = values.clone().requires_grad_()
        loss = structural_similarity_loss(leaf, targets, detach_errors=False)
        found.append((loss.detach(), torch.autograd.grad(loss, leaf)[0]))
    torch.testing.assert_close(found[0], found[1])
    assert not bool(found[0][1][:, :, 2, 3].any())


def test_nan_stays_nan(generator: torch.Generator) -> None:
    """A logit that counts and is NaN is not hidden by the selection."""
    logits, targets = scene(generator)
    logits[0, 0, 0, 0] = torch.nan
    assert structural_similarity_loss(logits, targets).isnan()


def test_the_gradient_holds_the_errors_constant(generator: torch.Generator) -> None:
    """It is the mean over the selected of e (p - t), and not that of the whole formula."""
    logits, targets = scene(generator)
    leaf = logits.clone().requires_grad_()
    gradient = torch.autograd.grad(structural_similarity_loss(leaf, targets), leaf)[0]
    truth = torch.nn.functional.one_hot(targets, 3).movedim(-1, 1).double()
    errors = structural_errors(logits, truth, torch.ones_like(truth, dtype=torch.bool))
    selected = errors > 0.1 * errors.max()
    wanted = (errors * (logits.sigmoid() - truth)).where(selected, 0.0) / selected.sum()
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"window": 2}, "an odd number"),
        ({"window": 0}, "window"),
        ({"window_std": 0}, "window_std"),
        ({"constant": 0}, "constant"),
        ({"fraction": 1}, "fraction"),
        ({"cutoff": -1}, "cutoff"),
        ({"targets": torch.zeros(2, 6, dtype=torch.long)}, "class numbers"),
        ({"targets": torch.zeros(2, 6, 6)}, "class numbers"),
        ({"targets": torch.full((2, 6, 6), 3)}, "a target is 3"),
        ({"targets": torch.full((2, 3, 6, 6), 2)}, "a target is 2"),
        ({"logits": torch.zeros(2, 3, 6)}, "logits"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict, told: str, generator: torch.Generator) -> None:
    """In one sentence that says what came."""
    logits, targets = scene(generator)
    given = {"logits": logits, "targets": targets, **changed}
    with pytest.raises(InputError, match=told):
        structural_similarity_loss(**given)
