"""One stage of a run: from the weights that it begins with to those that select has chosen, on disk."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from metricgrad.scale import current
from metricgrad.tune.checkpoint import load_weights, save_weights
from metricgrad.tune.deterministic import deterministic
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.loop import train_stage
from metricgrad.tune.pool import fit_and_pool
from metricgrad.tune.setup import Setup
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.weights import load_beside, load_into, weights_of

__all__ = ["Begun", "Trained", "begun_in", "keep_trained", "train", "trained"]


class Begun(NamedTuple):
    """What the stages of a seed begin with once its start is there.

    Attributes:
        weights: of the start model; None for the start itself.
        beside: what the start's training has trained beside the network; None where it has trained nothing else.
    """

    weights: Mapping[str, Any] | None = None
    beside: Mapping[str, Any] | None = None


class Trained(NamedTuple):
    """What a stage gives.

    Attributes:
        value: its best on select.
        weights: that reached it.
        beside: what was trained beside the network then; empty where nothing was.
    """

    value: float
    weights: Mapping[str, Any]
    beside: Mapping[str, Any]


def train(
    stage: Stage,
    setup: Setup,
    evaluator: Evaluator,
    folder: RunFolder,
    stop: StopRequest,
    state: RunState,
) -> None:
    """Train one stage, keep its selected weights and move the checkpoint past it.

    Args:
        stage: what is trained.
        setup: of the run.
        evaluator: measures on select, and counts.
        folder: of the run; weights and checkpoint are written into it.
        stop: a request to stop.
        state: of the run, with that of the stage where it goes on; the stage's value is added to it.
    """
    found = trained(stage, setup, evaluator, folder, stop, state, begun_in(folder, stage, setup.start.name))
    if current().leader:
        keep_trained(folder, stage, found)
    state.values.append(found.value)
    state.metric_calls = dict(evaluator.calls)
    folder.save(state)


def begun_in(folder: RunFolder, stage: Stage, start: str) -> Begun:
    """Return what a stage begins with, from the folder of its run; the weights on process 0 alone.

    Args:
        folder: of the run.
        stage: to be trained.
        start: name of the start.
    """
    if stage.role == "start":
        return Begun()
    weights = load_weights(folder.weights(stage.seed, start, 0)) if current().leader else None
    beside = folder.beside(stage.seed, start, 0)
    return Begun(weights, load_weights(beside) if beside.exists() else None)


def keep_trained(folder: RunFolder, stage: Stage, found: Trained) -> None:
    """Write the selected weights of a stage into the folder of its run."""
    save_weights(folder.weights(stage.seed, stage.arm, stage.attempt), found.weights)
    if found.beside:
        save_weights(folder.beside(stage.seed, stage.arm, stage.attempt), found.beside)


def trained(
    stage: Stage,
    setup: Setup,
    evaluator: Evaluator,
    folder: RunFolder,
    stop: StopRequest,
    state: RunState,
    begun: Begun,
) -> Trained:
    """Train one stage: `begun` and the arguments of the run decide every bit of it, whatever was trained before.

    Args:
        stage: what is trained.
        setup: of the run.
        evaluator: measures on select, and counts.
        folder: record and checkpoints go there.
        stop: a request to stop.
        state: of the run; that of the stage, where it goes on, is taken out of it.
        begun: the weights that it begins with.
    """
    saved, state.stage = state.stage, None
    model = setup.build(stage.seed)
    if begun.weights is not None:
        load_into(model, begun.weights)
    current().same_weights(model)
    if stage.steps == 0:
        value, _ = current().led(lambda: evaluator.valued(model, setup.splits.select))
        return Trained(value, weights_of(model), {})
    method = setup.method(stage.arm, stage.attempt)
    if begun.beside is not None:  # the start's training has trained the loss, too
        load_beside(method, begun.beside)
    fit, pool = fit_and_pool(setup.splits, setup.metric, method, stage.seed)
    with deterministic(model):
        found = train_stage(
            stage,
            model,
            setup.parameters(model, stage.role),
            method,
            fit=fit,
            select=setup.splits.select,
            pool=pool,
            evaluator=evaluator,
            folder=folder,
            base=state,
            saved=saved,
            stop=stop,
        )
    return Trained(*found)
