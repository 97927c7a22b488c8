"""A method that asks for the exact metric gets it on the pool alone, counted; a failed call is never a value."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from metricgrad._types import MethodRun
from metricgrad.errors import InputError, Interrupted, JudgeEnded, TrialFailed
from metricgrad.methods import families
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Result, Splits, tune
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.judge import Judge
from metricgrad.tune.pool import fit_and_pool
from tests.laws.random_search import RANDOM_SEARCH, RandomSearch
from tests.tune.small_run import figures, same_weights, small_splits

SEEN: dict[str, list[Any]] = {}


@pytest.fixture(autouse=True)
def search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family `search` for a while, watched, and nothing seen yet."""
    SEEN.update(runs=[], fit=[])

    def begin(method: RandomSearch, run: MethodRun, begin: Any = RandomSearch.begin) -> None:
        SEEN["runs"].append(run)
        begin(method, run)

    def step(method: RandomSearch, batch: Any, step: Any = RandomSearch.step) -> Any:
        SEEN["fit"].append(batch[0])
        return step(method, batch)

    monkeypatch.setattr(RandomSearch, "begin", begin)
    monkeypatch.setattr(RandomSearch, "step", step)
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, RANDOM_SEARCH))


def _run(folder: Path | None = None, *, steps: int = 6, **changes: Any) -> Result:
    arguments: dict[str, Any] = {
        "metric": "recall@1",
        "proxy": "supcon",
        "method": "search",
        "plan": Plan(steps=steps, checkpoint_every=2),
        "observer": lambda event: None,
        "folder": folder,
    }
    return tune(_model, changes.pop("splits", None) or small_splits(), **(arguments | changes))


