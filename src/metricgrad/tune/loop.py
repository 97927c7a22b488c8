"""Train one stage: one arm of one seed with one set of settings, step by step, ready to be killed at any moment."""

import math
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import nn

from metricgrad._checks import fail
from metricgrad._records import Evaluated, Fitted, Note, Progress, Role, StageFinished, StageStarted, Stepped
from metricgrad._structures import pair
from metricgrad._types import Method, MethodRun, Split
from metricgrad.errors import Collapsed, Distrusted, Diverged, Interrupted, JudgeEnded, TrialFailed
from metricgrad.scale import current
from metricgrad.tune.checkpoint import random_state, restore_random_state, same_random_state
from metricgrad.tune.divergence import parameter_that_diverged, what_diverged
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.judge import Judge
from metricgrad.tune.passes import begin_pass, one_pass, seed_everything
from metricgrad.tune.state import RunState, fitting
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.weights import beside_of, load_into, weights_of

__all__ = ["ENDS", "Stage", "train_stage", "training_batches"]

ENDS = (Collapsed, Distrusted, Diverged, JudgeEnded)
"""What ends a stage with its best weights so far."""


@dataclass(frozen=True)
class Stage:
    """One arm of one seed with one set of settings.

    Attributes:
        seed: of the run.
        arm: its name.
        role: of the arm; what is trained from nothing may end where it began, the others may not.
        attempt: number of the try, from 0.
        settings: of the method.
        steps: how many at most.
        evaluate_every: steps between two evaluations on `select`.
        checkpoint_every: steps between two checkpoints.
        patience: stop after so many evaluations without a better value; None trains all the steps.
        chunk: rows that are embedded at once.
        first_epoch: number of the first epoch of the fit split: stages with the same one see the same batches.
        method: name of the road.
        number: of the stages that train, from 1.
        of: how many stages train.
        later: most steps of the stages after this one.
    """

    seed: int
    arm: str
    role: Role
    attempt: int
    settings: Mapping[str, Any] = field(hash=False)
    steps: int
    evaluate_every: int
    checkpoint_every: int
    patience: int | None = None
    first_epoch: int = 0
    chunk: int | Literal["auto"] | None = None
    method: str = ""
    number: int = 0
    of: int = 0
    later: int = 0

    @property
    def key(self) -> dict[str, Any]:
        """What names the stage in the record."""
        return {"seed": self.seed, "arm": self.arm, "attempt": self.attempt}


@dataclass
class _Progress:
    """Where a stage stands; all of it goes into the checkpoint."""

    step: int = 0
    epoch: int = 0
    position: int = 0  # batches of the epoch that were used
    best: float = float("nan")
    best_step: int = 0
    since_best: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    stopped: bool = False
    diverged: int | None = None  # the step at which it did


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
    judge = None if pool is None else Judge(evaluator, getattr(method, "judge_calls", 0))
    trainer = _Trainer(stage, model, parameters, method, evaluator, select, folder, base, judge)
    begin_pass(fit, stage.seed * 1_000_000 + stage.first_epoch)  # a method may read it before the first step
    seed_everything(stage.seed, sum(stage.arm.encode()), stage.attempt)
    metric = evaluator.metric
    method.begin(
        MethodRun(
            model.train(),
            parameters,
            metric,
            stage.steps,
            stage.seed,
            stage.chunk,
            fit=fit,
            select=select if pool is None else None,
            show=lambda *work: folder.emit(Progress(*work)),
            pool=pool,
            judge=judge,
        )
    )
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
        )
    )
    return state.best, trainer.best_weights, trainer.best_beside


def _run_steps(trainer: "_Trainer", fit: Split, stop: StopRequest, random_before: Any, began: float) -> None:
    stage, state = trainer.stage, trainer.state
    batches = _batches(fit, stage.seed, state, random_before)
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


