"""Exact metrics of texts: how far what was read is from what stands there.

Texts are compared as they are, code point by code point: no case, accent or Unicode normal form is folded, so that
"é" and "e" followed by a combining accent are two edits apart. Fold both sides first where they should count as equal.
"""

import math
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float64, Shaped
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._safe import ratio, share
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.of_rows import OfCounts, of_all

__all__ = [
    "character_error_rate",
    "edit_distance",
    "sequence_accuracy",
    "total_edit_distance",
    "word_edit_distance",
    "word_error_rate",
]

Normalizer = Literal["longer"]
Spelt = str | list[int]
Texts = Sequence[str] | Shaped[np.ndarray, "sample"]

PAIRS_PER_THREAD = 4096
"""Fewer are not worth the start of a thread (0.1 ms, in which a core compares several hundred words)."""


def edit_distance(
    predictions: Texts, targets: Texts, *, normalizer: Normalizer | None = None
) -> Float64[Tensor, "sample"]:
    """Levenshtein distance of every pair: fewest insertions, deletions and substitutions of a code point (exact).

        d(a, b) = min over edit scripts from a to b of their number of edits;   `longer`: d / max(|a|, |b|)

    Args:
        predictions: texts that were read.
        targets: texts that stand there, one for each prediction.
        normalizer: None counts edits; `longer` divides by the length of the longer text of the pair.

    Returns:
        float64 [sample] on the CPU, lower is better: whole numbers between the difference of the two lengths and the
        longer length; with `longer` in [0, 1].

    Raises:
        InputError: not two sequences of str of one length, one text instead of a sequence, an unknown normalizer.

    Edge cases:
        both texts empty: 0. One empty: the length of the other (`longer`: 1). No sample: an empty tensor.

    Gradient: none; a learned surrogate has one.

    Cost: O(|a| |b| / 64) a pair, compiled and bit-parallel; every thread of torch takes a part of many pairs.

    Example:
        >>> edit_distance(["kitten", "naïve"], ["sitting", "naive"])
        tensor([3., 1.], dtype=torch.float64)
        >>> edit_distance(["flaw"], ["lawn"], normalizer="longer")
        tensor([0.5000], dtype=torch.float64)
    """
    if normalizer is not None and normalizer not in get_args(Normalizer):
        raise fail("edit_distance", f"normalizer is {normalizer!r}", "None or 'longer'")
    predictions, targets = _texts("edit_distance", predictions, targets)
    distances = _distances(predictions, targets)
    if normalizer is None:
        return distances
    longer = torch.maximum(_lengths(predictions), _lengths(targets))
    return share(distances, longer)


def total_edit_distance(
    predictions: Texts, targets: Texts, *, normalizer: Normalizer | None = None
) -> Float64[Tensor, ""]:
    """Sum over the samples of their edit distance (exact): what learned surrogates for scene text are judged by.

    It is a sum and no mean because that is how it is published. It is the number of samples times the mean of
    `edit_distance` and orders models alike. Two totals compare only where they are over the same samples.

    Args:
        predictions: texts that were read.
        targets: texts that stand there.
        normalizer: as in `edit_distance`.

    Returns:
        float64 scalar >= 0, lower is better.

    Raises:
        InputError: as `edit_distance`.

    Edge cases:
        no sample: 0.

    Gradient: none.

    Cost: as `edit_distance`.

    Reference:
        [patel2020learning]

    Example:
        >>> total_edit_distance(["kitten", "flaw"], ["sitting", "lawn"])
        tensor(5., dtype=torch.float64)
    """
    return of_all(total_of_rows, edit_distance(predictions, targets, normalizer=normalizer)[:, None])


