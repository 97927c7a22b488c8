"""The report as a reader sees it, in headless Chromium: drawn, quiet, alone, readable on any screen."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metricgrad.report import render
from tests.browser import chromium
from tests.browser.contrast import CONTRASTS
from tests.report import synthetic_runs
from tests.report.synthetic_rules import with_rules

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]  # one browser

DRAWN = """[...document.querySelectorAll("figure.plot")].map(f => {
    const seen = [...f.querySelectorAll("svg.drawn")].filter(s => getComputedStyle(s).display !== "none");
    return [f.id, seen.length, seen[0].querySelectorAll("path.line, path.mark").length]; })"""
CUT_OFF = """[...document.querySelectorAll("main, section, table, figure, .ranking, .facts")]
    .filter(e => e.getClientRects().length && !e.closest(".scroll, .sheet"))
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.tagName + "." + e.className)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    """One browser for the module."""
    opened = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a finished run with everything in it."""
    folder = tmp_path_factory.mktemp("runs") / "full"
    events = with_rules(synthetic_runs.with_surrogate(synthetic_runs.finished()))
    pictures, changed = synthetic_runs.gallery(2), synthetic_runs.examples(3)
    return render(synthetic_runs.write(folder, events, pictures=pictures, changed=changed))


def _from_outside(browser: chromium.Chromium, page: Path) -> list[str]:
    """What the page asked for beyond itself and the data inside of it."""
    inside = (page.resolve().as_uri(), "data:", "blob:")
    return [address for address in browser.requests if not address.startswith(inside)]


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("width", [1280, pytest.param(400, marks=pytest.mark.slow)])
def test_everything_is_drawn_and_nothing_complains(
    browser: chromium.Chromium, report: Path, width: int, dark: bool
) -> None:
    """All plots hold curves, all pictures are there, the console is empty and nothing is asked of the network."""
    browser.open(report, width=width, dark=dark)
    drawn = {name: (svgs, traces) for name, svgs, traces in browser.ask(DRAWN)}
    assert set(drawn) == {
        "gain-plot",
        "cut-plot",
        "select-plot",
        "loss-continued",
        "loss-tuned",
        "hit-plot",
        "hit-gain-plot",
        *(f"fit-{seed}-{step}" for seed in (0, 1, 2) for step in (0, 300)),
        *(f"fit-{name}" for name in ("error", "order", "agreement", "kept", "objectives")),
    }
    assert all(svgs == 1 and traces > 0 for svgs, traces in drawn.values()), drawn
    assert drawn["select-plot"][1] == 3 + 1 + 2 * (6 + 1 + 3)  # three in the legend
    pictures = browser.ask("[...document.images].map(i => [i.naturalWidth, i.alt])")
    assert len(pictures) == 4 * 11 + 2 * 3 and all(size > 0 and alt for size, alt in pictures)
    assert browser.complaints == [] and _from_outside(browser, report) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "width", [768, 400, pytest.param(320, marks=pytest.mark.slow), pytest.param(1280, marks=pytest.mark.slow)]
)
def test_nothing_reaches_beyond_the_screen(browser: chromium.Chromium, report: Path, width: int) -> None:
    """No sideways scrolling and nothing cut off, with every detail open; plots as wide as their place."""
    browser.open(report, width=width)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask(CUT_OFF) == []
    fits = "[...document.querySelectorAll('.sheet')].every(s => s.scrollWidth <= s.clientWidth)"
    assert width < 400 or browser.ask(fits)
    assert browser.ask(
        "[...document.querySelectorAll('svg.drawn')].every(s => s.getBoundingClientRect().width"
        " <= s.parentElement.getBoundingClientRect().width + 1)"
    )
    letters = (
        "[...document.querySelectorAll('svg.drawn text')].filter(t => t.getClientRects().length).map(t => "
    )
    letters += (
        "13 * t.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width)"
    )
    assert min(browser.ask(letters)) > 8.5


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read(browser: chromium.Chromium, report: Path, dark: bool) -> None:
    """Every piece of text, in the plots too, stands out at least 4.5 to 1, by day and by night."""
    browser.open(report, dark=dark)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    contrasts = browser.ask(CONTRASTS)
    assert len(contrasts) > 200
    assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []
    paper = browser.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(paper) < 60) if dark else (min(paper) > 200)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_an_arm_has_one_colour_in_plots_and_tables(
    browser: chromium.Chromium, report: Path, dark: bool
) -> None:
    """The stroke of a curve is the stroke of the sample beside the arm's name, by day and by night."""
    browser.open(report, dark=dark)
    for arm in ("start", "continued", "tuned"):
        named = f"[...document.querySelectorAll('.arm')].find(each => each.textContent.trim() == '{arm}')"
        sample = browser.ask(f"getComputedStyle({named}.querySelector('line')).stroke")
        curves = browser.ask(
            "[...document.querySelectorAll('#select-plot path.line')].map(p => getComputedStyle(p).stroke)"
        )
        assert sample in curves


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_the_pairs_of_a_surrogate_are_all_there(browser: chromium.Chromium, report: Path, dark: bool) -> None:
    """Every pair is a point, in one of two colours that no arm has; all figures of a seed open at once."""
    browser.open(report, dark=dark)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    count = "[...document.querySelectorAll('.pairs svg.drawn')].map(c => c.querySelectorAll('path > title').length)"
    assert browser.ask(count) == [60 + 120] * 6
    colours = browser.ask(
        "[...new Set([...document.querySelectorAll('.pairs path:has(> title)')].map(p => {"
        " const s = getComputedStyle(p); return s.fill === 'none' || s.fillOpacity === '0' ? s.stroke : s.fill; }))]"
    )
    arms = browser.ask("[...document.querySelectorAll('.arm line')].map(l => getComputedStyle(l).stroke)")
    assert len(colours) == 2 and not set(colours) & set(arms)


