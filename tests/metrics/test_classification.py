"""Metrics of classifiers against scikit-learn, and where they differ on purpose."""

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st

from metricgrad import metrics
from metricgrad.errors import InputError

IDS = torch.ones(2, dtype=torch.int64)


def close(found: torch.Tensor, wanted: float) -> None:
    """Equal but for the rounding of sums."""
    torch.testing.assert_close(found, torch.tensor(float(wanted), dtype=torch.float64), rtol=0, atol=1e-12)


def labels(generator: torch.Generator, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true ids; the last class is predicted only."""
    predictions = torch.randint(0, classes, (60,), generator=generator)
    return predictions, torch.randint(0, classes - 1, (60,), generator=generator)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_f_beta_is_that_of_scikit_learn(generator: torch.Generator, average, beta: float) -> None:
    """Macro over the classes that occur, micro over all counts."""
    predictions, targets = labels(generator)
    wanted = sklearn.metrics.fbeta_score(targets.numpy(), predictions.numpy(), beta=beta, average=average)
    close(metrics.f_beta(predictions, targets, beta=beta, average=average), wanted)


def test_binary_f_beta_is_that_of_scikit_learn(generator: torch.Generator) -> None:
    """The positive class can be chosen."""
    predictions, targets = labels(generator, classes=3)
    for positive in (0, 1):
        wanted = sklearn.metrics.fbeta_score(targets == positive, predictions == positive, beta=2)
        close(metrics.f_beta(predictions, targets, beta=2, positive_class=positive), wanted)


def test_f_beta_without_positives_is_perfect() -> None:
    """Nothing to find and nothing found: nothing is wrong; something found then is all wrong."""
    nothing = torch.zeros(5, dtype=torch.int64)
    close(metrics.f_beta(nothing, nothing), 1.0)
    close(metrics.f_beta(nothing + 1, nothing), 0.0)


def test_error_family_is_that_of_scikit_learn(generator: torch.Generator) -> None:
    """Accuracy, error rate and balanced error, from scores and from ids."""
    scores = torch.randn(50, 4, generator=generator)
    targets = torch.randint(0, 4, (50,), generator=generator)
    guess = scores.argmax(1).numpy()
    accuracy = sklearn.metrics.accuracy_score(targets.numpy(), guess)
    balanced = sklearn.metrics.balanced_accuracy_score(targets.numpy(), guess)
    for outputs in (scores, scores.argmax(1), scores.argmax(1).to(torch.uint8)):
        close(metrics.accuracy(outputs, targets), accuracy)
        close(metrics.error_rate(outputs, targets), 1 - accuracy)
        close(metrics.balanced_error(outputs, targets), 1 - balanced)


@pytest.mark.parametrize("grid", [1, 4, 1000])
def test_binary_rankings_are_those_of_scikit_learn(generator: torch.Generator, grid: int) -> None:
    """AP and AUC, from no ties to nearly nothing but ties."""
    scores = torch.randint(-grid, grid + 1, (200,), generator=generator).double() / grid
    targets = torch.rand(200, generator=generator) < 0.2
    truth, score = targets.numpy(), scores.numpy()
    close(metrics.roc_auc(scores, targets), sklearn.metrics.roc_auc_score(truth, score))
    close(
        metrics.binary_average_precision(scores, targets),
        sklearn.metrics.average_precision_score(truth, score),
    )


def test_two_columns_are_their_difference(generator: torch.Generator) -> None:
    """Two logits rank as the probability of the second class does."""
    logits = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 2, (40,), generator=generator)
    wanted = sklearn.metrics.roc_auc_score(targets.numpy(), logits.softmax(1)[:, 1].numpy())
    close(metrics.roc_auc(logits, targets), wanted)
    close(metrics.roc_auc(logits[:, 1:] - logits[:, :1], targets), wanted)


def test_undefined_is_nan() -> None:
    """One class only has no AUC; no positive has no AP; neither warns."""
    scores = torch.tensor([0.1, 0.2, 0.3])
    none, every = torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(metrics.roc_auc(scores, none)) and math.isnan(metrics.roc_auc(scores, every))
        assert math.isnan(metrics.binary_average_precision(scores, none))
    close(metrics.binary_average_precision(scores, every), 1.0)


def test_infinite_scores_are_scores() -> None:
    """Minus infinity ranks last, infinity first."""
    scores = torch.tensor([math.inf, 0.0, -math.inf])
    close(metrics.roc_auc(scores, torch.tensor([1, 1, 0])), 1.0)
    close(metrics.binary_average_precision(scores, torch.tensor([0, 1, 1])), (1 / 2 + 2 / 3) / 2)


def test_ndcg_is_that_of_scikit_learn_without_ties(generator: torch.Generator) -> None:
    """Graded gains used as they are."""
    scores = torch.rand(6, 20, generator=generator, dtype=torch.float64)
    gains = torch.randint(0, 4, (6, 20), generator=generator).double()
    for k in (None, 1, 5, 100):
        wanted = [
            sklearn.metrics.ndcg_score(gain[None].numpy(), score[None].numpy(), k=k)
            for gain, score in zip(gains, scores, strict=True)
        ]
        found = metrics.ndcg(scores, gains, k=k)
        torch.testing.assert_close(found, torch.from_numpy(np.array(wanted)), rtol=0, atol=1e-12)


def test_average_precision_is_that_of_scikit_learn_without_ties(generator: torch.Generator) -> None:
    """One query at a time; negative scores included."""
    scores = torch.randn(6, 20, generator=generator, dtype=torch.float64)
    relevance = torch.rand(6, 20, generator=generator) < 0.3
    relevance[:, 0] = True
    wanted = [
        sklearn.metrics.average_precision_score(marks.numpy(), score.numpy())
        for marks, score in zip(relevance, scores, strict=True)
    ]
    found = metrics.average_precision(scores, relevance)
    torch.testing.assert_close(found, torch.from_numpy(np.array(wanted)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.error_rate(torch.rand(4), torch.zeros(4).long()), r"class scores \[sample, class\]"),
        (lambda: metrics.error_rate(torch.rand(4, 2), torch.zeros(3).long()), "4 whole class ids"),
        (lambda: metrics.error_rate(torch.rand(4, 2), torch.full((4,), 0.5)), r"targets\[0\] is 0.5"),
        (lambda: metrics.error_rate(torch.rand(2, 2), torch.tensor([0.0, math.nan])), "missing label"),
        (
            lambda: metrics.error_rate(torch.full((4, 2), math.nan), torch.zeros(4).long()),
            "NaN, first in row 0",
        ),
        (lambda: metrics.f_beta(torch.ones(2).long(), torch.ones(2).long(), beta=0), "beta is 0"),
        (
            lambda: metrics.f_beta(IDS, IDS, average="all"),  # pyright: ignore[reportArgumentType]
            "average is 'all'",
        ),
        (lambda: metrics.roc_auc(torch.rand(3), torch.tensor([0, 1, 2])), "0 and 1"),
        (lambda: metrics.roc_auc(torch.rand(3, 3), torch.tensor([0, 1, 1])), "one score and one target"),
        (lambda: metrics.roc_auc(torch.tensor([0.0, math.nan]), torch.tensor([0, 1])), "NaN, first in row 1"),
        (lambda: metrics.roc_auc(*[[0.1, 0.2], torch.tensor([0, 1])]), "two tensors"),
    ],
)
def test_what_does_not_fit_is_refused(call, message: str) -> None:
    """Messages say what came and what was expected."""
    with pytest.raises(InputError, match=message):
        call()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=25),
    st.sampled_from(["macro", "micro", "weighted"]),
    st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0]),
)
def test_f_beta_of_any_table_is_that_of_scikit_learn(pairs: list, average, beta: float) -> None:
    """Classes that are only predicted, only present, or alone; each average, whatever its weight."""
    predictions, targets = torch.tensor(pairs).unbind(1)
    wanted = sklearn.metrics.fbeta_score(
        targets.numpy(), predictions.numpy(), beta=beta, average=average, zero_division=0
    )
    close(metrics.f_beta(predictions, targets, beta=beta, average=average), wanted)


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=12))
def test_f_beta_without_an_average_refuses_what_scikit_learn_refuses(pairs: list) -> None:
    """More than two classes, or two without class 1; one class is no contradiction."""
    predictions, targets = torch.tensor(pairs).unbind(1)
    classes = {*predictions.tolist(), *targets.tolist()}
    try:
        found = metrics.f_beta(predictions, targets)
    except InputError as error:
        assert "average" in str(error) and (len(classes) > 2 or 1 not in classes)
        if len(classes) > 1:
            with pytest.raises(ValueError, match=r"average|pos_label"):
                sklearn.metrics.f1_score(targets.numpy(), predictions.numpy())
    else:
        truth, guess = (targets == 1).numpy(), (predictions == 1).numpy()
        close(found, sklearn.metrics.f1_score(truth, guess, zero_division=1))


@pytest.mark.parametrize(
    "outputs", [torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 5] * 3)]
)
def test_f1_asks_which_class_is_meant(outputs: torch.Tensor) -> None:
    """Three columns, three classes, classes 0 and 5: the message says what to choose; a choice is enough."""
    targets = torch.tensor([0, 1, 0, 0, 1, 0]) if outputs.unique().numel() != 2 else torch.tensor([0, 5] * 3)
    with pytest.raises(InputError, match="average=macro, weighted or micro"):
        metrics.f_beta(outputs, targets)
    for settings in (
        {"average": "macro"},
        {"average": "weighted"},
        {"average": "binary"},
        {"positive_class": 0},
    ):
        assert 0 <= float(metrics.f_beta(outputs, targets, **settings)) <= 1
