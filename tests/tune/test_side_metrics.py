"""Side metrics: measured beside the metric, and an arm that falls too far in one of them is not returned."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metricgrad import metrics
from metricgrad._types import Metric
from metricgrad.errors import InputError, RunFolderError
from metricgrad.interval import mean_of_units
from metricgrad.tune import ArraySplit, Plan, Result, Splits
from metricgrad.tune.falls import falls_of, held_back, told_of
from metricgrad.tune.groups import Grouping
from metricgrad.tune.side_metrics import SideMetric, side_metrics_of
from tests.tune.small_run import figures, same_weights, small_run

ACCURACY = metrics.adapt("accuracy")


def _classes(seed: int) -> ArraySplit:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(200, 2, generator=generator)
    return ArraySplit(
        inputs, (inputs[:, 0] + 0.5 * torch.randn(200, generator=generator) > 0).long(), batch=50
    )


def _good_start(_seed: int = 0) -> nn.Module:
    """A classifier that is right already, so that whatever a reckless step does to it is a fall."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
        model.bias.zero_()
    return model


def _wrong_way(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that turns the classifier around."""
    return nn.functional.cross_entropy(outputs, 1 - targets)


def _misses(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) != targets).double()[:, None]


WRONG = Metric("misses", _misses, mean_of_units, True, (0, 1), per_sample=True, reads="classes")
"""The metric that such a run is after: the share of wrong answers, of which more is better."""


def share_right(outputs: Tensor, targets: Tensor) -> float:
    """A function that does not say which way is better."""
    return float((outputs.argmax(1) == targets).double().mean())


def _run(folder: Path | None, **changes: Any) -> Result:
    """Both trained arms turn the classifier around: better in the metric, worse in accuracy."""
    arguments: dict[str, Any] = {
        "model": _good_start,
        "splits": Splits(*(_classes(seed) for seed in (1, 2, 3))),
        "metric": WRONG,
        "proxy": _wrong_way,
        "method": "surrogate:average_precision",
        "seed": (0, 1),
        "start_plan": None,
        "plan": Plan(steps=6, evaluate_every=3, checkpoint_every=2, resamples=200),
        "settings": {"learning_rate": 1e-4},
        "proxy_settings": {"learning_rate": 0.5},
        "side_metrics": ["accuracy"],
    }
    return small_run(folder, **(arguments | changes))


def _of(result: Result, name: str) -> list[dict[str, Any]]:
    return [dict(event) for event in result.events if event["event"] == name]


@pytest.fixture(scope="module")
def fallen(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run whose `continued` arm wins the metric and loses accuracy."""
    return _run(tmp_path_factory.mktemp("side") / "run")


def test_an_arm_that_falls_is_not_returned(fallen: Result) -> None:
    """`continued` is best by the metric; its accuracy falls on select with both seeds, so the start is returned."""
    falls = {(fall["seed"], fall["arm"]): fall for fall in _of(fallen, "fall")}
    assert {model for model, fall in falls.items() if fall["held_back"]} == {
        (0, "continued"),
        (1, "continued"),
    }
    assert all(0 < fall["low"] < fall["fall"] < fall["high"] for fall in falls.values() if fall["held_back"])
    chosen = fallen.event("chosen")
    assert chosen is not None and chosen["returned"] == {"0": "start", "1": "start"}
    assert all(values["continued"] > values["start"] for values in chosen["select"].values())
    assert fallen.returned == "start"
    assert fallen.model is not None and torch.equal(fallen.model.weight, _good_start().weight)  # pyright: ignore
    verdict = fallen.event("verdict")
    assert verdict is not None
    assert any(
        mark.startswith("continued is not returned (seeds 0, 1): on select accuracy")
        for mark in verdict["marks"]
    )


def test_every_arm_is_measured_on_select_and_test_and_counted_by_name(fallen: Result) -> None:
    """A value for every seed, arm and split, start included: accuracy is 1 minus the metric of these runs."""
    measured = {(one["seed"], one["arm"], one["split"]): one for one in _of(fallen, "side_measured")}
    assert len(measured) == 2 * 3 * 2
    tested = {(one["seed"], one["arm"]): one["value"] for one in _of(fallen, "tested")}
    for (seed, arm, split), one in measured.items():
        assert one["metric"] == "accuracy" and one["units"] == 200
        if split == "test":
            assert one["value"] == pytest.approx(1 - tested[seed, arm])
    verdict = fallen.event("verdict")
    assert verdict is not None
    calls = verdict["metric_calls"]
    assert (calls["select (accuracy)"], calls["test (accuracy)"], calls["test"]) == (
        6,
        6,
        12,
    )  # and with argmax


def test_the_figures_of_the_metric_are_those_of_a_run_without(fallen: Result) -> None:
    """Side metrics train nothing and change no figure; only what is returned is another arm."""
    without = _run(None, side_metrics=[])
    assert [one.item() for one in figures(without)] == [one.item() for one in figures(fallen)]
    assert without.returned == "continued" and not _of(without, "side_measured")


@pytest.mark.parametrize("may_fall", [{"accuracy": 0.9}, math.inf])
def test_a_fall_within_its_limit_holds_nothing_back(may_fall: Any) -> None:
    """Two thirds is no more than 0.9; with no limit the side metric is only measured."""
    result = _run(None, may_fall=may_fall, seed=0)
    assert result.returned == "continued" and not any(fall["held_back"] for fall in _of(result, "fall"))
    assert _of(result, "fall")[0]["may_fall"] == (None if may_fall == math.inf else 0.9)


@pytest.mark.slow
def test_a_run_that_stops_at_the_end_gives_the_same(fallen: Result, tmp_path: Path) -> None:
    """Interrupted while test is read, after the falls were written: the resumed run has the same record and weights."""

    def stop(event: Any) -> None:
        if event["event"] == "side_measured" and event["split"] == "test":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "run", observer=stop)
    resumed = _run(tmp_path / "run")
    kinds = ("side_metrics", "side_measured", "fall", "chosen", "tested", "verdict")
    for kind in kinds:
        first, second = (
            [{key: value for key, value in one.items() if key != "time"} for one in _of(result, kind)]
            for result in (fallen, resumed)
        )
        assert first == second, kind
    assert not same_weights(fallen.folder, tmp_path / "run")


