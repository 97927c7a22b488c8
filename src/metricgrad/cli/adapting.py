"""The life of `metricgrad adapt`: from options and files to what came out."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from metricgrad.adapting import Adapted, Training, adapt_embeddings, adapt_pairs
from metricgrad.cli.adapting_files import kind_of, labelled, paired
from metricgrad.cli.output import noted, print_json
from metricgrad.cli.progress import Drawing
from metricgrad.cli.ranking_metric import require_ranking
from metricgrad.cli.run_folder import new_folder, resumable
from metricgrad.errors import InputError
from metricgrad.report import render

__all__ = ["carry_out"]

QUICK_STEPS = 100


def carry_out(given: Mapping[str, Any]) -> None:
    """Read the files, adapt, and show what came out.

    Args:
        given: the options of the command by name.
    """
    kind = kind_of(given)
    metric = given["metric"] or ("recall@1" if kind == "labels" else "ndcg@10")
    require_ranking(metric)
    training = _training(given)
    with Drawing(quiet=given["quiet"]) as observer:
        with noted(quiet=True) as notes:
            arguments, read = labelled(given) if kind == "labels" else paired(given)
        folder = given["run"] or new_folder("adapt", metric)
        again = _again(folder, new=given["run"] is None)
        call = {
            "metric": metric,
            "training": training,
            "seed": given["seed"],
            "folder": folder,
            "notes": [*read, *notes],
            "recipe": {"command": again},
            "observer": observer,
            "force": given["force"],
        }
        if not given["quiet"]:
            observer({"event": "note", "text": f"run folder {folder}"})
        with resumable(folder, {}, new=given["run"] is None, leader=True, again=again):
            adapted = adapt_embeddings if kind == "labels" else adapt_pairs
            found = adapted(**arguments, **call)
    _show(found, as_json=given["as_json"])


def _training(given: Mapping[str, Any]) -> Training:
    """How much is trained."""
    if given["steps"] is not None and given["minutes"] is not None:
        raise InputError("adapt: --steps and --minutes came together; expected one of them.")
    methods = given["method"]
    if methods is not None:
        methods = [one.strip() for one in methods.split(",") if one.strip() and one.strip() != "none"]
    quick = given["quick"]
    steps = given["steps"] or (QUICK_STEPS if quick and given["minutes"] is None else None)
    first = given["seed"] % 2**32
    seeds = range(first, first + given["seeds"])
    return Training(
        methods=methods,
        steps=steps,
        minutes=given["minutes"],
        seeds=tuple(seeds),
        grid=1 if quick else 3,
        curve=given["curve"],
    )


def _again(folder: Path, *, new: bool) -> str:
    """The command that goes on with this run."""
    words = ["metricgrad", *sys.argv[1:]]
    if new:
        words += ["--run", str(folder)]
    return shlex.join(words)


def _show(found: Adapted, *, as_json: bool) -> None:
    page = render(found.folder)
    if as_json:
        print_json({**found.facts, "report": str(page)})
        return
    typer.echo(f"{found.summary()}\nreport: {page}")
