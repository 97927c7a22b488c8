"""What `tune` really writes can be read: the contract of the record, from both sides."""

from pathlib import Path
from typing import Any

import pytest

from metricgrad.report import condense, read_run, render, summary_text
from tests.tune.small_run import small_run


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The folder of a small run of two seeds and two tries, and every event that its observer saw."""
    seen: list[Any] = []
    folder = tmp_path_factory.mktemp("runs") / "real"
    small_run(folder, observer=seen.append)
    return folder, seen


def test_the_report_of_a_real_run(real: tuple[Path, list[Any]]) -> None:
    """Its verdict, every arm, every curve and every training are in the page."""
    folder, _ = real
    run, lines = read_run(folder)
    assert run.verdict is not None and run.finished is not None
    assert run.arms == ["start", "continued", "tuned"] and set(run.curves) == set(run.arms)
    done, planned = run.progress
    assert done == planned == 2 * (8 + 2 * 2 * 12)
    text = render(folder).read_text(encoding="utf-8")
    assert run.verdict.sentence in text and f"{lines:,} lines of record.jsonl" in text
    for plot in ("gain", "select", "start", "loss-start", "loss-continued", "loss-tuned", "hit"):
        assert f'id="{plot}' in text
    assert "All 10 trainings" in text


def test_what_an_observer_sees_can_be_folded_too(real: tuple[Path, list[Any]]) -> None:
    """The events in memory, progress among them, say the same as the record on disk."""
    folder, seen = real
    assert any(event["event"] == "progress" for event in seen)
    assert condense(seen) == read_run(folder)[0]
    assert summary_text(seen).startswith(read_run(folder)[0].verdict.sentence)  # pyright: ignore[reportOptionalMemberAccess]
