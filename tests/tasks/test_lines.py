"""Lines of the task words: the pictures side by side, read cell by cell, and what the metrics of texts make of them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close
from typer.testing import CliRunner

from metricgrad.cli.app import app
from metricgrad.cli.recipe import Recipe, checked, read_recipe
from metricgrad.errors import InputError
from metricgrad.learned import OutputKind
from metricgrad.learned.kinds.words import encoded
from metricgrad.methods.sampled_policy import PolicySettings
from metricgrad.metrics import adapt
from metricgrad.metrics.decoded import of_kind
from metricgrad.tasks import words
from metricgrad.tasks.recogniser import MAX_LENGTH, letter_cross_entropy, output_kind, read_start
from metricgrad.tasks.words import Options
from metricgrad.tasks.words_pictures import ALPHABET, HEIGHT, WIDTH, fonts_folder
from metricgrad.tasks.words_sets import WordPictures, WordSets
from metricgrad.tasks.words_split import WordSplit, lines_of
from metricgrad.tune import Plan, Splits, tune
from tests.tasks.real_data import found_or_skipped

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lines-wer.yaml"
SOME = [letters * 3 for letters in ("abc", "bcd", "cde", "def", "xyz", "efg")]


def said(lines: list[str]) -> Tensor:
    """Outputs that say these lines of equally many words."""
    cells = [encoded(line.split(" "), ALPHABET, MAX_LENGTH).flatten() for line in lines]
    return 9.0 * torch.nn.functional.one_hot(torch.stack(cells), 27).float()


def pictures(count: int, words_per_line: int = 1, seed: int = 0) -> Tensor:
    """Random pictures."""
    generator = torch.Generator().manual_seed(seed)
    size = (count, HEIGHT, words_per_line * WIDTH)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)


def sets(fonts: list[str]) -> WordSets:
    """As many pictures as fonts are given, in every split, each of its own level."""
    levels = np.arange(len(fonts), dtype=np.uint8)[:, None, None]
    drawn = WordPictures(levels.repeat(HEIGHT, 1).repeat(WIDTH, 2), np.zeros(len(fonts), dtype=np.int64))
    named = {name: [f"{name[0]}{'o' * number}" for number in range(len(fonts))] for name in ("fit", "test")}
    return WordSets(dict.fromkeys(named, drawn), named, dict.fromkeys(named, fonts), "key")


# --------------------------------------------------------------------------------------------- lines of pictures


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 6))
def test_a_picture_stands_in_one_line_of_its_font(fonts: list[str], count: int) -> None:
    """Every picture once at most; of each font as many lines as can be filled, in the order of the pictures."""
    if max(Counter(fonts).values(), default=0) < count:
        with pytest.raises(InputError, match=f"no font has {count} of the {len(fonts)} pictures of select"):
            lines_of("select", fonts, count)
        return
    rows = lines_of("select", fonts, count)
    assert rows.shape[1] == count and len(set(rows.flatten().tolist())) == rows.size
    of_font = Counter(fonts[line[0]] for line in rows.tolist())
    assert all(len({fonts[row] for row in line}) == 1 for line in rows.tolist())
    assert of_font == Counter({font: size // count for font, size in Counter(fonts).items()}) - Counter()
    assert (np.diff(rows, axis=1) > 0).all() and (np.diff(rows[:, 0]) > 0).all()


def test_one_word_per_line_is_the_plain_task() -> None:
    """All pictures in their order, the same texts and names; the kind is that of words."""
    given = sets(["a", "b", "a"])
    split = words._split(given, "fit", 1)
    assert split.inputs.equal(torch.from_numpy(given.splits["fit"].pictures))
    assert split.targets == given.words["fit"] and split.names == ["f (a)", "fo (b)", "foo (a)"]
    assert output_kind().name == output_kind(words_per_line=1).name == "words"


def test_words_stand_side_by_side() -> None:
    """Each in its own cell of 128 columns, in the order of the text; what fills no line is left out."""
    split = words._split(sets(["a", "b", "a", "b", "a"]), "test", 2)
    assert split.targets == ["t too", "to tooo"] and split.names == ["t too (a)", "to tooo (b)"]
    assert split.inputs.shape == (2, HEIGHT, 2 * WIDTH)
    levels = [split.inputs[:, :, at : at + WIDTH].unique(dim=2).unique(dim=1).flatten() for at in (0, WIDTH)]
    assert torch.stack(levels, 1).tolist() == [[0, 2], [1, 3]]


def test_no_font_fills_a_line() -> None:
    """What there is, and which option gives more."""
    with pytest.raises(InputError, match=r"no font has 4 of the 5 pictures of test.*items_test"):
        words._split(sets(["a", "b", "a", "b", "a"]), "test", 4)


def test_each_word_is_shifted_in_its_cell() -> None:
    """Every word by its own amount; a pixel at the border of a cell never comes into the next one."""
    inputs = torch.zeros(60, HEIGHT, 3 * WIDTH, dtype=torch.uint8)
    inputs[:, 10, WIDTH + 20], inputs[:, :, 2 * WIDTH] = 99, 55
    split = WordSplit(inputs, ["a b c"] * 60, batch=60, shift=(2, 4), seed=1)
    ((moved, _),) = split
    cells = moved.unflatten(2, (3, WIDTH))
    assert not cells[:, :, 0].any()
    places = (cells[:, :, 1] == 99).nonzero()
    assert len(places) == 60 and int((cells[:, :, 1] != 0).sum()) == 60
    assert set(places[:, 1].tolist()) == set(range(8, 13)) and set(places[:, 2].tolist()) == set(
        range(16, 25)
    )
    widths = (cells[:, 0, 2] == 55).sum(1)  # repeated from the border, or gone
    assert widths.unique().tolist() == [0, 1, 2, 3, 4, 5] and not (widths - 1).equal(places[:, 2] - 20)


def test_a_part_of_a_split() -> None:
    """The items of a mask with their texts and names, in batches of the same kind."""
    split = WordSplit(pictures(5), SOME[:5], batch=2, shuffle=True, shift=(2, 4), seed=3, names=list("vwxyz"))
    part = split.part(torch.tensor([True, False, True, True, False]))
    assert part.inputs.equal(split.inputs[[0, 2, 3]]) and part.targets == [SOME[0], SOME[2], SOME[3]]
    assert part.names == ["v", "x", "y"] and (part.batch, part.shuffle, part.shift, part.seed) == (
        2,
        True,
        (2, 4),
        3,
    )


@pytest.mark.parametrize("value", [0, -1, 17, 1e9, 1.5, "three", True, None])
def test_no_other_number_of_words(value: Any) -> None:
    """One error, that names the option."""
    with pytest.raises(ValidationError) as caught:
        Options(words_per_line=value)
    assert [error["loc"] for error in caught.value.errors()] == [("words_per_line",)]


# ------------------------------------------------------------------------------------------- network and proxy


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_line_is_read_cell_by_cell(count: int) -> None:
    """The outputs are those of the words, one after the other; the loss is the mean of theirs."""
    network, given = read_start(), pictures(3, count)
    cells = torch.cat([given[:, :, at * WIDTH : (at + 1) * WIDTH] for at in range(count)])
    with torch.no_grad():
        outputs, of_words = network(given), network(cells)
    assert outputs.shape == (3, count * MAX_LENGTH, 27)
    assert_close(outputs, torch.cat(list(of_words.split(3)), 1), rtol=1e-4, atol=1e-4)
    texts = [SOME[number % 6] for number in range(3 * count)]
    lines = [" ".join(texts[row::3]) for row in range(3)]
    of_cells = letter_cross_entropy(of_words, texts).reshape(count, 3)
    assert_close(letter_cross_entropy(outputs, lines), of_cells.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shape", "line", "message"), [
    ((1, 32, 27), "one", "a line of 1 texts: 'one'; expected 2"),
    ((1, 32, 27), "one  two", "a line of 3 texts"),
    ((1, 16, 27), "one two", "a line of 2 texts: 'one two'; expected 1"),
    ((1, 40, 27), "one two", "logits .*16 more steps for each further word"),
    ((1, 0, 27), "", r"logits \[1, 16, 27\]"),
    ((1, 32, 27), "one Two", "symbol 'T'"),
])  # fmt: skip
def test_the_proxy_refuses(shape: tuple[int, ...], line: str, message: str) -> None:
    """Another number of words than cells, steps that fill no cell, another symbol."""
    with pytest.raises(InputError, match=message):
        letter_cross_entropy(torch.zeros(shape), [line])


def test_widths_that_are_no_cells() -> None:
    """A picture of one word and a half is none."""
    with pytest.raises(InputError, match=r"WordSplit: .*128 for each word"):
        WordSplit(torch.zeros(1, HEIGHT, 192, dtype=torch.uint8), ["a b"])


# -------------------------------------------------------------------------------------------- texts and metrics


def kind(count: int) -> OutputKind:
    """Of lines of so many words."""
    return output_kind(SOME, words_per_line=count)


@pytest.mark.parametrize(
    "lines", [["word"], ["", "ab"], ["one two three", " two ", "one  "], ["abcdefghijklmnop ab"]]
)
def test_lines_of_known_logits(lines: list[str]) -> None:
    """The end symbol of a cell is a space; an empty word leaves its space, and one of 16 letters needs no end."""
    assert kind(lines[0].count(" ") + 1).decode(said(lines)) == lines


def value(name: str, read: list[str], there: list[str]) -> float:
    """A metric of outputs that say these lines."""
    metric = of_kind(adapt(name), kind(there[0].count(" ") + 1))
    return float(metric.summarise(metric.measure(said(read), there)))


@pytest.mark.parametrize(("read", "there", "word", "letter"), [
    # substitution
    ("the cat sat", "the bat sat", 1, 1),
    # the word in the middle is read as nothing: one deletion; the two spaces are one letter edit fewer than four
    ("the  sat", "the bat sat", 1, 3),
    # everything moved by a cell: three cells are wrong, but aligned it is one insertion and one deletion
    ("bat sat on", "the bat sat", 2, 7),
    ("  ", "the bat sat", 3, 9),
    ("the bat sat", "the bat sat", 0, 0),
])  # fmt: skip
def test_errors_are_of_whole_lines(read: str, there: str, word: int, letter: int) -> None:
    """Counted by hand; alone, and beside a line that is right, whose words count, too."""
    for others in ([], ["two good words"]):
        lines, targets = [read, *others], [there, *others]
        assert value("wer", lines, targets) == pytest.approx(word / (3 * len(lines)))
        assert value("cer", lines, targets) == pytest.approx(letter / sum(map(len, targets)))
        assert value("word_edit_distance", lines, targets) == word / len(lines)
        assert value("sequence_accuracy", lines, targets) == (len(others) + (word == 0)) / len(lines)


@given(
    st.lists(st.lists(st.sampled_from(["", "a", "b", "ab"]), min_size=3, max_size=3), min_size=2, max_size=2)
)
def test_the_word_error_rate_is_at_most_the_share_of_wrong_cells(lines: list[list[str]]) -> None:
    """Alignment can only find fewer errors; the target has words in every cell."""
    read, there = lines[0], [word or "c" for word in lines[1]]
    wrong = np.mean([one != other for one, other in zip(read, there, strict=True)])
    assert value("wer", [" ".join(read)], [" ".join(there)]) <= wrong + 1e-12


# ------------------------------------------------------------------------------------------------------ methods


TAUGHT = {"surrogate_warmup": 40, "surrogate_batch": 32, "trust": -1.0, "extra_steps": 20, "lessons": 20}
"""Of a surrogate that need only be better than the mean."""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "metric", "settings"), [
    ("blackbox:policy", "wer", {"calls": 40, "samples": 4, "batch": 8}),
    ("blackbox:policy", "cer", {"calls": 40, "samples": 4, "batch": 8, "length_weight": 0.5}),
    ("blackbox:mixture", "wer", {"calls": 4, "inner_steps": 2}),
    ("blackbox:evolution", "wer", {"calls": 16, "pairs": 2}),
    ("learned+filter", "edit_distance", TAUGHT),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:blackbox.mixture searches")
def test_the_methods_take_lines(method: str, metric: str, settings: dict) -> None:
    """A few steps of each; the searches hold a pool back from fit."""
    lines = [f"{SOME[number % 6]} {SOME[number // 6]}" for number in range(36)]
    parts = [WordSplit(pictures(36, 2, part), lines[part:] + lines[:part], batch=8) for part in range(3)]
    result = tune(
        read_start(),
        Splits(*parts),
        metric=of_kind(adapt(metric), kind(2)),
        proxy=letter_cross_entropy,
        method=method,
        plan=Plan(steps=2, evaluate_every=1),
        settings=settings,
    )
    ended = [one for one in result.events if one["event"] == "stage_finished" and one["arm"] == "tuned"]
    assert ended[0]["step"] == 2 and not [one for one in result.events if one["event"] == "note"]


def test_a_learned_surrogate_needs_an_error_of_single_lines() -> None:
    """`wer` is a rate of all words together; `word_edit_distance` is the same count line by line."""
    assert not adapt("wer").per_sample and adapt("word_edit_distance").per_sample


# ------------------------------------------------------------------------------------------------------ recipe


def test_the_recipe_is_valid() -> None:
    """It is one of the task words with lines, and its options, settings and budget are those of its method."""
    recipe = checked(Recipe, read_recipe(EXAMPLE), "the example")
    assert (recipe.task, recipe.metric, recipe.method) == ("words", "wer", "blackbox:policy")
    assert Options(**recipe.data).words_per_line == 3
    settings = PolicySettings(**recipe.settings)
    assert recipe.plan.steps * settings.samples == settings.calls


@pytest.mark.slow
def test_the_recipe_runs(tmp_path, monkeypatch) -> None:
    """Few pictures, two steps, one seed: three arms, a verdict on wer, and the side metrics beside it."""
    fonts = found_or_skipped(fonts_folder)
    monkeypatch.chdir(tmp_path)
    few = [f"data.items_{name}={count}" for name, count in (("fit", 300), ("select", 150), ("test", 150))]
    given = [*few, f"data.cache={tmp_path}", f"data.folder={fonts}"]
    changes = [part for one in given for part in ("--set", one)]
    asked = ["tune", str(EXAMPLE), *changes, "--steps", "2", "--seeds", "1", "--run", "run", "--json"]
    outcome = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    events = [json.loads(line) for line in (tmp_path / "run" / "record.jsonl").read_text().splitlines()]
    ended = {one["arm"]: one["step"] for one in events if one["event"] == "stage_finished"}
    assert ended["tuned"] == ended["continued"] == 2
    (verdict,) = [one for one in events if one["event"] == "verdict"]
    assert verdict["metric_calls"]["pool"] == 16
