"""A class per pixel: losses of samples take pixels as samples, losses of images take images and are tried so."""

import pytest
import torch
from torch import nn

from metricgrad import losses
from metricgrad.errors import InputError
from metricgrad.methods.class_counts import class_counts
from metricgrad.methods.objectives import named_objective
from metricgrad.tune import ArraySplit

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 4, 5, 6, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.randint(0, 4, (3, 5, 6), generator=GENERATOR)
CLASSES[0, 0] = -100
ROWS = LOGITS.permute(0, 2, 3, 1).reshape(-1, 4)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("focal", {"gamma": 1.0}),
        ("generalized_cross_entropy", {}),
        ("complement_cross_entropy", {}),
        ("soft_counts", {"formula": "iou"}),
        ("class_weighted_cross_entropy", {"class_counts": [5, 1, 2, 3]}),
        ("balanced_softmax", {"class_counts": [5, 1, 2, 3]}),
    ],
)
def test_pixels_are_samples(name: str, settings: dict) -> None:
    """The value is that of the pixels as rows, without those that are ignored, and ignored ones have no gradient."""
    objective = named_objective(name, settings, of_scores=True)
    images = LOGITS.clone().requires_grad_()
    found = objective(images, CLASSES)
    kept = CLASSES.flatten() != -100
    torch.testing.assert_close(found, objective(ROWS[kept], CLASSES.flatten()[kept]).mean())
    (gradient,) = torch.autograd.grad(found, images)
    assert bool((gradient[0, :, 0] == 0).all()) and bool((gradient[1:] != 0).any())


def test_one_score_per_pixel() -> None:
    """Targets 0 and 1 of the same shape, with or without an axis of one channel, are those of one label."""
    objective = named_objective("soft_counts", {"formula": "iou"}, of_scores=True)
    scores, marks = LOGITS[:, 0], (CLASSES == 1).long()
    wanted = losses.soft_counts_loss(scores.flatten(), marks.flatten(), formula="iou")
    torch.testing.assert_close(objective(scores, marks), wanted)
    torch.testing.assert_close(objective(scores.unsqueeze(1), marks), wanted)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("structural_similarity", {"fraction": 0.2}),
        ("lovasz_softmax", {"per_image": True}),
        ("lovasz_softmax", {"classes": [1, 3]}),
    ],
)
def test_losses_of_images_are_tried_with_images(name: str, settings: dict) -> None:
    """Their settings were once refused for the rows that they were tried with."""
    found = named_objective(name, settings, of_scores=True)(LOGITS, CLASSES)
    wanted = getattr(losses, f"{name}_loss")(LOGITS, CLASSES, **settings)
    torch.testing.assert_close(found, wanted.mean())


def test_lovasz_hinge_is_tried_with_images() -> None:
    """One score per pixel, a value per image."""
    scores, marks = LOGITS[:, 0], (CLASSES == 1).long()
    found = named_objective("lovasz_hinge", {"per_image": True}, of_scores=True)(scores, marks)
    torch.testing.assert_close(found, losses.lovasz_hinge_loss(scores, marks, per_image=True).mean())


@pytest.mark.parametrize("classes", [[-1, 2], "some"])
def test_settings_of_images_still_fail_before_training(classes) -> None:
    """A class that cannot be, and an unknown word."""
    with pytest.raises(InputError, match="lovasz_softmax_loss"):
        named_objective("lovasz_softmax", {"classes": classes}, of_scores=True)


def test_pixels_are_counted() -> None:
    """All pixels of fit but the ignored ones; labels [sample, label] are no class numbers."""
    counts = class_counts(ArraySplit(LOGITS, CLASSES))
    assert counts.tolist() == [int((CLASSES == one).sum()) for one in range(4)]
    assert int(counts.sum()) == 3 * 30 - 6
    with pytest.raises(InputError, match=r"\[image, row, column\]"):
        class_counts(ArraySplit(torch.zeros(4, 2), torch.zeros(4, 2).long()))


def test_masks_of_another_size_are_refused() -> None:
    """The loss says what it wants."""
    objective = named_objective("focal", {}, of_scores=True)
    with pytest.raises(InputError, match="logits"):
        objective(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5).long())


def test_a_loss_of_rows_is_the_same_with_the_proxy_of_torch() -> None:
    """Focal loss with gamma 0 is PyTorch's cross-entropy of images."""
    found = named_objective("focal", {"gamma": 0.0}, of_scores=True)(LOGITS, CLASSES)
    torch.testing.assert_close(found, nn.functional.cross_entropy(LOGITS, CLASSES))
