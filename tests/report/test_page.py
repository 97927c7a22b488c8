"""The page as a file: complete in itself, safe against names, never half written. How it looks: tests/browser."""

import base64
import html.parser
import os
import random
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from metricgrad.errors import InputError, RunFolderError
from metricgrad.report import render
from metricgrad.report.picture import _SIGNATURE, _chunk, checked_picture
from metricgrad.report.template import asset
from metricgrad.tune.gallery import GALLERY_ENTRIES
from tests.report import synthetic_runs
from tests.report.synthetic_contest import contest


class _Page(html.parser.HTMLParser):
    """Collects the attributes that load something, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        names = ("src", "href", "srcset", "data", "action", "poster", "background")
        self.loads += [value or "" for name, value in attrs if name in names]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self._inside in ("script", "style") else data + " "


def _rendered(folder: Path, events: list[dict], **write: Any) -> _Page:
    text = render(synthetic_runs.write(folder, events, **write)).read_text(encoding="utf-8")
    parsed = _Page(text)
    parsed.text = re.sub(r"\s+", " ", parsed.text)
    return parsed


def test_the_page_of_a_gain_tells_everything(tmp_path: Path) -> None:
    """Verdict, meaning, arms, gains, optimism, calls, settings, splits, versions, gallery, configuration."""
    shown = _rendered(tmp_path, synthetic_runs.finished(), pictures=synthetic_runs.gallery(2)).text
    for words in (
        "Gain: surrogate:recall_at_k beats continuing the proxy loss", "any relevant at 1", "higher is better",
        "0.5427", "[0.5246, 0.5610]", "+0.0186", "[+0.0082, +0.0287]", "+0.0125", "the verdict stands on this",
        "+0.0097: gain on select minus gain on test", "159 on select, 9 on test", "300 steps and 2 tries a seed",
        "95% bootstrap interval over test queries", "weight_decay", "objective.k", "[1, 2, 4, 8]", "2,740", "566",
        "control: supcon for the same", "torch 2.13.0", "3 (0, 1, 2)", "red apple", "minutes: 6", "All 12 trainings",
        "learning_rate 0.0003", "drawn among those whose nearest neighbour changed",
    ):  # fmt: skip
        assert words in shown, words


def test_a_gallery_without_entries_says_so_in_its_caption(tmp_path: Path) -> None:
    """Where no neighbour changed the caption stands alone, without a key to pictures that are not there."""
    pictures = {**synthetic_runs.gallery(0), "caption": "Of 534 test queries none changed."}
    shown = _rendered(tmp_path, synthetic_runs.finished(), pictures=pictures).text
    assert "none changed." in shown and "not relevant" not in shown and "Better" not in shown


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    """Every address in the page is data inside of it, and a policy forbids the rest."""
    shown = _rendered(tmp_path, synthetic_runs.finished(), pictures=synthetic_runs.gallery(1))
    assert shown.loads and all(address.startswith("data:image/png;base64,") for address in shown.loads)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy and policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "@import" not in asset("page.css") and "url(" not in asset("page.css")


def test_names_cannot_break_out(tmp_path: Path) -> None:
    """Text of the user is text, in the page and in the data of the plots."""
    events, pictures = synthetic_runs.finished(), synthetic_runs.gallery(1)
    evil = '</script><script>alert(1)</script><img src="http://x.test/a">'
    events[0]["metric"] = events[0]["metric_description"] = events[0]["proxy"] = evil
    events[-2]["sentence"] = evil
    pictures["better"][0]["query"]["name"] = pictures["caption"] = f'"{evil}'
    shown = _rendered(tmp_path, events, pictures=pictures)
    assert all(address.startswith("data:") for address in shown.loads)
    assert "alert(1)" in shown.text
    assert "<script>alert" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("begin", "said", "unsaid"),
    [
        ({"test": False}, "the run was given no test split", "Evidence on the test split"),
        ({"proxy": None}, "no proxy loss was given", "control:"),
        ({"seeds": (0,), "tries": 1}, "1 (0)", "by seed"),
        ({"unit": "whole", "interval": False, "verdict": "nothing claimed"}, "No interval", "Hits over k"),
        ({"unit": "sample"}, "Counted per sample", "Hits over k"),
        ({"higher": False}, "lower is better", "higher is better"),
        ({"verdict": "worse"}, "worse", "Unfinished"),
    ],
)
def test_runs_that_lack_a_part(tmp_path: Path, begin: dict[str, Any], said: str, unsaid: str) -> None:
    """Each kind of run has its page: what is missing is said, or simply not there."""
    shown = _rendered(tmp_path, synthetic_runs.finished(**begin)).text
    assert said.lower() in shown.lower() and unsaid not in shown and "What changed" not in shown


def test_an_unfinished_run_has_a_page(tmp_path: Path) -> None:
    """How far it got, the curves so far, no claim."""
    shown = _rendered(tmp_path, synthetic_runs.interrupted()).text
    assert "Unfinished: 150 of 600 steps." in shown and "Learning curves" in shown
    assert "Resumed by force although this had changed: threads." in shown
    assert "Evidence on the test split" not in shown


@pytest.mark.slow
def test_every_prefix_of_a_record_has_a_page(tmp_path: Path) -> None:
    """Killed at any line, a run can be looked at."""
    events = synthetic_runs.finished(seeds=(0,), tries=1)
    events = [event for event in events if event.get("step", 0) in (0, 300)]
    for length in range(1, len(events) + 1):
        render(synthetic_runs.write(tmp_path, events[:length]))
    assert (tmp_path / "report.html").stat().st_size > 20_000


def test_values_that_are_not_finite_are_shown(tmp_path: Path) -> None:
    """A diverged arm still has a page, and no place in its figures is not a number."""
    events = synthetic_runs.finished(seeds=(0,), tries=1)
    for event in events:
        if event["event"] == "evaluated" and event["arm"] == "tuned":
            event["value"] = float("nan")
    text = render(synthetic_runs.write(tmp_path, events)).read_text(encoding="utf-8")
    paths = re.findall(r' (?:d|cx|cy|x|y|width|height|viewBox)="([^"]*)"', text)
    assert len(paths) > 100 and not any(word in path for path in paths for word in ("nan", "inf"))


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of the moment of drawing is in the page; another place can be given."""
    folder = synthetic_runs.write(
        tmp_path / "run", synthetic_runs.finished(), pictures=synthetic_runs.gallery(1)
    )
    first, second = render(folder), render(folder, out=tmp_path / "other.html")
    assert second == tmp_path / "other.html" and first.read_bytes() == second.read_bytes()


