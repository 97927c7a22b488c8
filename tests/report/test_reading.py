"""Folding the lines of a record: what stands, what is missing, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from metricgrad import _record_file
from metricgrad import _records as records
from metricgrad._records import event_of
from metricgrad.errors import InputError
from metricgrad.report import condense, read_run
from tests.report import synthetic_runs


def test_a_finished_run_is_read_whole(tmp_path: Path) -> None:
    """Every part of a record arrives, and the number of lines with it."""
    events = synthetic_runs.finished()
    run, lines = read_run(synthetic_runs.write(tmp_path, events))
    assert lines == len(events)
    assert run.arms == ["start", "continued", "tuned"]
    assert len(run.stages) == 3 + 3 * 2 * 2
    assert len(run.tested) == 9 and set(run.curves) == set(run.arms)
    assert run.verdict is not None and run.verdict.verdict == "gain"
    assert run.finished is not None and run.finished.returned == "tuned"
    assert run.began == events[0]["time"]


def test_the_last_of_equal_lines_stands() -> None:
    """A killed and resumed run repeats lines; each stands once, as last written."""
    first, second = (event_of(records.Tested(0, "tuned", value, 10)) for value in (0.5, 0.6))
    old, new = (event_of(records.Evaluated(0, "tuned", 0, 25, value, value, 25)) for value in (0.1, 0.2))
    run = condense([event_of(synthetic_runs.begun()), old, first, new, second])
    assert run.tested["tuned", 0].value == 0.6
    assert run.stages[0, "tuned", 0].select == {25: 0.2}


def test_steps_of_an_unfinished_run() -> None:
    """Steps done are counted over the stages, steps planned over seeds, arms and tries."""
    assert condense(synthetic_runs.interrupted()).progress == (150, 600)
    whole = condense(synthetic_runs.finished())
    assert whole.progress == (3 * 2 * 2 * 300, 3 * 2 * 2 * 300)
    assert condense([event_of(synthetic_runs.begun())]).progress == (0, 0)


def test_a_trained_start_counts_and_an_early_stop_counts_as_whole() -> None:
    """The start's own training adds to the plan; a stage that ended at its plateau leaves nothing to do."""
    lines = [
        synthetic_runs.begun(seeds=(0,)),
        records.Budget(100, 10, 50, 1),
        records.StageStarted(0, "start", 0, {}, 2000),
        records.Evaluated(0, "start", 0, 400, 0.5, 0.5, 400),
        records.StageFinished(0, "start", 0, 400, 0.5, 400, 3.0),
        records.StageStarted(0, "tuned", 0, {}, 100),
        records.Evaluated(0, "tuned", 0, 40, 0.5, 0.5, 0),
    ]
    assert condense([event_of(record) for record in lines]).progress == (2040, 2200)


@pytest.mark.parametrize(("higher", "expected"), [(True, 1), (False, 0)])
def test_before_selection_the_best_attempt_so_far_is_shown(higher: bool, expected: int) -> None:
    """Which attempt stands for an arm follows the metric's direction until `chosen` decides."""
    events = [event_of(synthetic_runs.begun(higher=higher, seeds=(0,)))]
    events += [
        event_of(records.Evaluated(0, "tuned", attempt, 0, v, v, 0)) for attempt, v in enumerate((0.4, 0.6))
    ]
    run = condense(events)
    assert [stage.attempt for stage in run.stages.values() if stage.chosen] == [expected]
    assert run.select_of("tuned") == (0.6 if higher else 0.4)


def test_chosen_rules_over_the_best_value() -> None:
    """Once selection is over its word stands, and the chosen stages come last, to be drawn on top."""
    run = condense(synthetic_runs.finished())
    assert {stage.attempt for stage in run.stages.values() if stage.chosen} == {0}
    assert [stage.chosen for stage in run.of_arm("tuned")] == [False] * 3 + [True] * 3


