"""Metrics that read the outputs of a network: `of_kind`, and `per_sample` with a kind."""

import dataclasses
import math
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metricgrad import metrics
from metricgrad._types import OutputKind
from metricgrad.errors import InputError, MetricFailed
from metricgrad.interval import mean_of_units

LETTERS = "abc"
OUTPUTS = (
    4 * torch.eye(3)[torch.tensor([[0, 1, 2], [2, 2, 0], [1, 1, 1]])]
)  # [sample, step, symbol]: abc cca bbb
TARGETS = ["abc", "ca", "abab"]
EDITS = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)


def read(outputs: Tensor) -> list[str]:
    """The likeliest letter of every step."""
    return ["".join(LETTERS[place] for place in row) for row in outputs.argmax(-1).tolist()]


def read_backwards(outputs: Tensor) -> list[str]:
    """Another reading."""
    return [text[::-1] for text in read(outputs)]


def shorter_by(prediction: str, target: str) -> float:
    """A function of one sample, at the top of a module."""
    return float(abs(len(prediction) - len(target)))


def other_begin(prediction: str, target: str) -> float:
    """Whether the first letters differ."""
    return float(prediction[:1] != target[:1])


KIND = OutputKind("letters", read, nn.Identity)


def same(found: Tensor, wanted: Tensor) -> None:
    """Equal to the last bit."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["edit_distance", "total_edit_distance", "cer", "sequence_accuracy"])
def test_of_kind_decodes_first(name: str) -> None:
    """Statistics of outputs are those of the decoded predictions; all other facts stay."""
    plain = metrics.adapt(name)
    metric = metrics.of_kind(plain, KIND)
    same(metric.measure(OUTPUTS, TARGETS), plain.measure(read(OUTPUTS), TARGETS))
    assert metric.kind is KIND
    assert metric.of_predictions is not None
    same(metric.of_predictions(read(OUTPUTS), TARGETS), plain.measure(read(OUTPUTS), TARGETS))
    for field in dataclasses.fields(plain):
        if field.name not in ("measure", "kind", "of_predictions"):
            assert getattr(metric, field.name) == getattr(plain, field.name), field.name
    assert plain.kind is None and plain.of_predictions is None  # a record is never changed


def test_another_kind_replaces_the_first() -> None:
    """Nothing is decoded twice, whether the first decoding came with a kind or with per_sample."""
    backwards = dataclasses.replace(KIND, decode=read_backwards)
    metric = metrics.adapt("edit_distance")
    wanted = metric.measure(read_backwards(OUTPUTS), TARGETS)
    assert not torch.equal(wanted, EDITS)
    same(metrics.of_kind(metrics.of_kind(metric, KIND), backwards).measure(OUTPUTS, TARGETS), wanted)
    same(metrics.of_kind(metrics.of_kind(metric, backwards), KIND).measure(OUTPUTS, TARGETS), EDITS)
    own = metrics.per_sample(other_begin, decode=read_backwards, higher_is_better=False)
    same(own.measure(OUTPUTS, TARGETS), torch.tensor([[1.0], [1.0], [1.0]], dtype=torch.float64))
    forwards = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    same(metrics.of_kind(own, KIND).measure(OUTPUTS, TARGETS), forwards)


def test_of_kind_of_boxes() -> None:
    """Boxes as they are; the result is that of the function."""
    kind = OutputKind("boxes", torch.detach, nn.Identity)
    outputs = torch.tensor([[0.0, 0.0, 1.0, 1.0]], requires_grad=True)
    found = metrics.of_kind(metrics.adapt("iou"), kind).measure(outputs, torch.tensor([[0.5, 0.0, 1.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[1 / 3]], dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("metric", "kind", "message"),
    [
        ("edit_distance", KIND, "metric is 'edit_distance'.*a Metric.*adapt"),
        (metrics.adapt("edit_distance"), "words", "kind is 'words'.*OutputKind"),
        (metrics.adapt("recall@1"), KIND, "recall@1 ranks embeddings"),
    ],
)
def test_of_kind_refuses_what_it_cannot_join(metric, kind, message: str) -> None:
    """In words."""
    with pytest.raises(InputError, match=message):
        metrics.of_kind(metric, kind)


def test_per_sample_with_a_kind() -> None:
    """Decodes as the kind does, or as it is told to, and then so does its kind."""
    metric = metrics.per_sample(shorter_by, higher_is_better=False, kind=KIND)
    wanted = torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64)
    same(metric.measure(OUTPUTS, TARGETS), wanted)
    assert metric.per_sample and metric.kind is KIND and metric.summarise is mean_of_units
    assert metric.of_predictions is not None
    same(metric.of_predictions(read(OUTPUTS), TARGETS), wanted)
    told = metrics.per_sample(shorter_by, decode=read_backwards, higher_is_better=False, kind=KIND)
    assert told.kind.decode is read_backwards and told.kind.encoder is KIND.encoder
    same(told.measure(OUTPUTS, TARGETS), wanted)
    with pytest.raises(InputError, match="shorter_by: 3 predictions for 2 targets"):
        metric.measure(OUTPUTS, TARGETS[1:])


def test_per_sample_without_a_kind_is_as_before() -> None:
    """Rows as they are, or decoded."""
    plain = metrics.per_sample(shorter_by, higher_is_better=False)
    assert plain.kind is None and plain.of_predictions is None
    same(plain.measure(["ab", "c"], ["a", "c"]), torch.tensor([[1.0], [0.0]], dtype=torch.float64))
    decoded = metrics.per_sample(shorter_by, decode=read, higher_is_better=False)
    assert decoded.kind is None
    same(decoded.measure(OUTPUTS, TARGETS), torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64))


def test_what_measures_travels_to_other_processes() -> None:
    """A pickle of `measure` and of `of_predictions` comes back and gives the same."""
    for metric in (
        metrics.per_sample(shorter_by, higher_is_better=False, kind=KIND),
        metrics.of_kind(metrics.adapt("edit_distance:normalizer=longer"), KIND),
    ):
        measure = ForkingPickler.loads(ForkingPickler.dumps(metric.measure))
        of_predictions = ForkingPickler.loads(ForkingPickler.dumps(metric.of_predictions))
        wanted = metric.measure(OUTPUTS, TARGETS)
        same(measure(OUTPUTS, TARGETS), wanted)
        same(of_predictions(read(OUTPUTS), TARGETS), wanted)


@pytest.mark.parametrize("returned", [None, "text", math.inf, np.ma.masked, 1j, ValueError("no")])
def test_a_function_of_samples_may_fail_for_a_few(returned: object) -> None:
    """Such a sample is undefined, never 0; ten of a thousand may be; more are told with the first of them."""

    def moody(prediction, target):
        if prediction < few:
            if isinstance(returned, Exception):
                raise returned
            return returned
        return 1.0

    metric = metrics.per_sample(moody, higher_is_better=True)
    few = 10
    rows = metric.measure(torch.arange(200), torch.arange(200))
    assert metric.summarise(rows) == 1.0 and int(rows.isnan().sum()) == 10
    few = 11
    if returned is np.ma.masked:  # that is an answer, not a failure
        assert int(metric.measure(torch.arange(200), torch.arange(200)).isnan().sum()) == 11
        return
    with pytest.raises(MetricFailed, match=r"moody: it (returned|raised) .*failed for 11 of 200 samples"):
        metric.measure(torch.arange(200), torch.arange(200))


def test_a_function_of_samples_works_on_copies() -> None:
    """It may write into a prediction and a target: rows of the outputs and of the data."""

    def clipped(prediction, target):
        prediction.clamp_(min=0)
        target.clear()
        return float(prediction.sum())

    outputs, targets = torch.tensor([[-1.0, 2.0], [3.0, -4.0]]), [["a"], ["b", "c"]]
    metric = metrics.per_sample(clipped, higher_is_better=True)
    for _ in range(2):
        assert metric.measure(outputs, targets).tolist() == [[2.0], [3.0]]
    assert outputs.tolist() == [[-1.0, 2.0], [3.0, -4.0]] and targets == [["a"], ["b", "c"]]
