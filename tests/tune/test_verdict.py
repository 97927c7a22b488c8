"""What is claimed follows from test statistics and nothing else."""

import math

import pytest
import torch

from metricgrad._types import Metric
from metricgrad.interval import mean_of_units
from metricgrad.tune.evidence import Selected, judge

HIGHER = Metric("share", lambda outputs, targets: outputs, mean_of_units, True, (0, 1), unit="query")
LOWER = Metric("error", lambda outputs, targets: outputs, mean_of_units, False, (0, 1))
WHOLE = Metric("whole", lambda outputs, targets: outputs, mean_of_units, True, (0, 1), unit="whole")


def arm(share: float, units: int = 1000, seed: int = 0):
    """Zeros and ones [unit, 1] with about that share of ones."""
    return (torch.rand(units, 1, generator=torch.Generator().manual_seed(seed)) < share).double()


def selected(metric: Metric = HIGHER, arms=("start", "continued", "tuned")) -> Selected:
    """Selection that prefers tuned by 0.3."""
    sign = 1 if metric.higher_is_better else -1
    return Selected(
        metric, "surrogate:x", {name: 0.5 + sign * 0.3 * (name == "tuned") for name in arms}, {"test": 3}, []
    )


def test_gain_needs_the_whole_interval_above_zero() -> None:
    """A clear difference is a gain, against the better of the other arms."""
    verdict = judge(selected(), {"start": [arm(0.2)], "continued": [arm(0.4)], "tuned": [arm(0.6)]}, [0])
    assert verdict.verdict == "gain"
    assert verdict.baseline == "continued"
    assert verdict.gains["continued"]["low"] > 0
    assert verdict.gains["start"]["gain"] > verdict.gains["continued"]["gain"]


def test_start_can_be_the_baseline() -> None:
    """Where training on hurt, the start model is what has to be beaten."""
    verdict = judge(selected(), {"start": [arm(0.6)], "continued": [arm(0.4)], "tuned": [arm(0.5)]}, [0])
    assert (verdict.verdict, verdict.baseline) == ("worse", "start")
    assert verdict.gains["continued"]["low"] > 0


def test_equal_arms_are_no_evidence() -> None:
    """The same statistics give a gain of zero and an interval of zero width: no evidence."""
    same = [arm(0.5)]
    verdict = judge(selected(), {"start": same, "continued": same, "tuned": same}, [0])
    assert verdict.verdict == "no evidence"
    assert verdict.gains["start"]["gain"] == 0


def test_lower_is_better_turns_the_sign() -> None:
    """A gain is positive where the error falls."""
    verdict = judge(selected(LOWER), {"start": [arm(0.6)], "continued": [arm(0.6)], "tuned": [arm(0.2)]}, [0])
    assert verdict.verdict == "gain"
    assert verdict.gains["start"]["low"] > 0


def test_seeds_are_averaged_and_printed() -> None:
    """The gain is the mean over seeds, and each seed's own is there."""
    statistics = {
        "start": [arm(0.3, seed=1), arm(0.3, seed=2)],
        "continued": [arm(0.3, seed=3), arm(0.3, seed=4)],
        "tuned": [arm(0.5, seed=5), arm(0.7, seed=6)],
    }
    gain = judge(selected(), statistics, [0, 1]).gains["start"]
    assert len(gain["per_seed"]) == 2
    assert math.isclose(gain["gain"], sum(gain["per_seed"]) / 2)


def test_optimism_is_the_select_gain_minus_the_test_gain() -> None:
    """A method that shines on select alone is seen."""
    same = [arm(0.5)]
    verdict = judge(selected(), {"start": same, "continued": same, "tuned": same}, [0])
    assert verdict.optimism == pytest.approx(0.3)


def test_no_test_split_claims_nothing() -> None:
    """Without a test split the verdict says so."""
    verdict = judge(selected(), None, [0])
    assert verdict.verdict == "nothing claimed"
    assert verdict.arms["tuned"]["value"] is None


def test_no_proxy_is_marked() -> None:
    """Without a control arm the result says what is missing."""
    verdict = judge(selected(arms=("start", "tuned")), {"start": [arm(0.2)], "tuned": [arm(0.6)]}, [0])
    assert verdict.verdict == "gain"
    assert any("control arm" in mark for mark in verdict.marks)


def test_whole_set_metric_has_no_interval() -> None:
    """One number for the whole set cannot be resampled: nothing is claimed, and the reason is given."""
    verdict = judge(selected(WHOLE), {"start": [arm(0.2)], "continued": [arm(0.2)], "tuned": [arm(0.6)]}, [0])
    assert verdict.verdict == "nothing claimed"
    assert any("interval" in mark for mark in verdict.marks)


def test_undefined_units_are_left_out() -> None:
    """Units without a definition (NaN) count for no arm."""
    holes = arm(0.5)
    holes[::2] = torch.nan
    verdict = judge(selected(), {"start": [holes], "continued": [holes], "tuned": [holes]}, [0])
    assert verdict.arms["tuned"]["value"] == pytest.approx(float(holes[1::2].mean()))
