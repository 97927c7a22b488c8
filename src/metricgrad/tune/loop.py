"""Train one stage: one arm of one seed with one set of settings, step by step, ready to be killed at any moment."""

import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from metricgrad._records import StageFinished, StageStarted
from metricgrad._types import Method, Split
from metricgrad.errors import Interrupted
from metricgrad.scale import current
from metricgrad.tune.batches import batches_from
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.passes import begin_pass, seed_everything
from metricgrad.tune.stage import Stage, Standing
from metricgrad.tune.state import RunState
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.trainer import ENDS, Trainer

__all__ = ["train_stage", "training_batches"]


def train_stage(
    stage: Stage,
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    method: Method,
    *,
    fit: Split,
    select: Split,
    pool: Split | None,
    evaluator: Evaluator,
    folder: RunFolder,
    base: RunState,
    saved: Mapping[str, Any] | None,
    stop: StopRequest,
) -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Train a stage to its end, or to the end of a checkpoint's story.

    Args:
        stage: what to train.
        model: with the weights that the stage starts from.
        parameters: the trainable ones, by name.
        method: the road.
        fit: training batches.
        select: decides which step is kept.
        pool: where a method that asks for the metric measures it; None for any other.
        evaluator: measures and counts.
        folder: record and checkpoints go here.
        base: what the checkpoint must hold beside the stage's own state.
        saved: the stage's state from a checkpoint, or None.
        stop: asked after every step.

    Returns:
        The best select value, the weights that reached it, and what was trained beside them then.

    Raises:
        Interrupted: a stop was requested; the checkpoint is written.
    """
    began = time.perf_counter()
    trainer = Trainer(stage, model, parameters, method, evaluator, select, folder, base)
    begin_pass(fit, stage.seed * 1_000_000 + stage.first_epoch)  # a method may read it before the first step
    seed_everything(stage.seed, sum(stage.arm.encode()), stage.attempt)
    trainer.begin(fit, pool)
    if saved is None:
        folder.emit(
            StageStarted(**stage.key, settings=dict(stage.settings), steps=stage.steps, method=stage.method)
        )
        trainer.evaluate()
    else:
        trainer.restore(saved)
    began -= trainer.state.seconds  # of the sessions before
    _run_steps(trainer, fit, stop, None if saved is None else saved["random"], began)
    state = trainer.state
    state.seconds = time.perf_counter() - began
    folder.emit(
        StageFinished(
            **stage.key,
            step=state.step,
            value=state.best,
            best_step=state.best_step,
            seconds=state.seconds,
            diverged=state.diverged,
            pool_calls=0 if trainer.judge is None else trainer.judge.calls,
        )
    )
    return state.best, trainer.best_weights, trainer.best_beside


def _run_steps(trainer: Trainer, fit: Split, stop: StopRequest, random_before: Any, began: float) -> None:
    stage, state = trainer.stage, trainer.state
    batches = batches_from(fit, stage.seed, state, random_before)
    while state.step < stage.steps and not state.stopped:
        batch = next(batches)
        try:
            trainer.step(batch)
            last = state.step == stage.steps
            if state.step % stage.evaluate_every == 0 or last:
                trainer.evaluate()
        except ENDS as reason:
            trainer.give_up(reason)
            break
        finally:
            state.seconds = time.perf_counter() - began
        if state.step % stage.checkpoint_every == 0 and not last:
            trainer.save()
        trainer.show()
        stopped_by = current().largest(stop.signal or 0)  # all processes stop after the same step
        if stopped_by:
            trainer.save()
            raise Interrupted(
                f"stopped by {signal.Signals(stopped_by).name} at step {state.step} of {stage.arm}; the checkpoint is "
                f"in {trainer.folder.path}"
            )


def training_batches(fit: Split, seed: int) -> Iterator[Any]:
    """Yield batches for ever, from the first epoch on."""
    return batches_from(fit, seed, Standing(), None)