def _gallery_with(change: str) -> Any:
    pictures = synthetic_runs.gallery(1)
    neighbour = pictures["worse"][0]["after"][4]
    if change == "not base64":
        neighbour["png"] = '"><script>'
    elif change == "not a picture":
        neighbour["png"] = "aGVsbG8="
    elif change == "no name":
        del neighbour["name"]
    elif change == "relevance in words":
        neighbour["relevant"] = "yes"
    elif change == "a list":
        return [pictures]
    return pictures


@pytest.mark.parametrize("change", ["not base64", "not a picture", "no name", "relevance in words", "a list"])
def test_a_damaged_gallery_is_refused(tmp_path: Path, change: str) -> None:
    """The message names the file and says how to do without; nothing is written."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.finished(), pictures=_gallery_with(change))
    with pytest.raises(InputError, match=r"gallery\.json is damaged .* expected .* Delete the file"):
        render(folder)
    assert not (folder / "report.html").exists()


OLD = '<!doctype html>\n<meta name="generator" content="metricgrad">\nold'


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure halfway keeps the page that was there and leaves no other file behind."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.interrupted())
    (folder / "report.html").write_text(OLD)

    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunFolderError, match=r"report\.html cannot be written \(No space left on device\)"):
        render(folder)
    assert (folder / "report.html").read_text() == OLD
    assert sorted(path.name for path in folder.iterdir()) == ["record.jsonl", "report.html"]


@pytest.mark.parametrize("content", ["<!doctype html><p>mine", "notes", "\x00\x01"])
def test_a_page_of_another_program_is_not_overwritten(tmp_path: Path, content: str) -> None:
    """Neither in the run folder nor at a place that was named; a page of ours is drawn anew."""
    folder = synthetic_runs.write(tmp_path / "run", synthetic_runs.interrupted())
    for place in (folder / "report.html", tmp_path / "other.html"):
        place.write_text(content)
        with pytest.raises(RunFolderError, match="another program"):
            render(folder, out=place)
        assert place.read_text() == content
    (tmp_path / "link.html").symlink_to(folder / "report.html")
    with pytest.raises(RunFolderError, match="link"):
        render(folder, out=tmp_path / "link.html")
    (tmp_path / "empty.html").touch()
    assert render(folder, out=render(folder, out=tmp_path / "empty.html")).stat().st_size > 1000


@pytest.mark.parametrize(
    "text", ["password: secret\n", "secret", "asked: {}\nfound: !!python/name:os.secret\n", "{secret"]
)
def test_a_settings_file_of_another_program_is_not_copied(tmp_path: Path, text: str) -> None:
    """What stands in the place of config.yaml is shown only where it is the settings of a run."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.interrupted())
    (folder / "config.yaml").write_text(text)
    page = render(folder).read_text(encoding="utf-8")
    assert "config.yaml is not shown" in page and "password" not in page


