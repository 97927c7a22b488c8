"""Metrics of texts: the axioms of the edit distance, the rates of a corpus, records and names, and bad input."""

import math
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.interval import bootstrap, mean_of_units, paired_bootstrap
from metricgrad.metrics import sequence
from tests.oracles import sequence as slow

READ = ["kitten", "flaw", "", "same", "naïve", "x"]
THERE = ["sitting", "lawn", "abc", "same", "naive", ""]
EDITS = [3.0, 2.0, 3.0, 0.0, 1.0, 1.0]

few_letters = st.text(alphabet="abé ", max_size=12)
any_letters = st.text(max_size=12)  # of all Unicode, lone surrogates left out
sentences = st.lists(st.sampled_from(["a", "b", "ab", "c"]), max_size=6).map(" ".join)


def distance(first: str, second: str, **settings) -> float:
    """Of one pair."""
    return float(metrics.edit_distance([first], [second], **settings)[0])


def same(found: torch.Tensor, wanted: list[float]) -> None:
    """Equal to the last bit."""
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=0)


# ---------------------------------------------------------------------------------------- edit distance


def test_edit_distance_of_known_pairs() -> None:
    """Textbook pairs; by the longer text they lie between 0 and 1."""
    same(metrics.edit_distance(READ, THERE), EDITS)
    longer = [max(len(a), len(b), 1) for a, b in zip(READ, THERE, strict=True)]
    wanted = [edits / length for edits, length in zip(EDITS, longer, strict=True)]
    same(metrics.edit_distance(READ, THERE, normalizer="longer"), wanted)


@given(few_letters, few_letters)
def test_edit_distance_is_the_full_table(first: str, second: str) -> None:
    """The same as the slow table."""
    assert distance(first, second) == slow.distance(first, second)


@given(few_letters, few_letters, few_letters)
def test_edit_distance_is_a_metric(first: str, second: str, third: str) -> None:
    """0 for equal texts alone, symmetric, and no way round is shorter."""
    assert (distance(first, second) == 0) == (first == second)
    assert distance(first, second) == distance(second, first)
    assert distance(first, third) <= distance(first, second) + distance(second, third)


@given(any_letters, any_letters)
def test_edit_distance_stays_within_its_bounds(first: str, second: str) -> None:
    """Between the difference of the lengths and the longer length; divided by it, at most 1."""
    found = distance(first, second)
    assert abs(len(first) - len(second)) <= found <= max(len(first), len(second))
    assert distance(first, second, normalizer="longer") == found / max(len(first), len(second), 1)


def test_code_points_count_and_nothing_is_folded() -> None:
    """Accents that combine, case, code points beyond 16 bits, surrogates and the null character."""
    assert distance("é", "e\u0301") == 2  # composed against decomposed
    assert distance("abc", "ABC") == 3
    assert distance("a🙂b", "ab") == 1
    assert distance("\ud800", "\x00") == 1
    assert distance("a\x00b", "a\x00c") == 1


def test_many_pairs_and_long_texts(generator: torch.Generator) -> None:
    """Enough pairs for several threads give what each gives alone; texts beyond a machine word too."""
    threads = torch.get_num_threads()
    picked = torch.randint(0, len(READ), (2, 3 * sequence.PAIRS_PER_THREAD), generator=generator).tolist()
    read, there = ([READ[place] for place in picked[0]], [THERE[place] for place in picked[1]])
    alone = {(a, b): float(slow.distance(a, b)) for a in READ for b in THERE}
    try:
        torch.set_num_threads(2)
        same(metrics.edit_distance(read, there), [alone[pair] for pair in zip(read, there, strict=True)])
    finally:
        torch.set_num_threads(threads)
    letters = torch.randint(0, 4, (2, 300), generator=generator)
    long = ["".join("abcd"[letter] for letter in row) for row in letters.tolist()]
    assert distance(*long) == slow.distance(*long)


def test_arrays_and_tuples_of_texts_are_taken() -> None:
    """A numpy array of strings, a tuple, a list."""
    for kind in (np.array, tuple, list):
        same(metrics.edit_distance(kind(READ), kind(THERE)), EDITS)
    assert metrics.edit_distance([], []).shape == (0,)


# ------------------------------------------------------------------------------------------------ rates


