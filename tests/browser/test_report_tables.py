"""The report of a contest of ten, in headless Chromium: tables sort and filter, files are saved, on any screen."""

import csv
import io
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from metricgrad.report import render
from tests.browser import chromium
from tests.browser.contrast import CONTRASTS
from tests.report import synthetic_runs
from tests.report.synthetic_contest import METHODS, contest
from tests.report.synthetic_rules import with_rules

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser"), pytest.mark.slow]

BOARD = "document.querySelector('[data-table=leaderboard] table')"
NAMES = f"[...{BOARD}.tBodies[0].rows].filter(r => !r.hidden).map(r => r.querySelector('.arm').textContent)"
HEAD = f"[...{BOARD}.tHead.rows[0].cells]"
EVIL = '</script><svg onload=window.ran=1><b>"x"\'\u202e\u2066gnp.exe'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    """One browser for the module."""
    opened = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of ten contenders with pictures."""
    folder = tmp_path_factory.mktemp("runs") / "ten"
    return render(synthetic_runs.write(folder, contest(10), pictures=synthetic_runs.gallery(2)))


@pytest.fixture(scope="module")
def pages(ten: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By a name the reports that every screen is tried with."""
    folder = tmp_path_factory.mktemp("runs") / "full"
    events = with_rules(synthetic_runs.with_surrogate(synthetic_runs.finished()))
    pictures, changed = synthetic_runs.gallery(2), synthetic_runs.examples(3)
    full = render(synthetic_runs.write(folder, events, pictures=pictures, changed=changed))
    return {"ten": ten, "full": full}


@pytest.mark.parametrize("name", ["ten", "full"])
@pytest.mark.parametrize(
    ("width", "look"),
    [*itertools.product((1400, 800, 390), ("light", "dark", "no script")), (718, "print")],  # A4 with margins
)
def test_every_screen_shows_all_of_it(
    browser: chromium.Chromium, pages: dict[str, Path], name: str, width: int, look: str
) -> None:
    """Quiet, without a request, no wider than the screen, text that stands out, every figure drawn once."""
    page = pages[name]
    browser.open(page, width=width, dark=look == "dark", scripts=look != "no script", paper=look == "print")
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    contrasts = browser.ask(CONTRASTS)
    assert len(contrasts) > 300
    assert [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5] == []
    seen = "[...document.querySelectorAll('figure.plot')].map(f => [...f.querySelectorAll('svg.drawn')]"
    seen += ".filter(s => s.getClientRects().length && s.getBoundingClientRect().height > 50).length)"
    figures = browser.ask(seen)
    assert len(figures) > 10 and set(figures) == {1}
    buttons = browser.ask(
        "[...document.querySelectorAll('button, input')].filter(b => b.checkVisibility()).length"
    )
    assert (buttons == 0) if look == "no script" else (buttons > 20)
    tools = browser.ask("[...document.querySelectorAll('.tools')].some(t => t.checkVisibility())")
    assert tools == (look in ("light", "dark"))
    inside = (page.resolve().as_uri(), "data:")
    assert browser.complaints == []
    assert [address for address in browser.requests if not address.startswith(inside)] == []


@pytest.mark.parametrize("width", [1400, 390])
def test_ten_contenders_can_be_read(browser: chromium.Chromium, ten: Path, width: int) -> None:
    """Every arm with every figure lies on the screen, the best first, on a phone with what each figure is."""
    browser.open(ten, width=width)
    names = browser.ask(NAMES)
    assert names[0] == "surrogate-recall_at_k" and len(names) == len(METHODS) + 2
    inside = (
        f"[...{BOARD}.querySelectorAll('tbody td')].filter(c => c.textContent && c.getClientRects().length)"
    )
    places = browser.ask(
        f"{inside}.map(c => [c.getBoundingClientRect().left, c.getBoundingClientRect().right])"
    )
    assert len(places) == 10 * 7 + 2 * 2 + 1  # the start has no time, controls no gain
    assert all(left >= 0 and right <= width for left, right in places)
    label = f"getComputedStyle({inside}[0], '::before').content"
    assert browser.ask(label) == ('"test recall@1"' if width == 390 else "none")


