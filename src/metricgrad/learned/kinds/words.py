"""Texts as outputs: one symbol of an alphabet at each step, up to an end symbol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._types import OutputKind
from metricgrad.learned.layers import SLOPE, one_hot

__all__ = ["SequenceEncoder", "TextPairs", "encoded", "words"]


def words(
    alphabet: str,
    max_length: int,
    *,
    vocabulary: Sequence[str] | None = None,
    width: int = 64,
    unknown: str | None = None,
    truncate: bool = False,
) -> OutputKind:
    """Texts: outputs are logits [sample, step, symbol] over the alphabet and an end symbol, targets are strings.

    Args:
        alphabet: symbols in the order of the outputs; the end symbol is the one after them.
        max_length: steps of an output.
        vocabulary: words that made-up pairs are drawn from; None makes them of random letters.
        width: of the encoder, see `SequenceEncoder`.
        unknown: symbol of the alphabet that stands for any other in a target; None refuses them.
        truncate: cut longer targets instead of refusing them.

    Example:
        >>> kind = words("ab", max_length=3)
        >>> kind.decode(torch.tensor([[[0.0, 9.0, 1.0], [5.0, 0.0, 1.0], [0.0, 0.0, 7.0]]]))
        ['ba']
    """
    encoder = partial(SequenceEncoder, alphabet, max_length, width=width)
    encoder()  # checks the arguments
    if unknown is not None and unknown not in alphabet:
        raise fail("words", f"unknown is {unknown!r}", "a symbol of the alphabet, or None")
    if vocabulary is not None and not len(vocabulary):
        raise fail("words", "the vocabulary is empty", "words, or None for random letters")
    symbols = len(alphabet) + 1
    decode = partial(read_texts, alphabet=alphabet)
    encode = partial(encoded, alphabet=alphabet, max_length=max_length, unknown=unknown, truncate=truncate)
    known = None
    if vocabulary is not None:  # its words as a target of theirs is read
        known = tuple(decode(one_hot(encode(vocabulary), symbols)))
    return OutputKind(
        "words",
        decode=decode,
        compare=partial(compare_texts, encode=encode, symbols=symbols, max_length=max_length),
        encoder=encoder,
        pairs=TextPairs(alphabet, max_length, known),
    )


def read_texts(outputs: Tensor, *, alphabet: str) -> list[str]:
    """Return the most probable symbol of every step, up to the first end symbol; logits or probabilities."""
    if outputs.ndim != 3 or outputs.shape[2] != len(alphabet) + 1:
        raise fail("words", f"outputs are {describe(outputs)}", f"[sample, step, {len(alphabet) + 1}]")
    end = len(alphabet)
    texts = []
    for row in outputs.detach().argmax(-1).tolist():
        length = row.index(end) if end in row else len(row)
        texts.append("".join([alphabet[symbol] for symbol in row[:length]]))
    return texts


def compare_texts(
    outputs: Float[Tensor, "sample step symbol"],
    targets: Sequence[str],
    *,
    encode: Callable[[Sequence[str]], Tensor],
    symbols: int,
    max_length: int,
) -> tuple[Tensor, Tensor]:
    """Return the probabilities of the outputs (logits), and the targets as rows of zeros and ones.

    Raises:
        InputError: another shape, an unknown symbol, a text longer than max_length.
    """
    expected = (len(targets), max_length, symbols)
    if tuple(outputs.shape) != expected:
        raise fail("words", f"outputs are {describe(outputs)}", f"logits {list(expected)}")
    codes = encode(targets).to(outputs.device)
    return outputs.softmax(-1), one_hot(codes, symbols).to(outputs.dtype)


def encoded(
    texts: Sequence[str],
    alphabet: str,
    max_length: int,
    *,
    unknown: str | None = None,
    truncate: bool = False,
) -> Int[Tensor, "sample step"]:
    """Return the symbols of texts as numbers, filled up with the end symbol.

    Raises:
        InputError: an unknown symbol, a text longer than max_length.
    """
    number = {symbol: index for index, symbol in enumerate(alphabet)}
    end, rows = len(alphabet), []
    for text in texts:
        if len(text) > max_length and not truncate:
            remedy = "Give a larger max_length, or truncate=True."
            raise fail("words", f"a text of {len(text)} symbols: {text!r}", f"at most {max_length}", remedy)
        row = []
        for symbol in text[:max_length]:
            if symbol not in number and unknown is None:
                remedy = "Enlarge the alphabet, or name a symbol that stands for others: unknown=."
                raise fail("words", f"the symbol {symbol!r} of {text!r}", f"one of {alphabet!r}", remedy)
            row.append(number[symbol if symbol in number else str(unknown)])
        rows.append(row + [end] * (max_length - len(row)))
    return torch.tensor(rows, dtype=torch.long).reshape(len(texts), max_length)


class _Windows(nn.Module):
    """Every step beside its neighbours, zeros beyond the ends: with a linear layer, a convolution over 3 steps.

    On a CPU it takes two thirds of the time of `nn.Conv1d` at these widths.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, rows: Float[Tensor, "sample step channel"]) -> Float[Tensor, "sample window channels"]:
        """Join the rows of each window."""
        last = rows.shape[1] - 1
        padded = nn.functional.pad(rows, (0, 0, 1, 1))
        return torch.cat([padded[:, shift : shift + last + 1 : self.stride] for shift in range(3)], 2)


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> tuple[nn.Module, ...]:
    """A convolution over 3 steps and what follows it."""
    return _Windows(stride), nn.Linear(3 * inputs, outputs), nn.LeakyReLU(SLOPE)


