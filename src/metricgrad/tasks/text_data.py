"""What the tasks on descriptions of packages share: the texts, their division by group, an encoder, its vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field

from metricgrad._documents import WholeField
from metricgrad._types import Observer
from metricgrad.tasks.debian_packages import Release, read_archive
from metricgrad.tasks.descriptions import Descriptions, descriptions
from metricgrad.tasks.divisions import group_by_group
from metricgrad.tasks.hashed_encoder import hashed_vectors
from metricgrad.tasks.sentence_encoder import sentence_vectors

__all__ = ["CLOSED", "FIT", "SELECT", "TEST", "TextData", "TextOptions", "text_data"]

SHARES = (0.6, 0.15)
"""Share of the documents in fit and in select; the others are test."""

FIT, SELECT, TEST, CLOSED = 0, 1, 2, 3
"""Parts; CLOSED is the real test of a development division, which is in no split."""


class TextOptions(BaseModel):
    """What can be chosen of a task on texts.

    Args:
        encoder: `minilm` (all-MiniLM-L6-v2, 384 numbers, some minutes to half an hour once, then cached) or `hashed`
            (hashed words, tf-idf and a truncated SVD of fit, seconds).
        dim: numbers of a hashed text; nothing else reads it.
        batch: items of a fit batch.
        split_seed: of the division of the groups, and of the hashed encoder.
        development: null for the real splits; a number draws fit, select and a held-out part anew from the groups of
            fit and select: for choosing settings without touching test.
        folder: of the texts; null for the first that has them of $METRICGRAD_DATA/debian and the user's cache folder.
        cache: folder of the vectors; null for METRICGRAD_CACHE or the user's cache folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: Literal["minilm", "hashed"] = "minilm"
    dim: WholeField = Field(default=256, ge=2, le=8192)
    batch: WholeField = Field(default=512, ge=2, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    development: WholeField | None = Field(default=None, ge=0, le=2**32 - 1)
    folder: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class TextData:
    """Texts and the split that each is in.

    Attributes:
        texts: queries, documents and the pairs of them.
        query_part: FIT, SELECT, TEST or CLOSED of each query.
        document_part: the same of each document.
        release: of the archive.
        options: that it was made with.
        observer: hears of the progress of the encoder.
    """

    texts: Descriptions
    query_part: Int64[np.ndarray, "query"]
    document_part: Int64[np.ndarray, "document"]
    release: Release
    options: TextOptions
    observer: Observer | None

    @property
    def facts(self) -> dict[str, str]:
        """What a resumed run must find unchanged."""
        return {"texts": self.release.sha256, "release": f"{self.release.name}, {self.release.date}"}

    def vectors(
        self, texts: Sequence[str], part: Int64[np.ndarray, "text"]
    ) -> Float32[np.ndarray, "text dim"]:
        """Encode texts, of which `part` says the split: weights of the hashed encoder come from fit alone."""
        if self.options.encoder == "minilm":
            return sentence_vectors(texts, cache=self.options.cache, observer=self.observer)
        return hashed_vectors(
            texts, np.flatnonzero(part == FIT), dim=self.options.dim, seed=self.options.split_seed
        )

    def pair_vectors(
        self,
    ) -> tuple[Float32[np.ndarray, "query dim"], Float32[np.ndarray, "document dim"]]:
        """Encode queries and documents into one space."""
        queries, documents = self.texts.queries, self.texts.documents
        if self.options.encoder == "minilm":
            return self.vectors(queries, self.query_part), self.vectors(documents, self.document_part)
        parts = np.concatenate([self.query_part, self.document_part])
        return tuple(np.split(self.vectors([*queries, *documents], parts), [len(queries)]))  # pyright: ignore[reportReturnType]


def text_data(task: str, options: TextOptions, observer: Observer | None = None) -> TextData:
    """Read the archive, clean its texts and divide them group by group.

    Args:
        task: its name, for messages.
        options: of the task.
        observer: hears where the texts are not those of the documentation, and later of the encoder's progress.

    Raises:
        InputError: the texts are not there, or damaged.
    """
    archive = read_archive(task, options.folder, observer)
    texts = descriptions(archive.packages)
    part = _parts(texts.document_groups, options)
    return TextData(
        texts, part[texts.query_groups], part[texts.document_groups], archive.release, options, observer
    )


def _parts(groups: Int64[np.ndarray, "document"], options: TextOptions) -> Int64[np.ndarray, "group"]:
    """The part of each group; a development division divides those of fit and select anew."""
    part = group_by_group(groups, SHARES, options.split_seed)
    if options.development is None:
        return part
    open_groups = np.flatnonzero(part != TEST)
    numbers = np.full(len(part), -1)
    numbers[open_groups] = np.arange(len(open_groups))
    again = np.full(len(part), CLOSED)
    here = numbers[groups]
    again[open_groups] = group_by_group(here[here >= 0], SHARES, (options.split_seed, options.development))
    return again
