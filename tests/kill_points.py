"""Runs that are killed at a numbered moment, each forked from one process that has imported everything.

A moment stands before and after every call that changes what lies on the disk (fsync, rename, removal), and around the
functions that a test names besides. The same run has the same moments, so that a fault at number n is met again:

    with Forks("tests.tune.small_run:small", EMIT) as forks:
        whole = forks.run(tmp_path / "whole")                                 # to its end: whole.code is 0
        for number in spread(whole.moments, 6):
            killed = forks.run(tmp_path / f"{number}", kill_at=number)        # killed.code is -9
            resumed = forks.run(tmp_path / f"{number}")

The first run is made in the process that forks the others: what a process does once (lazy imports, compiled loops) is
done there. The program is `package.module:function`; it takes the arguments, as texts, and may return its exit code.
"""

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["EMIT", "Ended", "Forks", "spread"]

ROOT = Path(__file__).parents[1]
EMIT = "metricgrad.tune.folder:RunFolder.emit"
"""The lines of a record: most of them are written without a flush."""

_ON_THE_DISK = ("os:fsync", "os:replace", "os:rename", "os:remove", "os:unlink")


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, -9 where it was killed, and the moments that it had until then."""

    code: int
    moments: int


class Forks:
    """One process that runs a program again and again, each run in a fork of its own.

    Args:
        program: `package.module:function`.
        around: functions, written the same, around which there are moments too.
    """

    def __init__(self, program: str, *around: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill_points", program, *around],
            cwd=ROOT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, *arguments: object, kill_at: int | None = None) -> Ended:
        """Run the program to its end, or kill it with SIGKILL at a moment, the first being 1."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([[*map(str, arguments)], kill_at]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the process that forks the runs has ended; its messages say why"
        return Ended(*json.loads(answer))


def spread(moments: int, count: int | None = None) -> Sequence[int]:
    """Numbers of `count` moments, evenly spread over all; all of them without a count."""
    if count is None:
        return range(1, moments + 1)
    return [1 + (2 * place + 1) * moments // (2 * count) for place in range(count)]


class _Moments:
    """Counts the moments of this process and kills it at one."""

    def __init__(self, around: Sequence[str]) -> None:
        self.passed, self.last = 0, None
        for name in around:
            module, _, path = name.partition(":")
            *owners, attribute = path.split(".")
            owner = functools.reduce(getattr, owners, importlib.import_module(module))
            setattr(owner, attribute, self._around(getattr(owner, attribute)))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._one_more()
            result = function(*args, **kwargs)
            self._one_more()
            return result

        return call

    def _one_more(self) -> None:
        self.passed += 1
        if self.passed == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def _code(function: Callable[..., Any], arguments: Sequence[str]) -> int:
    """Exit code of one run in this process; the error, if any, goes to standard error."""
    try:
        return function(*arguments) or 0
    except BaseException:  # this process only passes on how the run ended
        traceback.print_exc()
        return 1


def _forked(function: Callable[..., Any], arguments: Sequence[str], moments: _Moments) -> Ended:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = _code(function, arguments)
        os.write(writer, str(moments.passed).encode())
        os._exit(code)
    os.close(writer)
    with open(reader) as told:
        passed = int(told.read() or moments.last or 0)
    return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), passed)


def _serve(program: str, *around: str) -> None:
    """Answer each line of standard input, one run, by one line of standard output; prints go to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, name = program.partition(":")
    function = getattr(importlib.import_module(module), name)
    tempfile.gettempdir()  # when first asked it writes and removes a file: the first run alone would have that moment
    moments, warm = _Moments((*_ON_THE_DISK, *around)), False
    for line in sys.stdin:
        arguments, last = json.loads(line)
        moments.passed, moments.last = 0, last
        if warm or last is not None:
            ended = _forked(function, arguments, moments)
        else:
            code, warm = _code(function, arguments), True
            ended = Ended(code, moments.passed)
        print(json.dumps([ended.code, ended.moments]), file=answers, flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
