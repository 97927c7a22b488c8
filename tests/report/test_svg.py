"""Figures as SVG: well-formed, every value at its place, readable as text, and safe against names."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from metricgrad.report.chart import Axis, Band, Chart, Level, Series
from metricgrad.report.foreign_text import hides, shown
from metricgrad.report.marks import DASHES, mark_path
from metricgrad.report.scale import scale_of
from metricgrad.report.svg import described, drawn

NS = "{http://www.w3.org/2000/svg}"
EVIL = "</script><script>alert(1)</script>\"'&\u202eb"


def _drawings(chart: Chart, label: str = "a figure") -> list[ET.Element]:
    return [
        ET.fromstring(text + "</svg>")
        for text in str(drawn(chart, "fig", label)).split("</svg>")
        if text.strip()
    ]


def _lines(drawing: ET.Element) -> list[list[tuple[float, float]]]:
    """The corners of every line of a series."""
    paths = [one.get("d", "") for one in drawing.iter(f"{NS}path") if one.get("class", "").startswith("line")]
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)] for path in paths
    ]


def _texts(drawing: ET.Element) -> list[str]:
    return [(one.text or "") for one in drawing.iter(f"{NS}text")]


def test_a_wide_and_a_narrow_drawing_or_one_of_half() -> None:
    """Names of both differ, each has title and description, and neither loads or runs anything."""
    series = [Series([0, 10], [1.0, 3.0], "start-1", "start", width=2)]
    wide, narrow = _drawings(Chart(series, Axis("step"), Axis("loss")))
    assert [one.get("class") for one in (wide, narrow)] == ["drawn wide", "drawn narrow"]
    (half,) = _drawings(Chart(series, Axis("step"), half=True))
    identities = [one.get("id") for each in (wide, narrow) for one in each.iter() if one.get("id")]
    assert len(identities) == len(set(identities)) == 6
    for drawing in (wide, narrow, half):
        title, description = drawing[0], drawing[1]
        assert drawing.get("role") == "img"
        assert drawing.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert (title.text, description.text) == ("a figure", "start: 1 at 0, 3 at 10")
        assert {one.tag for one in drawing.iter()} <= {
            NS + tag for tag in "svg title desc clipPath rect path g text circle".split()
        }


def test_values_lie_where_the_axes_say() -> None:
    """A point at a tick lies at the tick's grid line; higher values lie higher; a line is straight in its values."""
    chart = Chart(
        [Series([0, 5, 10], [0.0, 5.0, 10.0], "a", width=2)], Axis(span=(0, 10)), Axis(span=(0, 10))
    )
    for drawing in _drawings(chart):
        ((x0, y0), (x1, y1), (x2, y2)) = _lines(drawing)[0]
        assert x0 < x1 < x2 and y0 > y1 > y2
        assert x1 == pytest.approx((x0 + x2) / 2, abs=0.11) and y1 == pytest.approx((y0 + y2) / 2, abs=0.11)
        grid = next(one.get("d", "") for one in drawing.iter(f"{NS}path") if one.get("class") == "grid")
        upright = [float(x) for x in re.findall(r"M(-?[\d.]+) [\d.]+V", grid)]
        level = [float(y) for y in re.findall(r"M[\d.]+ (-?[\d.]+)H", grid)]
        assert {x0, x2} <= set(upright) and {y0, y2} <= set(level)
        assert {"0", "10"} <= set(_texts(drawing))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.548, 0.5874, ["0.55", "0.56", "0.57", "0.58"]),
        (-0.02, 0.03, ["−0.02", "−0.01", "0", "0.01", "0.02", "0.03"]),
        (0.0, 30000.0, ["0", "5,000", "10,000", "15,000", "20,000", "25,000", "30,000"]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[str]) -> None:
    """Multiples of 1, 2 or 5, with as many decimals as they need."""
    scale = scale_of(Axis(span=(low, high)), [], 0, 300, apart=44)
    assert [text for _, text in scale.ticks] == expected