class _Trainer:
    """The parts of a running stage and what is done with them now and then."""

    def __init__(
        self,
        stage: Stage,
        model: nn.Module,
        parameters: Mapping[str, nn.Parameter],
        method: Method,
        evaluator: Evaluator,
        select: Split,
        folder: RunFolder,
        base: RunState,
        judge: Judge | None,
    ) -> None:
        self.stage, self.model, self.method, self.base = stage, model, method, base
        self.parameters, self.judge = parameters, judge
        self.evaluator, self.select, self.folder = evaluator, select, folder
        self.state = _Progress(epoch=stage.first_epoch)
        self.best_weights: dict[str, Any] = {}
        self.best_beside: dict[str, Any] = {}

    def step(self, batch: Any) -> None:
        """Take one step.

        Raises:
            Diverged: it failed, and weights or outputs are not finite.
        """
        state = self.state
        state.step += 1
        try:
            values = self.method.step(batch)
        except ENDS:
            raise
        except TrialFailed:  # a step without a loss
            return
        except Exception as error:  # of a loss or a network that met numbers which are none
            found = what_diverged(self.model, self.parameters, pair(batch)[0])
            if found is None:
                raise
            raise Diverged(f"{found} ({error})") from error
        state.summed += 1
        for name, value in values.items():
            state.sums[name] = state.sums.get(name, 0.0) + value

    def _measured(self) -> float | str:
        """The value on `select`; in words why there is none, where the model has diverged."""
        if self.state.step == 0:  # a model that came so has not diverged
            return self.evaluator.value(self.model, self.select, "select")
        found = parameter_that_diverged(self.parameters)
        if found is not None:
            return found
        try:
            value = self.evaluator.value(self.model, self.select, "select")
        except Exception as error:
            found = self._diverged_on_select()
            if found is None:
                raise
            return f"{found} ({error})"
        return (self._diverged_on_select() if math.isnan(value) else None) or value

    def _diverged_on_select(self) -> str | None:
        self.model.eval()
        found = what_diverged(self.model, self.parameters, pair(next(iter(self.select)))[0])
        self.model.train()
        return found

    def evaluate(self) -> None:
        """Measure on `select`, keep the weights where they are the best so far, write both curves.

        Raises:
            Diverged: there is no value, since weights or outputs are not finite.
        """
        state, stage = self.state, self.stage
        value = current().led(self._measured)
        if isinstance(value, str):
            raise Diverged(value)
        # Step 0 is the start arm's: the others are models that were trained, so their first evaluation replaces it.
        untrained = state.best_step == 0 and stage.role != "start"
        if state.step == 0 or untrained or self.evaluator.better(value, state.best):
            state.best, state.best_step, state.since_best = value, state.step, 0
            self.best_weights = weights_of(self.model)
            self.best_beside = beside_of(self.method)
        else:
            state.since_best += 1
        if state.summed:
            means = {name: total / state.summed for name, total in state.sums.items()}
            self.folder.emit(Stepped(**stage.key, step=state.step, values=means))
            state.sums, state.summed = {}, 0
        self.folder.emit(
            Evaluated(**stage.key, step=state.step, value=value, best=state.best, best_step=state.best_step)
        )
        self.value = value
        self._examine()
        state.stopped = stage.patience is not None and state.since_best >= stage.patience

    def _examine(self) -> None:
        """Let a method that learns the metric say how well it knows it."""
        examine = getattr(self.method, "examine", None)
        if examine is not None:
            with same_random_state():
                found = examine()
            if found is not None:
                self.folder.emit(Fitted(**self.stage.key, step=self.state.step, **found))

    def give_up(self, reason: Exception) -> None:
        """Say why the stage ends here; its best weights stay."""
        stage, state = self.stage, self.state
        state.stopped = True
        if not isinstance(reason, Diverged):
            self.folder.emit(Note(f"seed {stage.seed}: {stage.arm} stopped: {reason}"))
            try:
                self.evaluate()
            except Diverged as found:
                reason = found
        if isinstance(reason, Diverged):
            state.diverged = state.step
            if state.best_step == 0 and stage.role != "start":
                state.best = math.nan  # no evaluation of what was trained
            kept = f"its weights of step {state.best_step}" if state.best_step else "none of its weights"
            what = f"seed {stage.seed}: {stage.arm} (try {stage.attempt}) diverged at step {state.step}"
            self.folder.emit(Note(f"{what}, {kept} are kept: {reason}"))
        state.stopped = True
        self.show()

    def show(self) -> None:
        """Show where the stage stands."""
        stage, state = self.stage, self.state
        steps = state.step if state.stopped else stage.steps
        self.folder.emit(
            Progress(
                f"seed {stage.seed} {stage.arm}",
                state.step,
                steps,
                "step",
                select=state.best,
                stage=stage.number,
                stages=stage.of,
                later=stage.later,
            )
        )

    def save(self) -> None:
        """Write the checkpoint."""
        stage = {
            "progress": vars(self.state).copy(),
            "model": weights_of(self.model),
            "best": self.best_weights,
            "best_beside": self.best_beside,
            "method": self.method.state_dict(),
            "random": random_state(),
            "judge": {} if self.judge is None else self.judge.state_dict(),
        }
        self.folder.save(replace(self.base, metric_calls=dict(self.evaluator.calls), stage=stage))

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue where `save` left off; the random states follow once the batches stand where they stood."""
        with fitting(self.folder.path):
            self.state = _Progress(**saved["progress"])
            load_into(self.model, saved["model"])
            self.method.load_state_dict(saved["method"])
            self.best_weights = dict(saved["best"])
            self.best_beside = dict(saved.get("best_beside", {}))
            if self.judge is not None:
                self.judge.load_state_dict(saved["judge"])


def _batches(fit: Split, seed: int, state: _Progress, random_before: Any) -> Iterator[Any]:
    """Yield batches for ever, epoch after epoch; (seed, epoch) alone decides the order of an epoch.

    After a resume the used batches of the epoch are drawn again and thrown away, then the random states of the
    checkpoint are restored, so that whatever is drawn next is what would have been drawn.
    """
    while True:
        batches = one_pass(fit, seed, state.epoch)
        for _ in range(state.position):
            next(batches)
        if random_before is not None:
            restore_random_state(random_before)
            random_before = None
        for batch in batches:
            state.position += 1
            yield pair(batch)
        if state.position == 0:
            raise fail(
                "fit", "the split yields no batch", "at least one", "Is the DataLoader exhausted or empty?"
            )
        state.epoch, state.position = state.epoch + 1, 0


def training_batches(fit: Split, seed: int) -> Iterator[Any]:
    """Yield batches for ever, from the first epoch on."""
    return _batches(fit, seed, _Progress(), None)