def test_differing_letters_are_marked(browser: chromium.Chromium, report: Path) -> None:
    """A reading stands beside its target with marks at what is wrong or missing, and nothing of it is lost."""
    browser.open(report)
    texts = browser.ask("[...document.querySelectorAll('.cards .text')].slice(0, 6).map(t => t.textContent)")
    assert texts == ["umbrella", "umbrella", "umbrella", "guitar", "quitars", "guitar"]
    marks = "[...document.querySelectorAll('.cards mark, .cards del')].map(m => [m.tagName, m.textContent])"
    word = [["DEL", "l"], ["MARK", "q"], ["MARK", "s"], ["DEL", "key"], ["MARK", "v"]]
    assert browser.ask(marks) == [
        *word,
        ["DEL", "l"],
        ["MARK", "q"],
        ["MARK", "s"],
        ["MARK", "v"],
        ["DEL", "key"],
    ]


def test_tables_and_plots_are_told_to_those_who_cannot_see(browser: chromium.Chromium, report: Path) -> None:
    """One first heading, a name for every plot, a scope for every header cell, a language."""
    browser.open(report)
    assert browser.ask("document.querySelectorAll('h1').length") == 1
    assert browser.ask("document.documentElement.lang") == "en"
    assert browser.ask(
        "[...document.querySelectorAll('svg.drawn')].every(s => s.role === 'img'"
        " && s.ariaLabelledByElements.length === 2 && s.ariaLabelledByElements.every(e => e.textContent))"
    )
    assert browser.ask("[...document.querySelectorAll('th')].every(t => t.scope)")


KINDS: dict[str, dict[str, Any]] = {
    "no test": {"test": False},
    "no proxy": {"proxy": None},
    "one seed": {"seeds": (0,), "tries": 1},
    "boxes": {"unit": "sample", "tries": 1},
    "no interval": {"unit": "whole", "interval": False, "verdict": "nothing claimed"},
}


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind not in ("no test", "boxes")]
SLOW += [pytest.param(kind, marks=pytest.mark.slow) for kind in ("unfinished", "just begun")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["no test", "boxes", *SLOW])
def test_every_kind_of_run_is_drawn(browser: chromium.Chromium, tmp_path: Path, kind: str) -> None:
    """Whatever a run lacks, its page draws what it has and complains of nothing."""
    events = synthetic_runs.finished(**KINDS[kind]) if kind in KINDS else synthetic_runs.interrupted()
    changed = None
    if kind == "boxes":
        events = synthetic_runs.with_surrogate(events, tau=0.5, without=("kept_fraction",))
        changed = synthetic_runs.examples(8, boxes=True)
    page = render(
        synthetic_runs.write(tmp_path, events[:1] if kind == "just begun" else events, changed=changed)
    )
    browser.open(page, width=400)
    drawn = browser.ask(DRAWN)
    assert all(svgs == 1 and traces for _, svgs, traces in drawn)
    assert ("select-plot" in [name for name, *_ in drawn]) == (kind != "just begun")
    assert browser.complaints == [] and browser.ask("document.documentElement.scrollWidth") <= 400


@pytest.mark.slow
def test_the_policy_holds(browser: chromium.Chromium, report: Path) -> None:
    """A script that is not the page's own does not run, nothing can be fetched, and both are noticed here."""
    browser.open(report)
    browser.ask(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
    )
    assert browser.ask("window.ran === undefined")
    assert browser.ask("fetch('http://127.0.0.1:9/').then(() => 'fetched', () => 'refused')") == "refused"
    assert len([text for text in browser.complaints if "Content Security Policy" in text]) >= 2


@pytest.mark.slow
def test_names_are_shown_and_not_obeyed(browser: chromium.Chromium, tmp_path: Path) -> None:
    """Markup in the names of a run is text in the page and in the plots."""
    events = synthetic_runs.finished(seeds=(0,), tries=1)
    evil = "<img src=x onerror=window.ran=1></script><script>window.ran=1</script>"
    events[0]["metric"] = events[0]["method"] = evil
    events[-2]["sentence"] = evil
    browser.open(render(synthetic_runs.write(tmp_path, events)))
    assert browser.ask("window.ran === undefined") and browser.complaints == []
    assert browser.ask("document.querySelector('h1').textContent") == evil


@pytest.mark.slow
def test_it_can_be_printed(browser: chromium.Chromium, report: Path) -> None:
    """Printing opens the details for the paper, closes them again, and gives a PDF."""
    browser.open(report, dark=True)
    opened = "document.querySelectorAll('details[open]').length"
    before = browser.ask(opened)
    browser.ask("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.ask(opened) == browser.ask("document.querySelectorAll('details').length") > before
    browser.ask("window.dispatchEvent(new Event('afterprint'))")
    assert browser.ask(opened) == before
    assert browser.paper().startswith(b"%PDF-") and browser.complaints == []


@pytest.mark.slow
def test_a_missing_browser_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is not passed as seen where nothing can see it."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="apt-get install chromium"):
        chromium.find()