def test_a_logarithmic_axis_has_equal_factors_at_equal_distances() -> None:
    """Decades apart are as far apart; what is not positive is left out."""
    scale = scale_of(Axis(log=True), [0.01, 100.0], 0, 400, apart=40)
    places = [scale.place(value) for value in (0.01, 0.1, 1.0, 10.0, 100.0)]
    steps = [b - a for a, b in itertools.pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 4)
    assert [text for _, text in scale.shown()] == ["0.01", "0.1", "1", "10", "100"]
    chart = Chart([Series([0, 1, 2], [0.0, 1.0, 10.0], "a", width=1)], Axis(), Axis(log=True))
    assert all(len(_lines(drawing)[0]) == 2 for drawing in _drawings(chart))


@pytest.mark.parametrize(
    "values", [[], [3.0], [3.0, 3.0], [0.0], [-1e299, 1e299], [1e-300, 2e-300], [5e-324]]
)
def test_few_equal_and_extreme_values_have_an_axis(values: list[float]) -> None:
    """Every place is a number, and inside of the drawing."""
    chart = Chart([Series(range(len(values)), values, "a", "b", width=2, mark="circle")], Axis(), Axis("y"))
    for drawing in _drawings(chart):
        numbers = [float(n) for line in _lines(drawing) for point in line for n in point]
        assert all(0 <= n <= 900 for n in numbers)
        text = ET.tostring(drawing, encoding="unicode")
        assert "nan" not in text and '"inf' not in text


def test_one_point_is_seen() -> None:
    """A line of one point is a short stroke; a lone mark has its axis."""
    drawing = _drawings(Chart([Series([1], [2.0], "a", width=2)], Axis(), Axis()))[0]
    path = next(one.get("d", "") for one in drawing.iter(f"{NS}path") if one.get("class") == "line a")
    assert path.endswith("h6")


def test_what_is_undefined_parts_a_line_and_has_no_mark() -> None:
    """None, NaN and infinity are gaps; the other values are drawn."""
    y = [1.0, 2.0, None, 3.0, float("nan"), 4.0, float("inf"), 5.0, 6.0]
    drawing = _drawings(Chart([Series(range(9), y, "a", width=2, mark="square")], Axis(), Axis()))[0]
    path = next(one.get("d", "") for one in drawing.iter(f"{NS}path") if one.get("class") == "line a")
    assert path.count("M") == 4
    assert sum(one.get("class") == "mark a" for one in drawing.iter(f"{NS}path")) == 6


def test_a_pointer_is_told_of_every_point() -> None:
    """Marks and mean lines have a title a point, thin lines one for all."""
    told = [f"point {place}" for place in range(3)]
    for series in (
        Series([0, 1, 2], [0.0, 1.0, 2.0], "a", mark="circle", told=told),
        Series([0, 1, 2], [0.0, 1.0, 2.0], "a", width=3, told=told),
        Series([0, 1, 2], [0.0, 1.0, 2.0], "a", width=3, told=["all of it"]),
    ):
        drawing = _drawings(Chart([series], Axis(), Axis()))[0]
        assert [one.text for one in list(drawing.iter(f"{NS}title"))[1:]] == list(series.told)


def test_very_long_curves_are_lighter_and_keep_their_extremes() -> None:
    """Ten thousand points with one peak: fewer corners, the peak and both ends among them."""
    y = [0.0] * 10_000
    y[4321] = 1.0
    points = _lines(_drawings(Chart([Series(range(10_000), y, "a", width=1)], Axis(), Axis()))[0])[0]
    assert len(points) < 1300
    top, bottom = min(p[1] for p in points), max(p[1] for p in points)
    assert top < bottom and [p[0] for p in points] == sorted(p[0] for p in points)


def test_very_long_names_are_cut_short_and_told_whole() -> None:
    """In the legend, at rows and axes, on both widths; CJK letters count double."""
    for name in ("x" * 300, "字" * 200):
        for chart in (
            Chart([Series([0], [1.0], "a", name, width=1)], Axis(name), Axis(name)),
            Chart([Series([0], [0.0], "a", mark="circle", told=["t"])], Axis(name), rows=[name]),
        ):
            for drawing in _drawings(chart, name):
                room = float(drawing.get("width", 0))
                for text in drawing.iter(f"{NS}text"):
                    wide = sum(13 if letter > "\u2e7f" else 7.1 for letter in text.text or "")
                    assert wide <= room
                    if (text.text or "").endswith("…"):
                        assert text[0].text == name


