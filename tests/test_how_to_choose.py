"""The page on how to choose says what the code says."""

from typing import get_args

from metricgrad._types import Reading
from metricgrad.metrics.known import FACTS
from scripts.how_to_choose import PAGE, PART, written


def test_the_page_is_as_the_code_has_it() -> None:
    """Run python -m scripts.how_to_choose where this fails."""
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page


def test_every_kind_of_metric_has_its_part() -> None:
    """But `values`: no metric with a name reads them. Every other name is there."""
    page = PAGE.read_text(encoding="utf-8")
    parts = list(PART.finditer(page))
    assert sorted(found[2] for found in parts) == sorted({*get_args(Reading)} - {"values"})
    names = "".join(found[0] for found in parts)
    assert all(f"`{name}`" in names for facts in FACTS.values() for name in [facts.name, *facts.aliases])