def test_columns_sort_by_keyboard(browser: chromium.Chromium, ten: Path) -> None:
    """Tab reaches every heading; Enter sorts down, up, and back; the state is told to a screen reader."""
    browser.open(ten)
    first = browser.ask(NAMES)
    browser.ask(f"{BOARD}.closest('[tabindex]').focus()")
    for _ in range(2):
        browser.press("Tab")
    assert browser.ask(f"document.activeElement === {HEAD}[1].querySelector('button')")
    states = []
    for _ in range(3):
        browser.press("Enter", text="\r")
        states.append((browser.ask(f"{HEAD}[1].getAttribute('aria-sort')"), browser.ask(NAMES)))
    assert [state for state, _ in states] == ["descending", "ascending", None]
    assert states[0][1] == first and states[1][1] == first[::-1] and states[2][1] == first
    for _ in range(2):
        browser.press("Tab")
    browser.press(" ", text=" ")
    claims = browser.ask(f"[...{BOARD}.tBodies[0].rows].map(r => r.cells[3].firstChild?.textContent ?? '')")
    assert claims[-2:] == ["", ""] and claims[0].startswith("+0.0186")  # what has no value stays last
    told = "document.querySelector('[data-table=leaderboard]').previousElementSibling.querySelector('[role=status]')"
    assert browser.ask(f"{told}.textContent") == "sorted by gain over continued, descending"


def test_rows_are_filtered_by_keyboard(browser: chromium.Chromium, ten: Path) -> None:
    """The field has a name, letters leave the rows that hold them, and the count is told."""
    browser.open(ten)
    field = "document.querySelector('[aria-label=\"Filter Leaderboard\"]')"
    browser.ask(f"{field}.focus()")
    for letter in "direct":
        browser.press(letter, text=letter)
    assert browser.ask(NAMES) == ["direct-ndcg", "direct-average_precision"]
    assert (
        browser.ask(f"{field}.closest('.tools').querySelector('[role=status]').textContent") == "2 of 12 rows"
    )
    browser.ask(f"{field}.value = ''; {field}.dispatchEvent(new Event('input'))")
    assert len(browser.ask(NAMES)) == 12


def test_every_control_has_a_name_and_can_be_reached(browser: chromium.Chromium, ten: Path) -> None:
    """No button or field without a name, none that Tab leaves out; names of tables are told apart."""
    browser.open(ten)
    controls = "[...document.querySelectorAll('button, input, [tabindex]')]"
    assert browser.ask(f"{controls}.every(c => (c.ariaLabel || c.textContent).trim() && c.tabIndex === 0)")
    labels = browser.ask("[...document.querySelectorAll('.tools [aria-label]')].map(c => c.ariaLabel)")
    assert len(labels) == len(set(labels)) > 10
    assert browser.ask(
        "[...document.querySelectorAll('th button')].every(b => b.getBoundingClientRect().height >= 24)"
    )


