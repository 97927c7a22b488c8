"""The page as a file: written whole or not at all, and never over a file of another program."""

import contextlib
import os
from pathlib import Path

from metricgrad._documents import MEGABYTE, Unreadable, content_of
from metricgrad._layout import temporary_of
from metricgrad.errors import RunFolderError

__all__ = ["write_page"]

LARGEST_PAGE = 256 * MEGABYTE
_GENERATOR = b'<meta name="generator" content="metricgrad">'


def write_page(target: Path, text: str) -> None:
    """Write a file beside its place and rename it, so that a reader never sees half of it."""
    try:
        old = content_of(target, most=LARGEST_PAGE)[:1000] if os.path.lexists(target) else _GENERATOR
    except Unreadable as error:
        raise _unwritable(target, str(error)) from error
    if old and _GENERATOR not in old:
        raise _unwritable(target, "it is a file of another program, and is not overwritten")
    beside = temporary_of(target)
    try:
        with beside.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise _unwritable(target, error.strerror or str(error)) from error


def _unwritable(target: Path, why: str) -> RunFolderError:
    return RunFolderError(
        f"report: {target} cannot be written ({why}); expected a place with room that may be written to. Give another "
        "place: --out FILE, or render(folder, out=FILE)."
    )
