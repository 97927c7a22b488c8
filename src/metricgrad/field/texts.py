"""Pictures of texts, wherever they come from: which of them an alphabet can spell, and the loss of their letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad._checks import describe, fail
from metricgrad.field.stored import Files, Some
from metricgrad.field.text_lists import read_list
from metricgrad.field.text_lmdb import Lmdb, environments, read_lmdb
from metricgrad.learned.kinds.words import encoded

__all__ = ["LetterCrossEntropy", "Texts", "places_of", "texts_at"]


class Texts(NamedTuple):
    """Pictures and what they say.

    Attributes:
        stored: the pictures.
        texts: one per picture.
        told: sentences that the user should see.
    """

    stored: Some
    texts: list[str]
    told: list[str]


def texts_at(places: Sequence[Path], characters: str, longest: int, *, fold: bool) -> Texts:
    """Read pictures of texts, and leave out those that an alphabet cannot spell.

    Args:
        places: list files, LMDB environments, or folders that hold environments at any depth.
        characters: of the alphabet.
        longest: text, in characters.
        fold: whether capital letters are read as small ones.

    Raises:
        InputError: a place is none of these, or no text can be spelt.
    """
    stores: list[Files | Lmdb] = []
    texts, told = [], []
    for path in places:
        found = [path] if path.is_file() else environments(path) if path.is_dir() else []
        if not found:
            came = f"{path} is no file, and no folder with a data.mdb"
            raise fail("texts", came, "a list file, an LMDB environment, or a folder of environments")
        for place in found:
            store, said, more = read_list(place) if place.is_file() else read_lmdb(place)
            stores.append(store)
            texts += said
            told += more
    where = ", ".join(map(str, places))
    if fold:
        texts = [text.lower() for text in texts]
    alphabet = set(characters)
    kept = [row for row, text in enumerate(texts) if 0 < len(text) <= longest and alphabet.issuperset(text)]
    if not kept:
        came = f"none of the {len(texts):,} texts of {where} can be spelt, first {texts[0]!r}"
        raise fail("texts", came, f"texts of 1 to {longest} of the characters {characters!r}")
    if len(kept) < len(texts):
        chosen = set(kept)
        first = next(text for row, text in enumerate(texts) if row not in chosen)
        told.append(
            f"{len(texts) - len(kept):,} of the {len(texts):,} texts of {where} are left out: they are empty, longer "
            f"than {longest} or not of the characters {characters!r}, first {first!r}"
        )
    return Texts(Some(stores, kept), [texts[row] for row in kept], told)


def places_of(texts: Texts) -> set[str]:
    """Return what no two splits may share: environments, and files."""
    return texts.stored.places


@dataclass(frozen=True)
class LetterCrossEntropy:
    """The cross-entropy of the letters of each text, a *surrogate* of the edit distance.

    The mean over all steps of -log p(step, symbol); after the last letter every step has the end symbol.

    Args:
        characters: of the outputs, in their order; the end symbol follows them.
        longest: steps of the outputs.

    Example:
        >>> import torch
        >>> loss = LetterCrossEntropy("ab", 3)
        >>> round(loss(torch.zeros(1, 3, 3), ["ab"]).item(), 4)  # log 3
        1.0986
    """

    characters: str
    longest: int

    def __call__(
        self, outputs: Float[Tensor, "sample step symbol"], targets: Sequence[str]
    ) -> Float[Tensor, "sample"]:
        """Return one loss per sample.

        Raises:
            InputError: outputs of another shape, a text that cannot be spelt.
        """
        expected = (len(targets), self.longest, len(self.characters) + 1)
        if tuple(outputs.shape) != expected:
            raise fail("letters", f"outputs are {describe(outputs)}", f"logits {list(expected)}")
        symbols = encoded(targets, self.characters, self.longest).to(outputs.device)
        return cross_entropy(outputs.transpose(1, 2), symbols, reduction="none").mean(1)
