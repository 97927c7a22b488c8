"""Where pictures lie, one by one: files of a folder, or whatever gives the bytes of a number."""

import bisect
import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, TypeVar

from metricgrad._checks import extra, fail

__all__ = ["Files", "Names", "Some", "Stored", "seen"]

Seen = TypeVar("Seen")


class Stored(Protocol):
    """Pictures by number.

    Attributes:
        digest: hash (SHA-256) of what is there.
    """

    @property
    def digest(self) -> str:
        """Hash of what is there."""
        ...

    @property
    def places(self) -> set[str]:
        """What no two splits may share."""
        ...

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def name(self, number: int) -> str:
        """Return what a picture is called in messages and in the gallery."""
        ...

    def read(self, number: int) -> bytes:
        """Return the bytes of a picture's file."""
        ...


@dataclass(frozen=True)
class Files:
    """Pictures that are files of a folder.

    Args:
        root: the folder.
        files: path of each in it.
        sizes: of the files, in bytes.
    """

    root: Path
    files: Sequence[str]
    sizes: Sequence[int] = field(repr=False)

    @property
    def digest(self) -> str:
        """Hash of names and sizes: the pictures are too many to be read for it."""
        total = hashlib.sha256()
        for file, size in zip(self.files, self.sizes, strict=True):
            total.update(f"{file}\0{size}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    @property
    def places(self) -> set[str]:
        """What no two splits may share."""
        return {str(self.root / file) for file in self.files}

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.files)

    def name(self, number: int) -> str:
        """Return the path in the folder."""
        return self.files[number]

    def read(self, number: int) -> bytes:
        """Return the bytes of a file.

        Raises:
            InputError: it is gone.
        """
        path = self.root / self.files[number]
        try:
            return path.read_bytes()
        except OSError as error:
            raise fail(
                "pictures", f"{path} cannot be read ({error.strerror})", "the picture it was before"
            ) from error


@dataclass(frozen=True)
class Some:
    """Some pictures of several places.

    Args:
        stores: one after the other.
        numbers: which of all of their pictures.
    """

    stores: Sequence[Stored]
    numbers: Sequence[int]

    @property
    def digest(self) -> str:
        """Hash of what is stored, and of which pictures are meant."""
        facts = [store.digest for store in self.stores], list(self.numbers)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @property
    def places(self) -> set[str]:
        """What no two splits may share."""
        return set().union(*(store.places for store in self.stores))

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.numbers)

    def name(self, number: int) -> str:
        """Return what the store calls it."""
        store, place = self._at(number)
        return store.name(place)

    def read(self, number: int) -> bytes:
        """Return the bytes of a picture."""
        store, place = self._at(number)
        return store.read(place)

    def _at(self, number: int) -> tuple["Stored", int]:
        """The store of a picture, and its number there."""
        ends = list(accumulate(map(len, self.stores)))
        place = self.numbers[number]
        store = bisect.bisect_right(ends, place)
        return self.stores[store], place - (ends[store - 1] if store else 0)


class Names(Sequence[str]):
    """What pictures are called, one by one: millions of names are not held.

    Args:
        stored: the pictures.
    """

    def __init__(self, stored: Stored) -> None:
        self.stored = stored

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.stored)

    def __getitem__(self, number: Any) -> Any:
        """Return the name of a picture, or those of a slice."""
        if isinstance(number, slice):
            return [self.stored.name(one) for one in range(len(self))[number]]
        return self.stored.name(range(len(self))[number])


def seen(stored: Stored, number: int, view: Callable[[Any], Seen]) -> Seen:
    """Decode a picture and show it in a view.

    Args:
        stored: the pictures.
        number: of the picture.
        view: takes the image of Pillow.

    Raises:
        InputError: the bytes are no picture, are cut short, or hold more pixels than Pillow takes for a picture.
        MissingExtraError: Pillow is not installed.
    """
    images = extra("PIL.Image", "field", "reading pictures")
    content = stored.read(number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; a bomb of twice the pixels is an error
            with images.open(io.BytesIO(content)) as image:
                image.load()
                return view(image)
    except (OSError, ValueError, SyntaxError, ArithmeticError, images.DecompressionBombError) as error:
        came = f"{stored.name(number)} ({len(content):,} bytes) is no whole picture ({type(error).__name__}: {error})"
        remedy = "Fetch the file again, or leave its line out of the list."
        raise fail("pictures", came, "a picture that Pillow reads", remedy) from error
