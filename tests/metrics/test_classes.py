"""Metrics of decided classes are those of scikit-learn on random tables, and differ where that is said."""

import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sklearn.metrics
import torch
from torch import Tensor

from metricgrad import metrics
from metricgrad.errors import InputError
from tests.metrics.test_of_table import expanded, tables

AVERAGED = {
    "f1": sklearn.metrics.f1_score,
    "f_beta:beta=0.5": partial(sklearn.metrics.fbeta_score, beta=0.5),
    "jaccard": sklearn.metrics.jaccard_score,
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
}
PLAIN = {
    "accuracy": sklearn.metrics.accuracy_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "cohen_kappa": sklearn.metrics.cohen_kappa_score,
    "error_rate": sklearn.metrics.zero_one_loss,
    "matthews_corrcoef": sklearn.metrics.matthews_corrcoef,
}


def measured(name: str, predictions: Tensor, truths: Tensor) -> float:
    """A metric by name."""
    metric = metrics.adapt(name)
    return metric.summarise(metric.measure(predictions, truths))


def theirs() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Our names, and the same of scikit-learn, called with (truth, prediction) and how many classes there are."""
    for name, function in AVERAGED.items():
        join = "," if ":" in name else ":"
        for average in ("macro", "micro", "weighted"):
            yield f"{name}{join}average={average}", _called(function, average=average, zero_division=0.0)
    for name, function in PLAIN.items():
        yield name, _called(function)
    for weights in ("linear", "quadratic"):
        yield f"cohen_kappa:weights={weights}", partial(_kappa, weights)


def _called(function: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    return lambda truth, guess, _classes: function(truth, guess, **settings)


def _kappa(weights: str, truth: Any, guess: Any, classes: int) -> float:
    return sklearn.metrics.cohen_kappa_score(truth, guess, weights=weights, labels=list(range(classes)))


def compared(generator: torch.Generator, count: int) -> None:
    """Our value and theirs, on random tables; NaN of their kappa is our 0."""
    for table in tables(generator, count):
        predictions, truths = expanded(table)
        for name, function in theirs():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of classes without a sample, and of kappa's 0 / 0
                wanted = float(function(truths.numpy(), predictions.numpy(), len(table)))
            wanted = 0.0 if math.isnan(wanted) and "kappa" in name else wanted
            assert measured(name, predictions, truths) == pytest.approx(wanted, abs=1e-12), (name, table)


def test_they_are_those_of_scikit_learn(generator: torch.Generator) -> None:
    """Each average; classes that are only predicted, only present, alone, or not there."""
    compared(generator, 3)


@pytest.mark.slow
def test_they_are_those_of_scikit_learn_on_many_tables(generator: torch.Generator) -> None:
    """Three hundred tables."""
    compared(generator, 300)


@pytest.mark.parametrize("positive", [0, 1])
def test_of_one_class_they_are_those_of_scikit_learn(generator: torch.Generator, positive: int) -> None:
    """Where there is one, present or predicted; without any, nothing is wrong and ours are 1."""
    for table in tables(generator, 8):
        predictions, truths = expanded(table)
        truth, guess = (side.numpy() == positive for side in (truths, predictions))
        for name, function in AVERAGED.items():
            join = "," if ":" in name else ":"
            found = measured(f"{name}{join}positive_class={positive}", predictions, truths)
            wanted = float(function(truth, guess, zero_division=0.0)) if (truth | guess).any() else 1.0
            assert found == pytest.approx(wanted, abs=1e-12), (name, table)


def test_specificity_of_two_classes_is_the_recall_of_the_other(generator: torch.Generator) -> None:
    """As sensitivity and specificity of a test for a disease."""
    table = torch.randint(1, 9, (2, 2), generator=generator)
    sides = expanded(table)
    assert measured("specificity", *sides) == measured("recall:positive_class=0", *sides)
    assert measured("recall", *sides) == measured("specificity:positive_class=0", *sides)
    assert measured("specificity_weighted", *sides) == pytest.approx(
        float(
            (table.sum(1) * torch.tensor([table[1, 1], table[0, 0]]) / table.sum(1).flip(0)).sum()
            / table.sum()
        )
    )


def test_kappa_is_0_where_chance_agrees() -> None:
    """One class only, all right: scikit-learn has NaN there, and Matthews' correlation 0 like ours."""
    same = torch.zeros(4, dtype=torch.int64)
    for name in ("kappa", "linear_kappa", "qwk", "mcc"):
        assert measured(name, same, same) == 0.0
        assert measured(name, same, torch.tensor([0, 1, 0, 1])) == 0.0


