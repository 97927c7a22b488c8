"""docs/adding-a-loss.md says what the repository does."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-loss.md").read_text(encoding="utf-8")


def test_the_boxes_are_the_files():
    """Every line of a Python box, and the changelog fragment, stands in one of the files that the page names."""
    named = [
        path
        for path in re.findall(r"`([\w./-]+\.(?:py|md))`", PAGE)
        if "/" in path and path != "losses/__init__.py"
    ]
    assert len(named) == 4
    files = [
        {line.strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines()} for path in named
    ]
    boxes = re.findall(r"```(?:python|text)\n(.*?)```", PAGE, re.DOTALL)
    assert len(boxes) == 4
    for box, lines in zip(boxes, files, strict=True):
        assert {line.strip() for line in box.splitlines()} <= lines, box


def test_the_commands_name_what_exists():
    """The test that is said to be red, and the folders that are named."""
    assert "def test_every_public_loss_has_a_row" in (ROOT / "tests/laws/test_loss_laws.py").read_text(
        encoding="utf-8"
    )
    for path in re.findall(r"`(tests/[\w/]+/)`", PAGE):
        assert (ROOT / path).is_dir(), path
