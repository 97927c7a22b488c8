"""`metricgrad settings`: choose the settings of both arms on development classes, test untouched."""

from pathlib import Path
from typing import Annotated

import typer

from metricgrad.cli.options import TrustOption
from metricgrad.cli.output import (
    AssignmentsOption,
    JsonOption,
    QuietOption,
    complain,
    examples,
    print_json,
)
from metricgrad.errors import Interrupted

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
    trust: TrustOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose the settings of the control arm and of the method with an equal number of tries, before test is read.

    The classes of fit and select are divided anew, several times, into fit, select and a held-out part; the mean on
    the held-out parts decides. Test takes no part.
    """
    from metricgrad.cli.chosen_settings import chosen_of, show, write_settings
    from metricgrad.cli.divisions import call_of_division
    from metricgrad.cli.named import metric_named
    from metricgrad.cli.progress import Drawing
    from metricgrad.tune.settings import choose_settings, write_table

    given = {"metric": metric, "method": method, "plan": {"tries": tries}}
    with Drawing(quiet=quiet) as observer:
        calls = [
            call_of_division(what, given, assignments or [], number, observer, trusted=trust)
            for number in range(divisions)
        ]
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
