"""`metricgrad tune` and `resume`: the life of a run folder."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from metricgrad.cli.options import FolderOption
from metricgrad.cli.output import (
    AssignmentsOption,
    JsonOption,
    QuietOption,
    complain,
    examples,
)
from metricgrad.cli.report import RunArgument, conclude, require_run_folder
from metricgrad.errors import InputError, Interrupted, RunFolderError

__all__ = ["RESUME_EXAMPLES", "TUNE_EXAMPLES", "carry_out", "resume", "tune"]

TUNE_EXAMPLES = examples(
    "metricgrad tune emoji --metric recall@1",
    "metricgrad tune emoji --metric recall@1 --minutes 5 --seeds 3 --run runs/first",
    "metricgrad tune digits --steps 100 --set settings.learning_rate=1e-3 --json > result.json",
    "metricgrad tune examples/emoji-recall.yaml",
)
RESUME_EXAMPLES = examples("metricgrad resume runs/first", "metricgrad resume runs/first --force")


SideMetricOption = Annotated[
    list[str] | None, typer.Option(help="A metric that must not get worse, measured for every arm.")
]
MayFallOption = Annotated[
    float | None,
    typer.Option(
        help="How far each side metric may fall on select; an arm that falls further is not returned."
    ),
]


def tune(
    what: Annotated[
        str,
        typer.Argument(
            metavar="TASK|RECIPE.yaml", help="A task, package.module:load of your own, or a recipe."
        ),
    ],
    metric: Annotated[
        str | None, typer.Option(help="The metric to tune for; the list command knows them.")
    ] = None,
    side_metric: SideMetricOption = None,
    may_fall: MayFallOption = None,
    method: Annotated[
        str | None, typer.Option(help="auto, or family:objective; several, with commas, share the tries.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="The first seed; the others count up from it.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many seeds; else the recipe's, else 3.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Budget of all arms, seeds and tries together.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of each arm.")] = None,
    batch: Annotated[int | None, typer.Option(help="Items of a training batch.")] = None,
    chunk: Annotated[
        str | None,
        typer.Option(help="Items embedded at once where the batch is larger than memory; or: auto."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the network is trained: cpu, cuda, cuda:1, ...")
    ] = None,
    tries: Annotated[int | None, typer.Option(help="Settings that each arm may try; select decides.")] = None,
    run: FolderOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Data of the task, where it can read others than its own.")
    ] = None,
    assignments: AssignmentsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Tune a model for a metric: start, continued and tuned arms, chosen on select, claimed on a locked test split.

    Ctrl-C writes the checkpoint and stops; resume goes on from there, also after a crash or a kill.
    """
    plan = {"minutes": minutes, "steps": steps, "batch": batch, "chunk": chunk, "tries": tries}
    options: dict[str, Any] = {
        "metric": metric,
        "side_metrics": side_metric,
        "may_fall": may_fall,
        "method": method,
        "device": device,
        "plan": plan,
        "data": {"data": data and str(data)},
    }
    from metricgrad.cli.recipe import given_keys

    given = given_keys(what, options, assignments or [])
    if given.get("methods") is not None:
        raise InputError(f"tune: {what} names several methods; `metricgrad compare {what}` trains them all.")
    carry_out(given, run, as_json=as_json, quiet=quiet, first_seed=seed, seeds=seeds)


def resume(
    run: RunArgument,
    force: Annotated[
        bool,
        typer.Option("--force", help="Go on although data, versions or thread count changed; marks the run."),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Import the modules and use the files that config.yaml names."),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run that was interrupted; a run that is finished is shown again."""
    from metricgrad.cli.recipe import stored_recipe
    from metricgrad.cli.resolve import require_trust

    require_run_folder(run, "config.yaml")
    recipe = stored_recipe(run)
    require_trust(recipe, run, trusted=trust)
    carry_out(recipe, run, as_json=as_json, quiet=quiet, force=force, stored=True)


def carry_out(
    given: Mapping[str, Any],
    folder: Path | None,
    *,
    as_json: bool,
    quiet: bool,
    first_seed: int | None = None,
    seeds: int | None = None,
    force: bool = False,
    stored: bool = False,
    csv: Path | None = None,
) -> None:
    """Resolve a recipe, run it, and show what came out.

    Args:
        given: the keys of the recipe. One with `methods` is a contest of all of them.
        folder: of the run; None for a new one.
        as_json: print JSON.
        quiet: draw no progress.
        first_seed: the seeds count up from here.
        seeds: how many.
        force: go on although data, versions or thread count changed.
        stored: whether the keys are those of a run folder.
        csv: where the table of a contest goes, too.
    """
    from metricgrad.cli.progress import Drawing
    from metricgrad.cli.recipe import Recipe, checked
    from metricgrad.cli.resolve import needs_trust, resolve
    from metricgrad.scale import ProcessLost, joined
    from metricgrad.tune import Comparison
    from metricgrad.tune import compare as run_compare
    from metricgrad.tune import tune as run_tune

    recipe = checked(Recipe, given, f"{folder}/config.yaml" if stored else "the recipe")
    with joined() as processes, Drawing(quiet=quiet or not processes.leader) as observer:
        with processes.leader_first():  # it may fill a cache
            job = resolve(recipe, observer, first_seed=first_seed, seeds=seeds)
        place = Path(processes.led(lambda: str(folder or _new_folder(job.task, job.metric))))
        if not quiet:
            observer({"event": "note", "text": f"run folder {place}"})
        arguments = {**job.arguments, "recipe": dict(given)} if stored else job.arguments
        try:
            if recipe.methods is None:
                result = run_tune(**arguments, folder=place, observer=observer, force=force)
            else:
                result = run_compare(**arguments, folder=place, observer=observer, force=force).result
        except (Interrupted, ProcessLost) as error:
            lost = isinstance(error, ProcessLost)
            if lost or processes.leader:
                complain(error)
                trust = " --trust" if needs_trust(given) else ""
                sys.stderr.write(f"resume with: metricgrad resume {shlex.quote(str(place))}{trust}\n")
            raise typer.Exit(1 if lost else 130) from error
        except InputError:
            if folder is None:
                with contextlib.suppress(OSError):  # made for this run, which has not begun: empty
                    os.removedirs(place)  # and runs/ where nothing else is in it
            raise
    if processes.leader:
        conclude(result, result.report, as_json=as_json)
        if csv is not None:
            Comparison(result).to_csv(csv)


def _new_folder(task: str, metric: str) -> Path:
    """Make the first free runs/TASK-METRIC-NUMBER; another process that looks meanwhile takes the next one."""
    stem = re.sub(r"[^\w@.+-]+", "-", f"{task}-{metric}")
    numbers = [
        int(path.name.rpartition("-")[2])
        for path in Path("runs").glob(f"{_glob_safe(stem)}-[0-9]*")
        if path.name.rpartition("-")[2].isdigit()
    ]
    number = max(numbers, default=0)
    while True:
        number += 1
        path = Path("runs") / f"{stem}-{number:03d}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunFolderError(
                f"cannot make the run folder {path}: {error.strerror}. Name another one with --run FOLDER."
            ) from error
        return path


def _glob_safe(text: str) -> str:
    """Escape what a glob would take for a pattern."""
    return re.sub(r"([*?[])", r"[\1]", text)