@given(st.lists(st.tuples(sentences, sentences), max_size=6))
def test_rates_are_those_of_the_corpus(pairs: list[tuple[str, str]]) -> None:
    """Sums of edits over sums of lengths, in code points and in words."""
    sides = [one for one, _ in pairs], [other for _, other in pairs]
    for name in ("character_error_rate", "word_error_rate"):
        found, wanted = float(getattr(metrics, name)(*sides)), getattr(slow, name)(*sides)
        assert found == wanted or (math.isnan(found) and math.isnan(wanted))


def test_a_rate_of_nothing_is_undefined() -> None:
    """No target letter or word: NaN, also where something was read."""
    for rate in (metrics.character_error_rate, metrics.word_error_rate):
        for sides in (([], []), ([""], [""]), (["some thing"], [""])):
            assert rate(*sides).isnan()
    assert metrics.word_error_rate(["a"], ["  \n"]).isnan()
    same(metrics.character_error_rate(["abc", "a"], ["", "a"]), 3.0)  # more inserted than stands there


def test_words_are_parted_by_white_space() -> None:
    """Any white space, and case and punctuation belong to the word."""
    same(metrics.word_error_rate(["the\tcat  sat."], ["the cat sat."]), 0.0)
    same(metrics.word_error_rate(["The cat sat"], ["the cat sat."]), 2 / 3)
    same(metrics.word_error_rate(["a b c"], ["c a b"]), 2 / 3)


# -------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ("abc", ["a"], "predictions is 'abc'.*sequence of str.*A single text: .text."),
        (["a"], "abc", "targets is 'abc'"),
        (["a", "b"], ["a"], "2 predictions for 1 targets"),
        (["a", None], ["a", "b"], r"predictions\[1\] is None.*a str.*of_kind"),
        (["a"], [b"a"], r"targets\[0\] is b'a'"),
        ([["a"]], ["a"], r"predictions\[0\] is \['a'\]"),
        (torch.zeros(1, 3), ["a"], r"predictions is \(1, 3\) of torch.float32.*decoded first"),
        (None, ["a"], "predictions is None"),
        (iter(["a"]), ["a"], "sequence of str"),
    ],
)
@pytest.mark.parametrize("name", sequence.__all__)
def test_what_is_no_texts_is_refused(name: str, predictions, targets, message: str) -> None:
    """Every function says which side is wrong, what came and what to do."""
    with pytest.raises(InputError, match=message):
        getattr(metrics, name)(predictions, targets)


def test_an_unknown_normalizer_is_refused() -> None:
    """Also where there is no sample yet."""
    for name in ("edit_distance", "total_edit_distance"):
        with pytest.raises(InputError, match="normalizer is 'target'"):
            getattr(metrics, name)([], [], normalizer="target")
        with pytest.raises(InputError, match="normalizer is 'shorter'"):
            metrics.metric_by_name(f"{name}:normalizer=shorter")


# ---------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("name", "function", "settings", "bounds", "per_sample"),
    [
        ("edit_distance", metrics.edit_distance, {}, (0, math.inf), True),
        ("edit_distance:normalizer=longer", metrics.edit_distance, {"normalizer": "longer"}, (0, 1), True),
        ("total_edit_distance", metrics.total_edit_distance, {}, (0, math.inf), True),
        ("cer", metrics.character_error_rate, {}, (0, math.inf), False),
        ("word_edit_distance", metrics.word_edit_distance, {}, (0, math.inf), True),
        ("WER", metrics.word_error_rate, {}, (0, math.inf), False),
        ("sequence_accuracy", metrics.sequence_accuracy, {}, (0, 1), True),
        ("word_accuracy", metrics.sequence_accuracy, {}, (0, 1), True),
    ],
)
def test_records(name: str, function, settings: dict, bounds, per_sample: bool) -> None:
    """By name, as a function and from the maker: facts, statistics of parts, and a summary that is the function."""
    metric = metrics.adapt(name)
    assert (metric.name, metric.unit, metric.kind) == (name, "sample", None)
    assert metric.bounds == bounds and metric.per_sample == per_sample
    assert metric.higher_is_better == (function is metrics.sequence_accuracy)
    statistics = metric.measure(READ, THERE)
    assert statistics.dtype == torch.float64 and len(statistics) == len(READ)
    assert statistics.shape[1] == (1 if per_sample else 2)
    parts = torch.cat([metric.measure(READ[:2], THERE[:2]), metric.measure(READ[2:], THERE[2:])])
    torch.testing.assert_close(parts, statistics, rtol=0, atol=0)
    drawn = [0, 0, 3, 4, 1, 1]
    for rows in (range(len(READ)), drawn):
        wanted = function([READ[row] for row in rows], [THERE[row] for row in rows], **settings)
        wanted = float(wanted.mean())
        torch.testing.assert_close(metric.summarise(statistics[list(rows)]), wanted, rtol=0, atol=1e-15)
    made = metrics.sample_metric(function, **settings)
    assert made.description == metric.description
    torch.testing.assert_close(made.measure(READ, THERE), statistics, rtol=0, atol=0)


