"""What a report shows of a learned surrogate: figures, the last numbers, one sentence of reading, its section."""

import dataclasses
import html.parser
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from metricgrad import _records as records
from metricgrad._records import Gauge, event_of
from metricgrad.errors import InputError
from metricgrad.methods.gauges import gauges_for
from metricgrad.report import condense, fit, render, trust
from tests.report import synthetic_runs


def _run(**changes: Any) -> Any:
    begin = {name: changes.pop(name) for name in ("seeds", "tries", "higher") if name in changes}
    return condense(synthetic_runs.with_surrogate(synthetic_runs.finished(unit="sample", **begin), **changes))


def _edited(
    values: dict[str, float | None], *, seed: int = 0, gauges: Mapping[str, Gauge] | None = None
) -> Any:
    """A run of three seeds in which one says other last numbers of itself; a name with ... is taken away."""
    events = synthetic_runs.with_surrogate(synthetic_runs.finished(unit="sample"))
    for event in events:
        if event["event"] == "fitted" and gauges is not None:
            event["gauges"] = {name: dataclasses.asdict(gauge) for name, gauge in gauges.items()}
        if event["event"] == "fitted" and event["seed"] == seed and event["step"] == synthetic_runs.STEPS:
            event["values"].update(values)
            event["values"] = {name: value for name, value in event["values"].items() if value is not ...}
    return condense(events)


def _text(folder: Path, events: list[dict[str, Any]]) -> str:
    """The text of the page outside of scripts and styles."""
    text = render(synthetic_runs.write(folder, events)).read_text(encoding="utf-8")
    text = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    parser, parts = html.parser.HTMLParser(), []
    parser.handle_data = parts.append  # pyright: ignore[reportAttributeAccessIssue]
    parser.feed(text)
    return re.sub(r"\s+", " ", " ".join(parts))


# --------------------------------------------------------------------------------------------------- reading


def test_events_are_folded_by_stage_and_step() -> None:
    """Every stage of the tuned arm keeps its events; the last of equal keys stands."""
    run = _run()
    assert all(sorted(stage.fits) == list(range(0, 301, 25)) for stage in run.of_arm("tuned"))
    assert not any(stage.fits for stage in run.of_arm("continued"))
    lines = [records.Fitted(0, "tuned", 0, 5, {"fit": value}, [], []) for value in (1.0, 2.0)]
    again = condense([event_of(synthetic_runs.begun()), *map(event_of, lines)])
    assert again.stages[0, "tuned", 0].fits[5].values == {"fit": 2.0}


def test_shown_are_the_chosen_stages_at_first_and_last() -> None:
    """One stage a seed, the one that stands for it; two events, or one where there is no other."""
    stages = trust.fitted_stages(_run(seeds=(2, 0, 1)))
    assert [(stage.seed, stage.attempt) for stage in stages] == [(0, 0), (1, 0), (2, 0)]
    assert [event.step for event in trust.shown_events(stages[0])] == [0, 300]
    stages[0].fits = {50: stages[0].fits[50]}
    assert [event.step for event in trust.shown_events(stages[0])] == [50]
    assert trust.fitted_stages(condense(synthetic_runs.finished())) == []


def test_a_point_that_is_no_pair_is_refused() -> None:
    """The message names the event and what is wrong with it."""
    event = event_of(records.Fitted(0, "tuned", 0, 5, {}, [[0.0, 1.0], [2.0]], []))
    with pytest.raises(InputError, match=r"event 2 \(fitted\) has the point \[2.0\], not a pair"):
        condense([event_of(synthetic_runs.begun()), event])


# -------------------------------------------------------------------------------------------------- sentence


