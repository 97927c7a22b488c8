"""Optuna prunes runs of `tune`: an observer reports the values on select, and ends the run when it is told."""

from collections.abc import Mapping
from typing import Any

from metricgrad._checks import extra, fail
from metricgrad._records import CONTENDER
from metricgrad._types import Observer
from metricgrad.tune.launch import plain_lines

__all__ = ["pruning_observer"]


def pruning_observer(trial: Any, *, arm: str = CONTENDER, also: Observer = plain_lines) -> Observer:
    """Return an observer that reports the select values of an arm to a trial of Optuna, and prunes the trial.

    The pruned run stops where it stands, as with an interrupt: its record is whole, its folder is free, and the same
    call goes on from its last checkpoint. Test was not read.

    Args:
        trial: of the study, as the objective gets it.
        arm: whose values are reported: `tuned`, or the name of a contender of `compare`.
        also: an observer that gets every event, too; default: plain lines on standard error, as without an observer.

    Returns:
        What `tune(..., observer=)` takes. The steps of several seeds and tries of the arm follow each other.

    Raises:
        InputError: (in the run) the study minimises a metric of which higher is better, or the reverse.
        MissingExtraError: optuna is not installed.
        optuna.TrialPruned: (in the run) the pruner says so; it ends the run, and `study.optimize` expects it.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
        >>> study = optuna.create_study(direction="maximize")
        >>> trial = study.ask()
        >>> observer = pruning_observer(trial, also=lambda event: None)
        >>> observer({"event": "evaluated", "seed": 0, "arm": "tuned", "attempt": 0, "step": 5, "value": 0.5})
        >>> study.tell(trial, 0.5).intermediate_values
        {5: 0.5}
    """
    pruned = extra("optuna", "search", "pruning_observer").TrialPruned
    first = last = 0

    def observe(event: Mapping[str, Any]) -> None:
        nonlocal first, last
        also(event)
        if event["event"] == "run_started":
            _check_direction(trial, event)
        if event.get("arm") != arm:
            return
        if event["event"] == "stage_started":
            first = last + 1 if last else 0
        elif event["event"] == "evaluated":
            last = first + event["step"]
            trial.report(event["value"], last)
            if trial.should_prune():
                raise pruned(f"select {event['value']:.4g} at step {event['step']}")

    return observe


def _check_direction(trial: Any, event: Mapping[str, Any]) -> None:
    study = getattr(trial, "study", None)  # a fixed trial has none
    if study is not None and (study.direction.name == "MAXIMIZE") is not event["higher_is_better"]:
        wanted = "maximize" if event["higher_is_better"] else "minimize"
        came = f"the study has direction {study.direction.name.lower()!r} for {event['metric']}"
        raise fail("pruning_observer", came, f"optuna.create_study(direction={wanted!r})")
