"""`metricgrad report`, and what every command that ends with a run shows: the closing table, or all of it as JSON."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricgrad.cli.output import JsonOption, complain, console, examples, print_json
from metricgrad.errors import InputError, RunFolderError

if TYPE_CHECKING:
    from metricgrad.tune import Comparison, Result

__all__ = ["EXAMPLES", "RunArgument", "conclude", "report", "require_run_folder"]

EXAMPLES = examples("metricgrad report runs/first", "metricgrad report runs/first --json")

RunArgument = Annotated[Path, typer.Argument(help="The run folder.", metavar="RUN")]


def report(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="The page to write, where not report.html in the run folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw report.html of a run folder anew from its record, and show the closing table."""
    require_run_folder(run, "record.jsonl")
    from metricgrad.report import read_run, render
    from metricgrad.tune import Result

    read_run(run)  # first: it says which line of a damaged record is wrong
    conclude(Result.load(run), lambda: render(run, out=out), as_json=as_json)


def conclude(result: "Result", draw: Callable[[], Path], *, as_json: bool) -> None:
    """Draw the page and show the table; where the page cannot be written, the table all the same."""
    try:
        page = draw()
    except RunFolderError as error:
        _show(result, None, as_json=as_json)
        complain(error)
        raise typer.Exit(2) from error
    _show(result, page, as_json=as_json)


def require_run_folder(run: Path, needed: str) -> None:
    """Raise InputError for what is no folder of a run, or lacks the file that is needed."""
    if not os.path.exists(run):  # unlike Path.exists, False for a name that is too long
        raise InputError(f"there is no run folder {run}; expected a folder that `metricgrad tune` wrote.")
    if not run.is_dir():
        raise InputError(f"{run} is a file; expected the folder of a run.")
    if not (run / needed).is_file():
        raise InputError(f"{run} has no {needed}; expected a folder that `metricgrad tune` wrote.")


def _show(result: "Result", page: Path | None, *, as_json: bool) -> None:
    """Print the closing table, or everything it says as JSON."""
    if as_json:
        print_json(_facts(result, page))
        return
    from metricgrad.report import closing_table, summary_text

    if (comparison := _comparison(result)) is not None:
        typer.echo(f"{comparison.summary()}\n")
    if sys.stdout.isatty():
        console().print(closing_table(result.events, folder=result.folder), crop=False)  # paths stay whole
    else:
        typer.echo(summary_text(result.events, folder=result.folder))


def _comparison(result: "Result") -> "Comparison | None":
    """The table of a contest of several methods that is finished; None of any other run."""
    from metricgrad._records import arms_of, record_of
    from metricgrad.tune import Comparison

    started, finished = result.event("run_started"), result.event("finished")
    if started is None or finished is None:
        return None
    contenders = [arm for arm in arms_of(record_of(started)) if arm.role == "contender"]
    return Comparison(result) if len(contenders) > 1 else None


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
    facts["closed_forms"] = [
        {key: value for key, value in event.items() if key not in ("event", "time")}
        for event in result.events
        if event["event"] == "closed_form_chosen"
    ]
    facts["notes"] = [event["text"] for event in result.events if event["event"] == "note"]
    if (comparison := _comparison(result)) is not None:
        facts["comparison"] = comparison.facts
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
