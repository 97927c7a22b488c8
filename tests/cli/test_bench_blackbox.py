"""`metricgrad bench blackbox`: a step of every black-box method beside a plain one."""

import pytest

from metricgrad.bench import timer
from metricgrad.methods.searches import SEARCHES
from tests.cli.outcome import Command

SMALL = ("bench", "blackbox", "--items", "100", "--classes", "3", "--batch", "32", "--repeats", "1", "-q")


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is a few calls."""
    monkeypatch.setattr(timer, "TURN_SECONDS", 0.0)


@pytest.mark.slow
def test_every_search_has_a_row(command: Command) -> None:
    """None is left out, and each ran beside a plain step."""
    facts = command(*SMALL, "--json").json
    assert [row["method"] for row in facts["rows"]] == ["judge", *(f"blackbox:{name}" for name in ROWS)]
    assert set(ROWS) == set(SEARCHES)
    assert all(row["ms"] > 0 and row["to_plain"] > 0 for row in facts["rows"])


ROWS = ("mixture", "value_function", "evolution", "policy")
