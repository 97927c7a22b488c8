"""`metricgrad settings`: choose the settings of both arms on development classes, test untouched."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from metricgrad.cli.output import (
    AssignmentsOption,
    JsonOption,
    QuietOption,
    complain,
    examples,
    print_json,
)
from metricgrad.errors import InputError, Interrupted

__all__ = ["EXAMPLES", "settings"]

EXAMPLES = examples(
    "metricgrad settings emoji --tries 8 --divisions 3 --run runs/settings",
    "metricgrad settings emoji --out settings.yaml --table tries.csv",
    "metricgrad settings emoji --method surrogate:recall_at_k,direct:average_precision",
)


def settings(
    what: Annotated[
        str, typer.Argument(metavar="TASK|RECIPE.yaml", help="A task with the option `development`.")
    ],
    tries: Annotated[
        int, typer.Option(min=1, help="Settings that each arm tries; the first is the task's.")
    ] = 8,
    divisions: Annotated[int, typer.Option(min=1, max=100, help="Divisions of the development classes.")] = 3,
    metric: Annotated[str | None, typer.Option(help="The metric; the task's where left out.")] = None,
    method: Annotated[
        str | None, typer.Option(help="auto, or family:objective; several, with commas, share the tries.")
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the runs; finished ones are not repeated.")] = Path(
        "runs/settings"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Where the chosen settings go. Default: RUN/settings.yaml.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Where the table of tries goes. Default: RUN/tries.csv.")
    ] = None,
    assignments: AssignmentsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose the settings of the control arm and of the method with an equal number of tries, before test is read.

    The classes of fit and select are divided anew, several times, into fit, select and a held-out part; the mean on
    the held-out parts decides. Test takes no part.
    """
    from metricgrad.cli.chosen_settings import chosen_of, show, write_settings
    from metricgrad.cli.named import metric_named
    from metricgrad.cli.progress import Drawing
    from metricgrad.tune.settings import choose_settings, write_table

    given = {"metric": metric, "method": method, "plan": {"tries": tries}}
    with Drawing(quiet=quiet) as observer:
        calls = [_call(what, given, assignments or [], number, observer) for number in range(divisions)]
        try:
            trials = choose_settings(calls, folder=run, observer=observer)
        except Interrupted as error:
            complain(error)
            complain(Interrupted("the same command goes on from there"))
            raise typer.Exit(130) from error
    exact = metric_named(calls[0]["metric"], calls[0]["higher_is_better"])
    chosen = chosen_of(trials, higher_is_better=exact.higher_is_better)
    out, table = out or run / "settings.yaml", table or run / "tries.csv"
    write_table(trials, table)
    write_settings(calls[0], chosen, out)
    if as_json:
        facts = [{**vars(trial), "mean": trial.mean, "chosen": trial in chosen.values()} for trial in trials]
        print_json({"trials": facts, "settings": str(out), "table": str(table)})
        return
    show(trials, chosen, exact.name)
    typer.echo(f"settings: {out}\ntable:    {table}")


def _call(
    what: str, given: dict[str, Any], assignments: list[str], number: int, observer: Any
) -> dict[str, Any]:
    """The arguments of `tune` on one division."""
    from metricgrad.cli.named import task_loader
    from metricgrad.cli.recipe import Recipe, checked, given_keys
    from metricgrad.cli.resolve import resolve

    keys = given_keys(what, {**given, "data": {"development": number}}, assignments)
    recipe = checked(Recipe, keys, "the recipe")
    options = getattr(inspect.getmodule(task_loader(recipe.task)), "Options", None)
    if options is None or "development" not in options.model_fields:
        raise InputError(
            f"settings: the task {recipe.task!r} has no option `development`; expected one that divides the classes of "
            "fit and select, so that the test split takes no part."
        )
    if recipe.data.get("development") != number:
        raise InputError(
            "settings: data.development is set by the command, one number a division; leave it out."
        )
    if recipe.methods is not None:
        raise InputError("settings: the recipe names several methods; expected one, as `method`.")
    arguments = dict(resolve(recipe, observer).arguments)
    if arguments["proxy"] is None:
        raise InputError(
            "settings: the recipe has no proxy; expected one: the control arm gets as many tries."
        )
    return {key: value for key, value in arguments.items() if key not in ("seed", "recipe")}
