"""The portfolio: `method="auto"` of a metric that reads classes chooses among arms that were trained anyway."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from metricgrad.errors import InputError, Interrupted
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Comparison, Contender, Plan, Result, Splits, compare
from metricgrad.tune.asked import Asked
from metricgrad.tune.cast import cast_of
from metricgrad.tune.checkpoint import load_weights
from tests.tune.decided_run import classifier, decided_run, decided_splits, drawn
from tests.tune.small_run import figures, same_weights, small_run
from tests.tune.test_resume import Raiser

MEMBERS = ["start", "continued", "balanced_softmax", "soft_confusion"]


def of(result: Result, name: str) -> list[Any]:
    """The events of that name."""
    return [event for event in result.events if event["event"] == name]


def portfolio_run(folder: Path | None = None, **changes: Any) -> Result:
    """A portfolio on three classes; the start has learned little."""
    arguments: dict[str, Any] = {
        "classes": 3,
        "method": "auto",
        "start_plan": Plan(steps=10, evaluate_every=5),
        "plan": Plan(steps=6, evaluate_every=3, checkpoint_every=2, resamples=200),
        "proxy_settings": {"learning_rate": 0.05},
        "seed": 0,
    }
    return decided_run(folder, **(arguments | changes))


@pytest.fixture(scope="module")
def picked(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run that nothing interrupted."""
    return portfolio_run(tmp_path_factory.mktemp("portfolio") / "run")


def test_its_arms(picked: Result) -> None:
    """Candidates have a role of their own, the class-weighted control is there, all train with the control's rate."""
    arms = {arm["name"]: arm for arm in of(picked, "run_started")[0]["arms"]}
    assert {name: arm["role"] for name, arm in arms.items()} == {
        "start": "start",
        "continued": "control",
        "class_weighted_cross_entropy": "control",
        "balanced_softmax": "candidate",
        "soft_confusion": "candidate",
        "tuned": "contender",
    }
    assert arms["tuned"]["members"] == MEMBERS and arms["start"]["members"] == []
    started = of(picked, "stage_started")
    assert {event["settings"]["learning_rate"] for event in started if event["arm"] not in ("start",)} == {
        0.05
    }
    assert not any(event["arm"] == "tuned" for event in started)


def test_it_returns_the_best_candidate_or_the_start(picked: Result) -> None:
    """By value on select, where the quantile of the gain is above 0; its figures are those of what it returns."""
    chosen = of(picked, "chosen")[0]
    assert chosen["returned"] == {"0": "tuned"} and picked.returned == "tuned"
    for event in of(picked, "picked"):
        candidates = {one["name"]: one for one in event["candidates"]}
        best = max(candidates.values(), key=lambda one: one["value"])
        assert event["best"] == best["name"]
        expected = best if event["low"] is not None and event["low"] > 0 else event["candidates"][0]
        assert event["returned"] == expected["name"]
        assert chosen["select"][str(event["seed"])]["tuned"] == expected["value"]
        told = [mark for mark in of(picked, "verdict")[0]["marks"] if mark.startswith("tuned returns")]
        assert told == [f"tuned returns {expected['name']} (seed 0): {told[0].partition('): ')[2]}"]
    assert any(event["low"] is not None for event in of(picked, "picked"))


def test_the_weights_of_a_pick_are_those_of_its_arms(picked: Result) -> None:
    """Those of one arm as they are; of several their mean."""
    for event in of(picked, "picked"):
        arms = next(one["arms"] for one in event["candidates"] if one["name"] == event["returned"])
        states = [
            load_weights(picked.folder / "arms" / f"seed{event['seed']}-{arm}-try0.safetensors")
            for arm in arms
        ]
        found = load_weights(picked.folder / "arms" / f"seed{event['seed']}-tuned-try0.safetensors")
        for name, value in found.items():
            assert_close(value, torch.stack([state[name] for state in states]).mean(0))


def test_a_claim_is_made_over_the_best_control(picked: Result) -> None:
    """The opponent is start or control, never a candidate."""
    verdict = of(picked, "verdict")[0]
    assert verdict["contender"] == "tuned"
    assert set(verdict["gains"]) == {"start", "continued", "class_weighted_cross_entropy"}
    assert "the portfolio" in verdict["sentence"]


