"""The plot of a benchmark over batch size."""

from pathlib import Path
from typing import Any

import pytest

from metricgrad.errors import InputError
from metricgrad.report.growth import growth_charts, write_growth


def _row(contestant: str, batch: int, noise: float, seconds: float | None) -> dict[str, Any]:
    return {"contestant": contestant, "batch": batch, "noise": noise, "seconds": seconds}


ROWS = [
    *(_row(name, batch, noise, batch / 1000 * weight) for noise in (2.0, 0.3) for batch in (1024, 256)
      for name, weight in (("product", 1.0), ("ours", 1.5), ("dense", 9.0))),
    _row("dense", 4096, 2.0, None),
    _row("SmoothAPLoss", 256, 2.0, None),
]  # fmt: skip


def test_one_line_for_each_contestant_and_noise() -> None:
    """Smallest batch first; what was left out has no point."""
    charts = growth_charts(ROWS)
    assert list(charts) == ["Noise 2", "Noise 0.3"]
    for chart in charts.values():
        series = chart.series
        assert [one.name for one in series] == ["product", "ours", "dense"]
        assert all(list(one.x) == [256, 1024] for one in series)
        assert list(series[1].y) == pytest.approx([0.384, 1.536])


def test_both_axes_are_logarithmic_and_looks_differ() -> None:
    """A contestant looks the same in both figures, which have the same axes, and like no other."""
    first, second = growth_charts(ROWS).values()
    assert first.x.log and first.y.log and (first.x, first.y) == (second.x, second.y)
    looks: dict[str, set[tuple[Any, ...]]] = {}
    for one in (*first.series, *second.series):
        looks.setdefault(one.name, set()).add((one.ink, one.dash, one.mark))
    assert all(len(look) == 1 for look in looks.values())
    assert len(set.union(*looks.values())) == 3


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    """No figure and no error."""
    assert growth_charts([_row("ours", 256, 2.0, None)]) == {}
    write_growth([], tmp_path / "x.html")
    assert "Nothing was measured" in (tmp_path / "x.html").read_text(encoding="utf-8")


def test_the_page_opens_offline(tmp_path: Path) -> None:
    """Figures and style stand inside, it is small, and names are text."""
    write_growth([*ROWS, _row("<script>", 256, 2.0, 0.1)], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert len(text) < 100_000 and text.count("<svg") == 4
    assert "<script" not in text and "src=" not in text and "ours, batch 1,024: 1.536 s" in text


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The path stands in the message."""
    with pytest.raises(InputError, match=r"x\.html cannot be written"):
        write_growth(ROWS, tmp_path / "missing" / "x.html")
