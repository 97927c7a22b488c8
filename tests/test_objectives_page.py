"""The page of objectives holds the figures of its tables."""

from benchmarks.objectives_page import PAGE, written


def test_the_page_holds_the_figures() -> None:
    """`python -m benchmarks.objectives_page` would change nothing."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text), "run: python -m benchmarks.objectives_page"
