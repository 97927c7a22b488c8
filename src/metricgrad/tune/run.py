"""`tune`: start, continued, tuned; chosen on select; test read once; a verdict, weights and a record."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import Whole, describe, fail
from metricgrad._types import Observer
from metricgrad.scale import Processes, ProcessLost, joined
from metricgrad.tune.arms import Setup, resolved
from metricgrad.tune.checkpoint import load_state
from metricgrad.tune.contents import contents_of, shared_rows
from metricgrad.tune.contest import Contest
from metricgrad.tune.folder import opened
from metricgrad.tune.groups import shared_groups
from metricgrad.tune.identity import differing, identity_of, note_changes
from metricgrad.tune.plan import Plan
from metricgrad.tune.result import Result
from metricgrad.tune.splits import Splits
from metricgrad.tune.stop import StopRequest

__all__ = ["tune"]


def tune(
    model: nn.Module | Callable[[int], nn.Module],
    splits: Splits | Sequence[Any] | Mapping[str, Any],
    *,
    metric: Any,
    proxy: str | Callable[[Any, Any], Tensor] | None = None,
    method: str = "auto",
    plan: Plan | Mapping[str, Any] | None = None,
    higher_is_better: bool | None = None,
    seed: Whole | Sequence[Whole] = 0,
    settings: Mapping[str, Any] | None = None,
    proxy_settings: Mapping[str, Any] | None = None,
    start_plan: Plan | Mapping[str, Any] | None = None,
    start_settings: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    side_metrics: Sequence[Any] = (),
    may_fall: float | Mapping[str, float] = 0.0,
    folder: str | Path | None = None,
    task: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
    observer: Observer | None = None,
    force: bool = False,
) -> Result:
    """Tune a model for a metric and show by held-out evidence whether that helped.

    Three arms: **start** (the model as it came), **continued** (the proxy loss goes on) and **tuned** (the method),
    the last two with equal steps, trainable parameters, data and tries. `select` chooses the step, the settings and
    the arm whose weights are returned; `test` is read once, at the end, for a paired bootstrap interval of tuned
    minus the other arm that does better on select.

    Args:
        model: a network that already works (it is copied, never changed), or `seed -> network`.
        splits: fit, select, test; `Splits(fit, select)` claims nothing. Each yields `(inputs, targets)` batches, or
            is a pair (X, y) of arrays; `Splits(..., unpack=batch -> (inputs, targets))` reads batches of another form.
        metric: a name ("recall@1"), a function of ours, a torchmetrics metric, a scikit-learn function or scorer,
            a `Metric`, or any `callable(outputs, targets) -> float`.
        proxy: the loss that the model was trained with: `(outputs, targets) -> Tensor`, or the name of one of ours
            ("supcon"). A module with parameters (ArcFace) is copied and trained beside the network.
            Without it there is no control arm, and the result says so.
        method: `auto`, or `family:objective` (`surrogate:recall_at_k`, `direct:average_precision`, ...). Several,
            separated by commas, share the tries out among them: select chooses the method, too.
        plan: budget of the arms, or its fields as a dict.
        higher_is_better: direction of a metric that does not tell its own.
        seed: one or several; each draws its own batches, and its own start model where `model` is a callable.
        settings: of the method (learning_rate, objective temperature, ...); of several methods what belongs to the
            objective is the first one's.
        proxy_settings: of the control arm.
        start_plan: train the start model with the proxy first, until it has no better select value for 5
            evaluations; the best checkpoint is the start.
        start_settings: of that training.
        device: where networks, losses and batches go ("cuda", "cuda:1", "mps"); None: where the network is.
        side_metrics: metrics that must not get worse meanwhile, each given like `metric`. They are measured for every
            arm on the same outputs, and train nothing. A function without a known direction is given as
            `metrics.adapt(function, higher_is_better=...)`.
        may_fall: how far each may fall, in its own units: a number from 0 for all of them, or a mapping by name. An arm
            whose model falls further below the start on select is not returned: the lower end of the paired interval
            of its fall lies above this. `math.inf`: the side metric is only measured.
        folder: where the run lives; one that holds the same run unfinished is resumed. None: a temporary folder,
            which `Result.save` copies.
        task: name of the task, for the record.
        recipe: kept in config.yaml, so that a command can rebuild the call.
        facts: what must be unchanged when the run is resumed (hash of a feature cache, ...).
        observer: receives every event; default: plain lines on standard error.
        force: resume although data, versions or thread count have changed; the run is marked.

    Returns:
        The result: verdict, record, returned weights.

    Raises:
        InputError: an argument does not fit; nothing was written.
        RunFolderError: the folder is read-only, full, in use, or holds another run.
        CheckpointError: the checkpoint is corrupt, or belongs to other data, versions or thread count.
        Interrupted: SIGINT or SIGTERM; the checkpoint is written, the same call resumes.
        ProcessLost: another process of the run has died (runs of torchrun); the same call resumes.

    Several processes:
        Started by torchrun, every process makes this call and embeds its part of every batch; process 0 measures,
        decides and writes. The folder must be one that all of them see.

    Cost:
        seeds * arms * tries * steps training steps, a twentieth as many evaluations of `select`, one pass of every arm
        and seed over `test`; with side metrics another one over `select`.

    Reference:
        [efron1993bootstrap]

    Example:
        >>> import torch
        >>> from metricgrad.tune import ArraySplit, ClassBatchSplit
        >>> inputs, labels = torch.randn(200, 8, generator=torch.manual_seed(0)), torch.arange(200) % 50
        >>> part = [labels < 10, (labels >= 10) & (labels < 30), labels >= 30]
        >>> fit = ClassBatchSplit(inputs[part[0]], labels[part[0]], classes_per_batch=8, samples_per_class=4)
        >>> select, test = (ArraySplit(inputs[rows], labels[rows]) for rows in part[1:])
        >>> quiet = lambda event: None
        >>> result = tune(
        ...     nn.Linear(8, 4),
        ...     Splits(fit, select, test),
        ...     metric="recall@1",
        ...     proxy="supcon",
        ...     plan=Plan(steps=5),
        ...     observer=quiet,
        ... )
        >>> result.verdict in {"gain", "no evidence", "worse"}
        True
    """
    began = time.time()
    if observer is not None and not callable(observer):
        raise fail("tune", f"observer is {describe(observer)}", "a function that takes an event")
    if folder is not None and (not isinstance(folder, str | os.PathLike) or "\0" in str(folder)):
        raise fail("tune", f"folder is {describe(folder)}", "a path")
    setup = resolved(
        model, splits, metric, proxy, method, plan or Plan(), higher_is_better, seed, settings, proxy_settings,
        start_plan, start_settings, device, side_metrics, may_fall,
    )  # fmt: skip
    if str(folder) == "":
        raise fail("tune", "folder is an empty text", "a folder, or None for a temporary one")
    with joined() as processes:
        return _contested(
            processes,
            setup,
            folder,
            observer or plain_lines,
            began,
            task=task,
            recipe=recipe,
            facts=facts,
            force=force,
        )


def _contested(
    processes: Processes,
    setup: Setup,
    folder: str | Path | None,
    show: Observer,
    began: float,
    *,
    task: str | None,
    recipe: Mapping[str, Any] | None,
    facts: Mapping[str, str] | None,
    force: bool,
) -> Result:
    """Run the contest in its folder, or go on with it; a temporary folder of a run that fails before it begins goes."""
    contents = contents_of(setup.splits, show if processes.leader else lambda event: None)
    identity = identity_of(setup, contents, facts or {}, recipe)
    _check_same(processes, identity)
    shared = [*shared_rows(setup.splits, contents), *shared_groups(setup.splits)]
    path = Path(processes.led(lambda: str(folder or tempfile.mkdtemp(prefix="metricgrad-"))))
    try:
        with opened(path, show) as opened_folder, StopRequest() as stop:
            run = Contest(setup, opened_folder, stop, task)
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
            _leave(path, show)
        raise
    result = Result(path, temporary=folder is None and processes.leader)
    result.take(setup.build(run.best_seed))
    processes.wait()  # a temporary folder goes with the result of process 0
    return result


def _leave(path: Path, show: Observer) -> None:
    """Remove the temporary folder of a run that failed, or name it where there is something to resume."""
    state = load_state(path / "last")
    if state is None or not (state["values"] or "stage" in state):
        shutil.rmtree(path, ignore_errors=True)
        return
    text = (
        f"the run is kept in {path}: the same call with folder={str(path)!r} goes on from its last checkpoint"
    )
    show({"event": "note", "time": time.time(), "text": text})


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