def test_a_table_is_saved_as_csv(browser: chromium.Chromium, tmp_path: Path) -> None:
    """What is shown stands in the file, small letters in a column of their own; a name is never a formula."""
    events = contest(3)
    events[0]["metric"] = '=cmd|"x",1'
    page = render(synthetic_runs.write(tmp_path / "run", events))
    browser.open(page)
    (tmp_path / "saved").mkdir()
    button = "document.querySelector('[aria-label=\"Save CSV: Leaderboard\"]').click()"
    rows = list(
        csv.reader(io.StringIO(browser.saved(tmp_path / "saved", button).read_text(encoding="utf-8")))
    )
    assert rows[0][:4] == ["arm", "arm (more)", 'test =cmd|"x",1', 'test =cmd|"x",1 (more)']
    assert rows[1][:4] == [
        "surrogate-recall_at_k",
        "surrogate:recall_at_k; returned",
        "0.5427",
        "[0.5246, 0.5610]",
    ]
    assert rows[1][5:7] == ["+0.0186", "[+0.0082, +0.0287] by seed +0.0228 +0.0125 +0.0205"]
    assert len(rows) == 6 and len({len(row) for row in rows}) == 1
    events[0]["unit"], events[0]["versions"] = "query", {"x": "y"}
    splits = events[0]["splits"]
    splits["=HYPERLINK(1)"] = splits.pop("fit")
    browser.open(render(synthetic_runs.write(tmp_path / "run", events)))
    button = "document.querySelector('[aria-label=\"Save CSV: Splits\"]').click()"
    text = browser.saved(tmp_path / "saved", button).read_text(encoding="utf-8")
    assert "'=HYPERLINK(1)" in text and "\n=" not in text
    assert browser.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_figure_is_saved_as_svg(browser: chromium.Chromium, ten: Path, tmp_path: Path, dark: bool) -> None:
    """The file stands alone: well-formed, its colours written into it, and it draws what the page draws."""
    browser.open(ten, dark=dark)
    ask = "document.querySelector('#select-plot .tools button').click()"
    saved = browser.saved(tmp_path, ask)
    assert saved.name == "select-plot.svg"
    text = saved.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert "var(" not in text and root.get("viewBox") and "background" in root.get("style", "")
    lines = [
        one.get("style", "") for one in root.iter() if (one.get("class") or "").startswith("line contender-1")
    ]
    sample = browser.ask("getComputedStyle(document.querySelector('.arm.contender-1 line')).stroke")
    assert lines and all(f"stroke: {sample}" in style for style in lines)
    browser.open(saved)
    assert browser.ask("document.querySelectorAll('path').length") > 50 and browser.complaints == []


def test_the_command_is_copied_or_selected(browser: chromium.Chromium, tmp_path: Path) -> None:
    """Whatever the browser allows, the whole command is selected and the outcome is told."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.finished(seeds=(0,), tries=1))
    (folder / "config.yaml").write_text(
        "recipe:\n  task: digits\n  metric: 'a \"b\" $c'\nasked: {}\nfound: {}\n", encoding="utf-8"
    )
    browser.open(render(folder))
    command = browser.ask("document.querySelector('pre.command').textContent")
    assert command == 'metricgrad tune digits --set \'metric="a \\"b\\" $c"\''
    browser.ask("document.querySelector('[aria-label=\"Copy the command\"]').click()")
    assert browser.ask("getSelection().toString()") == command
    said = "document.querySelector('pre.command + .tools span').textContent"
    told = f"new Promise(done => setTimeout(() => done({said}), 300))"
    assert browser.ask(told) in ("copied", "selected: copy it with the keyboard")


@pytest.mark.parametrize("dark", [False, True])
def test_names_of_others_are_shown_everywhere_and_obeyed_nowhere(
    browser: chromium.Chromium, tmp_path: Path, dark: bool
) -> None:
    """In tables, figures, attributes, titles: a hostile name is text, and its hidden characters are seen."""
    events = with_rules(synthetic_runs.with_surrogate(synthetic_runs.finished()))
    start = events[0]
    start["metric"] = start["metric_description"] = start["method"] = start["proxy"] = start["task"] = EVIL
    start["versions"] = {EVIL: EVIL}
    start["splits"]["fit"] = {EVIL: EVIL}
    for event in events:
        if event["event"] == "stage_started":
            event["settings"][EVIL] = EVIL
    pictures, changed = synthetic_runs.gallery(1), synthetic_runs.examples(1)
    pictures["better"][0]["query"]["name"] = changed["better"][0]["name"] = changed["caption"] = EVIL
    folder = synthetic_runs.write(tmp_path / "x <b>", events, pictures=pictures, changed=changed)
    (folder / "config.yaml").write_text(
        f"recipe: {{task: digits, metric: '{EVIL.replace(chr(39), '')}'}}\nasked: {{}}\nfound: {{device: '<b>'}}\n"
    )
    page = render(folder)
    browser.open(page, dark=dark, width=390)
    assert browser.ask("window.ran === undefined") and browser.complaints == []
    assert browser.ask("document.querySelectorAll('b, [onload]').length") == 0
    text = page.read_text(encoding="utf-8")
    assert "\u202e" not in text and "\u2066" not in text and text.count("U+202E") > 20
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    assert browser.ask(
        "document.querySelector('pre.command') === null"
    )  # hidden characters: no command to copy
