"""What is special to the Lovász losses: the extension, images and batches, classes by number."""

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import lovasz_hinge_loss, lovasz_softmax_loss
from metricgrad.losses.lovasz_extension import lovasz_extension


def drawn(generator: torch.Generator, pixels: int = 12) -> tuple[Tensor, Tensor]:
    """Errors and which pixels are of the class."""
    errors = torch.rand(pixels, generator=generator, dtype=torch.float64)
    return errors, torch.rand(pixels, generator=generator) < 0.4


def images(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits [image, class, row, col] and class numbers [image, row, col], one image ignored."""
    logits = 2 * torch.randn(3, 4, 2, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (3, 2, 5), generator=generator)
    targets[1, 0, :2], targets[2] = -100, -100
    return logits, targets


def test_the_extension_is_convex_homogeneous_and_grows_with_the_errors(generator: torch.Generator) -> None:
    """Which is what makes it an upper bound that can be descended."""
    for _ in range(50):
        errors, positives = drawn(generator)
        other = torch.rand(12, generator=generator, dtype=torch.float64)
        one, two = lovasz_extension(errors, positives), lovasz_extension(other, positives)
        assert float(lovasz_extension((errors + other) / 2, positives)) <= float(one + two) / 2 + 1e-12
        torch.testing.assert_close(lovasz_extension(3 * errors, positives), 3 * one)
        assert float(lovasz_extension(errors + 0.1 * other, positives)) >= float(one) - 1e-12


def test_errors_of_0_and_1_give_the_jaccard_loss(generator: torch.Generator) -> None:
    """1 - IoU of the set that the wrong pixels make."""
    for _ in range(50):
        errors, positives = drawn(generator)
        wrong = errors > 0.6
        decided = positives ^ wrong
        either = int((decided | positives).sum())
        wanted = 1 - int((decided & positives).sum()) / either if either else 0.0
        assert float(lovasz_extension(wrong.double(), positives)) == pytest.approx(wanted)


def test_counts_do_not_round_in_half_precision() -> None:
    """4,000 positives with error 0.5 and one with error 0: float16 cannot even count them."""
    errors = torch.full((4001,), 0.5, dtype=torch.float16)
    errors[-1] = 0
    found = lovasz_extension(errors, torch.ones(4001, dtype=torch.bool))
    assert float(found) == pytest.approx(0.5 * 4000 / 4001, rel=2e-3)


def test_one_value_per_image_is_that_of_its_own_pixels(generator: torch.Generator) -> None:
    """And one for the batch is that of all pixels in any order; an image without a pixel has 0."""
    logits, targets = images(generator)
    found = lovasz_softmax_loss(logits, targets, per_image=True)
    pixels = logits.movedim(1, -1)
    for image in range(2):
        wanted = lovasz_softmax_loss(pixels[image].reshape(-1, 4), targets[image].flatten())
        torch.testing.assert_close(found[image], wanted)
    assert float(found[2]) == 0
    torch.testing.assert_close(
        lovasz_softmax_loss(logits, targets),
        lovasz_softmax_loss(pixels.reshape(-1, 4), targets.flatten()),
    )
    binary = (targets > 0).long().where(targets >= 0, -100)
    scores = logits[:, 0]
    found = lovasz_hinge_loss(scores, binary, per_image=True)
    torch.testing.assert_close(found[0], lovasz_hinge_loss(scores[0], binary[0]))
    assert found.shape == (3,) and float(found[2]) == 0


def test_classes_by_number(generator: torch.Generator) -> None:
    """All four by number are `all`; the three that are present are `present`."""
    logits, targets = images(generator)
    for classes, words in ((range(4), "all"), ([0, 1, 2], "present")):
        found = lovasz_softmax_loss(logits, targets, classes=list(classes))
        torch.testing.assert_close(found, lovasz_softmax_loss(logits, targets, classes=words))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": "some"}, "classes is 'some'"),
        ({"classes": [4]}, "a class is 4; expected one of 4"),
        ({"classes": [-1]}, "a class is -1"),
    ],
)
def test_what_does_not_fit(settings: dict, message: str, generator: torch.Generator) -> None:
    """One sentence says what came."""
    logits, targets = images(generator)
    with pytest.raises(InputError, match=message):
        lovasz_softmax_loss(logits, targets, **settings)


def test_shapes_that_do_not_fit(generator: torch.Generator) -> None:
    """Pixels have no images, and every pixel has a target."""
    logits, targets = images(generator)
    with pytest.raises(InputError, match="one class number per pixel"):
        lovasz_softmax_loss(logits, targets[:2])
    with pytest.raises(InputError, match=r"\[image, class, ...\]"):
        lovasz_softmax_loss(logits[0, :, 0].T, targets[0, 0], per_image=True)
    with pytest.raises(InputError, match="a target is 2 where logits have 2 classes"):
        lovasz_softmax_loss(logits[:, :2], targets)
    with pytest.raises(InputError, match="one target per score"):
        lovasz_hinge_loss(logits[:, 0], targets[0])
    with pytest.raises(InputError, match="neither 0 nor 1"):
        lovasz_hinge_loss(logits[:, 0], targets)
