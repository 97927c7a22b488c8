"""Read the word in a picture: rendered words in poor contrast, judged by edit distance.

Words of 3 to 12 letters of Debian's word list, each drawn once, in grey pictures of 32 x 128 pixels
(`words_pictures.py`). The splits are disjoint by word and by font: test shows unknown words in letters whose design
neither fit nor select ever saw. `scripts/fetch-fonts` brings fonts and words.

The outputs are logits of 16 steps over 26 letters and an end symbol. The start model was trained by
`scripts/train_words.py` to a plateau on `select`, and lies in the package: seeds vary the tuning only.

With `words_per_line` a sample is a line: words of one font side by side, each in a cell of 32 x 128 pixels. The same
network reads cell by cell, and the end symbol of a cell is the space of the line.

Reference:
    [patel2020learning] (text recognition as a use of learned surrogates; their data are others).
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.tasks.recogniser import letter_cross_entropy, output_kind, read_start
from metricgrad.tasks.task import Task
from metricgrad.tasks.words_pictures import fonts_folder
from metricgrad.tasks.words_sets import WordSets, kept_words
from metricgrad.tasks.words_split import WordSplit, lines_of
from metricgrad.tune import Plan, Splits

__all__ = ["Options", "load", "word_splits"]

SHIFT = (2, 4)
"""Largest random shift of a fit picture, down and across, in pixels."""


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
        words_per_line: words of a sample, 1 to 16. Above 1 the pictures of each font are put side by side in lines,
            without the ones that are left when they no longer fill a line; a word stands in one line at most.
        batch: samples of a fit batch.
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
    words_per_line: WholeField = Field(default=1, ge=1, le=16)
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
        The task; inputs are uint8 [sample, 32, 128 words], targets texts, outputs float32 logits
        [sample, 16 words, 27].

    Raises:
        InputError: an unknown option, more pictures than words, too few of every font for a line, fonts that are not
            there, or a cache folder that cannot be written.
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
        kind=output_kind(" ".join(fit.targets).split(), words_per_line=chosen.words_per_line),
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
        InputError: more pictures than words, too few of every font for a line, fonts that are not there, or a cache
            folder that cannot be written.
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
    count, seed = options.words_per_line, options.split_seed
    fit = _split(sets, "fit", count, batch=options.batch, shuffle=True, shift=SHIFT, seed=seed)
    return Splits(fit, _split(sets, "select", count), _split(sets, "test", count)), sets.key


def _split(sets: WordSets, name: str, count: int, **settings: Any) -> WordSplit:
    """One split in lines of so many words, its items named by words and font."""
    rows = lines_of(name, sets.fonts[name], count)  # [line, cell]
    texts = [" ".join(sets.words[name][row] for row in line) for line in rows.tolist()]
    names = [f"{text} ({sets.fonts[name][line[0]]})" for text, line in zip(texts, rows.tolist(), strict=True)]
    cells = torch.from_numpy(sets.splits[name].pictures)[torch.from_numpy(rows)]  # [line, cell, 32, 128]
    return WordSplit(cells.transpose(1, 2).flatten(2), texts, names=names, **settings)
