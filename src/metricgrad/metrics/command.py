"""An external program as a metric of a whole set: it reads a file of predictions and prints one number."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._columns import are_probabilities, one_column, order_of_class_1
from metricgrad._types import Metric, Reading
from metricgrad.errors import MetricFailed
from metricgrad.metrics.foreign import Foreign, ForeignFunction
from metricgrad.metrics.program import SECONDS, Program, RanLate, program_of_line
from metricgrad.metrics.program_table import columns_of
from metricgrad.metrics.scikit import decided_classes

__all__ = ["READS", "command", "program_of", "watch_calls"]

READS: tuple[Reading, ...] = ("classes", "scores", "probabilities", "values", "embeddings", "texts")
"""What a program may read."""

LATE = 3
"""Calls in a row of one number of rows that ran past their time, after which a program is not started for that many.
One that hangs on the pool may still measure select."""
LATE_IN_ALL = 10
"""The same of calls of any number of rows: resamples of groups have many."""
FAILED = 20
"""The same of any failed calls of a program that never gave a number."""


def command(
    line: str | Sequence[str | PathLike[str]],
    *,
    higher_is_better: bool | None = None,
    reads: Reading | None = None,
    unit: str = "whole",
    timeout: float = SECONDS,
    name: str | None = None,
) -> Metric:
    """Make the record of a metric that a program measures (exact; the program is called as it is).

    The program runs in the current folder, without a shell and without input. `{predictions}` in its words becomes the
    path of a CSV file in a temporary folder, `{predictions.parquet}` that of a Parquet file; `{targets}` is a file
    without the outputs. It ends with exit code 0, and the last line of its stdout that is not empty is one finite
    number.

    | reads | what is made of the outputs | columns beside `index` and `target` |
    |---|---|---|
    | `classes` | whole numbers as they are, the argmax of scores [sample, class] | `prediction` |
    | `scores` | one number of one or two columns, higher for class 1; more as they are | `score`, or `score_0`, ... |
    | `probabilities` | numbers in [0, 1], rows that sum to 1 | `score`, or `score_0`, ... |
    | `values` | numbers as they are | `prediction`, or `prediction_0`, ... |
    | `embeddings` | vectors as they are | `dim_0`, ... |
    | `texts` | texts as they are | `prediction` |
    | None | as they are | `prediction`, or `score_0`, ... |

    Args:
        line: the program and its arguments, parted as in a shell; or its words. A path is one from the current folder,
            another word is looked for on PATH.
        higher_is_better: the direction, which must be given.
        reads: what the program reads. `classes`: `tune` fits a decision rule for it.
        unit: `whole`: one call per measurement, no interval. `sample`: the samples are independent units, an interval
            draws them and calls the program for every resample.
        timeout: seconds that one call may take; then its whole process group is killed.
        name: what tables call it; by default the name of the script, or of the program.

    Returns:
        The record; `metrics.metric_calls` counts the calls.

    Raises:
        InputError: a direction that is missing, a line without `{predictions}`, a program that is missing or not
            executable, another reading or unit, a time-out that is not above 0.
        MissingExtraError: Parquet without pyarrow.
        MetricFailed: (on measuring) the program cannot be started, runs past its time, ends with another exit code, or
            prints no finite number: NaN too. The message ends with the last lines of its stderr.

    Edge cases:
        After three calls in a row on as many rows that ran past their time (ten on any), and after 20 failed ones
        without any number before, it is not started any more: every further call fails at once. What the program
        leaves running in its process group is killed. No sample: a file with a header only.

    Gradient: none.

    Cost: one file and one process per call.

    Example:
        >>> import sys
        >>> program = "import csv, sys; rows = list(csv.DictReader(open(sys.argv[1]))); print(len(rows))"
        >>> metric = command(
        ...     [sys.executable, "-c", program, "{predictions}"], higher_is_better=True, name="rows"
        ... )
        >>> metric.summarise(metric.measure(torch.tensor([1, 0, 1]), torch.tensor([1, 1, 1])))
        3.0
    """
    program = program_of_line(line, name=name, seconds=timeout)
    caller = f"metric {program.name}"
    if higher_is_better is None:
        raise fail(
            caller,
            "its direction is not known",
            "higher_is_better=True or higher_is_better=False",
            "On the command line: --higher-is-better or --lower-is-better.",
        )
    if not isinstance(higher_is_better, bool):
        raise fail(caller, f"higher_is_better is {higher_is_better!r}", "True or False")
    if reads is not None and reads not in READS:
        raise fail(caller, f"reads is {reads!r}", f"one of {', '.join(READS)}, or None")
    if unit not in ("sample", "whole"):
        raise fail(caller, f"unit is {unit!r}", "'whole' or 'sample'")
    found = f"program {program.path}, run as {program.line}"
    read = _READ.get(reads, _as_they_are)
    foreign = Foreign(
        program.name, program.measured, None, found, read=partial(read, program.name), reads=reads
    )
    function = _ProgramFunction(foreign, program, resample=unit == "sample")
    direction = "higher is better" if higher_is_better else "lower is better"
    drawn = "no interval, as it takes the set as a whole"
    if unit == "sample":
        drawn = "an interval calls it per resample"
    return Metric(
        name=program.name,
        measure=function.measure,
        summarise=function.summarise,
        higher_is_better=higher_is_better,
        bounds=(-math.inf, math.inf),
        unit=unit,
        description=f"{found}, {direction}; {drawn}",
        reads=reads,
    )


def program_of(metric: Metric) -> Program | None:
    """The program that measures; None for any other metric."""
    function = getattr(metric.summarise, "__self__", None)
    return function.program if isinstance(function, _ProgramFunction) else None


def watch_calls(metric: Metric, watch: Callable[[int, float], None], seconds: float = 10.0) -> None:
    """Let `watch(calls, seconds per call)` be called now and then while a program is run again and again.

    Args:
        metric: any; nothing happens for one that is no program.
        watch: is told how often it was run, and how long that took each time.
        seconds: between two times, at the least.
    """
    function = getattr(metric.summarise, "__self__", None)
    if isinstance(function, _ProgramFunction):
        function.watch, function.pause = watch, seconds


class _ProgramFunction(ForeignFunction):
    """As a foreign function, but one that is handed a file.

    Attributes:
        program: that measures.
        watch: is told now and then how often it was run, and how long that took each time.
        pause: seconds between two times.
    """

    def __init__(self, foreign: Foreign, program: Program, *, resample: bool) -> None:
        super().__init__(foreign, resample=resample, check=False)
        self.program, self._late = program, Counter[int | None]()  # by number of rows, and of any as None
        self._failed, self._gave, self._last = 0, False, ""
        self.watch: Callable[[int, float], None] = _nobody
        self.pause = 0.0
        self._spent, self._told = 0.0, time.monotonic()

    def identity_parts(self) -> tuple[Any, ...]:
        """What makes two of them the same."""
        return self.foreign.name, self.foreign.reads, self.program.identity_parts(), self._resample

    def value(self, outputs: Any, targets: Any, **weights: Any) -> float:
        """Write the table and call the program.

        Raises:
            MetricFailed: as `command`.
        """
        del weights  # a program takes none
        caller = f"metric {self.foreign.name}"
        if self._failed >= FAILED and not self._gave:
            raise MetricFailed(f"{self._last} It failed {FAILED} times in a row and is not started any more.")
        columns = columns_of(caller, outputs, targets, self.foreign.reads)
        rows = len(columns["index"])
        if (late := self._late[rows]) >= LATE or (late := self._late[None]) >= LATE_IN_ALL:
            raise MetricFailed(
                f"{caller}: {late} calls in a row ran past {self.program.seconds:g} s, so that it is not started any "
                "more; expected an end within the time-out."
            )
        self.calls += 1
        began = time.monotonic()
        try:
            found = self.program.measured(columns)
        except MetricFailed as error:
            self._failed, self._last = self._failed + 1, str(error)
            for key in (rows, None):
                self._late[key] = self._late[key] + 1 if isinstance(error, RanLate) else 0
            raise
        finally:
            self._tell(began)
        self._late[rows] = self._late[None] = 0
        self._gave = True
        return found

    def _tell(self, began: float) -> None:
        now = time.monotonic()
        self._spent += now - began
        if now - self._told > self.pause:
            self._told = now
            self.watch(self.calls, self._spent / self.calls)


def _nobody(calls: int, seconds: float) -> None:
    del calls, seconds


def _as_they_are(name: str, outputs: Any, targets: Any) -> tuple[Any, Any]:
    del name
    return outputs, targets


def _classes(name: str, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Whole numbers, or the argmax of scores."""
    return decided_classes(name)(_tensor(outputs), _tensor(targets))


def _scores(name: str, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """One number per sample of one or two columns; more of them as they are."""
    del name
    scores = _tensor(outputs)
    order = order_of_class_1(scores) if isinstance(scores, Tensor) else None
    return scores if order is None else order, targets


def _probabilities(name: str, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Probabilities, which are not changed."""
    given = one_column(_tensor(outputs))
    if isinstance(given, Tensor) and given.numel():
        within = bool(((given >= 0) & (given <= 1)).all())
        if not (within and (given.ndim == 1 or are_probabilities(given))):
            raise fail(
                f"metric {name}",
                f"outputs are {describe(outputs)} and no probabilities",
                "numbers in [0, 1], rows that sum to 1",
                "Let the model end in a softmax (one score: a sigmoid), or say reads=scores.",
            )
    return given, targets


def _tensor(given: Any) -> Any:
    """An array of numbers as a tensor; anything else as it is."""
    if isinstance(given, np.ndarray) and given.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(given))
    return given


_READ: Mapping[Reading | None, Callable[[str, Any, Any], tuple[Any, Any]]] = {
    "classes": _classes,
    "scores": _scores,
    "probabilities": _probabilities,
}
"""How outputs and targets are read, where they are not taken as they are."""
