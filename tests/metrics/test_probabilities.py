"""Metrics of probabilities and of several classes' scores against scikit-learn and torchmetrics, and how they read."""

import math
import warnings
from functools import partial

import pytest
import sklearn.metrics
import torch
from torchmetrics.functional.classification import (
    binary_precision_at_fixed_recall,
    binary_recall_at_fixed_precision,
    multiclass_calibration_error,
)

from metricgrad import metrics
from metricgrad.errors import InputError

several = pytest.mark.parametrize("inputs", [6, pytest.param(1000, marks=pytest.mark.slow)])
"""Random inputs of each comparison, of up to 40 samples and 6 classes."""


def close(found: torch.Tensor, wanted: float) -> None:
    """Equal but for the rounding of sums."""
    torch.testing.assert_close(
        found, torch.tensor(float(wanted), dtype=torch.float64), rtol=0, atol=1e-12, equal_nan=True
    )


def drawn(generator: torch.Generator, least: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities, every second time with ties and zeros, and targets of every class."""
    classes = int(torch.randint(least, 7, (), generator=generator))
    samples = int(torch.randint(classes, 41, (), generator=generator))
    if int(torch.randint(2, (), generator=generator)):
        votes = torch.randint(0, 4, (samples, classes), generator=generator).double()
        votes[:, 0] += votes.sum(1) == 0
        found = votes / votes.sum(1, keepdim=True)
    else:
        found = (3 * torch.randn(samples, classes, generator=generator, dtype=torch.float64)).softmax(1)
    targets = torch.cat(
        [torch.arange(classes), torch.randint(classes, (samples - classes,), generator=generator)]
    )
    return found, targets[torch.randperm(samples, generator=generator)]


@several
def test_several_classes_are_those_of_scikit_learn(generator: torch.Generator, inputs: int) -> None:
    """Log loss, Brier score, areas and average precision, of tensors as scikit-learn has them."""
    for _ in range(inputs):
        outputs, targets = drawn(generator)
        truth, probabilities = targets.numpy(), outputs.numpy()
        every = {"labels": range(outputs.shape[1])}
        close(metrics.log_loss(outputs, targets), sklearn.metrics.log_loss(truth, probabilities, **every))
        for half in (None, True, False):
            close(
                metrics.brier_score(outputs, targets, scale_by_half=half),
                sklearn.metrics.brier_score_loss(
                    truth, probabilities, scale_by_half="auto" if half is None else half, **every
                ),
            )
        for average in ("macro", "weighted"):
            for way, metric in (("ovr", metrics.roc_auc_ovr), ("ovo", metrics.roc_auc_ovo)):
                close(
                    metric(outputs, targets, average=average),
                    sklearn.metrics.roc_auc_score(
                        truth, probabilities, multi_class=way, average=average, **every
                    ),
                )
            close(
                metrics.macro_average_precision(outputs, targets, average=average),
                sklearn.metrics.average_precision_score(truth, probabilities, average=average),
            )


@several
def test_two_classes_are_those_of_scikit_learn(generator: torch.Generator, inputs: int) -> None:
    """One column of probabilities or two; the area up to a false positive rate."""
    for _ in range(inputs):
        outputs, targets = drawn(generator, least=2)
        outputs, targets = outputs[:, 1], (targets == 1).long()
        truth, one = targets.numpy(), outputs.numpy()
        for given in (outputs, outputs[:, None], torch.stack([1 - outputs, outputs], 1)):
            close(metrics.log_loss(given, targets), sklearn.metrics.log_loss(truth, one))
            close(metrics.brier_score(given, targets), sklearn.metrics.brier_score_loss(truth, one))
        for most in (0.01, 0.2, 0.5, 1.0):
            wanted = sklearn.metrics.roc_auc_score(truth, one, max_fpr=most)
            close(metrics.partial_roc_auc(outputs, targets, max_fpr=most), wanted)


@several
def test_several_labels_are_those_of_scikit_learn(generator: torch.Generator, inputs: int) -> None:
    """Marks [sample, label] take any scores; every label has positives and negatives."""
    for _ in range(inputs):
        samples, labels = (int(torch.randint(3, 12, (), generator=generator)) for _ in range(2))
        scores = torch.randint(-4, 5, (samples, labels), generator=generator).double()
        marks = torch.randint(2, (samples, labels), generator=generator)
        marks[0], marks[1] = 0, 1
        truth, score = marks.numpy(), scores.numpy()
        for average in ("macro", "weighted"):
            close(
                metrics.roc_auc_ovr(scores, marks, average=average),
                sklearn.metrics.roc_auc_score(truth, score, average=average),
            )
            close(
                metrics.macro_average_precision(scores, marks, average=average),
                sklearn.metrics.average_precision_score(truth, score, average=average),
            )


@several
def test_calibration_error_is_that_of_torchmetrics(generator: torch.Generator, inputs: int) -> None:
    """Where no confidence is on a border of bins, which torchmetrics gives to the bin above; it counts in float32."""
    for _ in range(inputs):
        outputs = torch.randn(60, 5, generator=generator).softmax(1)
        targets = torch.randint(5, (60,), generator=generator)
        for bins in (1, 7, 15):
            wanted = multiclass_calibration_error(outputs, targets, num_classes=5, n_bins=bins)
            found = metrics.expected_calibration_error(outputs, targets, bins=bins)
            torch.testing.assert_close(found.float(), wanted, rtol=0, atol=1e-5)


@several
def test_fixed_recall_and_precision_are_those_of_torchmetrics(
    generator: torch.Generator, inputs: int
) -> None:
    """Over all thresholds, equal scores as one of them."""
    for _ in range(inputs):
        scores = torch.randint(0, 12, (30,), generator=generator) / 12
        targets = torch.randint(2, (30,), generator=generator)
        for least in (0.25, 0.5, 0.9):
            wanted = binary_precision_at_fixed_recall(scores, targets, min_recall=least)[0]
            found = metrics.precision_at_recall(scores, targets, min_recall=least)
            torch.testing.assert_close(found.float(), wanted)
            wanted = binary_recall_at_fixed_precision(scores, targets, min_precision=least)[0]
            found = metrics.recall_at_precision(scores, targets, min_precision=least)
            torch.testing.assert_close(found.float(), wanted)


@pytest.mark.parametrize(
    "metric", [metrics.log_loss, metrics.brier_score, metrics.expected_calibration_error, metrics.roc_auc_ovr]
)
def test_logits_are_read_through_softmax(generator: torch.Generator, metric) -> None:
    """A network that ends in logits is measured as with a softmax at its end; one column must be called logits."""
    logits = 2 * torch.randn(40, 3, generator=generator, dtype=torch.float64)
    targets = torch.arange(40) % 3
    close(metric(logits, targets), metric(logits.softmax(1), targets))
    close(metric(logits, targets, from_logits=True), metric(logits.softmax(1), targets))
    one, two = logits[:, 0], targets % 2
    close(metric(one, two, from_logits=True), metric(one.sigmoid(), two))


def test_areas_do_not_saturate(generator: torch.Generator) -> None:
    """Softmax ties what is surer than 1 - 1e-16; log-odds still order it."""
    logits = 100 * torch.randn(60, 3, generator=generator, dtype=torch.float64)
    targets = torch.arange(60) % 3
    large, small = metrics.roc_auc_ovr(logits, targets), metrics.roc_auc_ovr(logits / 100 * 0.1, targets)
    assert float(large) != float(metrics.roc_auc_ovr(logits.softmax(1), targets))
    two = logits[:, :2]
    close(metrics.roc_auc_ovr(two, targets % 2), metrics.roc_auc(two, targets % 2))
    assert 0 < float(small) < 1


def test_a_single_precision_clips_as_scikit_learn_does() -> None:
    """The least probability is that of its type."""
    sure, targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 1])
    wanted = sklearn.metrics.log_loss(targets.numpy(), sure.numpy(), labels=[0, 1])
    torch.testing.assert_close(metrics.log_loss(sure, targets).float(), torch.tensor(wanted).float())
    close(metrics.log_loss(sure.double(), targets), 26 * math.log(2))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            torch.tensor([[0.3, 0.3], [0.5, 0.5]]),
            "rows sum to 0.6 ... 1; expected probabilities.*from_logits=True",
        ),
        (torch.tensor([[30.0, 70.0], [55.0, 45.0]]), "rows sum to 100 ... 100.*Divide each row by its sum"),
        (torch.tensor([[-0.01, 1.01], [0.5, 0.5]]), "reach from -0.01 to 1.01 and their rows sum to 1 ... 1"),
        (
            torch.tensor([0.3, 1.7]),
            r"reach from 0.3 to 1.7; expected probabilities of class 1.*from_logits=true",
        ),
        (torch.tensor([0, 1]), "Predicted class ids have no probabilities"),
        (torch.tensor([[0.5, math.nan], [0.5, 0.5]]), "NaN, first in row 0"),
        (torch.tensor([[math.inf, 1.0], [0.5, 2.0]]), "logits have infinite values"),
        (torch.zeros(2, 2, 2), "probabilities or logits"),
    ],
)
@pytest.mark.parametrize(
    "metric", [metrics.log_loss, metrics.expected_calibration_error, metrics.roc_auc_ovr]
)
def test_what_is_neither_is_refused(metric, outputs: torch.Tensor, message: str) -> None:
    """Nobody's numbers go through softmax by guess, and the message says what to do."""
    with pytest.raises(InputError, match=message):
        metric(outputs, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 3]), "targets reach from 0 to 3; expected class ids 0 to 2"),
        (torch.tensor([0, -1]), "targets reach from -1 to 0"),
        (torch.tensor([0, 1, 2]), "2 class ids"),
        (torch.tensor([0.5, 1.0]), "one whole number"),
    ],
)
def test_targets_have_a_column(targets: torch.Tensor, message: str) -> None:
    """Of every class that occurs."""
    for metric in (metrics.brier_score, metrics.roc_auc_ovo):
        with pytest.raises(InputError, match=message):
            metric(torch.eye(3)[:2], targets)


