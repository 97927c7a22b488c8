"""What is claimed follows from test statistics and nothing else."""

import math

import pytest
import torch

from metricgrad._records import Entrant
from metricgrad._types import Metric
from metricgrad.differences import Grouping
from metricgrad.interval import mean_of_units
from metricgrad.tune.evidence import Selected, judge

HIGHER = Metric("share", lambda outputs, targets: outputs, mean_of_units, True, (0, 1), unit="query")
LOWER = Metric("error", lambda outputs, targets: outputs, mean_of_units, False, (0, 1))
CAST = [Entrant("start", "start"), Entrant("continued", "control"), Entrant("tuned", "contender")]
WHOLE = Metric("whole", lambda outputs, targets: outputs, mean_of_units, True, (0, 1), unit="whole")


def arm(share: float, units: int = 1000, seed: int = 0):
    """Zeros and ones [unit, 1] with about that share of ones."""
    return (torch.rand(units, 1, generator=torch.Generator().manual_seed(seed)) < share).double()


def selected(metric: Metric = HIGHER, arms=("start", "continued", "tuned")) -> Selected:
    """Selection that prefers tuned by 0.3."""
    sign = 1 if metric.higher_is_better else -1
    return Selected(
        metric,
        "surrogate:x",
        {name: 0.5 + sign * 0.3 * (name == "tuned") for name in arms},
        {"test": 3},
        [],
        CAST if "continued" in arms else [CAST[0], CAST[2]],
    )


def test_gain_needs_the_whole_interval_above_zero() -> None:
    """A clear difference is a gain; of arms that are equal on select, the control is the opponent."""
    verdict = judge(selected(), {"start": [arm(0.2)], "continued": [arm(0.4)], "tuned": [arm(0.6)]}, [0])
    assert verdict.verdict == "gain"
    assert verdict.baseline == "continued"
    assert verdict.gains["continued"]["low"] > 0
    assert verdict.gains["start"]["gain"] > verdict.gains["continued"]["gain"]


@pytest.mark.parametrize("metric", [HIGHER, LOWER])
@pytest.mark.parametrize("better", ["start", "continued"])
def test_select_chooses_the_opponent(metric: Metric, better: str) -> None:
    """The opponent is the other arm that does better on select, whatever test says; test picks nothing."""
    sign = 1 if metric.higher_is_better else -1
    other = "start" if better == "continued" else "continued"
    values = {better: 0.5 + sign * 0.01, other: 0.5, "tuned": 0.5 + sign * 0.3}
    for shares in ((0.6, 0.4), (0.4, 0.6)):
        statistics = {better: [arm(shares[0])], other: [arm(shares[1])], "tuned": [arm(0.5)]}
        verdict = judge(Selected(metric, "surrogate:x", values, {}, [], CAST), statistics, [0])
        assert verdict.baseline == better and set(verdict.gains) == {"start", "continued"}
        assert (verdict.verdict == "worse") == ((shares[0] > 0.5) == metric.higher_is_better)


def test_undefined_select_values_lose() -> None:
    """An arm without a value on select is no opponent as long as there is another."""
    values = {"start": 0.5, "continued": math.nan, "tuned": 0.6}
    statistics = {"start": [arm(0.5)], "continued": [arm(0.9)], "tuned": [arm(0.6)]}
    assert judge(Selected(HIGHER, "x", values, {}, [], CAST), statistics, [0]).baseline == "start"


@pytest.mark.parametrize("spread", [0.05, 0.2, 0.35])
def test_a_gain_over_the_opponent_says_over_which_arm_none_is_shown(spread: float) -> None:
    """The other arm is as good as the tuned one, up to chance."""
    other = arm(0.6)
    other[::2, 0] += spread
    other[1::2, 0] -= spread
    verdict = judge(selected(), {"start": [other], "continued": [arm(0.4)], "tuned": [arm(0.6)]}, [0])
    assert (verdict.verdict, verdict.baseline) == ("gain", "continued")
    assert any("no gain is shown over the start model" in mark for mark in verdict.marks)


def test_a_gain_over_the_opponent_says_when_the_other_arm_is_better_on_test() -> None:
    """Training on hurt, which select did not see."""
    verdict = judge(selected(), {"start": [arm(0.8)], "continued": [arm(0.4)], "tuned": [arm(0.6)]}, [0])
    assert (verdict.verdict, verdict.baseline) == ("gain", "continued")
    assert any("the start model is better than the tuned arm" in mark for mark in verdict.marks)


