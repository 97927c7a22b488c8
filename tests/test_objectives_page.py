"""The tables of the pages on objectives and on black-box methods are those that their benchmarks wrote."""

from pathlib import Path

import pytest

from benchmarks.objectives_page import PAGES, written


@pytest.mark.parametrize("page", list(PAGES), ids=lambda page: page.name)
def test_the_page_has_the_figures(page: Path) -> None:
    """`python -m benchmarks.objectives_page` would change nothing."""
    assert page.read_text(encoding="utf-8") == written(page), "run: python -m benchmarks.objectives_page"
