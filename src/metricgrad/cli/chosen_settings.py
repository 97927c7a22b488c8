"""The settings that `metricgrad settings` chose: the file that a recipe takes them from, and the table of the tries."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from metricgrad._records import Role
from metricgrad.cli.output import console
from metricgrad.tune.checkpoint import write_atomically
from metricgrad.tune.settings import Trial, best_of

__all__ = ["chosen_of", "show", "write_settings"]

_KEYS: dict[str, Role] = {"proxy_settings": "control", "settings": "contender"}
"""Where a recipe keeps the settings of a role."""


def chosen_of(trials: Sequence[Trial], *, higher_is_better: bool) -> dict[str, Trial]:
    """Return the best try of each role, by the key of a recipe."""
    return {key: best_of(trials, role, higher_is_better=higher_is_better) for key, role in _KEYS.items()}


def write_settings(call: Mapping[str, Any], chosen: Mapping[str, Trial], path: Path) -> None:
    """Write the part of a recipe that holds them.

    Args:
        call: the arguments of `tune` on one division.
        chosen: as `chosen_of` returns them.
        path: the file.
    """
    document = {
        "plan": {**call["plan"].model_dump(exclude_none=True, exclude={"tries"})},
        **_start(call),
        "method": chosen["settings"].method,
        **{key: dict(trial.settings) for key, trial in chosen.items()},
    }
    head = "# Chosen by `metricgrad settings` on development classes, as many tries for each arm; test took no part.\n"
    write_atomically(path, (head + yaml.safe_dump(document, sort_keys=False)).encode())


def _start(call: Mapping[str, Any]) -> dict[str, Any]:
    if call["start_plan"] is None:
        return {}
    plan = call["start_plan"].model_dump(exclude_none=True, exclude={"tries"})
    return {"start": {"plan": plan, "settings": dict(call["start_settings"])}}


def show(trials: Sequence[Trial], chosen: Mapping[str, Trial], metric: str) -> None:
    """Print the table of the tries; the chosen ones are marked."""
    view = Table(
        "arm",
        "try",
        "method",
        f"{metric}, mean",
        "by division",
        "settings",
        title="Held-out development classes",
    )
    for trial in trials:
        mark = " *" if trial in chosen.values() else ""
        values = " ".join(f"{value:.4f}" for value in trial.values)
        view.add_row(
            trial.arm,
            f"{trial.attempt}{mark}",
            trial.method,
            f"{trial.mean:.4f}",
            values,
            str(dict(trial.settings)),
        )
    console().print(view)
