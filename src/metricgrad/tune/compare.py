"""`compare`: any number of methods in one contest, one table, claims that hold for all of them together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import Whole, calling, describe, fail
from metricgrad._types import Observer
from metricgrad.tune.asked import Asked, Equal
from metricgrad.tune.compared import Comparison
from metricgrad.tune.entries import Control, Entry, asked_of
from metricgrad.tune.launch import launched
from metricgrad.tune.local_workers import local_crew
from metricgrad.tune.plan import Plan
from metricgrad.tune.ray_workers import crew_at
from metricgrad.tune.splits import Splits

__all__ = ["compare"]


def compare(
    model: nn.Module | Callable[[int], nn.Module],
    splits: Splits | Sequence[Any] | Mapping[str, Any],
    *,
    metric: Any,
    methods: Sequence[Entry],
    proxy: str | Callable[[Any, Any], Tensor] | None = None,
    controls: Sequence[Control] | None = None,
    plan: Plan | Mapping[str, Any] | None = None,
    seeds: Whole | Sequence[Whole] = 0,
    equal: Equal = "steps",
    higher_is_better: bool | None = None,
    proxy_settings: Mapping[str, Any] | None = None,
    start_plan: Plan | Mapping[str, Any] | None = None,
    start_settings: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    side_metrics: Sequence[Any] = (),
    may_fall: float | Mapping[str, float] = 0.0,
    decision: str | nn.Module = "auto",
    folder: str | Path | None = None,
    task: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    observer: Observer | None = None,
    force: bool = False,
    began: float | None = None,
    ray: str | None = None,
    processes: Whole | None = None,
    again: Callable[[], Asked] | None = None,
) -> Comparison:
    """Train several methods for a metric under equal conditions and say by held-out evidence which of them helped.

    A run like that of `tune`, with any number of contenders and controls. All start from the same model of a seed, see
    the same batches and have as many tries. `select` chooses step and settings of each, the opponent (the control, or
    the start, that does best there) and the arm whose weights are returned. `test` is read once, at the end: each
    contender is compared with the opponent, paired, and Holm's adjustment makes the claims hold for all of them
    together.

    Args:
        model: a network that already works (it is copied, never changed), or `seed -> network`.
        splits: fit, select, test; see `tune`.
        metric: see `tune`.
        methods: the contenders. Each is a method (`"surrogate:recall_at_k"`), a pair (method, settings), or a
            `Contender(name, method, settings)`. Without a name of its own one is called like its method.
        proxy: the loss that the model was trained with; see `tune`.
        controls: what the time could be spent on instead, given like methods; `"continued"` is training on with the
            proxy loss; `"raw"` and `"closed-form"` train nothing, see `closed_forms` of `tune`. None: those of the
            three that apply. A `GivenForm` is a map of the inputs that was made before. The start model always
            competes.
        plan: budget of every arm, or its fields as a dict.
        seeds: one or several.
        equal: `steps`: every arm takes the steps of the plan. `time`: the arms share the time that this would take
            equally. A few steps of each are timed before training; the numbers of steps are written into the record and
            rule from then on.
        higher_is_better: direction of a metric that does not tell its own.
        proxy_settings: of the control `continued`.
        start_plan: train the start model with the proxy first; see `tune`.
        start_settings: of that training.
        device: where networks, losses and batches go.
        side_metrics: metrics that must not get worse meanwhile; see `tune`.
        may_fall: how far each may fall; see `tune`.
        decision: how class scores become classes, in every arm alike; see `tune`.
        folder: where the run lives. One that holds the same comparison unfinished is resumed: what is trained stays,
            and at most the steps since the last checkpoint are lost. None: a temporary folder, which `Comparison.save`
            copies.
        task: name of the task, for the record.
        recipe: kept in config.yaml, so that a command can rebuild the call.
        facts: what must be unchanged when the run is resumed.
        notes: sentences that the record begins with: what a reader should know of the data.
        observer: receives every event; default: plain lines on standard error.
        force: resume although data, versions or thread count have changed; the run is marked.
        began: seconds since the epoch (`time.time()`) from which the minutes of the plan count; None: from this call.
        ray: `"auto"` or `"HOST:PORT"`: train the cells (seed, arm, try) side by side on a Ray cluster that is running,
            with the figures that this process would have given. None: here, one after the other.
        processes: train the cells side by side in this many processes of this machine, with the same figures; they are
            spawned, so a script calls `compare` under `if __name__ == "__main__":`. None or 1: here.
        again: returns `asked_of` these arguments, in another process: a function found by name where the arguments
            cannot be pickled. None: they are pickled.

    Returns:
        The comparison: a table, its files, the network with the returned weights.

    Raises:
        InputError: an argument does not fit, or two arms have one name; nothing was written.
        RunFolderError: the folder is read-only, full, in use, or holds another run.
        CheckpointError: the checkpoint is corrupt, or belongs to other data, versions or thread count.
        Interrupted: SIGINT or SIGTERM; the checkpoint is written, the same call resumes.
        MissingExtraError: `ray` is given, and Ray is not installed.
        CellLost: the workers of one cell died again and again.

    Cost:
        seeds * (controls + methods) * tries * steps training steps, a twentieth as many evaluations of `select`, one
        pass of every arm and seed over `test`.

    Reference:
        [holm1979simple], [efron1993bootstrap]

    Example:
        >>> from metricgrad.tune import ArraySplit, ClassBatchSplit, Contender
        >>> inputs, labels = torch.randn(200, 8, generator=torch.manual_seed(0)), torch.arange(200) % 50
        >>> part = [labels < 10, (labels >= 10) & (labels < 30), labels >= 30]
        >>> fit = ClassBatchSplit(inputs[part[0]], labels[part[0]], classes_per_batch=8, samples_per_class=4)
        >>> select, test = (ArraySplit(inputs[rows], labels[rows]) for rows in part[1:])
        >>> found = compare(
        ...     nn.Linear(8, 4),
        ...     Splits(fit, select, test),
        ...     metric="recall@1",
        ...     proxy="supcon",
        ...     methods=[
        ...         "surrogate:recall_at_k",
        ...         Contender("slow", "surrogate:recall_at_k", {"learning_rate": 1e-4}),
        ...     ],
        ...     plan=Plan(steps=5, resamples=200),
        ...     observer=lambda event: None,
        ... )
        >>> [row.name for row in found.table]
        ['start', 'continued', 'raw', 'closed-form', 'surrogate-recall_at_k', 'slow']
    """
    if ray is not None and processes is not None:
        raise fail("compare", f"processes={describe(processes)} and ray={describe(ray)}", "one of both")
    with calling("compare"), crew_at(ray) as crew:
        asked = asked_of(
            model,
            splits,
            metric=metric,
            methods=methods,
            proxy=proxy,
            controls=controls,
            plan=plan,
            seeds=seeds,
            higher_is_better=higher_is_better,
            proxy_settings=proxy_settings,
            start_plan=start_plan,
            start_settings=start_settings,
            device=device,
            side_metrics=side_metrics,
            may_fall=may_fall,
            equal=equal,
            decision=decision,
            notes=notes,
            began=began,
        )
        crew = crew or local_crew(processes, asked, again)
        result = launched(
            asked, crew, folder=folder, task=task, recipe=recipe, facts=facts, observer=observer, force=force
        )
    return Comparison(result)