def test_a_good_surrogate_is_said_to_be_good_with_its_worst_seed() -> None:
    """The lowest numbers of the seeds stand in the sentence, beside what is asked for."""
    reading = trust.trust_reading(_edited({"kendall_tau": 0.7312}))
    assert not reading.warning
    assert reading.text == (
        "At the last evaluation the estimate follows the metric: Kendall tau is 0.73 (asked for: 0.7 or more) and "
        "sign agreement is 0.63 (asked for: 0.5 or more), at the worst of 3 seeds."
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kendall_tau": 0.69}, "Kendall tau is 0.69 (seed 1), below 0.7"),
        ({"sign_agreement": 0.35}, "sign agreement is 0.35 (seed 1), below 0.5: more often than not"),
        ({"mae_local": 1.4}, "no better than that of always saying the mean, 1.4000 against 1.3100 (seed 1)"),
        ({"concordance": 0.6}, "concordance is 0.60 (seed 1), below 0.7"),
        ({"kendall_tau": float("nan")}, "Kendall tau is nan (seed 1), below 0.7"),
    ],
)
def test_a_bad_number_is_a_warning_that_names_the_seed(values: dict[str, float | None], said: str) -> None:
    """Any seed whose surrogate cannot be trusted is named, with the number and what was asked for."""
    reading = trust.trust_reading(_edited(values, seed=1))
    assert (
        reading.warning
        and reading.text.startswith("Warning: at the last evaluation ")
        and said in reading.text
    )
    assert reading.text.count("(seed") == 1


@pytest.mark.parametrize(
    "values",
    [
        {"kendall_tau": 0.7, "sign_agreement": 0.5},
        {"kendall_tau": None, "sign_agreement": None},
        {"sign_agreement": 0.44, "changed_pairs": 50},  # as one of five series of fifty throws of a coin
    ],
)
def test_the_limit_and_what_is_undefined_warn_of_nothing(values: dict[str, float | None]) -> None:
    """A seed exactly at the limit passes, and one without numbers is judged by the others."""
    assert not trust.trust_reading(_edited(values)).warning


def test_several_faults_stand_in_one_sentence() -> None:
    """All seeds of a fault together, faults one after the other."""
    text = trust.trust_reading(_run(tau=0.5, agreement=0.3)).text
    assert "Kendall tau is 0.50 (seed 0), 0.50 (seed 1) and 0.50 (seed 2), below 0.7" in text
    assert "; sign agreement is 0.30 (seed 0)" in text and text.count(".") == text.count("0.") + 1


def test_the_concordance_stands_for_a_tau_that_ties_keep_low() -> None:
    """Where most samples have no error tau cannot be high; the concordance, where known, is what counts."""
    low = {"kendall_tau": 0.4, "concordance": 0.9}
    assert not trust.trust_reading(_edited(low)).warning
    assert trust.trust_reading(_edited({**low, "concordance": None})).warning


def test_nothing_known_is_a_warning_too() -> None:
    """Without order and sign agreement nothing speaks for the surrogate."""
    reading = trust.trust_reading(_run(without=("kendall_tau", "sign_agreement")))
    assert reading.warning and "nothing says how far to trust it" in reading.text


def test_a_run_is_judged_by_what_it_asked_for() -> None:
    """Its record holds the gauges; one without them, as older versions wrote, had the defaults."""
    values = {"kendall_tau": 0.8, "concordance": 0.85}
    assert not trust.trust_reading(_edited(values)).warning
    for asked, warns in ((0.9, True), (0.8, False), (-1.0, False)):
        text = trust.trust_reading(_edited(values, gauges=gauges_for(asked)))
        assert text.warning == warns
        assert (f"below {asked:g}" if warns else f"asked for: {asked:g} or more") in text.text
    panels = fit.curve_figures(_edited(values, gauges=gauges_for(0.9)))
    assert [level.value for level in panels["order"][1].levels] == [0.9]


def test_gauges_of_another_family_are_drawn() -> None:
    """Names, titles and warnings are those of the record: the report knows no family."""
    gauges = {"reach": Gauge("reach", "how far it goes", form="count", least=5.0, warning="it stops early")}
    run = _edited({"reach": 3.0}, gauges=gauges)
    assert "reach is 3.00 (seed 0), below 5: it stops early" in trust.trust_reading(run).text
    row = trust.trust_table(run).rows[0]
    assert row == ("reach", "how far it goes", ["3", "n/a", "n/a"])


# ----------------------------------------------------------------------------------------------------- table


