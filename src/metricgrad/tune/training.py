"""One stage of a run: from the weights that it begins with to those that select has chosen, on disk."""

from collections.abc import Mapping
from typing import Any

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

__all__ = ["train"]


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
    saved, state.stage = state.stage, None
    model = setup.build(stage.seed)
    start = setup.start.name
    if stage.role != "start" and current().leader:
        load_into(model, load_weights(folder.weights(stage.seed, start, 0)))
    current().same_weights(model)
    trained_beside: Mapping[str, Any] = {}
    if stage.steps == 0:
        value, _ = current().led(lambda: evaluator.valued(model, setup.splits.select))
        weights = weights_of(model)
    else:
        method = setup.method(stage.arm, stage.attempt)
        begun = folder.beside(stage.seed, start, 0)
        if stage.role != "start" and begun.exists():  # the start's training has trained the loss, too
            load_beside(method, load_weights(begun))
        fit, pool = fit_and_pool(setup.splits, setup.metric, method, stage.seed)
        with deterministic(model):
            value, weights, trained_beside = train_stage(
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
    if current().leader:
        save_weights(folder.weights(stage.seed, stage.arm, stage.attempt), weights)
        if trained_beside:
            save_weights(folder.beside(stage.seed, stage.arm, stage.attempt), trained_beside)
    state.values.append(value)
    state.metric_calls = dict(evaluator.calls)
    folder.save(state)
