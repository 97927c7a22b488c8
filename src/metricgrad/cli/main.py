"""The entry point `metricgrad`: what must hold before anything else is imported.

The interpreter puts the current folder first on the path of imports where it is started with `-m` or `-c`, so that a
`rich.py` or `numpy.py` that happens to lie there would run instead of the library. It is taken off; modules of the
current folder are found only where the user names one (see `metricgrad.cli.code`), and after all installed ones.
Standard error may be full, closed, or a pipe whose reader has gone: progress that cannot be written is no reason to
lose a run.
"""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from metricgrad.cli.app import app as app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    leave_current_folder()
    _secure_streams()
    from metricgrad.cli.app import app

    app(prog_name="metricgrad")


def leave_current_folder() -> None:
    """Take the current folder off the path of imports, unless PYTHONPATH names it."""
    with suppress(OSError):  # a current folder that was removed is on no path
        here = os.getcwd()
        by_accident = sys.path[:1] in ([""], [here])
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        by_accident += len(given) > 1 and "" in given and here not in given  # PYTHONPATH=:/my/modules
        for _ in range(by_accident):
            with suppress(ValueError):
                sys.path.remove("" if "" in sys.path else here)


def _secure_streams() -> None:
    """See to it that the three standard descriptors are open, and that standard error never raises."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # else the next file to be opened would be standard error
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    sys.stderr = _Forgiving(sys.stderr)  # pyright: ignore[reportAttributeAccessIssue]


class _Forgiving:
    """A stream that drops what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Be the stream in everything else."""
        return getattr(self._stream, name)


def __getattr__(name: str) -> Any:
    """Import the commands when they are first asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from metricgrad.cli.app import app

    return app
