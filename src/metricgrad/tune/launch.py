"""Open a folder and run a contest in it: what `tune` and `compare` share."""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad._checks import caller, describe, fail
from metricgrad._types import Observer
from metricgrad.scale import Processes, ProcessLost, joined
from metricgrad.tune.asked import Asked
from metricgrad.tune.contents import contents_of, shared_rows
from metricgrad.tune.contest import Contest, Crew
from metricgrad.tune.folder import leave, opened
from metricgrad.tune.groups import shared_groups
from metricgrad.tune.identity import differing, identity_of, note_changes
from metricgrad.tune.resolving import resolved
from metricgrad.tune.result import Result
from metricgrad.tune.stop import StopRequest

__all__ = ["launched", "plain_lines"]


def launched(
    asked: Asked,
    crew: Crew | None = None,
    *,
    folder: str | Path | None,
    task: str | None,
    recipe: Mapping[str, Any] | None,
    facts: Mapping[str, str] | None,
    observer: Observer | None,
    force: bool,
) -> Result:
    """Run what is asked for in its folder, or go on there, and return the result; see `tune`.

    With a crew the stages are trained by its workers, else in this process.
    """
    began = time.time() if asked.began is None else asked.began
    if observer is not None and not callable(observer):
        raise fail(caller(), f"observer is {describe(observer)}", "a function that takes an event")
    if folder is not None and (not isinstance(folder, str | os.PathLike) or "\0" in str(folder)):
        raise fail(caller(), f"folder is {describe(folder)}", "a path")
    setup = resolved(asked)
    if str(folder) == "":
        raise fail(caller(), "folder is an empty text", "a folder, or None for a temporary one")
    with joined() as processes, contextlib.ExitStack() as left:
        show = observer or plain_lines
        contents = contents_of(setup.splits, show if processes.leader else lambda event: None)
        identity = identity_of(setup, contents, facts or {}, recipe)
        _check_same(processes, identity)
        workers = None if crew is None else left.enter_context(crew(setup, identity))
        shared = [*shared_rows(setup.splits, contents), *shared_groups(setup.splits)]
        path = Path(processes.led(lambda: str(folder or tempfile.mkdtemp(prefix="metricgrad-"))))
        try:
            with opened(path, show) as opened_folder, StopRequest() as stop:
                run = Contest(setup, opened_folder, stop, task, workers)
                try:
                    run.go(identity, shared, began=began, force=force)
                finally:
                    note_changes(opened_folder, setup, identity)
        except ProcessLost as error:
            raise ProcessLost(
                f"{error} The run in {path} can be resumed from its last checkpoint, with any number of processes."
            ) from error
        except BaseException:
            if folder is None and processes.leader:
                leave(path, show)
            raise
        result = Result(path, temporary=folder is None and processes.leader)
        result.take(setup.build(run.best_seed))
        processes.wait()  # a temporary folder goes with the result of process 0
    return result


def _check_same(processes: Processes, identity: Mapping[str, Any]) -> None:
    """Raise InputError, on every process, where they do not hold the same model, data and settings."""
    different = differing([json.loads(text) for text in processes.gathered(json.dumps(identity))])
    if different:
        raise fail(
            "processes",
            f"they do not hold the same: {', '.join(different)} differ between them",
            "the same call with the same model, data and settings in every process",
            "Each batch is shared out among them by metricgrad: no process takes its own part of the data.",
        )


def plain_lines(event: Mapping[str, Any]) -> None:
    """Write what matters as plain lines on standard error: the observer of a run that names none."""
    text = {
        "note": "{text}",
        "stage_started": "seed {seed}: {arm} (try {attempt}), {steps} steps",
        "evaluated": "seed {seed}: {arm} step {step}: select {value:.4f} (best {best:.4f} at step {best_step})",
        "tested": "seed {seed}: {arm}: test {value:.4f} over {units} units",
        "verdict": "{sentence}",
    }.get(event["event"])
    if text is not None and sys.stderr is not None:
        with contextlib.suppress(
            OSError, ValueError
        ):  # a full disk or a closed terminal is no reason to lose a run
            sys.stderr.write(text.format(**event) + "\n")
