"""A program that measures: how its line is read, where it is, and the one number that it prints."""

import difflib
import hashlib
import math
import os
import re
import shlex
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricgrad._checks import extra, fail, positive_number
from metricgrad.errors import MetricFailed
from metricgrad.metrics.bounded_process import Ended, run_bounded
from metricgrad.metrics.program_table import write_table

__all__ = ["SECONDS", "Program", "RanLate", "program_of_line"]

SECONDS = 60.0
"""That one call may take where nothing is said."""

_FILES = ("predictions", "targets")
_PLACE = re.compile(r"\{(predictions|targets)(?:\.(csv|parquet))?\}")
_BRACES = re.compile(r"\{([\w.]+)\}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SCRIPT = re.compile(r"[^-].*\.(py|sh|R|pl|rb|jl|js|lua)")
"""What the first argument of an interpreter looks like."""
_OF_A_SHELL = frozenset({"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "2>/dev/null"})
_LARGEST_HASHED = 2**26
"""Bytes of a file that a run knows by its content; a larger one by its size."""


class RanLate(MetricFailed):
    """A program ran past its time and was killed."""


@dataclass(frozen=True)
class Program:
    """A program, found, with its arguments.

    Attributes:
        name: of the metric.
        words: as they were written.
        path: of the program, absolute.
        folder: where it runs: the current folder when it was found.
        seconds: that one call may take.
    """

    name: str
    words: tuple[str, ...]
    path: str
    folder: Path
    seconds: float

    @property
    def line(self) -> str:
        """The words as a shell would take them, for people."""
        return _printable(shlex.join(self.words))

    def identity_parts(self) -> tuple[Any, ...]:
        """What makes two of them the same: their words, and the files that these name as they stand now."""
        files = [word for word in self.words[1:] if not _PLACE.search(word)]
        files += [self.words[0]] * ("/" in self.words[0])  # one of PATH stands for itself, as a library does
        return self.words, sorted((word, _digest(self.folder / word)) for word in files)

    def measured(self, columns: Mapping[str, list[Any]]) -> float:
        """Write the columns as the words ask for, run the program, and return its number.

        Raises:
            MetricFailed: it cannot be started, takes too long, ends with another code than 0, or says no number.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="metricgrad-", ignore_cleanup_errors=True) as place:
                words = [self.path, *(self._filled(word, Path(place), columns) for word in self.words[1:])]
                ended = self._ended(words)
        except OSError as error:
            raise self._failed(
                f"its files cannot be written: {error}", "room in a temporary folder (TMPDIR)", None
            ) from error
        if ended.code is None:
            came = f"it ran past {self.seconds:g} s and was killed"
            raise RanLate(self._said(came, "an end within the time-out", ended))
        if ended.code:
            raise self._failed(_how_it_ended(ended.code), "exit code 0", ended)
        return self._number(ended)

    def _ended(self, words: Sequence[str]) -> Ended:
        """Run the program."""
        try:
            return run_bounded(words, folder=self.folder, seconds=self.seconds)
        except OSError as error:
            came = f"{self.path} cannot be run: {error.strerror or error}"
            said = self._said(came, "a program that starts", None)
            how = "A script begins with a line such as #!/bin/sh, or is an argument: python score.py."
            raise MetricFailed(f"{said} {how}") from error

    def _filled(self, word: str, place: Path, columns: Mapping[str, list[Any]]) -> str:
        """A word with the paths of its files, which are written."""
        for what, form in _PLACE.findall(word):
            path = place / f"{what}.{form or 'csv'}"
            if not path.exists():
                kept = {name: columns[name] for name in columns if what == _FILES[0] or _is_of_targets(name)}
                write_table(path, kept)
        return _PLACE.sub(lambda found: str(place / f"{found[1]}.{found[2] or 'csv'}"), word)

    def _number(self, ended: Ended) -> float:
        """The number on the last line of stdout that is not empty."""
        lines = [line.strip() for line in ended.out.splitlines() if line.strip()]
        if not lines:
            raise self._failed("it printed nothing on stdout", "one finite number", ended)
        number = float(lines[-1]) if _NUMBER.fullmatch(lines[-1]) else math.nan
        if not math.isfinite(number):
            came = f"the last line of its stdout is {_cut(repr(lines[-1]))}"
            raise self._failed(came, "one finite number there, such as 0.75", ended)
        return number

    def _failed(self, came: str, expected: str, ended: Ended | None) -> MetricFailed:
        return MetricFailed(self._said(came, expected, ended))

    def _said(self, came: str, expected: str, ended: Ended | None) -> str:
        """The one form of message, with the last lines that the program printed."""
        remedy = ""
        said = [] if ended is None else ended.err.splitlines() or ended.out.splitlines()
        if lines := [_printable(line.strip()) for line in said if line.strip()][-3:]:
            which = "stderr" if ended is not None and ended.err.strip() else "stdout"
            remedy = f" Its {which} ends with: {' / '.join(map(_cut, lines))}"
        if shell := sorted(_OF_A_SHELL.intersection(self.words)):
            remedy += f" There is no shell: {shell[0]} is an argument like any other. A script of yours can hold it."
        return f"metric {self.name}: {came}; expected {expected}.{remedy}"


def program_of_line(
    line: str | Sequence[str | os.PathLike[str]], *, name: str | None = None, seconds: float = SECONDS
) -> Program:
    """Find the program of a line; nothing is run.

    Args:
        line: the program and its arguments as in a shell, which is not asked; or its words.
        name: of the metric; by default that of the script, or of the program.
        seconds: that one call may take.

    Raises:
        InputError: no words, quotes that do not end, no `{predictions}`, a placeholder that there is not, a program
            that is missing or not executable, a script that is missing, a time-out that is not above 0.
        MissingExtraError: `.parquet` without pyarrow.
    """
    if os.name != "posix":
        raise fail("a program as metric", f"the system is {os.name}", "a POSIX system, with process groups")
    words = _words(line)
    label = name or _label(words)
    caller = f"metric {label}"
    if not re.fullmatch(r"[\w@.+-]{1,60}", label):
        raise fail("a program as metric", f"its name is {label!r}", "letters, digits and @ . + - _")
    seconds = positive_number(caller, "timeout", seconds)
    _require_places(caller, words)
    try:
        folder = Path.cwd()
    except OSError as error:
        raise fail(caller, f"the current folder is gone ({error.strerror})", "one that is there") from error
    path = _found(caller, words[0])
    script = words[1] if len(words) > 1 else ""
    if _SCRIPT.fullmatch(script) and not (folder / script).exists():
        raise fail(caller, f"there is no file {script!r} in {folder}", "the script that the program runs")
    if any(form == "parquet" for word in words for _, form in _PLACE.findall(word)):
        extra("pyarrow.parquet", "parquet", f"{caller}: a file of predictions in Parquet")
    return Program(label, tuple(words), path, folder, seconds)


def _words(line: str | Sequence[str | os.PathLike[str]]) -> list[str]:
    """The words of a line."""
    if isinstance(line, str):
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise fail("a program as metric", f"its line is {line!r}: {error}", "quotes that end") from error
    else:
        words = [os.fspath(word) for word in line]
    if not words or "\0" in "".join(words):
        raise fail("a program as metric", f"its line is {line!r}", "a program and {predictions}")
    return words


def _label(words: Sequence[str]) -> str:
    """The name of the script, or of the program, without its ending."""
    script = words[1] if len(words) > 1 and _SCRIPT.fullmatch(words[1]) else words[0]
    return re.sub(r"[^\w@.+-]+", "-", Path(script).stem)[:60].strip("-") or "program"


def _require_places(caller: str, words: Sequence[str]) -> None:
    """Refuse words without the file of predictions, and placeholders that are mistyped."""
    if _PLACE.search(words[0]):
        raise fail(caller, f"the program is {words[0]!r}", "a program before its files")
    for braced in _BRACES.findall(" ".join(words)):
        near = difflib.get_close_matches(braced.partition(".")[0], _FILES, 1, 0.75)
        if near and not _PLACE.fullmatch(f"{{{braced}}}"):
            raise fail(
                caller,
                f"there is no placeholder {{{braced}}}",
                "{predictions}, {predictions.parquet}, {targets} or {targets.parquet}",
            )
    if not any(what == _FILES[0] for word in words for what, _ in _PLACE.findall(word)):
        raise fail(
            caller,
            f"its line is {shlex.join(words)}",
            "{predictions} (or {predictions.parquet}) where the path of the file goes",
            "The program reads nothing from stdin.",
        )


def _found(caller: str, word: str) -> str:
    """The absolute path of a program."""
    if "/" not in word:
        path = shutil.which(word)
        if path is None:
            here = f" ./{word} is one in the current folder." if Path(word).exists() else ""
            shell = (
                " There is no shell: ~, $ and NAME=value stay as they are." if set(word) & set("~$=") else ""
            )
            raise fail(caller, f"there is no program {word!r} on PATH", "a program", f"{here}{shell}".strip())
        return os.path.abspath(path)
    path = os.path.abspath(word)
    if not os.path.exists(path):
        shell = "There is no shell: ~ and $ stay as they are." if set(word) & set("~$") else ""
        raise fail(caller, f"there is no program {path}", "a path from the current folder", shell)
    if not os.path.isfile(path):
        raise fail(caller, f"{path} is no file", "a program")
    if not os.access(path, os.X_OK):
        raise fail(
            caller,
            f"{path} is not executable",
            "a program",
            f"chmod +x {shlex.quote(word)} makes it one; a script can also be an argument: python {shlex.quote(word)}.",
        )
    return path


def _is_of_targets(name: str) -> bool:
    return name == "index" or name.partition("_")[0] == "target"


def _digest(path: Path) -> str:
    """What a file holds, by its hash; its size where it is large; nothing where there is no such file."""
    try:
        if not path.is_file():
            return ""
        if path.stat().st_size > _LARGEST_HASHED:
            return f"{path.stat().st_size} bytes"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # it may not be read: then it stands for its name
        return ""


def _how_it_ended(code: int) -> str:
    if code > 0:
        return f"it ended with exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"it was killed by {known.get(-code, f'signal {-code}')}"


def _printable(text: str) -> str:
    """Nothing that steers a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _cut(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."
