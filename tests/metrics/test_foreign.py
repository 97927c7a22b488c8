"""What a foreign function may do: return odd things, raise, change its arguments, print; never other statistics."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import MetricFailed

LOGITS = torch.randn(60, 3, generator=torch.Generator().manual_seed(3))
TARGETS = torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(4))


def value(metric, outputs, targets) -> float:
    """Measure and summarise."""
    return metric.summarise(metric.measure(outputs, targets))


def same(found: float, wanted: float) -> None:
    """Equal, both NaN included."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("returned", "number"),
    [
        (np.ma.masked, math.nan),
        (np.ma.array([1.0], mask=True), math.nan),
        (np.longdouble("0.25"), 0.25),
        (torch.tensor([[0.5]], dtype=torch.bfloat16), 0.5),
        (np.bool_(True), 1.0),
        (Fraction(1, 4), 0.25),
        (Decimal("0.75"), 0.75),
        (float("nan"), math.nan),
    ],
)
def test_what_counts_as_a_number(returned: object, number: float) -> None:
    """Whatever holds one real number is one; a masked value is undefined, never 0."""
    metric = metrics.adapt(lambda *_: returned, higher_is_better=True)
    same(value(metric, LOGITS, TARGETS), number)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "it returned None"),
        ("0.5", "it returned '0.5'"),
        (1j, "it returned 1j"),
        (torch.tensor(1j), "complex64"),
        (np.zeros(3), r"\(3,\) of float64"),
        (math.inf, "it returned inf"),
        ({"f1": 0.5}, "it returned {'f1': 0.5}"),
    ],
)
def test_what_is_no_number(returned: object, told: str) -> None:
    """Refused with what came; infinite numbers cannot be subtracted, so they are no values of a metric."""
    metric = metrics.adapt(lambda *_: returned, higher_is_better=True)
    with pytest.raises(MetricFailed, match=told):
        value(metric, LOGITS, TARGETS)


@pytest.mark.parametrize("raised", [ZeroDivisionError("no positive"), KeyError("x"), RecursionError("deep")])
def test_a_metric_that_raises_is_told_by_name(raised: Exception) -> None:
    """One error of ours with the metric's name, the exception's type and its text, which stays its cause."""

    def stumbles(outputs, targets):
        raise raised

    metric = metrics.adapt(stumbles, higher_is_better=True, unit="sample")
    with pytest.raises(MetricFailed, match=f"stumbles: it raised {type(raised).__name__}") as told:
        metric.summarise(metric.measure(LOGITS, TARGETS))
    assert str(raised) in str(told.value) and told.value.__cause__ is raised
