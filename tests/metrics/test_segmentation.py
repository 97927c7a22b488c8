"""Metrics of segmentation: scikit-learn over all pixels, pixels that count nothing, tables, the bootstrap of images."""

import math

import pytest
import sklearn.metrics
import torch
from torchmetrics.functional.classification import multiclass_jaccard_index

from metricgrad import metrics
from metricgrad.errors import InputError

several = pytest.mark.parametrize("inputs", [10, pytest.param(1000, marks=pytest.mark.slow)])
AVERAGES = ("macro", "micro", "weighted")


def drawn(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true class ids [image, row, column]; a tenth of the pixels counts nothing (255)."""
    classes = int(torch.randint(2, 6, (), generator=generator))
    outputs, targets = torch.randint(classes, (2, 5, 4, 3), generator=generator)
    targets[torch.rand(5, 4, 3, generator=generator) < 0.1] = 255
    return outputs, targets


@several
def test_equals_scikit_learn_over_all_pixels(generator: torch.Generator, inputs: int) -> None:
    """One table for all images, not a mean over images."""
    for _ in range(inputs):
        outputs, targets = drawn(generator)
        kept = targets != 255
        truth, guess = targets[kept].numpy(), outputs[kept].numpy()
        for average in AVERAGES:
            for metric, theirs in (
                (metrics.mean_iou, sklearn.metrics.jaccard_score),
                (metrics.dice, sklearn.metrics.f1_score),
            ):
                wanted = theirs(truth, guess, average=average)
                found = metric(outputs, targets, average=average, ignore_index=255)
                torch.testing.assert_close(float(found), float(wanted), rtol=0, atol=1e-12)
        all_there = torch.arange(5)[:, None, None].expand(5, 4, 3).clone()
        scores = torch.randn(5, 5, 4, 3, generator=generator)
        wanted = multiclass_jaccard_index(scores, all_there, num_classes=5)
        torch.testing.assert_close(metrics.mean_iou(scores, all_there).float(), wanted)


@pytest.mark.parametrize(
    "name", ["mean_iou", "dice:average=micro", "miou:average=weighted", "dice:average=binary"]
)
def test_the_table_gives_the_value(generator: torch.Generator, name: str) -> None:
    """The table of all pixels, class k in row and column k, is the metric's argument too."""
    metric = metrics.adapt(name)
    assert (metric.reads, metric.unit) == ("pixels", "image") and metric.of_table is not None
    outputs, targets = torch.randint(3, (2, 5, 4, 3), generator=generator)
    table = sklearn.metrics.confusion_matrix(targets.flatten(), outputs.flatten())
    found = metric.of_table(torch.from_numpy(table).double())
    wanted = metric.summarise(metric.measure(outputs, targets))
    torch.testing.assert_close(float(found), wanted, rtol=0, atol=1e-12)
    soft = torch.rand(2, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(metric.of_table, soft)


def test_forms_of_outputs_agree(generator: torch.Generator) -> None:
    """Scores of every class, ids, one score with a threshold; places of one dimension and of three."""
    scores = torch.randn(4, 2, 3, 5, generator=generator)
    targets = torch.randint(2, (4, 3, 5), generator=generator)
    wanted = metrics.mean_iou(scores, targets)
    one = scores[:, 1:] - scores[:, :1]
    for outputs, settings in (
        (scores.argmax(1), {}),
        (scores.argmax(1).to(torch.uint8), {"classes": 2}),
        (one, {"threshold": 0.0}),
        (one[:, 0].sigmoid(), {"threshold": 0.5}),
    ):
        torch.testing.assert_close(metrics.mean_iou(outputs, targets, **settings), wanted)
    for shape in ((15,), (3, 5, 1)):
        found = metrics.mean_iou(scores.reshape(4, 2, *shape), targets.reshape(4, *shape).float())
        torch.testing.assert_close(found, wanted)


def test_resamples_add_the_pixels_of_images(generator: torch.Generator) -> None:
    """An image that is drawn twice counts its pixels twice, and ids know their classes when told."""
    metric = metrics.adapt("mean_iou:ignore_index=255,classes=5")
    outputs, targets = torch.randint(3, (2, 9, 4, 3), generator=generator)
    rows = metric.measure(outputs, targets)
    assert rows.shape == (9, 15)
    parts = torch.cat([metric.measure(outputs[part], targets[part]) for part in (slice(4), slice(4, 9))])
    torch.testing.assert_close(parts, rows, rtol=0, atol=0)
    times = torch.randint(3, (20, 9), generator=generator).double()
    wanted = []
    for one in times.long():
        again = [side.repeat_interleave(one, 0) for side in (outputs, targets)]
        wanted.append(float(metrics.mean_iou(*again)))
    found = metric.summarise.of_counts(rows)(times)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


def test_pixels_that_count_nothing() -> None:
    """Whatever is predicted there; where nothing counts there is no value."""
    targets = torch.tensor([[[0, 1, -100]]])
    for anything in (0, 1, 7):
        assert float(metrics.dice(torch.tensor([[[0, 1, anything]]]), targets)) == 1.0
    nothing = torch.full((2, 1, 1), -100)
    assert math.isnan(metrics.mean_iou(torch.zeros(2, 3, 1, 1), nothing))
    assert math.isnan(metrics.mean_iou(torch.zeros(2, 1, 1).long(), nothing))


@pytest.mark.parametrize(
    ("outputs", "targets", "settings", "message"),
    [
        (torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 255), {}, "targets reach from 255.*ignore_index=255"),
        (torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), -1), {}, "targets reach from -1 to -1"),
        (torch.full((1, 2, 2), 4), torch.zeros(1, 2, 2).long(), {"classes": 3}, "outputs reach from 4 to 4"),
        (torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2).long(), {}, "needs its threshold"),
        (torch.zeros(1, 2, 2), torch.zeros(1, 2, 2).long(), {}, "needs its threshold"),
        (
            torch.zeros(1, 3, 2, 2),
            torch.zeros(1, 2, 2).long(),
            {"threshold": 0},
            "one score of class 1 per pixel",
        ),
        (torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 3).long(), {}, "class scores"),
        (torch.zeros(1, 3), torch.zeros(1).long(), {}, "targets that are class ids"),
        (torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 0.5), {}, "targets that are class ids"),
        (torch.full((1, 3, 2, 2), math.nan), torch.zeros(1, 2, 2).long(), {}, "outputs have NaN"),
        (
            torch.zeros(1, 3, 2, 2),
            torch.zeros(1, 2, 2).long(),
            {"classes": 4},
            "classes is 4 and outputs have 3",
        ),
        (
            torch.zeros(1, 3, 2, 2),
            torch.zeros(1, 2, 2).long(),
            {"average": "samples"},
            "average is 'samples'",
        ),
        (torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long(), {"ignore_index": 0.5}, "ignore_index is 0.5"),
    ],
)
def test_what_does_not_fit_is_refused(outputs, targets, settings, message: str) -> None:
    """In one sentence."""
    with pytest.raises(InputError, match=message):
        metrics.mean_iou(outputs, targets, **settings)


def test_class_156_of_an_eight_bit_mask_counts() -> None:
    """In eight bits -100 is 156: a mask of many classes, as it is stored in a picture."""
    targets = torch.tensor([[[156, 156, 0, 0]]], dtype=torch.uint8)
    outputs = torch.tensor([[[0, 156, 0, 0]]], dtype=torch.uint8)
    assert (
        float(metrics.mean_iou(outputs, targets))
        == float(metrics.mean_iou(outputs.long(), targets.long()))
        < 1
    )
    assert float(metrics.mean_iou(outputs, targets, ignore_index=156)) == 1.0
