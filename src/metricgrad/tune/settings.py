"""Choose the settings of control and contender before test is read: as many tries for the one as for the other.

Every try trains on several divisions of the development classes (those of fit and select) into fit, select and a
held-out part. Select chooses the step, as in a run; the held-out part, which no training and no choice of a step has
seen, judges the try. The best mean over the divisions wins. The test classes take no part.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metricgrad._checks import fail
from metricgrad._records import Entrant, Role, arms_of, record_of
from metricgrad._types import Observer
from metricgrad.metrics import adapt
from metricgrad.tune.asked_rule import AUTO, deciding_of
from metricgrad.tune.checkpoint import load_weights, write_atomically
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.networks import SeededModel
from metricgrad.tune.result import Result
from metricgrad.tune.run import tune
from metricgrad.tune.splits import Splits
from metricgrad.tune.weights import load_into

__all__ = ["Trial", "best_of", "choose_settings", "write_table"]


@dataclass(frozen=True)
class Trial:
    """One try of one arm: its role, method and settings, and its held-out value in every division."""

    arm: str
    attempt: int
    settings: Mapping[str, Any]
    values: Sequence[float]
    method: str = ""
    role: Role = "contender"

    @property
    def mean(self) -> float:
        """Mean over the divisions."""
        return float(np.mean(self.values))


def choose_settings(
    calls: Sequence[Mapping[str, Any]], *, folder: Path, observer: Observer | None = None
) -> list[Trial]:
    """Train every try of every arm on every division and judge it on the held-out part.

    Args:
        calls: arguments of `tune`, one mapping per division; `splits.test` is the held-out part of the division.
            The number of tries is `plan.tries`.
        folder: holds one run a division; finished ones are not repeated, an interrupted one is resumed.
        observer: receives the events of the runs.

    Returns:
        All trials, the start models first, then controls and contenders by arm and attempt.

    Raises:
        InputError: a division without a held-out part; a portfolio, which trains nothing.
    """
    values: dict[tuple[str, int], list[float]] = {}
    settings: dict[tuple[str, int], tuple[str, Mapping[str, Any]]] = {}
    entrants: list[Entrant] = []
    for number, call in enumerate(calls):
        held_out = call["splits"].test
        if held_out is None:
            raise fail("choose_settings", f"division {number} has no held-out part", "splits.test")
        metric = adapt(call["metric"], higher_is_better=call.get("higher_is_better"))
        if metric.reads == "classes" and call.get("method", AUTO) == AUTO:
            raise fail(
                "choose_settings",
                f"method is 'auto', a portfolio for {metric.name}",
                "a method that is trained, such as surrogate:balanced_softmax",
                "All losses of a portfolio begin with the settings of the proxy: choose with that method, then tune "
                "with method auto and the proxy_settings that were chosen.",
            )
        splits = Splits(call["splits"].fit, call["splits"].select)
        result = tune(
            **{
                **call,
                "splits": splits,
                "closed_forms": False,  # they have no settings to choose
                "seed": number,
                "folder": folder / f"division-{number}",
                "observer": observer,
            }
        )
        evaluator = Evaluator(metric, deciding_of(call.get("decision", AUTO), metric, splits))
        entrants = arms_of(record_of(result.events[0]))
        for (arm, attempt, chosen), model in _trained(result, call, number):
            value = evaluator.after_select(model, splits.select, held_out, "held-out")
            values.setdefault((arm, attempt), []).append(value)
            settings[arm, attempt] = chosen
    return [
        Trial(arm, attempt, settings[arm, attempt][1], found, settings[arm, attempt][0], entrant.role)
        for entrant in entrants
        for (arm, attempt), found in sorted(values.items())
        if arm == entrant.name
    ]


def best_of(trials: Sequence[Trial], role: Role, *, higher_is_better: bool) -> Trial:
    """Return the trial with the best mean of the arms of a role; the earlier one of equals."""
    sign = 1.0 if higher_is_better else -1.0
    return max(
        (trial for trial in trials if trial.role == role),
        key=lambda trial: (not np.isnan(trial.mean), np.nan_to_num(sign * trial.mean), -trial.attempt),
    )


def write_table(trials: Sequence[Trial], path: Path) -> None:
    """Write the trials as CSV: arm, attempt, method, mean, one column a division, the settings as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    divisions = [f"division_{number}" for number in range(len(trials[0].values))]
    writer.writerow(["arm", "attempt", "method", "mean", *divisions, "settings"])
    for trial in trials:
        figures = [f"{value:.5f}" for value in (trial.mean, *trial.values)]
        writer.writerow(
            [
                trial.arm,
                trial.attempt,
                trial.method,
                *figures,
                json.dumps(dict(trial.settings), sort_keys=True),
            ]
        )
    write_atomically(path, text.getvalue().encode())


def _trained(
    result: Result, call: Mapping[str, Any], seed: int
) -> Iterator[tuple[tuple[str, int, Any], nn.Module]]:
    """Yield every stage of a run with its selected weights."""
    for event in result.events:
        if event["event"] != "stage_started":
            continue
        arm, attempt = event["arm"], event["attempt"]
        model = SeededModel(call["model"], call.get("device"))(seed)
        load_into(model, load_weights(result.folder / "arms" / f"seed{seed}-{arm}-try{attempt}.safetensors"))
        yield (arm, attempt, (event["method"], event["settings"])), model
