"""`metricgrad bench direct`: every decode beside its plain form, with the same value."""

import pytest

from metricgrad.bench import timer
from tests.cli.outcome import Command

SMALL = ("bench", "direct", "--positives", "30", "--negatives", "200", "--repeats", "1")


@pytest.fixture(autouse=True)
def _single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is one call."""
    monkeypatch.setattr(timer, "TURN_SECONDS", 0.0)


def test_json_has_a_row_for_every_decode(command: Command) -> None:
    """Both signs of three metrics; each peer ran and lost or won by some factor."""
    facts = command(*SMALL, "--json").json
    assert [(row["decode"], row["sign"]) for row in facts["rows"]] == [
        (name, sign) for name in ("average precision", "precision@3", "F1") for sign in (1, -1)
    ]
    assert all(row["ours_ms"] > 0 and row["peer_ms"] > 0 for row in facts["rows"])
    assert facts["threads"] == 1


def test_without_peers(command: Command) -> None:
    """Large problems are decoded without the forms that would take minutes."""
    facts = command(*SMALL, "--no-peers", "--json").json
    assert all(row["peer_ms"] is None and row["times_as_fast"] is None for row in facts["rows"])
    text = command(*SMALL, "--no-peers").out
    assert "30 positives" in text


def test_help_has_examples(command: Command) -> None:
    """`bench direct --help` shows how it is called."""
    text = command("bench", "direct", "--help").out
    assert text.partition("Examples")[2].count("metricgrad bench direct") >= 2


def test_bad_sizes(command: Command) -> None:
    """No positives cannot be ranked."""
    assert command("bench", "direct", "--positives", "0").code == 2
