"""Several methods in one arm: they share the tries, and select chooses among them."""

from pathlib import Path

import pytest

from metricgrad.errors import InputError
from metricgrad.tune import Plan, tune
from tests.tune.small_run import small_model, small_splits

BOTH = "surrogate:recall_at_k, direct:average_precision"


@pytest.mark.slow
def test_methods_share_the_tries_and_the_verdict_names_the_chosen(tmp_path: Path) -> None:
    """Three tries of two methods: two and one; the control arm has three; an objective keeps what is its own."""
    result = tune(
        small_model,
        small_splits(),
        metric="recall@1",
        proxy="supcon",
        method=BOTH,
        plan=Plan(steps=4, tries=3),
        settings={"learning_rate": 0.003, "objective": {"k": [1, 2]}},
        seed=[0, 1],
        folder=tmp_path / "run",
        observer=lambda event: None,
    )
    started = [event for event in result.events if event["event"] == "stage_started" and event["seed"] == 0]
    tuned = [event for event in started if event["arm"] == "tuned"]
    assert [event["method"] for event in tuned] == ["surrogate:recall_at_k"] * 2 + [
        "direct:average_precision"
    ]
    assert [event["settings"]["objective"] for event in tuned[::2]] == [{"k": [1, 2]}, {}]
    assert tuned[2]["settings"]["learning_rate"] == 0.003
    assert sum(event["arm"] == "continued" for event in started) == 3
    chosen = next(event for event in result.events if event["event"] == "chosen")
    names = dict.fromkeys(tuned[chosen["attempts"][seed]["tuned"]]["method"] for seed in ("0", "1"))
    verdict = next(event for event in result.events if event["event"] == "verdict")
    assert " or ".join(names) in verdict["sentence"]


def test_fewer_tries_than_methods_are_refused() -> None:
    """Each method needs one."""
    with pytest.raises(InputError, match="1 tries for 2 methods"):
        tune(small_model, small_splits(), metric="recall@1", proxy="supcon", method=BOTH, plan=Plan(steps=4))