def test_a_class_between_others_keeps_its_place() -> None:
    """Classes 0, 1, 3: the last lies two from 1, whether or not there is a 2; scikit-learn without labels moves it."""
    truths, predictions = torch.tensor([0, 1, 3, 3, 0]), torch.tensor([0, 3, 3, 1, 1])
    found = measured("linear_kappa", predictions, truths)
    wanted = partial(sklearn.metrics.cohen_kappa_score, truths.numpy(), predictions.numpy(), weights="linear")
    assert found == pytest.approx(wanted(labels=[0, 1, 2, 3])) != pytest.approx(wanted())


def test_g_mean_is_0_without_a_class() -> None:
    """One class that is never found; 1 where all is right."""
    truths = torch.tensor([0, 0, 1, 2])
    assert measured("g_mean", truths, truths) == 1.0
    assert measured("g_mean", torch.tensor([0, 0, 1, 1]), truths) == 0.0
    assert measured("g_mean", torch.tensor([0, 1, 1, 2]), truths) == pytest.approx(0.5 ** (1 / 3))


def test_costs_are_of_true_and_predicted_class() -> None:
    """A missed class 1 costs five, a false one 1; the cost of errors alone is the error rate."""
    predictions, truths = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    assert measured("expected_cost:cost=0 1; 5 0", predictions, truths) == 6 / 4
    assert measured("expected_cost:cost=0 1; 1 0", predictions, truths) == measured(
        "error_rate", predictions, truths
    )
    for form in ([[0, 1], [5, 0]], torch.tensor([[0, 1], [5, 0]]), "0 1\n5 0"):
        assert float(metrics.expected_cost(predictions, truths, cost=form)) == 6 / 4


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (torch.tensor([0, 2]), torch.tensor([0, 1]), "there is a class 2 and cost has 2 rows"),
        (torch.tensor([0, 1]), torch.tensor([0, -1]), "there is a class -1"),
        (torch.rand(2, 3), torch.tensor([0, 1]), "a row and a column of costs for each class"),
    ],
)
def test_every_class_has_a_row_of_costs(outputs: Tensor, targets: Tensor, message: str) -> None:
    """Else the message names the class."""
    with pytest.raises(InputError, match=message):
        metrics.expected_cost(outputs, targets, cost="0 1; 5 0")
    with pytest.raises(InputError, match="classes 0 to 1, which cost has rows for"):
        of_table = metrics.adapt("expected_cost:cost=0 1; 5 0").of_table
        assert of_table is not None
        of_table(torch.ones(3, 3))


THEIRS_WITH_A_FORMULA = [
    sklearn.metrics.accuracy_score,
    sklearn.metrics.balanced_accuracy_score,
    sklearn.metrics.matthews_corrcoef,
    sklearn.metrics.zero_one_loss,
    sklearn.metrics.get_scorer("jaccard_weighted"),
    partial(sklearn.metrics.f1_score, average="macro"),
    partial(sklearn.metrics.fbeta_score, beta=2.0, average="weighted", zero_division=0),
    partial(sklearn.metrics.precision_score, average="macro"),
    partial(sklearn.metrics.recall_score, average="micro"),
]
THEIRS_WITHOUT = [
    sklearn.metrics.cohen_kappa_score,
    sklearn.metrics.f1_score,
    sklearn.metrics.log_loss,
    partial(sklearn.metrics.accuracy_score, normalize=False),
    partial(sklearn.metrics.balanced_accuracy_score, adjusted=True),
    partial(sklearn.metrics.f1_score, average="macro", labels=[0, 1]),
    partial(sklearn.metrics.f1_score, average="macro", zero_division=1.0),
    partial(sklearn.metrics.f1_score, average="samples"),
]


@pytest.mark.filterwarnings("ignore:A single label was found", "ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("function", THEIRS_WITH_A_FORMULA)
def test_a_metric_of_scikit_learn_has_our_formula(
    generator: torch.Generator, function: Callable[..., Any]
) -> None:
    """It is measured by calling it, and tables have the same value without a call."""
    metric = metrics.adapt(function)
    assert metric.of_table is not None and metric.function is None
    for table in tables(generator, 8):
        called = metric.summarise(metric.measure(*expanded(table)))
        before = metrics.metric_calls(metric)
        assert float(metric.of_table(table)) == pytest.approx(called, abs=1e-12)
        assert metrics.metric_calls(metric) == before > 0


@pytest.mark.parametrize("function", THEIRS_WITHOUT)
def test_a_formula_is_given_only_where_it_is_the_same(function: Callable[..., Any]) -> None:
    """Other settings, undefined values of other kinds, metrics of probabilities."""
    assert metrics.adapt(function).of_table is None
