"""The closing words: plain lines and the rich table say the same."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from metricgrad._records import event_of
from metricgrad.errors import InputError
from metricgrad.report import closing_table, condense, summary_text
from metricgrad.report.sections import fact_rows
from metricgrad.report.wording import caveats, interval_meaning, number, per_seed, signed
from tests.report import synthetic_runs


def _printed(events: list[dict], folder: Path | None = None, *, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    console.print(closing_table(events, folder=folder), crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_summary_of_a_gain() -> None:
    """Verdict first, then the arms with intervals, the gains by seed, what the figures mean."""
    text = summary_text(synthetic_runs.finished())
    lines = text.splitlines()
    assert lines[0].startswith("Gain: surrogate:recall_at_k beats continuing the proxy loss")
    assert any(line.split()[:5] == ["tuned", "0.5427", "[0.5246,", "0.5610]", "0.5874"] for line in lines)
    gain = next(line for line in lines if line.startswith("continued ") and "+" in line)
    assert gain.split() == "continued +0.0186 [+0.0082, +0.0287] +0.0228 +0.0125 +0.0205".split()
    assert (
        "95% bootstrap interval over test queries (paired for gains; differences averaged over 3 seeds"
        in text
    )
    assert "any relevant at 1" in text and "higher is better" in text
    assert "Optimism (gain on select minus gain on test): +0.0097" in text
    assert "Metric calls: 159 on select, 9 on test." in text
    assert "note: 7 of 2,740 test queries have no defined value" in text
    assert "Weights (tuned): best.safetensors" in text


@pytest.mark.parametrize("kind", ["finished", "interrupted", "no test", "no proxy"])
def test_the_table_holds_every_figure_of_the_summary(tmp_path: Path, kind: str) -> None:
    """What the plain form says, the drawn form says too, word for word."""
    events = {
        "finished": synthetic_runs.finished,
        "interrupted": synthetic_runs.interrupted,
        "no test": lambda: synthetic_runs.finished(test=False),
        "no proxy": lambda: synthetic_runs.finished(proxy=None, seeds=(0,)),
    }[kind]()
    drawn = " ".join(_printed(events, tmp_path).split())
    assert all(word in drawn for word in summary_text(events, folder=tmp_path).split())


def test_a_run_without_test_split_shows_no_test_column() -> None:
    """Nothing is claimed and nothing looks like a test value."""
    text = summary_text(synthetic_runs.finished(test=False))
    assert "nothing claimed" in text and "gain of tuned" not in text
    assert text.splitlines()[2].split() == ["recall@1", "select", "trained", "for"]


def test_an_unfinished_run_says_how_far_it_got() -> None:
    """Steps done and planned, select values so far, and why a reader should be careful."""
    text = summary_text(synthetic_runs.interrupted())
    assert text.startswith("Unfinished: 150 of 600 steps.")
    assert "note: Resumed by force although this had changed: threads." in text
    assert "Weights" not in text


def test_places_are_named_only_where_they_exist(tmp_path: Path) -> None:
    """The report is named once it is there, weights by the path in the folder."""
    events = synthetic_runs.finished()
    assert f"Weights (tuned): {tmp_path / 'best.safetensors'}" in summary_text(events, folder=tmp_path)
    assert "Report:" not in summary_text(events, folder=tmp_path)
    (tmp_path / "report.html").touch()
    assert f"Report: {tmp_path / 'report.html'}" in _printed(events, tmp_path)


def test_names_of_a_user_are_no_markup() -> None:
    """Square brackets in a metric's name are shown, not obeyed."""
    events = synthetic_runs.finished()
    events[0]["metric"] = "[bold]mine[/bold]"
    assert any(line.startswith("[bold]mine[/bold]  ") for line in _printed(events).splitlines())


