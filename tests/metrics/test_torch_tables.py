"""The formulas of torchmetrics' metrics of decided classes: the values of the real package, table by table."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from metricgrad import metrics
from metricgrad.metrics.table_metric import TableMetric

theirs = pytest.importorskip("torchmetrics.classification")

AVERAGES = ("macro", "micro", "weighted")
AVERAGED = ("Accuracy", "F1Score", "JaccardIndex", "Precision", "Recall")
KNOWN = [
    *((f"Multiclass{name}", {"average": average}) for name in AVERAGED for average in AVERAGES),
    *(("MulticlassFBetaScore", {"beta": 2.0, "average": average}) for average in AVERAGES),
    *(("MulticlassCohenKappa", {"weights": weights}) for weights in (None, "none", "linear", "quadratic")),
    ("MulticlassHammingDistance", {"average": "micro"}),
    ("MulticlassMatthewsCorrCoef", {}),
    *((f"Binary{name}", {}) for name in (*AVERAGED, "CohenKappa", "HammingDistance")),
    ("BinaryFBetaScore", {"beta": 0.5}),
]  # fmt: skip


def tables(classes: int) -> Tensor:
    """200 random tables: in most a class lacks its row, its column or both, in some all samples are in one cell."""
    generator = torch.Generator().manual_seed(classes)
    found = torch.randint(0, 6, (200, classes, classes), generator=generator)
    for place in range(200):
        one = int(torch.randint(classes, (), generator=generator))
        if place % 4 in (1, 3):
            found[place, one] = 0
        if place % 4 in (2, 3):
            found[place, :, one] = 0
    for place in range(classes**2):
        found[4 * place] = 0
        found[4 * place].view(-1)[place] = 3
    found[found.sum((1, 2)) == 0] = 1
    return found


def called(metric: Any, table: Tensor) -> float:
    """The value of the package for the labels that a table stands for."""
    true, decided = table.nonzero(as_tuple=True)
    times = table[true, decided]
    metric.update(decided.repeat_interleave(times), true.repeat_interleave(times))
    value = float(metric.compute())
    metric.reset()
    return value


@pytest.mark.parametrize(("name", "settings"), KNOWN, ids=lambda value: str(value))
def test_equal_values(name: str, settings: dict[str, Any]) -> None:
    """Undefined where theirs is; theirs are computed in float32."""
    many = {"num_classes": 3} if name.startswith("Multiclass") else {}
    metric = getattr(theirs, name)(**settings, **many)
    record = metrics.adapt(metric)
    assert record.of_table is not None and record.higher_is_better is metric.higher_is_better
    given = tables(3 if many else 2)
    wanted = torch.tensor([called(metric, table) for table in given], dtype=torch.float64)
    assert_close(record.of_table(given), wanted, rtol=0, atol=2e-6, equal_nan=True)


OTHERS: list[Callable[[], Any]] = [
    lambda: theirs.MulticlassF1Score(3, top_k=2),
    lambda: theirs.MulticlassF1Score(3, ignore_index=0),
    lambda: theirs.MulticlassF1Score(3, zero_division=1.0),
    lambda: theirs.MulticlassF1Score(3, average="none"),
    lambda: theirs.MulticlassHammingDistance(3),
    lambda: theirs.MulticlassMatthewsCorrCoef(2),
    lambda: theirs.BinaryMatthewsCorrCoef(),
    lambda: theirs.BinaryAUROC(),
    lambda: type("MulticlassF1Score", (theirs.MulticlassF1Score,), {"__module__": "mine"})(3),
]


@pytest.mark.parametrize("make", OTHERS)
def test_others_have_none(make: Callable[[], Any]) -> None:
    """Settings at which the values differ, a metric that differs on some tables, one of scores, one of the user."""
    assert metrics.adapt(make()).of_table is None


def test_a_rule_calls_none_of_them() -> None:
    """The formula answers for all tables at once, and has a gradient."""
    value = TableMetric(theirs.MulticlassF1Score(3), 3)
    given = tables(3)[1].double().requires_grad_()
    value(given).backward()
    assert value.calls == 0 and given.grad is not None and bool(given.grad.isfinite().all())
