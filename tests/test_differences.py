"""Arms beside a baseline: differences, Holm's adjustment, and what may be claimed."""

import math

import pytest
import torch
from torch import Tensor

from metricgrad._types import Metric
from metricgrad.differences import Differences, Grouping
from metricgrad.errors import InputError
from metricgrad.interval import Interval, paired_bootstrap
from metricgrad.metrics import adapt


def hits(*shares: float, units: int = 200) -> list[Tensor]:
    """One table per share: so many of the units, the same ones first, are hits."""
    return [(torch.arange(units) % 100 < 100 * share).double()[:, None] for share in shares]


def test_a_difference_is_that_of_the_paired_bootstrap() -> None:
    """Value and interval are those of two arms alone; p-value and claim agree with them."""
    a, b = hits(0.5, 0.7)
    (found,) = Differences(adapt("accuracy"), {"a": [a], "b": [b]}).against("a")
    alone = paired_bootstrap([b], [a])
    assert (found.interval.value, found.interval.low, found.interval.high) == (
        alone.value,
        alone.low,
        alone.high,
    )
    assert found.claim == "gain" and found.p_value == found.adjusted is not None
    assert found.p_value is not None and found.p_value <= 0.05


def test_the_same_arm_twice_is_no_evidence() -> None:
    """Difference 0 on every resample, p-value 1."""
    (found,) = Differences(adapt("accuracy"), {"a": hits(0.5), "b": hits(0.5)}).against("a")
    assert (found.interval.value, found.interval.low, found.interval.high) == (0, 0, 0)
    assert (found.p_value, found.claim) == (1.0, "no evidence")


def test_claims_are_adjusted_for_all_arms() -> None:
    """An interval without 0 is no claim of its own where ten arms were tried."""
    torch.manual_seed(0)
    start = torch.randn(100, 1, dtype=torch.float64)
    weak = start + 0.3 + torch.randn(100, 1, dtype=torch.float64)
    noise = {f"noise {n}": [start + torch.randn(100, 1, dtype=torch.float64)] for n in range(9)}
    compared = Differences(adapt("accuracy"), {"start": [start], "weak": [weak], **noise})
    alone, among = compared.against("start", ["weak"])[0], compared.against("start")[0]
    assert alone.interval == among.interval and alone.p_value == among.p_value
    assert alone.interval.low is not None and alone.interval.low > 0
    assert (alone.claim, among.claim) == ("gain", "no evidence")
    assert among.p_value is not None and among.adjusted == pytest.approx(10 * among.p_value)


@pytest.mark.parametrize(("metric", "claim"), [("accuracy", "worse"), ("zero_one", "gain")])
def test_the_direction_is_that_of_the_metric(metric: str, claim: str) -> None:
    """Fewer errors are a gain, though the difference is below 0."""

    def errors(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs != targets).double()[:, None]

    record = adapt("accuracy")
    if metric == "zero_one":
        record = Metric(metric, errors, record.summarise, higher_is_better=False, bounds=(0.0, 1.0))
    (found,) = Differences(record, {"a": hits(0.7), "b": hits(0.5)}).against("a")
    assert found.interval.value < 0 and found.claim == claim


@pytest.mark.parametrize("units", [5, 19])
def test_nothing_is_claimed_of_few_groups(units: int) -> None:
    """However clear the difference is."""
    compared = Differences(adapt("accuracy"), {"a": hits(0, units=units), "b": hits(1, units=units)})
    assert compared.against("a")[0].claim == "nothing claimed" and "too few samples" in str(compared.doubt)
    grouped = Differences(
        adapt("accuracy"), {"a": hits(0), "b": hits(1)}, Grouping(torch.arange(200) % units, "group")
    )
    assert grouped.against("a")[0].claim == "nothing claimed" and "too few groups" in str(grouped.doubt)


def test_a_number_for_the_whole_set_has_a_difference_and_no_claim() -> None:
    """No interval, no p-value; it counts as a comparison all the same."""
    metric = Metric(
        "volume",
        lambda outputs, targets: outputs,
        lambda rows: float(rows[0, 0]),
        unit="whole",
        higher_is_better=True,
        bounds=(0.0, 10.0),
    )
    one, two = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    (found,) = Differences(metric, {"a": [one], "b": [two]}).against("a")
    assert (found.interval.value, found.interval.low, found.p_value, found.claim) == (
        2,
        None,
        None,
        "nothing claimed",
    )


def test_an_arm_that_was_not_measured_is_refused() -> None:
    """By name."""
    with pytest.raises(InputError, match="'c'"):
        Differences(adapt("accuracy"), {"a": hits(0.5), "b": hits(0.5)}).against("c")


@pytest.mark.parametrize(("metric", "least", "most"), [("accuracy", 0.0, 1.0), ("mcc", -1.0, 1.0)])
def test_no_interval_leaves_the_range_of_the_metric(metric: str, least: float, most: float) -> None:
    """Few groups widen it beyond what a share can be; a difference of two shares lies within -1 and 1."""
    exact, targets = adapt(metric), torch.arange(60) % 2
    good = targets.clone()
    good[0] = 1 - good[0]
    outputs = {"good": good, "bad": 1 - good}
    statistics = {arm: [exact.measure(one, targets)] for arm, one in outputs.items()}
    found = Differences(exact, statistics, Grouping(torch.arange(60) // 20, "sample"))
    for signs, low, high in (
        ({"good": 1.0}, least, most),
        ({"good": 1.0, "bad": -1.0}, least - most, most - least),
    ):
        whole = found.interval(signs)
        assert whole.low is not None and whole.high is not None
        assert low <= whole.low <= whole.value <= whole.high <= high
    assert found.interval({"good": 1.0}).high == most  # it was beyond


def test_a_metric_without_bounds_keeps_its_interval() -> None:
    """And a value outside of bounds that are wrong is left as it is."""
    exact = adapt(
        lambda outputs, targets: float((outputs == targets).float().mean()) * 3, higher_is_better=True
    )
    assert exact.bounds == (-math.inf, math.inf)
    wrong = Interval(1.5, 1.2, 1.8, (1.5,), 9, 0.95, 100)
    assert wrong.within((0.0, 1.0)) == wrong
    assert wrong.within(exact.bounds) == wrong
