"""`metricgrad bench learned`: steps beside a proxy step, metrics beside peers, with the same values."""

import pytest
import torch

from metricgrad.bench import pairs, timer
from metricgrad.learned import FilteredSurrogate
from tests.cli.outcome import Command

SIZES = ("--batch", "8", "--texts", "300", "--boxes", "300", "--repeats", "2")
STEPS = [
    "proxy step",
    "surrogate step",
    "surrogate step, no penalty",
    "surrogate step, pairs drawn",
    "LS model step",
    "FEDS model step",
    "LS training step, 5 to 1",
]


@pytest.fixture(autouse=True)
def _single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is one call."""
    monkeypatch.setattr(timer, "TURN_SECONDS", 0.0)


@pytest.mark.slow
def test_json_has_every_step(command: Command) -> None:
    """Seven steps of two networks, as ratios to the proxy step; the random state stays as it was."""
    before = torch.random.get_rng_state()
    outcome = command("bench", "learned", *SIZES, "--only", "steps", "--threads", "1", "--json")
    facts = outcome.json
    assert [(row["task"], row["step"]) for row in facts["steps"]] == [
        (task, step) for task in ("words", "boxes") for step in STEPS
    ]
    for row in facts["steps"]:
        proxy = next(one for one in facts["steps"] if one["task"] == row["task"])
        assert row["to_proxy"] == pytest.approx(row["ms"] / proxy["ms"])
        assert min(row["ms"], row["parameters"], row["surrogate_parameters"]) > 0
    assert (facts["batch"], facts["threads"], facts["repeats"]) == (8, 1, 2)
    assert "texts" not in facts
    assert outcome.err == "measuring steps\n"
    assert torch.equal(torch.random.get_rng_state(), before)


def test_json_has_every_way(command: Command) -> None:
    """Each metric on one thread and on two, then its peer, that the ratios are to; the threads stay as they were."""
    before = torch.get_num_threads()
    outcome = command("bench", "learned", *SIZES, "--only", "boxes,texts", "--threads", "2", "--json")
    facts = outcome.json
    assert [(row["contestant"], row["threads"]) for row in facts["texts"]] == [
        ("edit_distance", 1), ("edit_distance", 2), ("loop", 1),
    ]  # fmt: skip
    assert [(row["contestant"], row["threads"]) for row in facts["boxes"]] == [
        ("compiled", 1), ("compiled", 2), ("plain torch", 1), ("plain torch", 2), ("shapely", 1),
    ]  # fmt: skip
    for part in ("texts", "boxes"):
        peer = facts[part][-1]
        assert peer["times_as_fast"] == 1
        for row in facts[part]:
            assert row["pairs"] == 300
            assert row["times_as_fast"] == pytest.approx(row["pairs_per_second"] / peer["pairs_per_second"])
    assert outcome.err == "measuring texts\nmeasuring boxes\n"
    assert torch.get_num_threads() == before


def test_table_of_one_part_without_peers(command: Command) -> None:
    """Only what was asked for is measured; without a peer there is no ratio."""
    outcome = command("bench", "learned", *SIZES, "--only", "boxes", "--no-peers", "--quiet")
    assert "Rotated IoU, 300 pairs" in outcome.out
    assert "Edit distances" not in outcome.out
    assert "proxy step" not in outcome.out
    assert "shapely" not in outcome.out
    assert outcome.err == ""


@pytest.mark.slow
def test_table_names_the_networks(command: Command) -> None:
    """The steps say whose they are."""
    text = command("bench", "learned", *SIZES, "--only", "steps", "--threads", "1").out
    assert "words: " in text
    assert "the surrogate has" in text
    assert text.count("LS training step, 5 to 1") == 2


def test_a_wrong_distance_ends_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contestants that do not agree are not compared."""
    exact = pairs._by_shapely

    def shifted(*boxes):
        return exact(*boxes) + 1e-8

    monkeypatch.setattr(pairs, "_by_shapely", shifted)
    with pytest.raises(AssertionError, match="not close"):
        command("bench", "learned", *SIZES, "--only", "boxes")


def test_a_filter_that_drops_ends_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FEDS step that is skipped is not timed as one."""
    monkeypatch.setattr(
        FilteredSurrogate, "weights", lambda self, estimates, errors: torch.zeros(len(errors))
    )
    with pytest.raises(AssertionError, match="not close"):
        command("bench", "learned", *SIZES, "--only", "steps", "--threads", "1")


def test_words_have_the_named_lengths() -> None:
    """Both sides have 3 to 12 letters, all lengths come up, and the pairs are neither equal nor foreign."""
    predictions, targets = pairs._edited_words(2000)
    for side in (predictions, targets):
        assert {len(word) for word in side} == set(range(3, 13))
        assert all(word.isascii() and word.islower() and word.isalpha() for word in side)
    equal = sum(one == other for one, other in zip(predictions, targets, strict=True))
    same_start = sum(one[0] == other[0] for one, other in zip(predictions, targets, strict=True))
    assert 0 < equal < 600
    assert same_start > 1400


def test_boxes_overlap_by_every_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pairs in each tenth of IoU, also where they are made in parts."""
    predictions, targets = pairs._overlapping_boxes(200)
    counts = torch.histc(torch.from_numpy(pairs._by_shapely(predictions, targets)), 10, 0, 1)
    assert counts.tolist() == [20.0] * 10
    monkeypatch.setattr(pairs, "_BOXES_AT_ONCE", 50)
    parts, _ = pairs._overlapping_boxes(120)
    assert parts.shape == (120, 5)


def test_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """All take turns; a fast call is repeated within its turn, and what counts is the median."""
    calls: list[str] = []
    clock = iter([0.0, 1.0, 1.0, 6.0, 6.0, 8.0, 8.0, 9.0, 9.0, 12.0, 12.0, 15.0])
    monkeypatch.setattr(timer.time, "perf_counter", lambda: next(clock))
    run = {name: lambda name=name: calls.append(name) for name in ("one", "other")}
    assert timer.medians(run, 3) == {"one": 2.0, "other": 3.0}
    assert calls == ["one", "other"] * 3
    monkeypatch.undo()
    monkeypatch.setattr(timer, "TURN_SECONDS", 0.01)
    timer.medians({"fast": lambda: calls.append("fast")}, 1)
    assert calls.count("fast") > 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "text"), ("bench learned", "--only text", "'texts'")),
        (("--only", "steps,shapely"), ("--only shapely", "steps, texts, boxes")),
    ],
)
def test_unknown_parts(command: Command, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    """An unknown part is named, and what there is."""
    command("bench", "learned", *arguments).refused(*words)


@pytest.mark.parametrize("option", ["--batch", "--texts", "--boxes", "--threads", "--repeats"])
def test_bad_sizes(command: Command, option: str) -> None:
    """Nothing cannot be measured."""
    assert command("bench", "learned", option, "0").code == 2


def test_help_has_examples(command: Command) -> None:
    """`bench learned --help` shows how it is called."""
    text = command("bench", "learned", "--help").out
    assert text.partition("Examples")[2].count("metricgrad bench learned") >= 2
