"""Examples that changed, on the page: shown as text, marked letter by letter, refused where damaged."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from metricgrad.errors import InputError
from metricgrad.report import render
from metricgrad.report.sections import example_cards
from metricgrad.report.wording import letters
from tests.report import synthetic_runs


def _page(folder: Path, changed: dict[str, Any] | None) -> str:
    events = synthetic_runs.finished(seeds=(0,), tries=1, unit="sample", higher=False)
    return render(synthetic_runs.write(folder, events, changed=changed)).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("reading", "target", "pieces"),
    [
        ("guitar", "guitar", [("guitar", "same")]),
        ("quitars", "guitar", [("q", "wrong"), ("uitar", "same"), ("s", "wrong")]),
        ("umbrela", "umbrella", [("umbrel", "same"), ("l", "missing"), ("a", "same")]),
        ("", "key", [("key", "missing")]),
        ("key", "", [("key", "wrong")]),
        ("", "", []),
        ("na\u00efve", "naive", [("na", "same"), ("\u00ef", "wrong"), ("ve", "same")]),
    ],
)
def test_letters_are_marked_against_the_target(
    reading: str, target: str, pieces: list[tuple[str, str]]
) -> None:
    """Wrong letters and missing ones, as few as the edit distance."""
    assert letters(reading, target) == pieces


def test_a_card_has_both_readings_with_their_marks() -> None:
    """For each arm its reading in pieces and its value; whole numbers without decimals."""
    cards = example_cards(synthetic_runs.examples(2))
    before, after = cards["better"][1]["sides"]
    assert before == {"arm": "continued", "pieces": letters("quitars", "guitar"), "value": "2"}
    assert after == {"arm": "tuned", "pieces": [("guitar", "same")], "value": "0"}
    assert [len(cards[change]) for change in ("better", "worse")] == [2, 2]


def test_numbers_are_not_marked_by_letters_and_boxes_have_no_text() -> None:
    """A class of another number is no edit of digits; a picture with boxes says it all."""
    numbers = {**synthetic_runs.examples(2), "letters": False}
    assert example_cards(numbers)["better"][1]["sides"][0]["pieces"] == [("quitars", "same")]
    boxes = example_cards(synthetic_runs.examples(1, boxes=True))["better"][0]
    assert boxes["target"] is None
    assert [(side["pieces"], side["value"]) for side in boxes["sides"]] == [
        (None, "0.4120"),
        (None, "0.7365"),
    ]


def test_words_are_shown_with_picture_target_and_readings(tmp_path: Path) -> None:
    """The gallery says what is counted, and marks what differs; an empty reading is said to be empty."""
    text = _page(tmp_path, synthetic_runs.examples(3))
    assert "Examples that changed" in text and "The number is the sample's edit_distance." in text
    assert text.count('<img src="data:image/png;base64,') == 6 and "vermilion" not in text
    assert '<mark title="wrong">q</mark><span>uitar</span><mark title="wrong">s</mark>' in text
    assert '<span>umbrel</span><del title="missing">l</del><span>a</span>' in text
    assert '<del title="missing">key</del>' in text
    empty = synthetic_runs.examples(1)
    empty["better"][0]["target"] = empty["better"][0]["before"]["text"] = ""
    assert "(empty)" in _page(tmp_path, empty)


def test_scenes_are_shown_with_both_values(tmp_path: Path) -> None:
    """Pictures with boxes have the two values and neither target nor letters."""
    text = _page(tmp_path, synthetic_runs.examples(2, boxes=True))
    assert "rotated_iou" in text and "0.4120" in text and "0.7365" in text
    assert re.search(r"white</span> target, .*vermilion</span> continued, .*blue</span> tuned\.", text)
    assert "<dt>target</dt>" not in text and "letters against the target" not in text


def test_a_run_without_examples_has_no_such_section(tmp_path: Path) -> None:
    """No file, no section; a file in which nothing changed has its caption alone."""
    assert "Examples that changed" not in _page(tmp_path, None)
    none = {**synthetic_runs.examples(0), "caption": "Of 40 test samples none changed."}
    text = _page(tmp_path, none)
    assert "none changed." in text and "The number is" not in text and '<div class="cards">' not in text


def test_texts_cannot_break_out(tmp_path: Path) -> None:
    """Names, targets and readings are text, whatever is in them."""
    evil, changed = '"><script>alert(1)</script>', synthetic_runs.examples(1)
    changed["metric"] = changed["caption"] = changed["before"] = evil
    for entry in (*changed["better"], *changed["worse"]):
        entry["name"] = entry["target"] = entry["before"]["text"] = evil
        entry["after"]["text"] = evil[::-1]
    text = _page(tmp_path, changed)
    assert "<script>alert" not in text and text.count("&lt;script&gt;alert(1)") >= 6
    assert not re.search(r"<[^>]*[\"']><script", text)


def _damaged(change: str) -> Any:
    changed = synthetic_runs.examples(1)
    entry = changed["worse"][0]
    if change == "not a picture":
        entry["png"] = "aGVsbG8="
    elif change == "a number for a text":
        entry["after"]["text"] = 3
    elif change == "a text for a number":
        entry["after"]["value"] = "3"
    elif change == "not finite":
        entry["before"]["value"] = math.inf
    elif change == "no side":
        del entry["before"]
    elif change == "no metric":
        changed["metric"] = None
    else:
        changed[change.split()[0]] = "yes"
    return changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("not a picture", "the picture of 'item 4' is not a PNG"),
        ("a number for a text", "a text is 3"),
        ("a text for a number", "TypeError"),
        ("not finite", "a value is inf"),
        ("no side", "KeyError: 'before'"),
        ("no metric", "metric is None"),
        ("letters in words", "letters is neither true nor false"),
        ("boxes in words", "boxes is neither true nor false"),
    ],
)
def test_damaged_examples_are_refused(tmp_path: Path, change: str, said: str) -> None:
    """The message names the file, what is wrong, and how to do without."""
    with pytest.raises(
        InputError, match=r"examples\.json is damaged .* expected .* Delete the file"
    ) as caught:
        _page(tmp_path, _damaged(change))
    assert said in str(caught.value)
    assert not (tmp_path / "report.html").exists()
