"""Where a command writes: results to stdout, everything else to stderr; text for people or JSON for machines."""

import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "AssignmentsOption",
    "JsonOption",
    "QuietOption",
    "complain",
    "console",
    "examples",
    "noted",
    "print_json",
]

AssignmentsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of a recipe; dots reach inside."),
]
_document: ContextVar[TextIO | None] = ContextVar("document", default=None)


def _keep_stdout(context: Any, asked: bool) -> bool:
    """Keep stdout for the document: what a metric, a model or a library prints meanwhile goes to stderr."""
    if asked and not context.resilient_parsing:
        token = _document.set(context.with_resource(_stdout_alone()))
        context.call_on_close(lambda: _document.reset(token))
        context.with_resource(redirect_stdout(sys.stderr))
    return asked


@contextmanager
def _stdout_alone() -> Iterator[TextIO]:
    """Yield a stream that alone reaches stdout: programs that are started and libraries in C then print to stderr."""
    stream = sys.stdout
    stream.flush()
    if not _is_descriptor(stream, 1):
        yield stream  # somebody has put something else in its place
        return
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding=stream.encoding, errors=stream.errors) as document:
            yield document
    finally:
        with suppress(OSError):
            stream.flush()  # what was written past sys.stdout
        os.dup2(kept, 1)
        os.close(kept)


def _is_descriptor(stream: TextIO, number: int) -> bool:
    """Whether a stream writes to that descriptor."""
    try:
        return stream.fileno() == number
    except (AttributeError, OSError, ValueError):
        return False


JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_keep_stdout,
        help="Print the result as JSON on stdout; everything else goes to stderr.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no notes, only the result.")
]

_WIDTH_OF_A_FILE = 160
"""Columns of a table that goes to a file or a pipe, where rich would assume 80 and cut."""


def examples(*lines: str) -> str:
    """Make the closing part of a help text: one command a line."""
    return "\n\n".join(["[bold]Examples[/bold]", *lines])


def console(*, stderr: bool = False) -> "Console":
    """Return a rich console on stdout or stderr, wide enough for tables where it is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _WIDTH_OF_A_FILE, highlight=False)


def complain(error: BaseException) -> None:
    """Print an error as one line on stderr."""
    sys.stderr.write(f"metricgrad: {' '.join(str(error).split())}\n")
    sys.stderr.flush()


@contextmanager
def noted(*, quiet: bool = False) -> Iterator[list[str]]:
    """Hear the warnings of a command; afterwards they are printed on stderr as notes, once each, and in the list.

    Args:
        quiet: they are in the list only.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", UserWarning)
        yield notes
    notes += dict.fromkeys(" ".join(str(one.message).split()) for one in heard)
    for note in [] if quiet else notes:
        sys.stderr.write(f"note: {note}\n")


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that JSON does not know (NaN, infinity) become null."""
    stream = _document.get() or sys.stdout
    stream.write(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    stream.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