def test_pictures_are_pictures_and_of_a_bounded_size(tmp_path: Path) -> None:
    """A small file that claims a huge picture is refused; text inside of a PNG does not reach the page."""

    def png(width: int, height: int, *more: bytes) -> dict[str, str]:
        head = _chunk(b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0")
        content = (
            _SIGNATURE + head + b"".join(more) + _chunk(b"IDAT", b"x") + _chunk(b"IEND", b"") + b"trailing"
        )
        return {"name": "a", "png": base64.b64encode(content).decode()}

    item = png(3, 5, _chunk(b"tEXt", b"foreign text"), _chunk(b"zTXt", b"z" * 50))
    assert checked_picture(item) == 15
    kept = base64.b64decode(item["png"])
    assert b"foreign" not in kept and b"zTXt" not in kept and kept.endswith(_chunk(b"IEND", b""))
    for wrong, reason in (
        (png(100_000, 100_000), "within 4096"), (png(0, 3), "within 4096"), (png(4097, 1), "within 4096"),
        (png(3, 3, b"\xff\xff\xff\xffIDAT"), "damaged"), (png(3, 3, b"\0\0\0\x01IDATx0000"), "damaged"),
        ({"name": "a", "png": base64.b64encode(_SIGNATURE).decode()}, "damaged"), ({"name": 3, "png": ""}, "name is 3"),
        ({"name": "a", "png": "é"}, "base64|ASCII"), ({"name": "a", "png": "PHN2Zz4="}, "not a PNG"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            checked_picture(wrong)
    monkey = {
        "caption": "c",
        "before": "start",
        "after": "tuned",
        "worse": [],
        "better": [{"query": png(4096, 4096), "before": [], "after": []}] * 17,
    }
    folder = synthetic_runs.write(tmp_path, synthetic_runs.finished(), pictures=monkey)
    with pytest.raises(InputError, match="pixels, more than"):
        render(folder)


def test_a_place_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """`out` in a folder that is not there is an error of the caller, told as such."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.interrupted())
    with pytest.raises(RunFolderError, match="Give another place"):
        render(folder, out=tmp_path / "nowhere" / "report.html")


def _drawing(seed: int, size: int = 64) -> str:
    """A picture of 64 x 64 pixels whose PNG is as large as the largest of emoji, a little over 4,096 bytes."""
    draw = random.Random(seed)
    rows = b"".join(b"\0" + draw.randbytes(size) + bytes(2 * size) for _ in range(size))
    head = size.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    parts = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return base64.b64encode(_SIGNATURE + parts).decode("ascii")


@pytest.mark.parametrize(("contenders", "most"), [(1, 2_000_000), (10, 6_000_000)])
def test_a_page_with_pictures_is_small(tmp_path: Path, contenders: int, most: int) -> None:
    """Sixteen queries with ten neighbours each, as `tune` keeps them, and of three seeds all figures."""
    gallery, seed = synthetic_runs.gallery(GALLERY_ENTRIES), 0
    for entry in (*gallery["better"], *gallery["worse"]):
        for item in (entry["query"], *entry["before"], *entry["after"]):
            item["png"], seed = _drawing(seed), seed + 1
    events = (
        synthetic_runs.with_surrogate(synthetic_runs.finished()) if contenders == 1 else contest(contenders)
    )
    page = render(synthetic_runs.write(tmp_path, events, pictures=gallery))
    assert seed == 176 and 176 * 4096 * 4 / 3 < page.stat().st_size < most
