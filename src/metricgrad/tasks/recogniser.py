"""A small network that reads the words of a picture, cell by cell, and the proxy loss that it is trained with."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metricgrad._checks import describe, fail
from metricgrad.learned import OutputKind, lines, words
from metricgrad.learned.kinds.lines import cells_of, texts_of
from metricgrad.learned.kinds.words import encoded
from metricgrad.tasks.start_model import started
from metricgrad.tasks.words_pictures import ALPHABET, WIDTH

__all__ = ["MAX_LENGTH", "START_WEIGHTS", "Recogniser", "letter_cross_entropy", "output_kind", "read_start"]

MAX_LENGTH = 16
"""Steps of an output: letters of the longest text that can be read."""
SURROGATE_WIDTH = 32
"""Of the encoder of a learned surrogate: about as large as the recogniser that it teaches."""
START_WEIGHTS = Path(__file__).parent / "data" / "words" / "start.safetensors"

_END = len(ALPHABET)
_COLUMNS = 32  # of the features that are read


class Recogniser(nn.Module):
    """Logits over 26 letters and an end symbol for each of 16 steps of a word, all steps at once.

    Convolutions with group norm look at the picture, a GRU goes along its columns both ways and so can count letters,
    and each step has a query of its own that draws its letter from the columns by attention. A last convolution over
    the steps lets neighbouring letters agree. Nothing depends on the batch. A picture of several words is as many
    times as wide: every word is read by itself, and the steps follow one another.

    Args:
        width: channels of the first convolution, a multiple of 8; the others have two and three times as many.
        hidden: units of the GRU in each direction.

    Example:
        >>> Recogniser()(torch.zeros(3, 32, 128, dtype=torch.uint8)).shape
        torch.Size([3, 16, 27])
        >>> Recogniser()(torch.zeros(3, 32, 2 * 128, dtype=torch.uint8)).shape
        torch.Size([3, 32, 27])
    """

    def __init__(self, *, width: int = 16, hidden: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(1, width, (4, 4), (4, 2), (0, 1)),  # [sample, width, 8, 64]
            *_block(width, 3 * width, (3, 3), (2, 2), (1, 1)),  # [sample, 3 width, 4, 32]
            *_block(3 * width, 6 * width, (4, 3), (4, 1), (0, 1)),  # [sample, 6 width, 1, 32]
        )
        self.columns = nn.Sequential(
            nn.Conv1d(6 * width, 6 * width, 3, padding=1), nn.GroupNorm(8, 6 * width), nn.ReLU()
        )
        self.along = nn.GRU(6 * width, hidden, batch_first=True, bidirectional=True)
        self.query = nn.Parameter(torch.randn(MAX_LENGTH, 2 * hidden) / hidden**0.5)
        self.key = nn.Linear(2 * hidden, 2 * hidden)
        self.place = nn.Parameter(torch.zeros(_COLUMNS, 2 * hidden))
        self.mix = nn.Conv1d(2 * hidden, 6 * width, 3, padding=1)
        self.read = nn.Sequential(nn.ReLU(), nn.Linear(6 * width, _END + 1))

    def forward(self, pictures: UInt8[Tensor, "sample 32 width"]) -> Float[Tensor, "sample step 27"]:
        """Return the logits of pictures with levels 0 to 255; each word is brought to mean 0 and deviation 1."""
        cells = pictures.unflatten(2, (-1, WIDTH)).transpose(1, 2)  # [sample, cell, 32, 128]
        levels = cells.flatten(0, 1).to(self.query.dtype)
        mean, deviation = levels.mean((1, 2), keepdim=True), levels.std((1, 2), keepdim=True)
        seen = self.body(((levels - mean) / (deviation + 1.0)).unsqueeze(1))
        columns = self.columns(seen.flatten(1, 2)).transpose(1, 2)  # [word, column, hidden]
        states, _ = self.along(columns)  # [word, column, 2 hidden]
        match = self.query @ (self.key(states) + self.place).transpose(1, 2) / states.shape[2] ** 0.5
        drawn = match.softmax(-1) @ states  # [word, step, 2 hidden]
        steps = self.mix(drawn.transpose(1, 2)).transpose(1, 2)
        return self.read(steps.unflatten(0, cells.shape[:2]).flatten(1, 2))


def _block(
    channels: int, out: int, size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> list[nn.Module]:
    """A convolution, group norm, ReLU."""
    convolution = nn.Conv2d(channels, out, size, stride=stride, padding=padding, bias=False)
    return [convolution, nn.GroupNorm(8, out), nn.ReLU()]


def output_kind(vocabulary: Sequence[str] | None = None, *, words_per_line: int = 1) -> OutputKind:
    """Return what the outputs are: texts of one word, or lines of several.

    Args:
        vocabulary: words that made-up pairs are drawn from; None makes them of random letters.
        words_per_line: at least 1.
    """
    word = words(ALPHABET, MAX_LENGTH, vocabulary=vocabulary, width=SURROGATE_WIDTH)
    return word if words_per_line == 1 else lines(word, words_per_line)


def letter_cross_entropy(
    outputs: Float[Tensor, "sample step 27"], targets: Sequence[str]
) -> Float[Tensor, "sample"]:
    """Compute the cross-entropy of the letters of each text, a *surrogate* of the edit distance.

    The mean over all 16 steps of every word of -log p(step, symbol); after the last letter every step has the end
    symbol, as in the comparison space of `learned.words`: what stands after the end is trained, too.

    Args:
        outputs: logits over the letters a to z and, last, the end symbol; 16 steps for each word of a line.
        targets: texts of a to z, at most 16 letters, with a space between two words; an empty word is allowed.

    Returns:
        One loss for each sample, >= 0.

    Raises:
        InputError: another shape or number of texts or words, a longer word, another symbol.

    Edge cases:
        a word of 16 letters has no end symbol.

    Gradient:
        exact.

    Example:
        >>> logits = torch.zeros(2, 16, 27)
        >>> [round(loss, 4) for loss in letter_cross_entropy(logits, ["", "word"]).tolist()]  # log 27
        [3.2958, 3.2958]
        >>> letter_cross_entropy(torch.zeros(1, 32, 27), ["two words"]).shape
        torch.Size([1])
    """
    cells = max(1, outputs.shape[1] // MAX_LENGTH) if outputs.ndim == 3 else 1
    if tuple(outputs.shape) != (len(targets), cells * MAX_LENGTH, _END + 1):
        raise fail(
            "letter_cross_entropy",
            f"outputs are {describe(outputs)} for {len(targets)} targets",
            f"logits [{len(targets)}, {MAX_LENGTH}, {_END + 1}], with {MAX_LENGTH} more steps for each further word",
        )
    symbols = encoded(texts_of(targets, cells), ALPHABET, MAX_LENGTH).to(outputs.device)
    losses = cross_entropy(cells_of(outputs, cells).transpose(1, 2), symbols, reduction="none")
    return losses.mean(1).unflatten(0, (-1, cells)).mean(1)


def read_start(path: Path = START_WEIGHTS) -> Recogniser:
    """Return the network of the start model, in eval, with the weights that `scripts/train_words.py` wrote.

    Args:
        path: safetensors file.

    Raises:
        InputError: no such file, or not the weights of this network.
    """
    return started(Recogniser(), path, task="words")
