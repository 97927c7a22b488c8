"""`metricgrad tune`, `resume` and `report`: the life of a run folder."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricgrad.cli.output import (
    AssignmentsOption,
    JsonOption,
    QuietOption,
    complain,
    console,
    examples,
    print_json,
)
from metricgrad.errors import InputError, Interrupted, RunFolderError

if TYPE_CHECKING:
    from metricgrad.tune import Result

__all__ = ["REPORT_EXAMPLES", "RESUME_EXAMPLES", "TUNE_EXAMPLES", "given_keys", "report", "resume", "tune"]

TUNE_EXAMPLES = examples(
    "metricgrad tune emoji --metric recall@1",
    "metricgrad tune emoji --metric recall@1 --minutes 5 --seeds 3 --run runs/first",
    "metricgrad tune digits --steps 100 --set settings.learning_rate=1e-3 --json > result.json",
    "metricgrad tune examples/emoji-recall.yaml",
)
RESUME_EXAMPLES = examples("metricgrad resume runs/first", "metricgrad resume runs/first --force")
REPORT_EXAMPLES = examples("metricgrad report runs/first", "metricgrad report runs/first --json")

RunArgument = Annotated[Path, typer.Argument(help="The run folder.", metavar="RUN")]


def _folder_named(text: str) -> Path:
    """A folder by its name; an unset variable of the shell is none."""
    if not text.strip():
        raise typer.BadParameter("the name is empty; expected a folder, or leave the option out")
    return Path(text)


SideMetricOption = Annotated[
    list[str] | None, typer.Option(help="A metric that must not get worse, measured for every arm.")
]
MayFallOption = Annotated[
    float | None,
    typer.Option(
        help="How far each side metric may fall on select; an arm that falls further is not returned."
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        "--run-folder",
        parser=_folder_named,
        metavar="FOLDER",
        help="Run folder (the long word under torchrun). Default: runs/TASK-METRIC-NUMBER.",
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
    given = given_keys(what, options, assignments or [])
    _run(given, run, as_json=as_json, quiet=quiet, first_seed=seed, seeds=seeds)


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
    from metricgrad.cli.code import check_trust
    from metricgrad.cli.resolve import named_files

    recipe = _recipe_of(run)
    check_trust(recipe, named_files(recipe), run, trusted=trust)
    _run(recipe, run, as_json=as_json, quiet=quiet, force=force, stored=True)


def report(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="The page to write, where not report.html in the run folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw report.html of a run folder anew from its record, and show the closing table."""
    _folder_of_a_run(run, "record.jsonl")
    from metricgrad.report import read_run, render
    from metricgrad.tune import Result

    read_run(run)  # first: it says which line of a damaged record is wrong
    _conclude(Result.load(run), lambda: render(run, out=out), as_json=as_json)


def given_keys(what: str, options: Mapping[str, Any], assignments: list[str]) -> dict[str, Any]:
    """The keys of the recipe that a command line describes."""
    from metricgrad import tasks
    from metricgrad.cli.recipe import read_recipe
    from metricgrad.cli.resolve import merged, override

    path = Path(what)
    is_recipe = path.suffix in (".yaml", ".yml") or (what not in tasks.__all__ and os.path.exists(path))
    below: dict[str, Any] = read_recipe(path) if is_recipe else {"task": what}
    above = _set_values(
        {
            key: _set_values(value) or None if isinstance(value, Mapping) else value
            for key, value in options.items()
        }
    )
    budget = {"minutes", "steps"} & set(above.get("plan", {}))
    if budget and isinstance(
        below.get("plan"), Mapping
    ):  # an option replaces the recipe's budget, whichever it is
        below["plan"] = {
            key: value for key, value in below["plan"].items() if key not in ("minutes", "steps")
        }
    return override(merged(below, above), assignments)