def _model(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(12, 8)


def _rows(batches: Any) -> set[bytes]:
    return {row.numpy().tobytes() for inputs in batches for row in inputs}


def test_its_gradient_sees_no_row_of_the_pool_and_the_control_sees_all_of_fit() -> None:
    """What is held back belongs to one method alone."""
    splits = small_splits()
    result = _run(splits=splits)
    (run,) = SEEN["runs"]
    held = _rows([run.pool.inputs])
    assert not held & _rows(SEEN["fit"])
    assert held | _rows([run.fit.inputs]) == _rows([splits.fit.inputs])
    assert run.select is None
    assert {event["arm"] for event in result.events if event["event"] == "stage_finished"} >= {
        "continued",
        "tuned",
    }


def test_whole_classes_are_held_back_and_the_same_ones_for_the_same_seed() -> None:
    """A fifth of the classes, every item of each."""
    splits, metric = small_splits(), adapt("recall@1")
    pools = [fit_and_pool(splits, metric, RandomSearch(), seed)[1] for seed in (3, 3, 4)]  # type: ignore[arg-type]
    classes = [set(pool.targets.tolist()) for pool in pools]  # type: ignore[union-attr]
    assert classes[0] == classes[1] != classes[2]
    assert all(len(found) == 4 for found in classes)  # a fifth of 20
    for pool in pools:
        assert all(int((pool.targets == one).sum()) == 8 for one in pool.targets.unique())  # type: ignore[union-attr]


def test_items_are_held_back_for_a_metric_of_samples_and_groups_where_fit_has_them() -> None:
    """Items, unless fit has groups: those are held back whole."""
    fit = ArraySplit(torch.randn(50, 3), torch.arange(50) % 2, batch=7)
    groups = [f"patient {item // 5}" for item in range(50)]
    metric = adapt("accuracy")
    rest, pool = fit_and_pool(Splits(fit, fit), metric, RandomSearch(), 0)  # type: ignore[arg-type]
    assert (len(rest.inputs), len(pool.inputs)) == (40, 10)  # type: ignore[attr-defined, union-attr]
    _, pool = fit_and_pool(Splits(fit, fit, groups={"fit": groups}), metric, RandomSearch(), 0)  # type: ignore[arg-type]
    places = {int((fit.inputs == row).all(1).nonzero()) for row in pool.inputs}  # type: ignore[union-attr]
    assert len({place // 5 for place in places}) == 2
    assert len(places) == 10


def test_views_go_with_their_items() -> None:
    """A view of a held-back item is no item to train on."""
    inputs, labels = torch.randn(24, 3), torch.arange(24) // 3
    fit = ClassBatchSplit(
        inputs, labels, classes_per_batch=3, samples_per_class=2, views=torch.stack([inputs + 100])
    )
    rest, pool = fit_and_pool(Splits(fit, fit), adapt("recall@1"), RandomSearch(), 1)  # type: ignore[arg-type]
    assert torch.equal(rest.views[0], rest.inputs + 100)  # type: ignore[attr-defined]
    assert float(pool.inputs.max()) < 50  # type: ignore[union-attr]


def test_a_given_pool_is_taken_and_fit_stays_whole() -> None:
    """Nothing is held back where a pool is given, and the record describes it."""
    splits = small_splits()
    pool = ArraySplit(torch.randn(16, 12), 100 + torch.arange(16) // 4)
    result = _run(splits=Splits(splits.fit, splits.select, splits.test, pool))
    (run,) = SEEN["runs"]
    assert run.pool is pool and run.fit is splits.fit
    started = next(event for event in result.events if event["event"] == "run_started")
    assert started["splits"]["pool"] == {"items": 16, "classes": 4}


def test_calls_are_counted_beside_those_on_select_and_test() -> None:
    """The verdict lists them under `pool`."""
    verdict = next(event for event in _run().events if event["event"] == "verdict")
    assert verdict["metric_calls"]["pool"] == 6


def test_a_spent_budget_ends_the_stage_with_its_best_weights() -> None:
    """Nine calls are allowed; the tenth step ends the stage."""
    result = _run(steps=20)
    (note,) = [
        event["text"] for event in result.events if event["event"] == "note" and "spent" in event["text"]
    ]
    assert "9 calls of recall@1 on the pool are spent" in note
    ended = [
        event for event in result.events if event["event"] == "stage_finished" and event["arm"] == "tuned"
    ]
    assert ended[0]["step"] == 10
    assert next(event for event in result.events if event["event"] == "verdict")["metric_calls"]["pool"] == 9


@pytest.mark.parametrize("failure", ["raises", "nan", "infinite outputs"])
def test_a_failed_call_is_no_value_and_the_third_in_a_row_ends(failure: str) -> None:
    """Two failures in a row are borne, a value begins the count anew."""

    def metric(outputs: Tensor, targets: Tensor) -> float:
        if failure == "raises" and float(outputs.sum()) < 0:
            raise ZeroDivisionError("nothing to divide by")
        return float("nan") if failure == "nan" and float(outputs.sum()) < 0 else 0.5

    record = adapt("accuracy" if failure == "infinite outputs" else metric, higher_is_better=True)
    judge = Judge(Evaluator(record), budget=10)
    bad = torch.full((4, 2), -torch.inf if failure == "infinite outputs" else -1.0)
    good, targets = torch.ones(4, 2), torch.tensor([0, 1, 0, 0])
    for _ in range(2):
        with pytest.raises(TrialFailed, match="on the pool"):
            judge(bad if failure != "infinite outputs" else bad * torch.nan, targets)
    assert isinstance(judge(good, targets), float)  # a value begins the count anew
    for _ in range(2):
        with pytest.raises(TrialFailed):
            judge(bad * (torch.nan if failure == "infinite outputs" else 1), targets)
    with pytest.raises(JudgeEnded, match="3 calls in a row failed, the last one"):
        judge(bad * (torch.nan if failure == "infinite outputs" else 1), targets)
    assert judge.evaluator.calls["pool"] == judge.calls == 6


def test_a_metric_that_fails_on_the_pool_ends_the_stage_and_not_the_run() -> None:
    """The control arm and the verdict stand."""
    calls = []

    def metric(outputs: Tensor, targets: Tensor) -> float:
        calls.append(len(targets))
        if len(targets) == 32:  # the pool
            raise OSError("the judge is asleep")
        return float(outputs.mean())

    result = _run(metric=metric, higher_is_better=True, splits=_of_items())
    (note,) = [
        event["text"] for event in result.events if event["event"] == "note" and "in a row" in event["text"]
    ]
    assert "the judge is asleep" in note
    ended = [
        event for event in result.events if event["event"] == "stage_finished" and event["arm"] == "tuned"
    ]
    assert ended[0]["step"] == 3


def test_what_cannot_be_divided_is_refused_before_training() -> None:
    """The message says how to give a pool."""
    splits = small_splits()
    loader = DataLoader(TensorDataset(splits.fit.inputs, splits.fit.targets), batch_size=8)
    with pytest.raises(InputError, match=r"fit is a DataLoader.*pool="):
        _run(splits=Splits(loader, splits.select, splits.test))
    tiny = ArraySplit(torch.randn(6, 12), torch.arange(6) // 2)
    with pytest.raises(InputError, match=r"3 classes, groups or items"):
        _run(splits=Splits(tiny, splits.select, splits.test), proxy=None)
    assert not SEEN["runs"]


def test_a_pool_shares_no_class_with_select_and_no_rows_with_fit() -> None:
    """The pool is learned from: it can neither choose nor judge."""
    splits = small_splits()
    with pytest.raises(InputError, match="select and pool share"):
        _run(splits=Splits(splits.fit, splits.select, splits.test, splits.select))
    accuracy = _of_items()
    with pytest.raises(InputError, match="fit and pool are one object"):
        _run(splits=Splits(accuracy.fit, accuracy.select, None, accuracy.fit), metric="accuracy", proxy=None)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_the_same_count(tmp_path: Path) -> None:
    """Calls and failures are part of the checkpoint."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    uninterrupted = _run(whole)

    def stop(event: Any) -> None:
        if event["event"] == "progress" and event["what"] == "seed 0 tuned" and event["done"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        _run(cut, observer=stop)
    resumed = _run(cut)
    assert same_weights(whole, cut) == []
    assert [float(value) for value in figures(resumed)] == [float(value) for value in figures(uninterrupted)]
    verdicts = [
        next(event for event in one.events if event["event"] == "verdict") for one in (uninterrupted, resumed)
    ]
    assert verdicts[0]["metric_calls"] == verdicts[1]["metric_calls"]


def _of_items() -> Splits:
    """Splits of samples: 160 to fit, of which 32 are held back."""
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(count, 12, generator=generator) for count in (160, 40, 40)]
    return Splits(*(ArraySplit(part, (part[:, 0] > 0).long(), batch=256) for part in parts))


def test_statistics_are_one_call() -> None:
    """They are those of the metric, and summarise to what a call returns; a failed one counts, too."""
    metric = adapt("macro_f1")
    judge = Judge(Evaluator(metric), budget=3)
    outputs, targets = torch.eye(3)[[0, 1, 1, 2]], torch.tensor([0, 1, 2, 2])
    found, value = judge.measured(outputs, targets)
    assert (len(found), judge.calls) == (4, 1)
    assert metric.summarise(found) == value == judge(outputs, targets)
    with pytest.raises(TrialFailed):
        judge.measured(outputs * torch.nan, targets)
    with pytest.raises(JudgeEnded, match="3 calls"):
        judge.measured(outputs, targets)
