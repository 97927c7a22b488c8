"""Figures of a run: what is drawn, what is left out, and one look for each arm."""

from typing import Any

import pytest
import torch

from metricgrad._records import event_of
from metricgrad.report import condense, plot
from metricgrad.report.look import look_of_role
from tests.report import synthetic_runs
from tests.report.synthetic_contest import contest


def _named(figure: Any) -> dict[str, Any]:
    return {one.name: one for one in figure.series if one.name}


def test_the_thick_line_is_the_mean_of_the_chosen_attempts() -> None:
    """Mean over seeds at each step, without the rejected tries."""
    run = condense(synthetic_runs.finished())
    mean = _named(plot.select_figure(run))["tuned, mean of 3 seeds"]
    chosen = [stage.select for stage in run.of_arm("tuned") if stage.chosen]
    assert list(mean.x) == sorted(chosen[0])
    expected = [sum(curve[step] for curve in chosen) / 3 for step in mean.x]
    torch.testing.assert_close(torch.tensor(mean.y), torch.tensor(expected))


def test_the_mean_covers_only_steps_that_all_seeds_have() -> None:
    """A seed that has not come so far does not bend the mean."""
    events = [
        event for event in synthetic_runs.finished(tries=1) if event["event"] not in ("verdict", "chosen")
    ]
    cut = [e for e in events if not (e["event"] == "evaluated" and e["seed"] == 2 and e["step"] > 100)]
    mean = _named(plot.select_figure(condense(cut)))["tuned, mean of 3 seeds"]
    assert list(mean.x) == [0, 25, 50, 75, 100]


def test_rejected_tries_are_faded_and_best_steps_are_marked() -> None:
    """Twelve stages: six faded lines, six marks at the best step."""
    run = condense(synthetic_runs.finished())
    figure = plot.select_figure(run)
    assert figure is not None
    assert sum(one.opacity == 0.28 for one in figure.series) == 6
    marks = [one for one in figure.series if one.mark]
    best = sorted(stage.best_step for stage in run.stages.values() if stage.chosen and stage.arm != "start")
    assert sorted(mark.x[0] for mark in marks) == best


def test_an_arm_looks_the_same_everywhere() -> None:
    """One ink and dash for each arm in all figures."""
    run = condense(synthetic_runs.finished())
    looks: dict[str, set[tuple[str, str]]] = {}
    for figure in (plot.select_figure(run), plot.hit_figure(run), plot.hit_gain_figure(run)):
        for name, trace in _named(figure).items():
            looks.setdefault(name.split(",")[0], set()).add((trace.ink, trace.dash))
    assert {arm: len(seen) for arm, seen in looks.items()} == {"start": 1, "continued": 1, "tuned": 1}
    assert {ink for seen in looks.values() for ink, _ in seen} == {
        look_of_role(role).ink for role in ("start", "control", "contender")
    }


def test_gains_show_interval_mean_and_seeds() -> None:
    """For both opponents a bar, a dot and ticks, with zero in sight."""
    figure = plot.gain_figure(condense(synthetic_runs.finished()))
    assert figure is not None
    bars = [one for one in figure.series if one.width]
    torch.testing.assert_close(torch.tensor(bars[0].x), torch.tensor([0.0082, 0.0287]))
    assert [len(one.x) for one in figure.series] == [2, 1, 3, 2, 1, 3]
    assert figure.rows == ["over continued", "over start"]
    assert min(figure.extent(across=True)) == 0 < 0.0315 < max(figure.extent(across=True))


@pytest.mark.parametrize("sign", [1, -1])
def test_zero_is_in_sight_for_a_loss_too(sign: int) -> None:
    """A gain below zero stands on the other side of the line."""
    events = synthetic_runs.finished(seeds=(0,))
    for gain in events[-2]["gains"].values():
        gain.update({name: sign * gain[name] for name in ("gain", "low", "high")})
        gain["low"], gain["high"] = sorted((gain["low"], gain["high"]))
    figure = plot.gain_figure(condense(events))
    assert figure is not None
    values = figure.extent(across=True)
    assert min(values) <= 0 <= max(values) and sign * sum(values) > 0


def test_the_difference_over_k_is_the_difference() -> None:
    """Tuned minus start at every k."""
    run = condense(synthetic_runs.finished())
    trace = _named(plot.hit_gain_figure(run))["tuned"]
    expected = [a - b for a, b in zip(run.curves["tuned"].value, run.curves["start"].value, strict=True)]
    assert list(trace.x) == synthetic_runs.KS
    torch.testing.assert_close(torch.tensor(trace.y), torch.tensor(expected))


def test_what_is_not_there_is_not_drawn() -> None:
    """A run that has just begun has no figure at all."""
    run = condense([event_of(synthetic_runs.begun())])
    assert plot.gain_figure(run) is plot.select_figure(run) is plot.hit_figure(run) is None
    assert plot.hit_gain_figure(run) is plot.loss_figure(run, "tuned") is None
    assert plot.select_figure(condense(synthetic_runs.finished()), start_stage=True) is None


def test_the_start_models_own_training_is_drawn_apart() -> None:
    """A start that was trained has its own curve, and stays a level line among the arms."""
    events = synthetic_runs.finished(tries=1, seeds=(0,))
    event = next(e for e in events if e["event"] == "evaluated" and e["arm"] == "start")
    events.insert(events.index(event), {**event, "step": 0, "value": 0.3})
    event["step"] = 400
    run = condense(events)
    figure = plot.select_figure(run, start_stage=True)
    assert figure is not None and list(_named(figure)["start"].x) == [0, 400]
    level = _named(plot.select_figure(run))["start"]
    assert list(level.x) == [0, 300] and set(level.y) == {0.554}


def test_a_loss_of_another_name_is_drawn() -> None:
    """Where nothing is called `loss`, the first value that was logged."""
    events = synthetic_runs.finished(seeds=(0,), tries=1)
    for event in events:
        if event["event"] == "stepped":
            event["values"] = {"energy": 2.0, "norm": 1.0}
    figure = plot.loss_figure(condense(events), "tuned")
    assert figure is not None and set(_named(figure)["tuned"].y) == {2.0}


def test_every_contender_has_a_row_with_its_own_look() -> None:
    """The best on top; one contender alone needs no such figure."""
    figure = plot.contender_figure(condense(contest(10)))
    assert figure is not None and figure.rows[0] == "surrogate-recall_at_k" and len(figure.rows) == 10
    means = [one for one in figure.series if one.mark == "circle"]
    assert [one.x[0] for one in means] == sorted((one.x[0] for one in means), reverse=True)
    assert len({one.ink for one in means}) == 6  # the others repeat them with another dash
    assert plot.contender_figure(condense(synthetic_runs.finished())) is None


def test_a_stage_that_has_just_begun_has_no_line_yet() -> None:
    """The others of its arm are drawn; their mean waits for it, as for every seed."""
    events = synthetic_runs.finished(tries=1)
    events = [event for event in events if event["event"] not in ("verdict", "chosen")]
    late = ("evaluated", "stepped", "stage_finished")
    events = [e for e in events if not (e["event"] in late and e["seed"] == 2 and e["arm"] == "tuned")]
    figure = plot.select_figure(condense(events))
    assert figure is not None and not _named(figure)["tuned, mean of 3 seeds"].x
    assert sum(one.width == 1.2 and one.ink == "contender-1" for one in figure.series) == 2