def test_legends_wrap_and_name_each_once() -> None:
    """Ten long names take several lines, none beyond the edge, and push the plot down."""
    series = [Series([0, 1], [0.0, 1.0], "a", f"contender number {place}", width=1) for place in range(10)]
    wide, narrow = _drawings(Chart([*series, series[0]], Axis(), Axis()))
    for drawing in (wide, narrow):
        legend = [one for one in drawing.iter(f"{NS}text") if one.get("class") == "legend"]
        assert [one.text for one in legend] == [one.name for one in series]
        assert len({one.get("y") for one in legend}) > 1
        top = min(y for line in _lines(drawing)[-11:] for _, y in line)
        assert top > max(float(one.get("y", 0)) for one in legend)


def test_bands_and_levels_are_drawn() -> None:
    """A band has both curves; a level spans the plot."""
    chart = Chart(
        [Series([0, 1], [0.5, 0.5], "a", width=1)],
        Axis(),
        Axis(),
        bands=[Band([0, 1], [0.0, 0.1], [1.0, float("nan")], "a")],
        levels=[Level(0.5, "b"), Level(2.0, "c", "dot", across=True)],
    )
    drawing = _drawings(chart)[0]
    kinds = [one.get("class") for one in drawing.iter(f"{NS}path")]
    assert {"band a", "line b", "line c"} <= set(kinds)
    assert max(chart.extent(across=False)) == 2.0 and 0.5 in chart.extent(across=True)


@pytest.mark.parametrize("mark", ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star",
                                  "pentagon", "hexagon", "tick", "ring"])  # fmt: skip
def test_marks_are_around_their_point(mark: str) -> None:
    """Numbers alone, within the size."""
    path = str(mark_path(mark, 100.0, 50.0, 10.0))
    assert re.fullmatch(r"[MLvaZ\d. -]+", path)
    if mark != "circle":
        corners = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]
        assert all(abs(x - 100) <= 7 and abs(y - 50) <= 7 for x, y in corners)


def test_dashes_are_lengths() -> None:
    """What stands in an attribute is numbers."""
    assert all(re.fullmatch(r"[\d ]*", strokes) for strokes in DASHES.values())


def test_names_are_text_and_their_hidden_characters_are_seen() -> None:
    """Markup is escaped, and a character that turns the direction is spelt out."""
    chart = Chart([Series([0, 1], [0.0, 1.0], "a", EVIL, width=1, told=[EVIL])], Axis(EVIL), Axis(EVIL))
    rows = Chart([Series([0], [0.0], "a", mark="circle", told=[EVIL])], Axis(EVIL), rows=[EVIL])
    for one in (chart, rows):
        text = str(drawn(one, 'a" onload="alert(1)', EVIL))
        assert "<script" not in text and "onload=" not in text and "\u202e" not in text
        assert "&lt;/script&gt;" in text and "U+202E" in text
    assert all(EVIL.replace("\u202e", "<U+202E>") in (one[0].text or "") for one in _drawings(chart, EVIL))


def test_what_is_hidden() -> None:
    """Letters of other scripts and emoji stay; what is not seen is spelt out."""
    for text in ("naïve 字 עברית", "👩\u200d🚀", "نمی\u200cخواهم", "two\nlines\tand tabs"):
        assert shown(text) == text and not hides(text)
    for text in ("\u202e", "\u2066", "\x00", "\x1b[31m", "\u200b", "\ufeff", "\u200f"):
        assert hides(text) and "U+" in shown(text)


def test_a_figure_without_names_tells_its_marks() -> None:
    """Gains are told one by one, at most so many."""
    marks = [Series([v], [0], "a", mark="circle", told=[f"gain {v}"]) for v in range(40)]
    text = described(Chart(marks, Axis(), rows=["a"]))
    assert text.startswith("gain 0; gain 1;") and text.endswith("and 16 more") and "gain 30" not in text
    assert described(Chart([], Axis())) == ""
