"""Minutes are those of the whole run; what a method does before its first step is its time; both arms show theirs."""

import time
from typing import Any

import pytest
import torch
from torch import nn

from metricgrad.errors import Interrupted
from metricgrad.methods.descent import Descent
from metricgrad.report import summary_text
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from tests.tune.small_run import small_run
from tests.tune.test_learned_road import QUICK, clouds, cost_metric, network

WARM_UP = 0.15


def budget(result: Result) -> Any:
    """The budget of a run."""
    found = result.event("budget")
    assert found is not None
    return found


def stages(result: Result, arm: str) -> list[Any]:
    """The ends of an arm's stages."""
    return [event for event in result.events if event["event"] == "stage_finished" and event["arm"] == arm]


@pytest.fixture
def slow_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every method take its time before the first step; the proxy loss begins at once."""
    begin = Descent.begin

    def slowly(self: Any, *run: Any) -> None:
        time.sleep(0 if self.settings.learning_rate == 7e-4 else WARM_UP)
        begin(self, *run)

    monkeypatch.setattr(Descent, "begin", slowly)


def two_classes(**changes: Any) -> Result:
    """Tune a network of two classes."""
    parts = []
    for seed in range(3):
        targets = torch.arange(60) % 2
        noise = torch.randn(60, 5, generator=torch.Generator().manual_seed(seed))
        parts.append(ArraySplit(noise + targets[:, None], targets, batch=20))
    arguments: dict[str, Any] = {
        "metric": "accuracy",
        "proxy": nn.functional.cross_entropy,
        "method": "direct:multiclass",
        "proxy_settings": {"learning_rate": 7e-4},
        "observer": lambda event: None,
    }
    torch.manual_seed(0)
    return tune(nn.Linear(5, 2), Splits(*parts), **(arguments | changes))


@pytest.mark.usefixtures("slow_to_begin")
def test_what_comes_before_the_first_step_is_the_method_s_time() -> None:
    """It is in the seconds of the stage, in the table, and comes off the minutes."""
    result = two_classes(plan=Plan(minutes=0.03), seed=(0, 1))
    found = budget(result)
    assert found["expected"]["once"] >= 2 * 0.9 * WARM_UP
    assert sum(found["expected"].values()) <= 1.02 * 60 * 0.03 or found["steps"] == 1
    assert all(stage["seconds"] >= WARM_UP for stage in stages(result, "tuned"))
    assert "trained for" in summary_text(result.events)
    assert "equal steps, not equal time" in summary_text(result.events)
    steps = {stage["step"] for arm in ("continued", "tuned") for stage in stages(result, arm)}
    assert steps == {found["steps"]}


@pytest.mark.slow
@pytest.mark.alone
def test_warm_up_and_exams_of_a_surrogate_are_its_time() -> None:
    """What the record says of teaching fits into the seconds of the stage, and into what was expected."""
    settings = {"learning_rate": 1e-3, **QUICK, "surrogate_warmup": 300}
    result = tune(
        network(),
        clouds(),
        metric=cost_metric(),
        method="learned",
        settings=settings,
        plan=Plan(minutes=0.1),
        proxy=nn.functional.cross_entropy,
        observer=lambda event: None,
    )
    taught = [event["values"]["seconds"] for event in result.events if event["event"] == "fitted"]
    (stage,) = stages(result, "tuned")
    assert stage["seconds"] >= taught[-1]
    assert budget(result)["expected"]["once"] > 0.3 * taught[0]


@pytest.mark.slow
@pytest.mark.alone
def test_what_a_process_does_once_is_not_counted_for_every_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports, say: the beginning of a try is timed again where many begin like it."""
    begin, slept = Descent.begin, list[float]()

    def slowly(self: Any, *run: Any) -> None:
        if not slept:
            slept.append(1.0)
            time.sleep(1.0)
        begin(self, *run)

    monkeypatch.setattr(Descent, "begin", slowly)
    found = budget(two_classes(plan=Plan(minutes=0.05), seed=(0, 1, 2, 3)))
    assert found["expected"]["once"] < 1.0


