"""The page on the evidence of decision rules shows the committed figures."""

from benchmarks.decision_page import PAGE, written


def test_the_tables_of_the_page_are_those_of_the_figures() -> None:
    """`python -m benchmarks.decision_page` would change nothing."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text), "run: python -m benchmarks.decision_page"
