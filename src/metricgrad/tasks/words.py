"""Read the word in a picture: rendered words in poor contrast, judged by edit distance.

Words of 3 to 12 letters of Debian's word list, each drawn once, in grey pictures of 32 x 128 pixels
(`words_pictures.py`). The splits are disjoint by word and by font: test shows unknown words in letters whose design
neither fit nor select ever saw. `scripts/fetch-fonts` brings fonts and words.

The outputs are logits of 16 steps over 26 letters and an end symbol. The start model was trained by
`scripts/train_words.py` to a plateau on `select`, and lies in the package: seeds vary the tuning only.

Reference:
    [patel2020learning] (text recognition as a use of learned surrogates; their data are others).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.learned import words
from metricgrad.tasks.png import Pictures
from metricgrad.tasks.recogniser import MAX_LENGTH, letter_cross_entropy, read_start
from metricgrad.tasks.task import Task
from metricgrad.tasks.words_pictures import ALPHABET, fonts_folder
from metricgrad.tasks.words_sets import WordSets, kept_words
from metricgrad.tune.plan import Plan
from metricgrad.tune.splits import Splits

__all__ = ["Options", "WordSplit", "load", "word_splits"]

SHIFT = (2, 4)
"""Largest random shift of a fit picture, down and across, in pixels."""


SURROGATE_WIDTH = 32
"""Of the surrogate's encoder: about as large as the recogniser that it teaches."""
SETTINGS: Mapping[str, Any] = {
    "learning_rate": 5e-4,
    "surrogate_warmup": 2000,
    "surrogate_steps": 2,
    "objective": {"gradient_penalty_weight": 0.0, "metric_scale": 0.35},
}
PROXY_SETTINGS: Mapping[str, Any] = {"learning_rate": 1e-3}
"""Chosen on select with as many tries for each arm: `python -m benchmarks.learned_tasks choose words`."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        items_fit: pictures of the fit split, each of another word; at most 0.6 of the 60,540 words.
        items_select: pictures of the select split; at most 0.15 of the words.
        items_test: pictures of the test split; at most 0.25 of the words.
        batch: pictures of a fit batch.
        split_seed: of the division of the words and of the pictures. The start model was trained with 0: with another
            one it has seen some of the words of `select` and `test`, though never in these fonts.
        folder: of the fonts and the word list; None for the first that has them of $METRICGRAD_DATA/words and the
            folder words of the user's cache.
        cache: folder of the pictures; None for METRICGRAD_CACHE or the user's cache folder.
        processes: that draw pictures; None for the number of cores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    items_fit: WholeField = Field(default=20_000, ge=1, le=1_000_000)
    items_select: WholeField = Field(default=3000, ge=1, le=1_000_000)
    items_test: WholeField = Field(default=4000, ge=1, le=1_000_000)
    batch: WholeField = Field(default=128, ge=1, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    folder: Path | None = None
    cache: Path | None = None
    processes: WholeField | None = Field(default=None, ge=1, le=1024)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Draw the words, or read them from the cache, and read the start model.

    Args:
        options: see `Options`.
        observer: receives the progress of the drawing, and notes about a damaged cache.

    Returns:
        The task; inputs are uint8 [sample, 32, 128], targets texts, outputs float32 logits [sample, 16, 27].

    Raises:
        InputError: an unknown option, more pictures than words, fonts that are not there, or a cache folder that
            cannot be written.
        MissingExtraError: Pillow is not installed.

    Cost:
        About a minute the first time (27,000 pictures), then seconds; 111 MB in the cache and in memory.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    splits, key = word_splits(chosen, observer)
    fit = splits.fit
    assert isinstance(fit, WordSplit)
    weights = {name: value.numpy().tobytes() for name, value in read_start().state_dict().items()}
    return Task(
        name="words",
        splits=splits,
        model=lambda _seed: read_start(),
        proxy=letter_cross_entropy,
        metric="edit_distance",
        plan=Plan(steps=400),
        method="learned+filter",
        settings=SETTINGS,
        proxy_settings=PROXY_SETTINGS,
        kind=words(ALPHABET, MAX_LENGTH, vocabulary=fit.targets, width=SURROGATE_WIDTH),
        facts={"pictures": key, "start": hashlib.sha256(b"".join(weights.values())).hexdigest()},
    )


def word_splits(options: Options, observer: Observer | None = None) -> tuple[Splits, str]:
    """Draw the pictures of all splits, or read them from the cache.

    Args:
        options: see `Options`.
        observer: receives the progress of the drawing, and notes about a damaged cache.

    Returns:
        The splits (`WordSplit`), and the key of the pictures: 64 hexadecimal digits that name everything that settles
        their pixels.

    Raises:
        InputError: more pictures than words, fonts that are not there, or a cache folder that cannot be written.
        MissingExtraError: Pillow is not installed.
    """
    counts = {"fit": options.items_fit, "select": options.items_select, "test": options.items_test}
    sets = kept_words(
        fonts_folder(options.folder),
        counts,
        seed=options.split_seed,
        cache=options.cache,
        processes=options.processes,
        observer=observer,
    )
    fit = _split(sets, "fit", batch=options.batch, shuffle=True, shift=SHIFT, seed=options.split_seed)
    return Splits(fit, _split(sets, "select"), _split(sets, "test")), sets.key


def _split(sets: WordSets, name: str, **settings: Any) -> "WordSplit":
    """One split, its items named by word and font."""
    names = [f"{word} ({font})" for word, font in zip(sets.words[name], sets.fonts[name], strict=True)]
    return WordSplit(torch.from_numpy(sets.splits[name].pictures), sets.words[name], names=names, **settings)


class WordSplit:
    r"""Pictures and their words in memory, in batches of consecutive items or, with `shuffle`, of random ones.

    Args:
        inputs: uint8 [sample, 32, 128].
        targets: one text a picture.
        batch: pictures of a batch; the last one may be smaller.
        shuffle: draw a new order every epoch (from seed and epoch alone).
        shift: largest random shift of a picture down and across, in pixels, new in every epoch (from seed, epoch and
            item alone); at the border the outermost pixels are repeated.
        seed: of order and shifts.
        names: one text a picture, for the gallery; default: the words.

    Raises:
        InputError: another form of pictures, other numbers of pictures and texts, or no picture.

    Example:
        >>> split = WordSplit(torch.zeros(3, 32, 128, dtype=torch.uint8), ["one", "two", "three"], batch=2)
        >>> [targets for _, targets in split], split.pictures([1])[0][:4]
        ([['one', 'two'], ['three']], b'\x89PNG')
    """

    def __init__(
        self,
        inputs: UInt8[Tensor, "sample 32 128"],
        targets: Sequence[str],
        *,
        batch: int = 256,
        shuffle: bool = False,
        shift: tuple[int, int] = (0, 0),
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        if inputs.ndim != 3 or inputs.dtype != torch.uint8 or not 0 < len(inputs) == len(targets):
            raise fail(
                "WordSplit",
                f"inputs are {describe(inputs)} and there are {len(targets)} targets",
                "uint8 [sample, height, width], at least one, and as many texts",
            )
        self.inputs, self.targets, self.names = inputs, list(targets), list(names or targets)
        self.batch, self.shuffle, self.shift, self.seed, self.epoch = batch, shuffle, shift, seed, 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.inputs) // self.batch)

    def __iter__(self) -> Iterator[tuple[UInt8[Tensor, "sample 32 128"], list[str]]]:
        """Yield `(inputs, targets)` batches of the current epoch."""
        rng = np.random.default_rng((self.seed, self.epoch))
        items = len(self.inputs)
        order = rng.permutation(items) if self.shuffle else np.arange(items)
        shifts = torch.from_numpy(rng.integers(-np.array(self.shift), np.array(self.shift) + 1, (items, 2)))
        for chosen in torch.from_numpy(order).split(self.batch):
            inputs = self.inputs[chosen]
            moved = _shifted(inputs, shifts[chosen]) if any(self.shift) else inputs
            yield moved, [self.targets[item] for item in chosen.tolist()]

    def set_epoch(self, epoch: int) -> None:
        """Choose order and shifts of the next pass; they depend on (seed, epoch) alone."""
        self.epoch = epoch

    def rebatch(self, size: int) -> "WordSplit":
        """Return the same pictures in batches of another size."""
        return WordSplit(
            self.inputs,
            self.targets,
            batch=size,
            shuffle=self.shuffle,
            shift=self.shift,
            seed=self.seed,
            names=self.names,
        )

    def pictures(self, indices: Sequence[int]) -> list[bytes]:
        """Return PNG bytes of the pictures with the given indices, as they are, for the report's gallery.

        Raises:
            MissingExtraError: Pillow is not installed.
        """
        return Pictures(self.inputs.numpy(), "words")(indices)

    @property
    def digest(self) -> str:
        """Hash (SHA-256) of pictures, words and batches."""
        facts = (self.targets, tuple(self.inputs.shape), self.batch, self.shuffle, self.shift, self.seed)
        total = hashlib.sha256(repr(facts).encode())
        total.update(self.inputs.contiguous().numpy().tobytes())
        return total.hexdigest()


def _shifted(
    inputs: UInt8[Tensor, "sample height width"], shifts: Tensor
) -> UInt8[Tensor, "sample height width"]:
    """Move each picture by its own (down, across); the border's pixels are repeated where nothing came."""
    items, height, width = inputs.shape
    rows = (torch.arange(height) - shifts[:, :1]).clamp(0, height - 1)  # [sample, height]
    columns = (torch.arange(width) - shifts[:, 1:]).clamp(0, width - 1)  # [sample, width]
    return inputs[torch.arange(items)[:, None, None], rows[:, :, None], columns[:, None, :]]
