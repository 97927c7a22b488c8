"""A metric of decided classes as a function of tables: by formula, by weights, by labels; and its slope."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score

from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.metrics.table_metric import TableMetric, confusion_slope


def random_tables(seed: int, count: int, classes: int) -> torch.Tensor:
    """Tables of whole numbers with no empty row."""
    generator = np.random.default_rng(seed)
    return torch.tensor(generator.integers(1, 30, (count, classes, classes)), dtype=torch.float64)


def share_right(outputs, targets):
    """Accuracy, as somebody writes it who has only labels."""
    return (outputs == targets).double().mean()


def share_of_tables(tables):
    """The same of tables."""
    return tables.diagonal(dim1=-2, dim2=-1).sum(-1) / tables.sum((-2, -1))


def test_a_function_of_labels_is_called_once_per_table():
    """The value is that of the labels the table stands for, every call is counted, and equal tables take none."""
    calls = []
    metric = adapt(
        lambda outputs, targets: calls.append(0) or share_right(outputs, targets), higher_is_better=True
    )
    tables = random_tables(0, 5, 3)
    value = TableMetric(metric, 3)
    torch.testing.assert_close(value(tables), share_of_tables(tables))
    assert value.calls == len(calls) == 5 + 2  # the first measurement asks whether it ranks the samples
    known: dict[bytes, float] = {}
    for found in (TableMetric(metric, 3, known=known), TableMetric(metric, 3, known=known)):
        assert torch.equal(found(tables.flip(0)), value(tables).flip(0))
        assert found.calls == 5 * (len(calls) == 12)
        calls.clear()


def test_an_undefined_table_is_remembered_as_undefined():
    """A function that raised is not asked for the same table again."""

    def raises(outputs, targets):
        raise ValueError("no")

    value = TableMetric(adapt(raises, higher_is_better=True, unit="whole"), 3)
    tables = random_tables(0, 2, 3)
    assert value(tables).isnan().all() and value(tables).isnan().all()
    assert value.calls == 2 and "no" in str(value.failure)


def test_weights_and_labels_give_the_same_value():
    """A function of scikit-learn is called with a weight per cell; without weights labels are written out."""
    tables = random_tables(1, 4, 3)
    macro_f1 = partial(f1_score, average="macro")
    by_weight = TableMetric(macro_f1, 3)
    by_label = TableMetric(adapt(lambda y_true, y_pred: macro_f1(y_true, y_pred), higher_is_better=True), 3)
    assert by_weight.weighted and not by_label.weighted
    torch.testing.assert_close(by_weight(tables), by_label(tables))
    torch.testing.assert_close(by_weight(tables / 7), by_weight(tables))


@pytest.mark.parametrize("function", [balanced_accuracy_score, cohen_kappa_score])
def test_slopes_by_weights_and_by_labels_agree(function):
    """Labels written out carry the same slope, but for the rounding of the base table."""
    table = random_tables(2, 1, 3)[0]
    by_weight = confusion_slope(TableMetric(adapt(function), 3), table)
    whole = TableMetric(adapt(lambda y_true, y_pred: function(y_true, y_pred), higher_is_better=True), 3)
    by_label = confusion_slope(whole, table)
    assert whole.calls == 3 * 3 + 1
    torch.testing.assert_close(by_label, by_weight, atol=5e-3, rtol=5e-3)


def test_a_linear_metric_has_exact_slopes_whatever_the_step():
    """Accuracy: the slope of a cell is its credit minus the accuracy, here of a small step."""
    table = random_tables(3, 1, 4)[0]
    slopes = confusion_slope(share_of_tables, table, step=1e-6, pseudo_count=0.0)
    accuracy = table.diagonal().sum() / table.sum()
    torch.testing.assert_close(slopes, torch.eye(4, dtype=torch.float64) - accuracy, atol=1e-6, rtol=0)


def test_what_raises_is_undefined_and_says_why():
    """A table on which a metric raises is NaN, out of any choice, and `failure` keeps what it said."""

    def only_without_errors(outputs, targets):
        if bool((outputs != targets).any()):
            raise RuntimeError("an error came")
        return 1.0

    value = TableMetric(adapt(only_without_errors, higher_is_better=True, unit="whole"), 2)
    tables = torch.tensor([[[2.0, 0], [0, 2]], [[1, 1], [0, 2]], [[0, 0], [0, 0]]])
    found = value(tables)
    assert found[0] == 1 and math.isnan(found[1]) and math.isnan(found[2])
    assert "an error came" in (value.failure or "")
    assert value.gains(tables)[1] == -math.inf


def test_lower_is_better_keeps_its_own_values():
    """Values are those of the metric; gains have the sign turned."""
    value = TableMetric("error_rate", 2)
    table = torch.tensor([[3.0, 1.0], [0.0, 4.0]])
    assert value(table) == 0.125 and value.gains(table) == -0.125


@pytest.mark.parametrize("name", ["roc_auc", "binary_average_precision", "recall@1"])
def test_a_metric_that_reads_no_classes_is_refused(name):
    """Under a ranking metric every cut changes exactly nothing."""
    with pytest.raises(InputError, match="not decided classes"):
        TableMetric(name, 2)


def test_tables_of_another_size_are_refused():
    """The message says which size came."""
    with pytest.raises(InputError, match=r"tables are \(2, 3\)"):
        TableMetric("accuracy", 2)(torch.ones(2, 3))