def test_a_finished_run_is_known_by_what_can_change_its_return(fallen: Result) -> None:
    """Another limit, and no side metric, is another run; one that was never measured is asked of another folder."""
    assert _run(fallen.folder).returned == "start"
    for changes in ({"may_fall": 0.5}, {"side_metrics": []}, {"side_metrics": ["error_rate"]}):
        with pytest.raises(RunFolderError, match="another run: side_metrics differ"):
            _run(fallen.folder, **changes)
    with pytest.raises(RunFolderError, match="has not measured error_rate"):
        _run(
            fallen.folder,
            side_metrics=["accuracy", "error_rate"],
            may_fall={"accuracy": 0.0, "error_rate": math.inf},
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side_metrics": "accuracy"}, "a list of metrics"),
        ({"side_metrics": ["acuracy"]}, "side_metrics: .*accuracy"),
        ({"side_metrics": [share_right]}, r"metrics\.adapt\(function, higher_is_better"),
        ({"side_metrics": [WRONG]}, "is the metric of the run"),
        ({"side_metrics": ["accuracy", "accuracy"]}, "is there twice"),
        ({"may_fall": -0.1}, "may_fall of accuracy"),
        ({"may_fall": math.nan}, "may_fall of accuracy"),
        ({"may_fall": {"acuracy": 0.1}}, "Did you mean 'accuracy'"),
        ({"side_metrics": [], "may_fall": 0.1}, "no side metrics"),
        ({"side_metrics": ["edit_distance"]}, "edit_distance cannot be measured on select"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """One sentence that names the side metric; no folder is made."""
    with pytest.raises(InputError, match=message):
        _run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_accuracy_of_embeddings_is_refused(tmp_path: Path) -> None:
    """The metric says that the outputs are embeddings: their largest column is no class."""
    with pytest.raises(InputError, match="the side metric accuracy reads classes, but recall@1 says"):
        small_run(tmp_path / "run", side_metrics=["accuracy"])
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------- the fall of single models


def _rows(values: Any) -> Tensor:
    """Statistics of a metric that is a mean over samples."""
    return torch.as_tensor(values, dtype=torch.float64)[:, None]


MEAN = dataclasses.replace(metrics.per_sample(lambda one, other: 0.0, higher_is_better=True), name="mean")


def _judged(start: Any, arm: Any, *, metric: Any = MEAN, may_fall: float = 0.0, labels: Any = None) -> Any:
    measured = {(metric.name, 0, "start"): start, (metric.name, 0, "arm"): arm}
    (fall,) = falls_of(
        [SideMetric(metric, may_fall)],
        measured,
        start="start",
        resamples=500,
        grouping_of=lambda side: Grouping(labels, "group" if labels else "sample"),
    )
    return fall


def test_the_lower_end_of_the_interval_decides() -> None:
    """A fall of 0.1 whose interval reaches below 0 holds nothing back; the same fall of more samples does."""
    few, many = (
        _judged(_rows([1.0] * n), _rows([0.0] * (n // 10) + [1.0] * (n - n // 10))) for n in (20, 400)
    )
    assert few.fall == pytest.approx(0.1) == many.fall
    assert few.low <= 0 and not few.held_back and many.low > 0 and many.held_back
    assert held_back([few]) == set() and held_back([many]) == {(0, "arm")}


def test_a_fall_is_in_the_direction_of_the_side_metric() -> None:
    """Of errors a rise is a fall: positive is worse."""
    error = dataclasses.replace(MEAN, higher_is_better=False)
    low, high = _rows([0.1, 0.2] * 50), _rows([0.3, 0.4] * 50)
    assert _judged(low, high, metric=error).held_back and not _judged(high, low, metric=error).held_back
    assert _judged(low, high, metric=error).fall == pytest.approx(0.2) == -_judged(low, high).fall


def test_units_are_paired() -> None:
    """Samples vary by 10, every one falls by 0.01: the difference is sure although the values are not."""
    values = torch.linspace(0, 10, 50)
    found = _judged(_rows(values), _rows(values - 0.01))
    assert found.held_back and found.low == pytest.approx(0.01, abs=1e-6)


def test_what_cannot_be_judged_is_told_and_holds_nothing_back() -> None:
    """Too few samples, too few groups, undefined, one number for the whole set, a metric that failed."""
    one, none = _rows([1.0] * 100), _rows([0.0] * 100)
    cases = {
        "too few samples (12;": _judged(one[:12], none[:12]),
        "too few groups (5;": _judged(one, none, labels=[number % 5 for number in range(100)]),
        "undefined on select": _judged(one, _rows([math.nan] * 100)),
        "one number for the whole set": _judged(
            one[:1], none[:1], metric=dataclasses.replace(MEAN, unit="whole")
        ),
        "the metric failed": _judged(one, None),
    }
    for reason, fall in cases.items():
        assert not fall.held_back and reason in fall.told
        (text,) = told_of([fall])
        assert "no arm is held back for it" in text and reason in text


def test_a_side_metric_that_fails_at_the_end_is_told() -> None:
    """It raises of the models that were trained: the run ends, says so, and returns what the metric prefers."""
    calls = iter(range(1000))

    def fails_later(outputs: Tensor, targets: Tensor) -> float:
        if next(calls) > 1:
            raise ZeroDivisionError("no prediction")
        return share_right(outputs, targets)

    side = metrics.adapt(fails_later, higher_is_better=True, unit="sample")
    result = _run(None, side_metrics=[side], seed=0)
    verdict = result.event("verdict")
    assert verdict is not None and result.returned == "continued"
    assert any("fails_later failed on select" in mark for mark in verdict["marks"])
    assert any("the metric failed" in mark for mark in verdict["marks"])


def test_names_and_limits() -> None:
    """A limit for all or by name; one that is not named is 0."""
    found = side_metrics_of(
        ["accuracy", ACCURACY.function and metrics.error_rate], {"error_rate": 0.2}, WRONG, fit=None
    )
    assert [(side.metric.name, side.may_fall) for side in found] == [("accuracy", 0.0), ("error_rate", 0.2)]