class SequenceEncoder(nn.Module):
    """Embeds texts: rows of probabilities per step over an alphabet and an end symbol (learned-surrogate encoder).

    Network: 1x1 convolution to 64 channels, three convolutions over 3 steps (64, 128, 256 channels, stride 2 on the
    last two) with leaky ReLU, then 512 and `dim` units; `width` scales all but the last.

    Args:
        alphabet: the symbols, in the order of the network's outputs; the end symbol follows them.
        max_length: steps L of an output, and the longest text.
        dim: of the embedding.
        width: channels of the first two convolutions; on a CPU 32 takes less than half the time of 64.

    Raises:
        InputError: an empty alphabet or one with a symbol twice, max_length < 1.

    Example:
        >>> SequenceEncoder("ab", max_length=4)(torch.zeros(1, 4, 3)).shape
        torch.Size([1, 256])
    """

    def __init__(self, alphabet: str, max_length: int, *, dim: int = 256, width: int = 64) -> None:
        super().__init__()
        if not alphabet or len(set(alphabet)) < len(alphabet):
            raise fail("SequenceEncoder", f"alphabet is {alphabet!r}", "symbols, each once")
        if max_length < 1:
            raise fail("SequenceEncoder", f"max_length is {max_length}", "a number >= 1")
        symbols, steps = len(alphabet) + 1, (max_length + 3) // 4  # after two strides of 2
        self.network = nn.Sequential(
            nn.Linear(symbols, width),
            *_convolution(width, width),
            *_convolution(width, 2 * width, stride=2),
            *_convolution(2 * width, 4 * width, stride=2),
            nn.Flatten(),
            nn.Linear(4 * width * steps, 8 * width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(8 * width, dim),
        )

    def forward(self, points: Float[Tensor, "sample step symbol"]) -> Float[Tensor, "sample dim"]:
        """Embed rows of probabilities."""
        return self.network(points)


@dataclass(frozen=True)
class TextPairs:
    """A random word and an edited copy of it as uncertain logits.

    Args:
        alphabet: symbols.
        max_length: steps of the output.
        vocabulary: words to draw from; None draws letters.

    The copy has r random insertions, deletions and substitutions, r uniform in 0 to the length of the word. Its rows
    are softened by a random temperature, and some get a rival symbol, so that they look like outputs of a model.

    Example:
        >>> outputs, targets = TextPairs("abc", 5)(2, np.random.default_rng(0))
        >>> outputs.shape, [len(text) <= 5 for text in targets]
        (torch.Size([2, 5, 4]), [True, True])
    """

    alphabet: str
    max_length: int
    vocabulary: Sequence[str] | None = None

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """Return logits [count, step, symbol] and texts."""
        targets = [self._word(rng) for _ in range(count)]
        codes = np.full((count, self.max_length), len(self.alphabet))
        for row, text in zip(codes, targets, strict=True):
            edited = self._edited(text, rng)
            row[: len(edited)] = edited
        return torch.from_numpy(self._softened(codes, rng)), targets

    def _word(self, rng: np.random.Generator) -> str:
        if self.vocabulary is not None:
            return self.vocabulary[int(rng.integers(len(self.vocabulary)))]
        letters = rng.integers(len(self.alphabet), size=rng.integers(1, self.max_length + 1))
        return "".join(self.alphabet[letter] for letter in letters)

    def _edited(self, text: str, rng: np.random.Generator) -> list[int]:
        symbols = [self.alphabet.index(symbol) for symbol in text]
        for _ in range(rng.integers(0, len(symbols) + 1)):
            kind, symbol = rng.integers(3), int(rng.integers(len(self.alphabet)))
            place = int(rng.integers(len(symbols) + 1))
            if kind == 0 and len(symbols) < self.max_length:
                symbols.insert(place, symbol)
            elif kind == 1 and place < len(symbols):
                del symbols[place]
            elif place < len(symbols):
                symbols[place] = symbol
        return symbols

    def _softened(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Logits whose largest is mostly the symbol: sharp or blurred by sample; a fifth of the rows has a rival."""
        samples, steps = codes.shape
        symbols = len(self.alphabet) + 1
        height = np.exp(rng.uniform(np.log(2.0), np.log(16.0), (samples, 1)))
        logits = rng.normal(0.0, 1.0, (samples, steps, symbols))
        rows = np.ogrid[:samples, :steps]
        logits[(*rows, codes)] += height
        rival = rng.integers(symbols, size=codes.shape)
        logits[(*rows, rival)] += (
            height * rng.uniform(0.6, 1.1, codes.shape) * (rng.random(codes.shape) < 0.2)
        )
        return logits.astype(np.float32)