def character_error_rate(predictions: Texts, targets: Texts) -> Float64[Tensor, ""]:
    """Edits of all samples over the code points of all targets (exact): a rate of the corpus, no mean of rates.

        sum_i d(prediction_i, target_i) / sum_i |target_i|

    Args:
        predictions: texts that were read.
        targets: texts that stand there.

    Returns:
        float64 scalar >= 0, lower is better; above 1 where more is inserted than stands there.

    Raises:
        InputError: as `edit_distance`.

    Edge cases:
        targets without a single code point, or no sample: NaN, whatever the predictions are, since a share of nothing
        is not defined; the bootstrap leaves such resamples out. An empty target among others adds its insertions.

    Gradient: none.

    Cost: as `edit_distance`.

    Example:
        >>> character_error_rate(["kitten", "flaw"], ["sitting", "law"])
        tensor(0.4000, dtype=torch.float64)
    """
    return of_all(rate_of_rows, character_rows(predictions, targets))


def word_edit_distance(predictions: Texts, targets: Texts) -> Float64[Tensor, "sample"]:
    """Fewest insertions, deletions and substitutions of a word, of every pair (exact): `edit_distance` over words.

    Words are what white space parts. It is an error of single samples and so can be learned by a surrogate. Where all
    targets have n words, its mean over n is `word_error_rate`.

    Args:
        predictions: texts that were read.
        targets: texts that stand there.

    Returns:
        float64 [sample] on the CPU, lower is better: whole numbers up to the words of the longer text.

    Raises:
        InputError: as `edit_distance`.

    Edge cases:
        as `edit_distance`; white space alone is no word.

    Gradient: none; a learned surrogate has one.

    Cost: as `word_error_rate`.

    Example:
        >>> word_edit_distance(["the cat sat", "no"], ["a cat sat down", "no"])
        tensor([2., 0.], dtype=torch.float64)
    """
    return _distances(*_in_words("word_edit_distance", predictions, targets))


def word_error_rate(predictions: Texts, targets: Texts) -> Float64[Tensor, ""]:
    """Word edits of all samples over the words of all targets (exact): a rate of the corpus, no mean of rates.

    Words are what white space parts; case and punctuation belong to them.

    Args:
        predictions: texts that were read.
        targets: texts that stand there.

    Returns:
        float64 scalar >= 0, lower is better; above 1 where more is inserted than stands there.

    Raises:
        InputError: as `edit_distance`.

    Edge cases:
        targets without a word, or no sample: NaN, as for `character_error_rate`. White space alone is no word.

    Gradient: none.

    Cost: as `edit_distance` over words, and one look-up for each word.

    Example:
        >>> word_error_rate(["the cat sat", "no"], ["a cat sat down", "no"])
        tensor(0.4000, dtype=torch.float64)
    """
    return of_all(rate_of_rows, word_rows(predictions, targets))


def sequence_accuracy(predictions: Texts, targets: Texts) -> Float64[Tensor, ""]:
    """Share of the samples that are read exactly (exact); of word images: word accuracy.

    Args:
        predictions: texts that were read.
        targets: texts that stand there.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: as `edit_distance`.

    Edge cases:
        an empty text read as empty is right. No sample: NaN.

    Gradient: none.

    Cost: one comparison a sample.

    Example:
        >>> sequence_accuracy(["cat", "dog"], ["cat", "Dog"])
        tensor(0.5000, dtype=torch.float64)
    """
    return exact_rows(predictions, targets).mean()


def character_rows(predictions: Texts, targets: Texts) -> Float64[Tensor, "sample 2"]:
    """Edits and length of the target of every sample, in code points."""
    predictions, targets = _texts("character_error_rate", predictions, targets)
    return torch.stack([_distances(predictions, targets), _lengths(targets)], 1)


def word_rows(predictions: Texts, targets: Texts) -> Float64[Tensor, "sample 2"]:
    """Edits and length of the target of every sample, in words."""
    read, there = _in_words("word_error_rate", predictions, targets)
    return torch.stack([_distances(read, there), _lengths(there)], 1)


def exact_rows(predictions: Texts, targets: Texts) -> Float64[Tensor, "sample"]:
    """1 for every sample that is read exactly, else 0."""
    predictions, targets = _texts("sequence_accuracy", predictions, targets)
    equal = [prediction == target for prediction, target in zip(predictions, targets, strict=True)]
    return torch.tensor(equal, dtype=torch.float64)