def test_the_table_has_a_row_a_number_and_a_column_a_seed() -> None:
    """Counts are whole, times are times, an undefined number says why, an absent one is n/a."""
    run = _edited({"sign_agreement": None, "mae_generated": ..., "of_tomorrow": 0.25})  # pyright: ignore[reportArgumentType]
    table = trust.trust_table(run)
    assert table.seeds == ["seed 0, step 300", "seed 1, step 300", "seed 2, step 300"]
    rows = {row.title: row for row in table.rows}
    assert rows["metric calls"].cells == ["140,800"] * 3 and rows["skipped steps"].cells == ["3"] * 3
    assert rows["time"].cells == ["1 min 42 s"] * 3 and rows["bias on the best tenth"].cells[0] == "+0.1200"
    assert rows["sign agreement"].cells == ["undefined", "0.6300", "0.6300"]
    assert rows["sign agreement"].meaning.endswith(
        "undefined: no sample's metric changed since the evaluation before"
    )
    assert rows["mean absolute error, generated"].cells == ["n/a", "0.3419", "0.3419"]
    assert table.rows[-1] == ("of_tomorrow", "", ["0.2500", "n/a", "n/a"])
    assert "undefined" not in rows["Kendall tau"].meaning


def test_every_number_of_the_record_is_explained() -> None:
    """No name of the protocol stands in the table without its title and what it says."""
    rows = trust.trust_table(_run()).rows
    names = set(synthetic_runs.fitted({"seed": 0, "attempt": 0, "step": 0}, 0.8, 0.6, (), 1).values)
    assert len(rows) == len(names) == 17
    assert all(row.meaning and "_" not in row.title for row in rows)


def test_numbers_that_no_seed_has_make_no_row() -> None:
    """Absent names do not break the table."""
    rows = trust.trust_table(_run(without=("mae_of_mean", "pauses", "seconds"))).rows
    assert len(rows) == 14 and not {row.title for row in rows} & {"pauses", "time"}
    events = [event_of(synthetic_runs.begun()), event_of(records.Fitted(0, "tuned", 0, 0, {}, [], []))]
    assert trust.trust_table(condense(events)).rows == []


# --------------------------------------------------------------------------------------------------- figures


def test_a_scatter_has_both_kinds_and_the_diagonal() -> None:
    """Every pair is a point, metric across and estimate up; two colours, two marks, square axes."""
    stage = trust.fitted_stages(_run(points=30))[0]
    event = trust.shown_events(stage)[1]
    figure: Any = fit.pair_figure(stage, event)
    line, generated, local = figure.series
    assert line.x == line.y == figure.x.span == figure.y.span
    torch.testing.assert_close(torch.tensor([local.x, local.y]).T, torch.tensor(event.local))
    torch.testing.assert_close(torch.tensor([generated.x, generated.y]).T, torch.tensor(event.generated))
    assert local.ink != generated.ink and local.mark != generated.mark
    assert {local.ink, generated.ink}.isdisjoint({fit._GREY, fit._BLUE})


def test_the_scatters_of_a_seed_can_be_compared() -> None:
    """First and last event have the same axes, wide enough for both."""
    stage = trust.fitted_stages(_run())[0]
    figures: list[Any] = [fit.pair_figure(stage, event) for event in trust.shown_events(stage)]
    ranges = {figure.x.span for figure in figures}
    assert len(ranges) == 1
    low, high = ranges.pop()
    numbers = [x for figure in figures for trace in figure.series[1:] for x in (*trace.x, *trace.y)]
    assert low < min(numbers) <= max(numbers) < high


def test_many_points_are_thinned_and_that_is_said() -> None:
    """At most 400 of a kind, from the first to nearly the last, and the caption tells it."""
    run = _run(points=300, seeds=(0,), tries=1)
    stage = trust.fitted_stages(run)[0]
    figure: Any = fit.pair_figure(stage, stage.fits[0])
    assert [len(trace.x) for trace in figure.series] == [2, 400, 300]
    assert figure.series[1].x[0] == stage.fits[0].generated[0][0]
    assert "At most 400 points" in fit.pair_key(run) and "At most" not in fit.pair_key(_run(points=200))


def test_points_that_are_not_finite_are_left_out() -> None:
    """One bad estimate does not take the figure away; none left is no figure; equal points have axes."""
    bad = [[1.0, float("nan")], [float("inf"), 1.0]]
    events = [
        event_of(records.Fitted(0, "tuned", 0, step, {}, points, []))
        for step, points in ((0, bad), (10, [*bad, [2.0, 2.0]]))
    ]
    stage = trust.fitted_stages(condense([event_of(synthetic_runs.begun()), *events]))[0]
    assert fit.pair_figure(stage, stage.fits[0]) is None
    figure: Any = fit.pair_figure(stage, stage.fits[10])
    assert list(figure.series[2].x) == [2.0] and figure.x.span == (1.5, 2.5)


