"""The parts of a running stage, and what is done with them: a step, an evaluation, a checkpoint, the end."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from metricgrad._records import Evaluated, Fitted, Note, Progress, Stepped
from metricgrad._types import Method, MethodRun, Split
from metricgrad.errors import Collapsed, Distrusted, Diverged, JudgeEnded, TrialFailed
from metricgrad.scale import current
from metricgrad.tune.checkpoint import random_state, same_random_state
from metricgrad.tune.divergence import parameter_that_diverged, what_diverged
from metricgrad.tune.evaluator import Evaluator, Valued
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.judge import Judge
from metricgrad.tune.stage import Stage, Standing
from metricgrad.tune.state import RunState, fitting
from metricgrad.tune.weights import beside_of, load_into, state_of, weights_of

__all__ = ["ENDS", "Trainer"]

ENDS = (Collapsed, Distrusted, Diverged, JudgeEnded)
"""What ends a stage with its best weights so far."""


class Trainer:
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
    ) -> None:
        self.stage, self.model, self.method, self.base = stage, model, method, base
        self.parameters = parameters
        self.judge: Judge | None = None
        self.evaluator, self.select, self.folder = evaluator, select, folder
        self.state = Standing(epoch=stage.first_epoch)
        self.best_weights: dict[str, Any] = {}
        self.best_beside: dict[str, Any] = {}

    def begin(self, fit: Split, pool: Split | None) -> None:
        """Let the method prepare itself; with a pool it gets a judge, and not the split that decides."""
        stage = self.stage
        if pool is not None:
            self.judge = Judge(self.evaluator, getattr(self.method, "judge_calls", 0))
        self.method.begin(
            MethodRun(
                self.model.train(),
                self.parameters,
                self.evaluator.metric,
                stage.steps,
                stage.seed,
                stage.chunk,
                fit=fit,
                select=self.select if pool is None else None,
                show=lambda *work: self.folder.emit(Progress(*work)),
                pool=pool,
                judge=self.judge,
            )
        )

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
            found = what_diverged(self.model, self.parameters, batch)
            if found is None:
                raise
            raise Diverged(f"{found} ({error})") from error
        if called := int(values.get("metric_calls", 0)):
            self.evaluator.calls["fit"] += called
        state.summed += 1
        for name, value in values.items():
            state.sums[name] = state.sums.get(name, 0.0) + value

    def _measured(self) -> Valued | str:
        """The value on `select`; in words why there is none, where the model has diverged."""
        if self.state.step == 0:  # a model that came so has not diverged
            return self.evaluator.valued(self.model, self.select)
        found = parameter_that_diverged(self.parameters)
        if found is not None:
            return found
        try:
            valued = self.evaluator.valued(self.model, self.select)
        except Exception as error:
            found = self._diverged_on_select()
            if found is None:
                raise
            return f"{found} ({error})"
        return (self._diverged_on_select() if math.isnan(valued.value) else None) or valued

    def _diverged_on_select(self) -> str | None:
        self.model.eval()
        found = what_diverged(self.model, self.parameters, next(iter(self.select)))
        self.model.train()
        return found

    def evaluate(self) -> None:
        """Measure on `select`, keep the weights where they are the best so far, write both curves.

        Raises:
            Diverged: there is no value, since weights or outputs are not finite.
        """
        state, stage = self.state, self.stage
        found = current().led(self._measured)
        if isinstance(found, str):
            raise Diverged(found)
        value, argmax = found
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
            Evaluated(
                **stage.key,
                step=state.step,
                value=value,
                best=state.best,
                best_step=state.best_step,
                argmax=argmax,
            )
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
            "model": state_of(self.model),
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
            self.state = Standing(**saved["progress"])
            load_into(self.model, saved["model"])
            self.method.load_state_dict(saved["method"])
            self.best_weights = dict(saved["best"])
            self.best_beside = dict(saved.get("best_beside", {}))
            if self.judge is not None:
                self.judge.load_state_dict(saved["judge"])
