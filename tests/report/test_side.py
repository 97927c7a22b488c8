"""Side metrics in the closing table and on the page: what is shown of values, falls and arms that are not returned."""

import math
from pathlib import Path
from typing import Any

import pytest

from metricgrad._records import event_of
from metricgrad._side_records import Fall, Side, SideMeasured, SideMetrics
from metricgrad.errors import InputError
from metricgrad.report import condense, render, summary_text
from metricgrad.report.side import side_tables
from tests.report import synthetic_runs

SEEDS = (0, 1, 2)


def _events(*, falls: dict[tuple[int, str], Fall] | None = None, value: float = 0.75) -> list[dict[str, Any]]:
    """A finished run with the side metric `map`: `tuned` falls with seed 1 alone."""
    records: list[Any] = [SideMetrics([Side("map", "mean average precision.", True, 0.01)])]
    for seed in SEEDS:
        for arm in ("start", "continued", "tuned"):
            records += [SideMeasured("map", seed, arm, split, value, 100) for split in ("select", "test")]
        for arm in ("continued", "tuned"):
            held = (seed, arm) == (1, "tuned")
            low, high = (0.02, 0.06) if held else (-0.01, 0.03)
            fall = Fall("map", seed, arm, (low + high) / 2, low, high, 0.01, held_back=held)
            records.append((falls or {}).get((seed, arm), fall))
    events = synthetic_runs.finished()
    place = next(number for number, event in enumerate(events) if event["event"] == "chosen")
    return [*events[:place], *map(event_of, records), *events[place:]]


def test_a_row_per_arm_with_means_falls_and_who_is_not_returned() -> None:
    """Mean of the falls, the fall of every seed, and the seed whose model is held back."""
    (table,) = side_tables(condense(_events()))
    assert table.titles[:4] == ["test", "select", "fall", "by seed"]
    assert table.rows[0] == ["start", "0.7500", "0.7500", "", "", ""]
    assert table.rows[2][3:] == ["+0.0200", "+0.0100 +0.0400 +0.0100", "held back: 1"]
    assert "higher is better; it may fall by 0.01." in table.meaning
    assert "held back: 1" in summary_text(_events())
    assert all(len(line) <= 80 for line in summary_text(_events()).splitlines() if line.startswith("tuned"))


def test_the_page_shows_every_interval(tmp_path: Path) -> None:
    """Its section stands between evidence and curves, and has the interval of each seed."""
    synthetic_runs.write(tmp_path / "run", _events())
    page = render(tmp_path / "run").read_text(encoding="utf-8")
    assert '<h2 id="side">Side metrics</h2>' in page
    assert "+0.0100 [-0.0100, +0.0300]; +0.0400 [+0.0200, +0.0600]" in page


def test_what_is_not_known_is_said() -> None:
    """A value that is no number, a fall that is undefined, and one that is not judged."""
    unknown = Fall("map", 0, "tuned", None, None, None, 0.01, told="the metric is undefined on select")
    (table,) = side_tables(condense(_events(falls={(0, "tuned"): unknown}, value=math.nan)))
    assert table.rows[2][:4] == ["tuned", "n/a", "n/a", "n/a"]
    assert table.rows[2][4] == "n/a +0.0400 +0.0100"
    few = Fall("map", 1, "tuned", 0.04, 0.02, 0.06, 0.01, told="too few classes")
    (table,) = side_tables(condense(_events(falls={(1, "tuned"): few})))
    assert table.rows[2][5] == "not judged"


def test_a_run_without_side_metrics_has_no_table(tmp_path: Path) -> None:
    """Records that were written before there were any are read as ever."""
    assert side_tables(condense(synthetic_runs.finished())) == []
    synthetic_runs.write(tmp_path / "run", synthetic_runs.finished())
    assert "Side metrics" not in render(tmp_path / "run").read_text(encoding="utf-8")


def test_a_damaged_line_is_refused() -> None:
    """An arm that the run does not have, and a limit that is no number."""
    events = _events()
    fall = next(event for event in events if event["event"] == "fall")
    with pytest.raises(InputError, match="has the arm 'nobody'"):
        condense([*events, {**fall, "arm": "nobody"}])
    with pytest.raises(InputError, match="wrong at may_fall"):
        condense([*events, {**fall, "may_fall": "much"}])
