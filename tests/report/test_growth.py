"""The plot of a benchmark over batch size."""

from pathlib import Path
from typing import Any

import pytest

from metricgrad.errors import InputError
from metricgrad.report.growth import growth_figure, write_growth


def _row(contestant: str, batch: int, noise: float, seconds: float | None) -> dict[str, Any]:
    return {"contestant": contestant, "batch": batch, "noise": noise, "seconds": seconds}


ROWS = [
    *(_row(name, batch, noise, batch / 1000 * weight) for noise in (2.0, 0.3) for batch in (1024, 256)
      for name, weight in (("product", 1.0), ("ours", 1.5), ("dense", 9.0))),
    _row("dense", 4096, 2.0, None),
    _row("SmoothAPLoss", 256, 2.0, None),
]  # fmt: skip


def test_one_line_for_each_contestant_and_noise() -> None:
    """Smallest batch first; what was left out has no point; the legend names each once."""
    figure = growth_figure(ROWS)
    traces = list(figure.data)
    assert [trace.name for trace in traces] == ["product", "ours", "dense"] * 2
    assert all(list(trace.x) == [256, 1024] for trace in traces)
    assert [trace.showlegend for trace in traces] == [True] * 3 + [False] * 3
    assert list(traces[1].y) == pytest.approx([0.384, 1.536])


def test_both_axes_are_logarithmic_and_looks_differ() -> None:
    """A contestant looks the same in both panels and like no other."""
    figure = growth_figure(ROWS)
    assert {figure.layout.xaxis.type, figure.layout.xaxis2.type, figure.layout.yaxis.type} == {"log"}
    looks: dict[str, set[tuple[Any, ...]]] = {}
    for trace in figure.data:
        looks.setdefault(trace.name, set()).add((trace.line.color, trace.line.dash, trace.marker.symbol))
    assert all(len(look) == 1 for look in looks.values())
    assert len(set.union(*looks.values())) == 3


def test_nothing_measured_is_an_empty_figure() -> None:
    """No line and no error."""
    assert len(growth_figure([]).data) == 0


def test_the_page_opens_offline(tmp_path: Path) -> None:
    """The plotting library stands inside."""
    write_growth(ROWS, tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert len(text) > 1_000_000
    assert '<script src="http' not in text and '<script charset="utf-8" src=' not in text


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The path stands in the message."""
    with pytest.raises(InputError, match=r"x\.html cannot be written"):
        write_growth(ROWS, tmp_path / "missing" / "x.html")
