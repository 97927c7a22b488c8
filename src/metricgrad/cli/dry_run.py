"""`metricgrad tune --dry-run`: what a run would read, train and take, without training or writing anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from metricgrad.cli.output import console, print_json
from metricgrad.cli.progress import Drawing
from metricgrad.cli.recipe import Recipe, checked
from metricgrad.cli.resolve import resolve
from metricgrad.cli.task_options import import_named
from metricgrad.errors import InputError
from metricgrad.tune.rehearsal import Rehearsal, rehearsed

__all__ = ["rehearse"]

_OF_THE_RUN = ("facts", "task", "recipe", "side_metrics", "may_fall")
"""Arguments of a job that only a run needs; side metrics are checked by their names."""


def rehearse(
    given: Mapping[str, Any],
    folder: Path | None,
    *,
    as_json: bool,
    quiet: bool,
    first_seed: int | None = None,
    seeds: int | None = None,
) -> None:
    """Resolve a recipe, and show what is known of the run before it trains.

    Args:
        given: the keys of the recipe.
        folder: of the run; refused, since nothing is written.
        as_json: print JSON.
        quiet: draw no progress and no notes.
        first_seed: the seeds count up from here.
        seeds: how many.

    Raises:
        InputError: whatever a run would refuse before it trains.
    """
    if folder is not None:
        raise InputError(
            f"tune: --dry-run came with --run {folder}; nothing is written. Leave one of them out."
        )
    recipe = checked(Recipe, given, "the recipe")
    import_named(given)
    with Drawing(quiet=quiet) as observer:
        job = resolve(recipe, observer, first_seed=first_seed, seeds=seeds)
        found = rehearsed(**{name: value for name, value in job.arguments.items() if name not in _OF_THE_RUN})
    if as_json:
        print_json({"task": job.task, "metric": job.metric, **found.to_dict(), "notes": observer.notes})
    else:
        _draw(job.task, job.metric, found)


def _draw(task: str, metric: str, found: Rehearsal) -> None:
    screen = console()
    screen.print(Text(f"{task}, {metric}: checked, nothing was trained or written"))
    table = Table(
        "split", "items", "classes", "batches of a pass", "ranked against", box=None, pad_edge=False
    )
    for name, facts in found.splits.items():
        others = facts.get("reference")
        against = "" if others is None else f"{others:,} others"
        table.add_row(name, *(_number(facts.get(key)) for key in ("items", "classes", "batches")), against)
    screen.print(table)
    steps = "as minutes allow" if found.steps is None else f"{found.steps:,}"
    told = [
        f"first batch: inputs {found.inputs}, targets {found.targets}; {found.chunk:,} embedded at once",
        f"outputs of its first items: {found.outputs}",
        f"network on {found.device}: {found.parameters:,} parameters, {found.trained:,} trained",
        f"arms: {', '.join(found.arms)}; steps of each: {steps}; seeds: {', '.join(map(str, found.seeds))}",
        *(
            []
            if found.start_steps is None
            else [f"the start model is trained before, at most {found.start_steps:,} steps"]
        ),
        f"memory while training, estimated: {_size(found.total)}",
        *(f"  {what}: {_size(size)}" for what, size in found.memory.items()),
    ]
    if found.free is not None:
        enough = "" if found.total <= found.free else ": too little; lower plan.chunk or the batch"
        told.append(f"free on {found.device} now: {_size(found.free)}{enough}")
    for text in told:
        screen.print(Text(text))


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.2f} MB"
