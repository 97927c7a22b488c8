"""Splits of pictures of texts, and a network of the user's that reads them."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad.field.backbone import load_weights, network_named, tried
from metricgrad.field.picture_splits import PictureSplit
from metricgrad.field.retrieval import threads
from metricgrad.field.texts import Texts, places_of, texts_at
from metricgrad.field.views import Lines
from metricgrad.tune.splits import Splits

__all__ = ["LineReader", "reader_named", "recognition_splits"]


class LineReader(nn.Module):
    """A network that reads grey pictures of lines, given levels from -1 to 1.

    Args:
        network: float pictures [item, 1, row, column] to logits [item, step, symbol], the end symbol last.
        shape: rows and columns of a picture, steps and symbols of the outputs; checked.

    Raises:
        InputError: it gives other outputs.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(32, 6), nn.Unflatten(1, (2, 3)))
        >>> LineReader(network, (4, 8, 2, 3))(torch.zeros(5, 1, 4, 8, dtype=torch.uint8)).shape
        torch.Size([5, 2, 3])
    """

    def __init__(self, network: nn.Module, shape: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.network = network
        height, width, steps, symbols = shape
        given = tried("network", network, self.forward, (1, height, width))
        if not isinstance(given, Tensor) or tuple(given.shape) != (2, steps, symbols):
            raise fail(
                "network",
                f"it gives {describe(given)} for 2 pictures",
                f"logits [2, {steps}, {symbols}]: data.longest steps, and the characters with the end symbol last",
            )

    def forward(self, pictures: UInt8[Tensor, "item 1 row column"]) -> Float[Tensor, "item step symbol"]:
        """Return the logits."""
        first = next(self.network.parameters(), torch.empty(0))
        return self.network(pictures.to(first.dtype) / 127.5 - 1)


def reader_named(
    name: str,
    settings: Mapping[str, Any],
    shape: tuple[int, int, int, int],
    *,
    weights: Path | None,
    trained: Path | None,
) -> LineReader:
    """Return the network that code of the user's makes, with its weights.

    Args:
        name: `package.module:name` of a function or class.
        settings: its keyword arguments.
        shape: see `LineReader`.
        weights: safetensors of the network by its own names, or None.
        trained: safetensors as a run leaves them, or None.
    """
    network = network_named(name, settings, "network")
    if weights is not None:
        load_weights(network, weights, "weights")
    reader = LineReader(network, shape)
    if trained is not None:
        load_weights(reader, trained, "trained")
    return reader


def recognition_splits(
    folder: Path,
    parts: Mapping[str, Sequence[str]],
    size: tuple[int, int],
    *,
    characters: str,
    longest: int,
    fold: bool,
    batch: int,
    evaluation_batch: int,
    seed: int,
    workers: int | None = None,
) -> tuple[Splits, Sequence[str]]:
    """Read the texts of fit, select and test.

    Args:
        folder: that the places are in.
        parts: fit, select and test: list files, LMDB environments, or folders of these.
        size: rows and columns that a line is brought to.
        characters: of the alphabet.
        longest: text, in characters.
        fold: whether capital letters are read as small ones.
        batch: lines of a fit batch.
        evaluation_batch: lines that are read together where nothing is learned.
        seed: of the order of fit.
        workers: threads that read; None for one per processor.

    Returns:
        The splits, and sentences that the user should see.

    Raises:
        InputError: a place is none of these, no text can be spelt, or two parts share an environment or a picture.
    """
    found = {
        part: texts_at([folder / place for place in places], characters, longest, fold=fold)
        for part, places in parts.items()
    }
    for one, other in combinations(found, 2):
        if shared := places_of(found[one]) & places_of(found[other]):
            came = f"{one} and {other} share {len(shared):,} environments or pictures, e.g. {min(shared)}"
            raise fail("texts", came, "parts that share none", "What was trained on cannot judge.")

    views = Lines(*size)

    def split(part: str, items: int, *, learned: bool = False) -> PictureSplit:
        texts: Texts = found[part]
        return PictureSplit(
            texts.stored,
            texts.texts,
            views,
            batch=items,
            learned=learned,
            seed=seed,
            workers=threads(workers),
        )

    told = [text for texts in found.values() for text in texts.told]
    fit = split("fit", batch, learned=True)
    return Splits(fit, split("select", evaluation_batch), split("test", evaluation_batch)), told