@pytest.mark.parametrize(
    ("seeds", "scope", "words"),
    [
        (1, "models", "this model, tuned with surrogate:x, beats"),
        (2, "models", "these models, tuned with surrogate:x, beat"),
        (3, "method", "Gain: surrogate:x beats"),
    ],
)
def test_a_method_is_named_from_three_seeds_on(seeds: int, scope: str, words: str) -> None:
    """With fewer the variance between seeds is not known."""
    statistics = {
        "start": [arm(0.2)] * seeds,
        "continued": [arm(0.2)] * seeds,
        "tuned": [arm(0.6, seed=number) for number in range(seeds)],
    }
    verdict = judge(selected(), statistics, list(range(seeds)))
    assert verdict.verdict == "gain" and verdict.scope == scope and words in verdict.sentence
    assert ("not of the method" in verdict.sentence) == (scope == "models")
    assert (verdict.gains["start"]["seed_error"] is None) == (scope == "models")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([number % 19 for number in range(1000)], "too few classes (19; at least 20 are needed)"),
        ([max(0, number - 960) for number in range(1000)], "too few classes (40, but of such unequal sizes"),
        (["one"] * 1000, "too few classes (1;"),
    ],
)
def test_too_few_groups_claim_nothing(labels: list, words: str) -> None:
    """A difference that 1,000 independent units would show says nothing of further groups."""
    statistics = {"start": [arm(0.2)], "continued": [arm(0.2)], "tuned": [arm(0.6)]}
    verdict = judge(selected(), statistics, [0], grouping=Grouping(labels, "class"))
    assert verdict.verdict == "nothing claimed" and words in verdict.sentence
    assert any(words in mark for mark in verdict.marks)
    assert judge(selected(), statistics, [0]).verdict == "gain"


def test_groups_stand_in_the_sentence_and_the_record() -> None:
    """1,000 queries in 200 classes."""
    statistics = {"start": [arm(0.2)], "continued": [arm(0.2)], "tuned": [arm(0.6)]}
    grouping = Grouping([number // 5 for number in range(1000)], "class")
    verdict = judge(selected(), statistics, [0], grouping=grouping, resamples=300)
    assert "over 1,000 queries in 200 classes" in verdict.sentence
    assert (verdict.units, verdict.groups, verdict.group, verdict.resamples) == (1000, 200, "class", 300)


def rare(statistics: torch.Tensor) -> float:
    """Undefined where the first unit was not drawn."""
    return float(statistics[:, 0].mean()) if bool((statistics[:, 0] == 7).any()) else math.nan


def test_a_metric_that_is_undefined_on_many_resamples_claims_nothing() -> None:
    """One resample of three is none that could be left out in silence."""
    metric = Metric("rare", lambda outputs, targets: outputs, rare, True, (0, 7))
    tables = {name: [arm(share)] for name, share in (("start", 0.2), ("continued", 0.2), ("tuned", 0.6))}
    for ones in tables.values():
        ones[0][0] = 7
    verdict = judge(selected(metric), tables, [0], resamples=200)
    assert verdict.verdict == "nothing claimed" and "undefined on 3" in verdict.sentence
    assert verdict.undefined > 40 and verdict.resamples == 200 - verdict.undefined
    assert any("resamples are left out" in mark for mark in verdict.marks)


def test_units_undefined_in_one_arm_are_told_and_left_out_of_all() -> None:
    """Arms that are equal wherever all are defined are no evidence, and the sentence counts the others."""
    full = arm(0.5)
    holes = full.clone()
    holes[full[:, 0] == 0] = torch.nan
    verdict = judge(selected(), {"start": [full], "continued": [full], "tuned": [holes]}, [0])
    assert verdict.gains["start"]["gain"] == 0 and verdict.verdict == "no evidence"
    assert verdict.left_out == int((full == 0).sum()) and verdict.units == int((full == 1).sum())
    assert any("left out of every arm" in mark for mark in verdict.marks)


@pytest.mark.parametrize("infinite", ["tuned", "continued", "start"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_an_infinite_arm_leaves_the_figures_of_the_others(infinite: str, seeds: int) -> None:
    """A metric of the user's own may be infinite for a unit: nothing is claimed, and finite arms keep their values."""
    statistics = {
        name: [arm(share)] * seeds for name, share in (("start", 0.2), ("continued", 0.4), ("tuned", 0.6))
    }
    holes = statistics[infinite][0].clone()
    holes[3] = torch.inf
    statistics[infinite] = [holes] * seeds
    verdict = judge(selected(), statistics, list(range(seeds)), resamples=50)
    assert verdict.verdict == "nothing claimed"
    for name, ones in statistics.items():
        assert verdict.arms[name]["value"] == pytest.approx(float(ones[0].mean()))


def test_one_table_serves_all_arms_and_gains() -> None:
    """A function that is not ours is called once for each arm, seed and resample, and once for each figure."""
    calls = 0

    def counted(statistics: torch.Tensor) -> float:
        nonlocal calls
        calls += 1
        return mean_of_units(statistics)

    metric = Metric("counted", lambda outputs, targets: outputs, counted, True, (0, 1))
    tables = {name: [arm(0.5, 50), arm(0.5, 50, seed=1)] for name in ("start", "continued", "tuned")}
    told = []
    judge(selected(metric), tables, [0, 1], resamples=100, watch=lambda done, total: told.append(done))
    assert calls == 3 * 2 * 101
    assert told == list(range(1, 101))


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