def test_logits_between_0_and_1_can_be_said() -> None:
    """A network that outputs zeros is uncertain; its logits are not taken for probabilities, and can be named."""
    zeros, targets = torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])
    with pytest.raises(InputError, match="from_logits"):
        metrics.log_loss(zeros, targets)
    close(metrics.log_loss(zeros, targets, from_logits=True), math.log(3))
    with pytest.raises(InputError, match="rows sum"):
        metrics.log_loss(torch.randn(4, 3), targets, from_logits=False)


def test_undefined_is_nan() -> None:
    """One class only, no positive: no value, and no warning."""
    rows, ones = torch.tensor([[0.2, 0.8], [0.6, 0.4]]), torch.ones(2, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (metrics.roc_auc_ovr, metrics.roc_auc_ovo):
            for average in ("macro", "weighted"):
                assert metric(rows, ones, average=average).isnan()
        for metric, setting in (
            (metrics.partial_roc_auc, "max_fpr"),
            (metrics.precision_at_recall, "min_recall"),
        ):
            assert metric(rows, 1 - ones, **{setting: 0.5}).isnan()
        assert metrics.recall_at_precision(rows, 1 - ones, min_precision=0.5).isnan()
        close(metrics.macro_average_precision(rows, ones), 1.0)
        close(
            metrics.recall_at_precision(torch.tensor([0.9, 0.1]), torch.tensor([0, 1]), min_precision=0.9),
            0.0,
        )


def test_names_of_scikit_learn() -> None:
    """A negated name is our loss: lower is better, without the sign of the scorer, and is called so."""
    for name, function in (("neg_log_loss", metrics.log_loss), ("neg_brier_score", metrics.brier_score)):
        metric = metrics.adapt(name)
        assert (metric.name, metric.higher_is_better) == (function.__name__, False)
        assert metric.function is function
    assert metrics.adapt("roc_auc_ovr_weighted").settings["average"] == "weighted"
    assert metrics.adapt("roc_auc_ovo_weighted").function is metrics.roc_auc_ovo
    assert "are read as logits" in metrics.adapt("log_loss").description
    assert "are read as logits" not in metrics.adapt("log_loss:from_logits=false").description


def test_areas_of_scikit_learn_need_probabilities(generator: torch.Generator) -> None:
    """Their function of several classes is given probabilities, or the message says so; ours takes logits."""
    logits, targets = torch.randn(30, 3, generator=generator), torch.arange(30) % 3
    for theirs in (
        partial(sklearn.metrics.roc_auc_score, multi_class="ovr"),
        sklearn.metrics.get_scorer("roc_auc_ovr"),
    ):
        metric = metrics.adapt(theirs)
        assert metric.reads == "probabilities"
        found = metric.summarise(metric.measure(logits.double().softmax(1), targets))
        close(metrics.roc_auc_ovr(logits, targets), found)
        with pytest.raises(InputError, match="are no probabilities"):
            metric.measure(logits, targets)
