"""`metricgrad bench losses`: every loss beside cross-entropy of the same shape."""

import pytest

from metricgrad.bench import loss_steps, timer
from metricgrad.methods.objectives import objectives
from tests.cli.outcome import Command

SMALL = ("bench", "losses", "--samples", "64", "--classes", "5", "--dims", "8", "--repeats", "1", "-q")


@pytest.fixture(autouse=True)
def _single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is one call, an image is small."""
    monkeypatch.setattr(timer, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(loss_steps, "EDGE", 8)


def test_every_public_loss_has_a_row(command: Command) -> None:
    """None is left out, and each ran beside cross-entropy of its shape."""
    facts = command(*SMALL, "--json").json
    assert [row["loss"] for row in facts["rows"]] == objectives()
    assert all(row["ms"] > 0 and row["cross_entropy_ms"] > 0 for row in facts["rows"])
    shapes = {row["loss"]: row["shape"] for row in facts["rows"]}
    assert shapes["supcon"] == [64, 8] and shapes["focal"] == [64, 5] and shapes["lovasz_hinge"] == [64]
    assert shapes["structural_similarity"] == [1, 5, 8, 8]


def test_some_by_name(command: Command) -> None:
    """With or without `_loss`; the table has the ratio."""
    text = command(*SMALL, "--only", "focal,supcon_loss").out
    assert "focal" in text and "supcon" in text and "/ cross-entropy" in text and "triplet" not in text


def test_an_unknown_name_is_refused(command: Command) -> None:
    """Before anything is measured, with the nearest one."""
    command(*SMALL, "--only", "focl").refused("focl", "focal")


def test_what_is_finished_is_shown(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C, with the exit code of an interruption."""

    def interrupted(names: object, **settings: object) -> object:
        yield from (row for row in list(measured(["focal"], **settings)))
        raise KeyboardInterrupt

    measured = loss_steps.measured_losses
    monkeypatch.setattr(loss_steps, "measured_losses", interrupted)
    outcome = command(*SMALL, "--json")
    assert outcome.code == 130 and [row["loss"] for row in outcome.json["rows"]] == ["focal"]


def test_help_has_examples(command: Command) -> None:
    """`bench losses --help` shows how it is called."""
    text = command("bench", "losses", "--help").out
    assert text.partition("Examples")[2].count("metricgrad bench losses") >= 2