@pytest.mark.slow
def test_a_model_that_cannot_be_improved_is_returned_as_it_came(tmp_path: Path) -> None:
    """Steps that are too small change nothing surely: the start with its rule."""
    result = portfolio_run(tmp_path / "run", proxy_settings={"learning_rate": 1e-9})
    (event,) = of(result, "picked")
    assert event["returned"] == event["candidates"][0]["name"] and event["returned"].startswith("start with")
    weights = [
        load_weights(tmp_path / "run" / "arms" / f"seed0-{arm}-try0.safetensors")
        for arm in ("start", "tuned")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_resumed_is_uninterrupted(tmp_path: Path, picked: Result) -> None:
    """Stopped while a candidate trains."""
    with pytest.raises(Interrupted):
        portfolio_run(tmp_path / "run", observer=Raiser("evaluated", 13, signal.SIGTERM))
    resumed = portfolio_run(tmp_path / "run")
    assert all(map(torch.equal, figures(resumed), figures(picked)))
    assert same_weights(tmp_path / "run", picked.folder) == []
    assert [one["told"] for one in of(resumed, "picked")] == [one["told"] for one in of(picked, "picked")]


@pytest.mark.slow
def test_in_a_contest_its_arms_are_trained_once(tmp_path: Path) -> None:
    """A contender that is a candidate, too, keeps its name; the portfolio stands beside it."""
    found = compare(
        classifier(3),
        decided_splits(classes=3),
        metric="macro_f1",
        proxy=nn.functional.cross_entropy,
        methods=["auto", Contender("balanced", "surrogate:balanced_softmax", {"learning_rate": 0.05})],
        plan=Plan(steps=6, resamples=100),
        proxy_settings={"learning_rate": 0.05},
        folder=tmp_path / "run",
        observer=lambda event: None,
    )
    rows = {row.name: row for row in found.table}
    assert list(rows) == [
        "start", "continued", "class_weighted_cross_entropy", "soft_confusion", "auto", "balanced",
    ]  # fmt: skip
    assert [rows[name].role for name in ("soft_confusion", "auto", "balanced")] == [
        "candidate", "contender", "contender",
    ]  # fmt: skip
    assert rows["auto"].returned and rows["auto"].claim is not None and rows["soft_confusion"].claim is None


@pytest.mark.parametrize(
    ("asked", "control"),
    [
        ("weighted", "class_weighted_cross_entropy"),
        ("class_weighted_cross_entropy", "class_weighted_cross_entropy-control"),
    ],
)
def test_its_control_is_one_beside_a_contender_of_the_same_loss(asked: str, control: str) -> None:
    """What was asked for is claimed over it like everything else, and a name that is taken does not stop the run."""
    entrants = [
        Contender("auto"),
        Contender(asked, "surrogate:class_weighted_cross_entropy"),
    ]
    given = Asked(
        None, None, "macro_f1", entrants, [Contender("continued", "proxy")], nn.functional.cross_entropy
    )
    _, arms, _ = cast_of(given, adapt("macro_f1"), 1, Splits([], []), lambda: True)
    roles = {arm.name: arm.role for arm in arms}
    assert [name for name, role in roles.items() if role == "control"] == ["continued", control]
    assert [name for name, role in roles.items() if role == "contender"] == ["auto", asked]


def test_other_metrics_keep_their_road() -> None:
    """A retrieval metric trains one method; so does F1 where the network gives one score per sample."""
    result = small_run(None, steps=2, seed=0, start_plan=None)
    assert not of(result, "picked")
    with pytest.raises(InputError, match="threshold"):
        decided_run(None, metric="f1", method="auto", model=nn.Linear(5, 1), proxy=None, start_plan=None)


@pytest.mark.slow
def test_a_target_without_an_output_is_named() -> None:
    """Not the families that do not suit the metric: the network lacks a class."""
    with pytest.raises(
        InputError, match="a target of select is 2, and the network gives scores of 2 classes"
    ):
        portfolio_run(model=classifier(2), metric="macro_f1", splits=decided_splits(classes=3))


@pytest.mark.slow
def test_a_candidate_that_a_side_metric_holds_back_is_none(tmp_path: Path) -> None:
    """Balanced softmax loses accuracy; what falls is no candidate, and what is picked does not fall."""
    result = portfolio_run(tmp_path / "run", side_metrics=["accuracy"])
    held = {event["arm"] for event in of(result, "fall") if event["held_back"]} - {"tuned"}
    (event,) = of(result, "picked")
    assert not held & {arm for one in event["candidates"] for arm in one["arms"]}
    last = [fall for fall in of(result, "fall") if fall["arm"] == "tuned"][-1]
    assert not last["held_back"] and result.returned == "tuned"


def test_the_table_of_a_contest_shows_argmax_and_rules(picked: Result) -> None:
    """Beside the figures with rules; a portfolio has taken the time and the steps of what it chose from."""
    found = Comparison(picked)
    rows = {row.name: row for row in found.table}
    arms = of(picked, "verdict")[0]["arms"]
    for name, row in rows.items():
        assert (row.argmax, row.argmax_select) == (
            arms[name]["argmax"]["value"],
            arms[name]["argmax"]["select"],
        )
        assert row.rule_gain == arms[name]["rule"]["gain"] and row.rule
    trained = [rows[name] for name in MEMBERS[1:]]
    assert rows["tuned"].steps == 18 == sum(row.steps for row in trained)
    assert_close(rows["tuned"].seconds, sum(row.seconds for row in trained), rtol=0, atol=0.01)
    assert "at argmax" in found.summary() and "decides by" in found.summary()


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["mcc", "cohen_kappa"])
def test_of_permuted_labels_no_gain_is_claimed(metric: str) -> None:
    """Nothing can be learned and no rule can help: of 40 repeats at most 3 claim a gain."""
    claims = []
    for repeat in range(40):
        generator = torch.Generator().manual_seed(repeat)
        parts = [drawn(300, 10 * repeat + number, classes=2, rare=1.0) for number in range(3)]
        fit, select, test = (
            ArraySplit(inputs, targets[torch.randperm(300, generator=generator)], batch=100)
            for inputs, targets in parts
        )
        result = decided_run(
            metric=metric,
            method="auto",
            splits=Splits(fit, select, test),
            seed=0,
            plan=Plan(steps=10, evaluate_every=5, resamples=400),
            start_plan=Plan(steps=10, evaluate_every=5),
            proxy_settings={"learning_rate": 0.05},
        )
        claims.append(of(result, "verdict")[0]["verdict"])
    assert claims.count("gain") <= 3, claims