@pytest.mark.slow
@pytest.mark.alone
def test_the_end_is_expected_by_its_resamples() -> None:
    """As many calls of a slow function as the plan says; hardly any time where they are made together."""

    def slow(outputs: Any, targets: Any) -> float:
        time.sleep(0.005)
        return float((outputs.argmax(1) == targets).double().mean())

    few = Plan(minutes=0.02, resamples=10)
    found = budget(two_classes(plan=few, metric=slow, higher_is_better=True))
    assert 3 * 10 * 0.005 <= found["expected"]["end"] < 3 * 100 * 0.005
    assert budget(two_classes(plan=Plan(minutes=0.02)))["expected"]["end"] < 2000 * 0.005


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(("minutes", "low", "high"), [(0.02, 200, 200), (0.2, 200, 1000)])
def test_resamples_of_a_slow_metric_fit_the_minutes(minutes: float, low: int, high: int) -> None:
    """They take a quarter of the minutes or there are 200 of them; a number that the plan gives stays."""

    def slow(outputs: Any, targets: Any) -> float:
        time.sleep(0.002)
        return float((outputs.argmax(1) == targets).double().mean())

    result = two_classes(plan=Plan(minutes=minutes), metric=slow, higher_is_better=True)
    assert low <= budget(result)["resamples"] <= high
    verdict = result.event("verdict")
    assert verdict is not None and verdict["resamples"] == budget(result)["resamples"]
    given = two_classes(plan=Plan(minutes=minutes, resamples=300), metric=slow, higher_is_better=True)
    assert budget(given)["resamples"] == 300


@pytest.mark.slow
def test_the_start_s_training_has_its_share() -> None:
    """A start model that is not told its steps takes at most half of the minutes; one that is told takes them."""
    free = small_run(None, plan=Plan(minutes=0.01), start_plan=Plan(), seed=0)
    assert budget(free)["start_steps"] < 2000
    assert all(stage["step"] <= budget(free)["start_steps"] for stage in stages(free, "start"))
    told = small_run(None, plan=Plan(minutes=0.005), start_plan=Plan(steps=30, evaluate_every=10), seed=0)
    assert budget(told)["start_steps"] == 30
    assert budget(told)["expected"]["start"] > 0


def test_minutes_that_do_not_reach_are_told() -> None:
    """One step of every try is trained all the same."""
    result = two_classes(plan=Plan(minutes=1e-4, tries=3))
    assert budget(result)["steps"] == 1
    assert any("minutes do not reach" in event["text"] for event in result.events if event["event"] == "note")


def test_minutes_are_found_although_a_try_diverges() -> None:
    """The steps that are timed may diverge, too."""
    result = two_classes(plan=Plan(minutes=0.005), settings={"learning_rate": 1e30})
    assert budget(result)["steps"] >= 1
    assert result.verdict is not None


def test_seconds_of_a_stage_go_on_after_a_resume(tmp_path: Any) -> None:
    """What was trained before the interruption counts."""

    def observer(event: Any) -> None:
        if event["event"] == "progress" and event["done"] == 6:
            raise Interrupted("struck")

    def run(**changes: Any) -> Result:
        return two_classes(plan=Plan(steps=8, checkpoint_every=5), folder=tmp_path / "run", **changes)

    with pytest.raises(Interrupted):
        run(observer=observer)
    assert all(stage["seconds"] > 0 for stage in stages(run(), "continued"))


@pytest.mark.slow
@pytest.mark.alone
def test_a_run_takes_the_minutes_that_it_was_given() -> None:
    """Start, arms, evaluations, test and intervals together: within half and one and a half of them."""
    began = time.perf_counter()
    small_run(None, plan=Plan(minutes=0.25), start_plan=Plan(steps=60, evaluate_every=20), seed=(0, 1))
    assert 0.5 * 15 < time.perf_counter() - began < 1.5 * 15