def total_of_rows(rows: Float64[Tensor, "sample 1"]) -> OfCounts:
    """Sum of the column; 0 for no sample."""
    return lambda times: (times * rows[:, 0]).sum(-1)


def rate_of_rows(rows: Float64[Tensor, "sample 2"]) -> OfCounts:
    """Sum of the first column over the sum of the second; NaN where that is 0."""

    def of_counts(times: Tensor) -> Tensor:
        edits, length = (times @ rows).unbind(-1)
        return ratio(edits, length, otherwise=torch.nan)

    return of_counts


def _in_words(caller: str, predictions: Texts, targets: Texts) -> tuple[list[Spelt], list[Spelt]]:
    """Check both sides and spell them with a symbol for each word: its number in the pair."""
    predictions, targets = _texts(caller, predictions, targets)
    spelt: tuple[list[Spelt], list[Spelt]] = ([], [])
    for pair in zip(predictions, targets, strict=True):
        numbers: dict[str, int] = {}
        sides = [[numbers.setdefault(word, len(numbers)) for word in text.split()] for text in pair]
        for numbered, side in zip(sides, spelt, strict=True):
            # rapidfuzz compares a str faster than a list, but there are no more than so many code points
            side.append("".join(map(chr, numbered)) if len(numbers) <= sys.maxunicode + 1 else numbered)
    return spelt


def _distances(predictions: Sequence[Spelt], targets: Sequence[Spelt]) -> Float64[Tensor, "sample"]:
    """Edit distance of every pair, on the threads of torch."""
    threads = max(1, min(torch.get_num_threads(), len(targets) // PAIRS_PER_THREAD))
    found = cpdist(predictions, targets, scorer=Levenshtein.distance, dtype=np.int64, workers=threads)
    return torch.from_numpy(found).double()


def _lengths(texts: Sequence[Spelt]) -> Float64[Tensor, "sample"]:
    """Number of code points (of words) of every text."""
    return torch.tensor([len(text) for text in texts], dtype=torch.float64)


def _texts(caller: str, predictions: Any, targets: Any) -> tuple[list[str], list[str]]:
    """Check and return both sides as lists of str of one length."""
    sides = _listed(caller, "predictions", predictions), _listed(caller, "targets", targets)
    if len(sides[0]) != len(sides[1]):
        came = f"{len(sides[0])} predictions for {len(sides[1])} targets"
        raise fail(caller, came, "one target for each prediction")
    return sides


def _listed(caller: str, name: str, texts: Any) -> list[str]:
    """Check and return one side."""
    decode = "The outputs of a network are decoded first: metrics.of_kind(metric, kind) does so."
    if isinstance(texts, str) or not isinstance(texts, Sequence | np.ndarray):
        remedy = "A single text: [text]." if isinstance(texts, str) else decode
        raise fail(caller, f"{name} is {describe(texts)}", "a sequence of str, one a sample", remedy)
    found = list(texts)
    if not all(issubclass(kind, str) for kind in set(map(type, found))):
        place = next(place for place, text in enumerate(found) if not isinstance(text, str))
        raise fail(caller, f"{name}[{place}] is {describe(found[place])}", "a str", decode)
    return found


_fact = partial(Facts, reads="texts")
_rate = partial(_fact, of_rows=rate_of_rows, higher_is_better=False, bounds=(0.0, math.inf))

FACTS = (
    _rate(character_error_rate, rows=character_rows, aliases={"cer": {}}),
    _fact(
        edit_distance,
        rows=edit_distance,
        higher_is_better=False,
        bounds=lambda settings: (0.0, 1.0 if settings["normalizer"] else math.inf),
        per_sample=True,
    ),
    _fact(sequence_accuracy, rows=exact_rows, per_sample=True, aliases={"word_accuracy": {}}),
    _rate(total_edit_distance, rows=edit_distance, of_rows=total_of_rows, per_sample=True),
    _fact(
        word_edit_distance,
        rows=word_edit_distance,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        per_sample=True,
    ),
    _rate(word_error_rate, rows=word_rows, aliases={"wer": {}}),
)