def test_select_of_an_arm_without_a_verdict_is_the_mean_over_seeds() -> None:
    """Until the verdict says so, the mean of the best select values so far."""
    events = [event for event in synthetic_runs.finished() if event["event"] not in ("verdict", "chosen")]
    run = condense(events)
    best = [stage.best or 0.0 for stage in run.stages.values() if stage.arm == "tuned" and stage.chosen]
    torch.testing.assert_close(run.select_of("tuned"), sum(best) / 3)
    assert condense([event_of(synthetic_runs.begun())]).select_of("tuned") is None


def test_unknown_events_and_fields_are_passed_over() -> None:
    """A record of a newer version can be read as far as it is understood; progress is never kept."""
    start = {**event_of(synthetic_runs.begun()), "colour": "blue"}
    events: list[dict[str, Any]] = [
        event_of(records.Progress("timing", 1, 8, "step")),
        start,
        {"event": "danced", "time": 1.0},
    ]
    assert condense(events).start.metric == "recall@1"


def test_a_line_cut_short_ends_the_record(tmp_path: Path) -> None:
    """A kill in the middle of a line loses that line only."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.interrupted())
    with (folder / "record.jsonl").open("a") as record:
        record.write('{"event": "verdict", "verd')
    assert read_run(folder)[0].verdict is None


def _damaged(kind: str) -> bytes:
    events = synthetic_runs.interrupted()
    lines = [json.dumps(event).encode() for event in events]
    if kind == "no field":
        lines[1] = json.dumps({"event": "budget", "time": 0, "steps": 3}).encode()
    elif kind == "wrong type":
        lines[1] = json.dumps({**events[1], "steps": "many"}).encode()
    elif kind == "curve of two lengths":
        lines.append(
            json.dumps({"event": "curve", "time": 0, "arm": "start", "k": [1, 2], "value": [0.5]}).encode()
        )
    else:
        lines[1] = {
            "not json": b"{",
            "not utf-8": b"\xff\xfe",
            "no object": b"[]",
            "no name": b'{"event": 3}',
        }[kind]
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("not json", "line 2: it is not JSON"),
        ("not utf-8", "line 2: it is not UTF-8"),
        ("no object", "line 2: it is no event"),
        ("no name", "line 2: it is no event"),
        ("no field", "event 2 (budget) is wrong at evaluate_every"),
        ("wrong type", "event 2 (budget) is wrong at steps"),
        ("curve of two lengths", "2 cut-offs and 1 values"),
    ],
)
def test_a_damaged_record_is_refused_with_its_place(tmp_path: Path, kind: str, said: str) -> None:
    """The message names the file, the line and what is wrong with it."""
    (tmp_path / "record.jsonl").write_bytes(_damaged(kind))
    with pytest.raises(InputError) as caught:
        read_run(tmp_path)
    assert said in str(caught.value)
    assert "record.jsonl" in str(caught.value) and "expected one JSON object a line" in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [(None, "there is no file"), (b"", "has no event")])
def test_a_missing_or_empty_record_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    """A folder that is no run is said to be none."""
    if content is not None:
        (tmp_path / "record.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_run(tmp_path)


def test_a_record_must_begin_with_the_start_of_the_run() -> None:
    """Without the first line nothing is known of the metric."""
    with pytest.raises(InputError, match="begins with 'budget', not with 'run_started'"):
        condense(synthetic_runs.interrupted()[1:])


@pytest.mark.parametrize(
    "text", ["a\rb", "\x1b[2Jb", "\x9b2J", "a\x08b", "a\x7fb", "\u0085", "a\x0cb", "a\x00b", "\x1b]0;t\x07"]
)
@pytest.mark.parametrize("escaped", [True, False])
def test_nothing_in_a_record_commands_a_terminal(tmp_path: Path, text: str, escaped: bool) -> None:
    """Control characters of every text and name of a record, however they are spelt, are replaced."""
    line = json.dumps({"event": "note", "text": text, text: [text]}, ensure_ascii=escaped)
    (tmp_path / "record.jsonl").write_text(line + "\n", encoding="utf-8")
    (event,) = _record_file.read_record(tmp_path / "record.jsonl")
    shown = f"{event['text']}{list(event)[-1]}{list(event.values())[-1][0]}"
    assert len(shown) == 3 * len(text) and all(letter == "\ufffd" or letter.isprintable() for letter in shown)
