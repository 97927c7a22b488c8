"""Files that a command writes: not over another one unless that is said, and one sentence where it cannot be done."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from metricgrad.errors import InputError

__all__ = ["require_free", "writing"]


def require_free(
    command: str, options: str, written: Sequence[Path], read: Sequence[Path], *, force: bool
) -> None:
    """Refuse to write over a file that is read, twice to one file, or without force over any that is there.

    Args:
        command: for messages.
        options: those that name the files, for messages.
        written: what will be written.
        read: what is read.
        force: whether files that are there may be written over.
    """
    places = [path.resolve() for path in (*read, *written)]
    for path in written:
        if places.count(path.resolve()) > 1:
            raise InputError(f"{command}: {path} would be written over; expected another file ({options}).")
        if path.exists() and not force:
            raise InputError(
                f"{command}: {path} is there already; expected another file ({options}), or --force."
            )


@contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """Turn what goes wrong while a file is written into InputError; the option names another file."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; expected a file in a folder that is there. {option} names "
            "another one."
        ) from error