def _set_values(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _run(
    given: Mapping[str, Any],
    folder: Path | None,
    *,
    as_json: bool,
    quiet: bool,
    first_seed: int | None = None,
    seeds: int | None = None,
    force: bool = False,
    stored: bool = False,
) -> None:
    """Resolve a recipe, run it, and show what came out."""
    from metricgrad.cli.code import named_code
    from metricgrad.cli.progress import Drawing
    from metricgrad.cli.recipe import Recipe, checked
    from metricgrad.cli.resolve import named_files, resolve
    from metricgrad.scale import ProcessLost, joined
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
            result = run_tune(**arguments, folder=place, observer=observer, force=force)
        except (Interrupted, ProcessLost) as error:
            lost = isinstance(error, ProcessLost)
            if lost or processes.leader:
                complain(error)
                trust = " --trust" if named_code(given) or named_files(given) else ""
                sys.stderr.write(f"resume with: metricgrad resume {shlex.quote(str(place))}{trust}\n")
            raise typer.Exit(1 if lost else 130) from error
        except InputError:
            if folder is None:
                with contextlib.suppress(OSError):  # made for this run, which has not begun: empty
                    os.removedirs(place)  # and runs/ where nothing else is in it
            raise
    if processes.leader:
        _conclude(result, result.report, as_json=as_json)


def _conclude(result: "Result", draw: Callable[[], Path], *, as_json: bool) -> None:
    """Draw the page and show the table; where the page cannot be written, the table all the same."""
    try:
        page = draw()
    except RunFolderError as error:
        _show(result, None, as_json=as_json)
        complain(error)
        raise typer.Exit(2) from error
    _show(result, page, as_json=as_json)


def _new_folder(task: str, metric: str) -> Path:
    """Make the first free runs/TASK-METRIC-NUMBER; another process that looks meanwhile takes the next one."""
    stem = re.sub(r"[^\w@.+-]+", "-", f"{task}-{metric}")
    numbers = [int(path.name.rpartition("-")[2]) for path in Path("runs").glob(f"{glob_safe(stem)}-[0-9]*")
               if path.name.rpartition("-")[2].isdigit()]  # fmt: skip
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


def glob_safe(text: str) -> str:
    """Escape what a glob would take for a pattern."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _folder_of_a_run(run: Path, needed: str) -> None:
    if not os.path.exists(run):  # unlike Path.exists, False for a name that is too long
        raise InputError(f"there is no run folder {run}; expected a folder that `metricgrad tune` wrote.")
    if not run.is_dir():
        raise InputError(f"{run} is a file; expected the folder of a run.")
    if not (run / needed).is_file():
        raise InputError(f"{run} has no {needed}; expected a folder that `metricgrad tune` wrote.")


def _recipe_of(run: Path) -> dict[str, Any]:
    """The recipe that a run folder keeps."""
    _folder_of_a_run(run, "config.yaml")
    from metricgrad._layout import check_layout
    from metricgrad.tune.folder import read_config

    check_layout(run)
    recipe = (read_config(run) or {}).get("recipe")
    if recipe is None:
        raise InputError(
            f"{run}/config.yaml holds no recipe: the run was started from Python, not by the command; call "
            f"metricgrad.tune with the same arguments and folder={str(run)!r} to resume it."
        )
    if not isinstance(recipe, Mapping):
        raise InputError(f"{run}/config.yaml holds a recipe that is no mapping; restore it from a copy.")
    return dict(recipe)


def _show(result: "Result", page: Path | None, *, as_json: bool) -> None:
    """Print the closing table, or everything it says as JSON."""
    if as_json:
        print_json(_facts(result, page))
        return
    from metricgrad.report import closing_table, summary_text

    if sys.stdout.isatty():
        console().print(closing_table(result.events, folder=result.folder), crop=False)  # paths stay whole
    else:
        typer.echo(summary_text(result.events, folder=result.folder))


def _facts(result: "Result", page: Path | None) -> dict[str, Any]:
    """Everything that the closing table says."""
    from metricgrad.report import summary_text

    facts: dict[str, Any] = {
        "folder": str(result.folder),
        "report": page and str(page),
        "verdict": result.verdict,
    }
    names = {"run_started": "run", "budget": "budget", "chosen": "chosen", "verdict": "evidence"}
    for name, key in names.items():
        event = result.event(name) or {}
        facts[key] = {field: value for field, value in event.items() if field not in ("event", "time")}
    facts["returned"] = result.returned
    facts["weights"] = str(
        result.folder / (result.event("finished") or {}).get("weights", "best.safetensors")
    )
    facts["tested"] = [event for event in result.events if event["event"] == "tested"]
    facts["side_metrics"] = _side_facts(result)
    facts["notes"] = [event["text"] for event in result.events if event["event"] == "note"]
    facts["summary"] = summary_text(result.events, folder=result.folder)
    return facts


def _side_facts(result: "Result") -> list[dict[str, Any]]:
    """What is known of each side metric: what it is, every value and every fall."""
    known = result.event("side_metrics") or {"metrics": []}

    def of(name: str, kind: str) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in event.items() if key not in ("event", "time", "metric")}
            for event in result.events
            if event["event"] == kind and event["metric"] == name
        ]

    return [
        {**side, "measured": of(side["name"], "side_measured"), "falls": of(side["name"], "fall")}
        for side in known["metrics"]
    ]