def test_records_of_means_and_sums_have_intervals() -> None:
    """The mean takes the short way through the bootstrap, sums and rates the long one; undefined draws are left out."""
    worse = ["", "", "", "", "", "x"]
    better = metrics.adapt("edit_distance")
    assert better.summarise is mean_of_units
    for name in ("edit_distance", "total_edit_distance", "cer", "wer"):
        metric = metrics.adapt(name)
        a, b = metric.measure(READ, THERE), metric.measure(worse, THERE)
        found = paired_bootstrap([a], [b], metric.summarise, resamples=200)
        assert found.value == metric.summarise(a) - metric.summarise(b)
        assert found.low is not None and found.high is not None
        assert found.low < found.value < found.high
    cer = metrics.adapt("cer")
    alone = bootstrap([cer.measure(["a", ""], ["", "ab"])], cer.summarise, resamples=200)
    assert 0 < alone.resamples < 200  # draws of the empty target alone have no rate


@pytest.mark.parametrize(
    "name",
    [
        "edit_distance",
        "edit_distance:normalizer=longer",
        "total_edit_distance",
        "cer",
        "wer",
        "word_edit_distance",
        "sequence_accuracy",
    ],
)
def test_records_travel_to_other_processes(name: str) -> None:
    """`measure` comes back from a pickle and gives the same."""
    metric = metrics.adapt(name)
    travelled = ForkingPickler.loads(ForkingPickler.dumps(metric.measure))
    torch.testing.assert_close(travelled(READ, THERE), metric.measure(READ, THERE), rtol=0, atol=0)


def test_names_tell_what_they_are() -> None:
    """The total says that it is a sum, the rate that it is one of the corpus; both are listed."""
    listed = metrics.named_metrics()
    assert {"edit_distance", "total_edit_distance", "cer", "wer", "word_accuracy"} <= set(listed)
    assert "sum over the samples" in metrics.adapt("total_edit_distance").description.lower()
    assert "no mean of rates" in metrics.adapt("cer").description
    with pytest.raises(InputError, match="'edit_distance'"):
        metrics.adapt("edit_distence")
    with pytest.raises(InputError, match="no setting 'threshold'"):
        metrics.adapt("edit_distance:threshold=1")
    with pytest.raises(InputError, match="the function is hit_at_k"):
        metrics.sample_metric(metrics.hit_at_k)


# -------------------------------------------------------------------------------------------- many words


@given(sentences, sentences, st.lists(st.tuples(sentences, sentences), max_size=3))
def test_words_beyond_the_code_points_are_numbers(first: str, second: str, others: list) -> None:
    """A pair with more different words than there are code points is compared word by word all the same."""
    pairs = [(first, second), *others]
    read, there = [list(side) for side in zip(*pairs, strict=True)]
    wanted = sequence.word_rows(read, there)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence.sys, "maxunicode", 1)  # pairs with three words are numbers, others stay text
        torch.testing.assert_close(sequence.word_rows(read, there), wanted, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("edits", ["none", "first", "more"])
def test_a_pair_of_more_words_than_code_points(edits: str) -> None:
    """1,114,113 different words, and one edit among them."""
    words = [format(number, "x") for number in range(0x110000 + 1)]
    read = {"none": words, "first": words[1:], "more": [*words, "one-more"]}[edits]
    rows = sequence.word_rows([" ".join(read), "a b"], [" ".join(words), "a c"])
    assert rows.tolist() == [[float(edits != "none"), len(words)], [1.0, 2.0]]