@pytest.mark.parametrize(("higher", "said"), [(True, "gives, as an error, up"), (False, "gives, up")])
def test_the_key_says_that_a_metric_is_turned_into_an_error(higher: bool, said: str) -> None:
    """Where higher is better the surrogate estimates how much is missing to the best value."""
    assert said in fit.pair_key(_run(higher=higher))


def test_curves_have_a_thin_line_a_seed_and_a_thick_mean() -> None:
    """Every figure over steps, with the mean of the seeds and the least that is asked for."""
    run = _run(seeds=(0, 1))
    figures: dict[str, Any] = {name: figure for name, (_, figure) in fit.curve_figures(run).items()}
    assert list(figures) == ["error", "order", "agreement", "kept", "objectives"]
    first, second, mean = figures["error"].series[:3]
    torch.testing.assert_close(torch.tensor(mean.y), (torch.tensor(first.y) + torch.tensor(second.y)) / 2)
    assert list(mean.x) == list(range(0, 301, 25)) and mean.width > first.width
    assert [len(figure.series) for figure in figures.values()] == [9, 3, 3, 3, 6]
    assert [figures[name].levels[0].value for name in ("order", "agreement")] == [0.7, 0.5]


def test_an_undefined_value_is_a_gap() -> None:
    """Sign agreement has no value at the first event, and the mean begins where all seeds have one."""
    data: Any = fit.curve_figures(_run(seeds=(0, 1)))["agreement"][1].series
    assert data[0].y[0] is None and data[0].x[0] == 0
    assert data[2].x[0] == 25 and None not in data[2].y


def test_curves_that_are_not_there_are_not_drawn() -> None:
    """Absent numbers have no figure, nor has a single evaluation."""
    run = _run(seeds=(0,), without=("kept_fraction", "fit", "penalty"))
    assert list(fit.curve_figures(run)) == ["error", "order", "agreement"]
    for stage in trust.fitted_stages(run):
        stage.fits = {0: stage.fits[0]}
    assert fit.curve_figures(run) == {}


# -------------------------------------------------------------------------------------------------- the page


def test_the_page_has_a_section_of_the_surrogate(tmp_path: Path) -> None:
    """Sentence, scatters of each seed, curves, the last numbers with what they mean."""
    shown = _text(
        tmp_path, synthetic_runs.with_surrogate(synthetic_runs.finished(unit="sample"), agreement=0.4)
    )
    for words in (
        "The learned surrogate", "Warning: at the last evaluation sign agreement is 0.40 (seed 0)",
        "Estimate against metric, seed 0", "Estimate against metric, seed 2", "after the warm-up of the surrogate",
        "Step 300", "Mean absolute error", "Kept fraction", "metric calls", "140,800", "skipped steps",
    ):  # fmt: skip
        assert words in shown, words
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'id="fit-\d-(?:0|300)"', text)) == 6


def test_a_run_of_another_road_has_no_such_section(tmp_path: Path) -> None:
    """Without events there is nothing to show."""
    assert "surrogate can" not in (shown := _text(tmp_path, synthetic_runs.finished()))
    assert "The learned surrogate" not in shown and "Trust over" not in shown


@pytest.mark.slow
def test_every_prefix_of_such_a_record_has_a_page(tmp_path: Path) -> None:
    """Killed at any line, a run with a surrogate can be looked at."""
    events = synthetic_runs.with_surrogate(
        synthetic_runs.finished(seeds=(0,), tries=1, unit="sample"), points=5
    )
    events = [event for event in events if event.get("step", 0) in (0, 300)]
    shown = [_text(tmp_path, events[:length]) for length in range(1, len(events) + 1)]
    having = ["The learned surrogate" in text for text in shown]
    assert having == sorted(having) and set(having) == {False, True}
    assert "undefined: no sample's metric changed" in shown[having.index(True)]
    assert "undefined:" not in shown[-1]


def test_an_event_without_numbers_or_points_has_a_section(tmp_path: Path) -> None:
    """The least that an event can hold breaks nothing."""
    events = synthetic_runs.finished(seeds=(0,), tries=1)
    events.insert(-4, event_of(records.Fitted(0, "tuned", 0, 0, {}, [], [])))
    shown = _text(tmp_path, events)
    assert "nothing says how far to trust it" in shown and "Estimate against metric" not in shown