@pytest.mark.parametrize("metric", ["recall@1", "binary_average_precision", "f_beta:beta=2,average=macro"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2), (0, 1, 2, 3, 4)])
def test_no_row_is_wrapped_at_eighty_columns(metric: str, seeds: tuple[int, ...]) -> None:
    """Rows of both tables stand in one line each, and a long path stays whole, to be copied."""
    events = synthetic_runs.finished(seeds=seeds)
    events[0]["metric"] = metric
    for gain in next(event for event in events if event["event"] == "verdict")["gains"].values():
        gain["per_seed"] = [-0.0123 * seed for seed in seeds]
    folder = Path("/") / "a-long-name" / ("f" * 60) / "run"
    drawn = [line.rstrip() for line in _printed(events, folder, width=80).splitlines()]
    wide = [line.rstrip() for line in _printed(events, folder, width=200).splitlines()]
    for word in (metric, "start", "continued", "tuned", "gain of tuned over", "Weights"):
        rows = [line for line in wide if line.startswith(f"{word} ")]
        assert rows and all(row in drawn for row in rows), word


def test_a_list_of_no_events_is_refused() -> None:
    """An empty record has no summary."""
    with pytest.raises(InputError, match="has no event"):
        summary_text([])


def test_gains_by_seed_from_a_list_or_an_object() -> None:
    """Both forms of `per_seed` give pairs of seed and gain; a missing one is left out."""
    assert per_seed({"per_seed": [0.1, None]}, [3, 4]) == [(3, 0.1)]
    assert per_seed({"per_seed": {"3": 0.1, "4": 0.2}}, [3, 4]) == [(3, 0.1), (4, 0.2)]
    assert per_seed({}, [0]) == []


def test_numbers_that_are_not_there_or_not_finite() -> None:
    """Neither a crash nor an empty cell."""
    assert (
        number(None) == "n/a"
        and number(float("nan")) == "not finite"
        and signed(float("-inf")) == "not finite"
    )
    assert signed(-0.00004) == "0.0000" and signed(-0.0001) == "-0.0001"


def test_a_metric_without_interval_says_why() -> None:
    """One number for the whole split has no interval, and the reader is told."""
    run = condense(synthetic_runs.finished(unit="whole", interval=False, verdict="nothing claimed"))
    assert interval_meaning(run) == "No interval: the metric gives one number for the whole split."


def test_caveats_are_sentences_and_stand_once() -> None:
    """Marks and notes of the same words are told once, with a capital and a full stop."""
    events = synthetic_runs.finished(proxy=None)
    events += [{"event": "note", "time": 0.0, "text": "no proxy loss was given: there is no control arm"}]
    assert caveats(condense(events))[0] == "No proxy loss was given: there is no control arm."
    assert len(caveats(condense(events))) == 2
    assert caveats(condense([event_of(synthetic_runs.begun())])) == []


@pytest.mark.parametrize(
    ("scope", "seeds", "words"),
    [
        ("method", (0, 1, 2), "95% interval over test classes and 3 seeds"),
        ("models", (0,), "over test classes (paired for gains): of this model, not of the method"),
        ("models", (0, 1), "of these models, not of the method"),
    ],
)
def test_groups_and_seeds_are_shown(scope: str, seeds: tuple[int, ...], words: str) -> None:
    """What was drawn, what was left out, and how much of the error comes from units and from seeds."""
    events = synthetic_runs.finished(seeds=seeds)
    (verdict,) = (event for event in events if event["event"] == "verdict")
    verdict |= {
        "units": 2733,
        "left_out": 7,
        "groups": 566,
        "group": "class",
        "resamples": 1990,
        "undefined": 10,
        "scope": scope,
    }
    verdict["gains"]["continued"] |= {
        "unit_error": 0.0042,
        "seed_error": 0.005 if scope == "method" else None,
    }
    text = summary_text(events)
    assert words in text
    assert (
        "2,733 queries in 566 classes, 7 left out as undefined; 1,990 resamples, 10 more undefined." in text
    )
    assert ("0.0042 from the choice of classes and 0.0050 from the choice of seeds" in text) == (
        scope == "method"
    )
    assert any("566 classes" in value for _, value in fact_rows(condense(events)))
