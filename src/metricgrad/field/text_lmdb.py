"""Pictures of texts in an LMDB environment, as tools of text recognition write it.

The keys are `num-samples`, and from 1 on `image-000000001` with the bytes of a picture file and `label-000000001` with
its text in UTF-8 [baek2019wrong]. Values are bytes and are never unpickled.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricgrad._checks import describe, extra, fail

__all__ = ["Lmdb", "environments", "is_environment", "read_lmdb"]

DATA = "data.mdb"
_OPEN: dict[str, tuple[Any, Any]] = {}
"""By path: what the file was, and its environment. A process may open an environment only once."""
_LOCK = threading.Lock()


def is_environment(folder: Path) -> bool:
    """Whether a folder is an LMDB environment."""
    return (folder / DATA).is_file()


def environments(folder: Path) -> list[Path]:
    """Return the environments in a folder, at any depth and by name, itself among them."""
    return sorted(path.parent for path in folder.rglob(DATA))


@dataclass(frozen=True)
class Lmdb:
    """The pictures of an environment.

    Args:
        folder: of the environment.
        count: of its pictures.
    """

    folder: Path
    count: int

    @property
    def digest(self) -> str:
        """Hash of the number of pictures and the size of the file: the pictures are too many to be read for it."""
        size = (self.folder / DATA).stat().st_size
        return hashlib.sha256(f"{self.count} {size}".encode()).hexdigest()

    @property
    def places(self) -> set[str]:
        """What no two splits may share."""
        return {str(self.folder.resolve())}

    def __len__(self) -> int:
        """Return the number of pictures."""
        return self.count

    def name(self, number: int) -> str:
        """Return folder and key."""
        return f"{self.folder.name} {_image(number)}"

    def read(self, number: int) -> bytes:
        """Return the bytes of a picture.

        Raises:
            InputError: it is gone.
        """
        with _reading(self.folder, stay=True) as transaction:
            found = transaction.get(_image(number).encode())
        if found is None:
            raise fail(str(self.folder), f"{_image(number)} is gone", "the environment it was before")
        return found


def read_lmdb(folder: Path) -> tuple[Lmdb, list[str], list[str]]:
    """Read the texts of an environment.

    Returns:
        The pictures, the text of each, and sentences that the user should see.

    Raises:
        InputError: no environment, no or a wrong `num-samples`, or a picture or text that is missing or is no UTF-8.
        MissingExtraError: lmdb is not installed.

    Cost:
        Two look-ups per picture: some ten microseconds, two minutes for 14 million.
    """
    with _reading(folder) as transaction:
        said = transaction.get(b"num-samples")
        if said is None or not said.strip().isdigit():
            came = f"num-samples is {describe(said)}"
            raise fail(str(folder), came, "the number of pictures, as create_lmdb_dataset.py writes it")
        count = int(said)
        if count == 0:
            raise fail(str(folder), "num-samples is 0", "at least one picture")
        texts, missing = [], []
        for number in range(count):
            image, label = transaction.get(_image(number).encode()), transaction.get(_label(number))
            if not image or label is None:
                missing.append(_image(number) if not image else _label(number).decode())
                continue
            texts.append(_decoded(folder, number, bytes(label)))
        more = transaction.get(_image(count).encode()) is not None
    if missing:
        came = f"num-samples is {count:,} and {len(missing):,} of these have no picture or no text, first {missing[0]}"
        raise fail(str(folder), came, "an image and a label for every number", "Was the writing broken off?")
    told = (
        [f"{folder} says that it has {count:,} pictures and holds more; the others are passed over"]
        if more
        else []
    )
    return Lmdb(folder, count), texts, told


def _image(number: int) -> str:
    return f"image-{number + 1:09d}"


def _label(number: int) -> bytes:
    return f"label-{number + 1:09d}".encode()


def _decoded(folder: Path, number: int, label: bytes) -> str:
    try:
        return label.decode("utf-8")
    except UnicodeDecodeError as error:
        came = f"{_label(number).decode()} is {describe(label)}"
        raise fail(str(folder), came, "a text in UTF-8") from error


@contextmanager
def _reading(folder: Path, *, stay: bool = False) -> Iterator[Any]:
    """Yield a transaction that reads.

    Args:
        folder: of the environment.
        stay: leave it open for the next picture.
    """
    lmdb = extra("lmdb", "field", "reading LMDB environments")
    path = str(folder.resolve())
    try:
        environment, known = _environment(lmdb, folder, path)
        try:
            with environment.begin() as transaction:
                yield transaction
        finally:
            if not (stay or known):
                _close(path)
    except (lmdb.Error, OSError) as error:
        remedy = "An environment that the process has open elsewhere is closed there first."
        raise fail(
            str(folder), f"it cannot be read ({error})", "an LMDB environment, whole", remedy
        ) from error


def _environment(lmdb: Any, folder: Path, path: str) -> tuple[Any, bool]:
    """The environment of a folder, opened anew where its file has changed, and whether it was open."""
    stat = os.stat(folder / DATA)
    stamp = (os.getpid(), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    with _LOCK:
        known = _OPEN.get(path)
        if known is not None and known[0] == stamp:
            return known[1], True
        if known is not None:
            _OPEN.pop(path)[1].close()
        opened = lmdb.open(path, readonly=True, lock=False, readahead=False, meminit=False, max_spare_txns=32)
        _OPEN[path] = stamp, opened
        return opened, False


def _close(path: str) -> None:
    with _LOCK:
        if path in _OPEN:
            _OPEN.pop(path)[1].close()
