"""The command that repeats a run, from the recipe that its folder keeps; or why there is none."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from metricgrad.report.foreign_text import hides
from metricgrad.report.reading import Run

__all__ = ["Reproduction", "reproduction"]

_PLAIN = re.compile(r"[A-Za-z][\w@+./-]*(:[\w@+./-]+)?")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Texts that YAML reads as something else."""


class Reproduction(NamedTuple):
    """The command, empty where there is none, and what must be known beside it."""

    command: str
    told: str


def reproduction(run: Run, settings: Mapping[str, Any] | None) -> Reproduction:
    """Return what repeats a run.

    Args:
        run: a folded record.
        settings: what its config.yaml holds; None where there is none that can be read.

    Edge cases:
        a run that was called from Python has no command; one whose recipe has characters that are not seen has none
        that may be copied. Every word is quoted for a POSIX shell.
    """
    recipe = None if settings is None else settings.get("recipe")
    if not isinstance(recipe, Mapping):
        why = (
            "The run was started from Python"
            if settings is not None
            else "No config.yaml is beside the record"
        )
        call = "compare" if len(run.named("contender")) > 1 else "tune"
        return Reproduction(
            "", f"{why}: no command repeats it. The same call of metricgrad.{call}, with the same data, does."
        )
    words = _again(recipe) if isinstance(recipe.get("command"), str) else _words(recipe)
    if words is None or any(map(hides, words)):
        return Reproduction(
            "", "The recipe in config.yaml is not one that a command can be made of, so none is shown."
        )
    return Reproduction(shlex.join(words), " ".join(_notes(run)))


def _again(recipe: Mapping[str, Any]) -> list[str] | None:
    """The words of a command that the recipe itself names; None where it is not one of ours."""
    try:
        words = shlex.split(recipe["command"])
    except ValueError:
        return None
    return words if words[:1] == ["metricgrad"] and "\n" not in recipe["command"] else None


def _words(recipe: Mapping[str, Any]) -> list[str] | None:
    """`metricgrad tune TASK --set KEY=VALUE ...` with every key that says something."""
    task = recipe.get("task")
    if not isinstance(task, str) or not task or task.startswith("-"):
        return None
    words = ["metricgrad", "compare" if recipe.get("methods") else "tune", task]
    for key, value in recipe.items():
        kept = _said(value)
        if key == "task" or kept in (None, {}) or not isinstance(key, str):
            continue
        words += ["--set", f"{key}={_value(kept)}"]
    return words


def _said(value: Any) -> Any:
    """A value without what is left open: None stands for a default, an empty list does not."""
    if not isinstance(value, Mapping):
        return value
    return {key: kept for key, one in value.items() if (kept := _said(one)) not in (None, {})}


def _value(value: Any) -> str:
    """A value as a recipe reads it: a plain word as it is, anything else as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _notes(run: Run) -> list[str]:
    notes = ["It comes from config.yaml of the run folder: read it before you run it."]
    if run.budget and run.budget.minutes:
        notes.append(
            f"The minutes became {run.budget.steps:,} steps per stage by timing; another machine may find another "
            f"number. --set plan.minutes=null --set plan.steps={run.budget.steps} fixes it."
        )
    if run.resumed:
        notes.append("The run was interrupted and resumed; on a CPU that changes no figure.")
    return notes
