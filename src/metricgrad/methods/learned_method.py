"""Learn the metric, then follow what was learned: LS, and with a filter FEDS.

Surrogate steps fit the distance of two embeddings to the metric; model steps lower that distance. No gradient of the
one reaches the parameters of the other. A surrogate that does not agree with the metric on pairs that did not
teach it must not touch the model.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._types import MethodRun
from metricgrad.errors import Distrusted, Diverged
from metricgrad.methods.descent import Descent
from metricgrad.methods.exam import HELD_OUT, Exam, Findings
from metricgrad.methods.learned_settings import LearnedSettings, check_objective, make_surrogate
from metricgrad.methods.pair_maker import PairMaker, Trained, first_batches, require_whole_batches
from metricgrad.methods.teacher import Teacher

__all__ = ["Learned"]


@final
class Learned:
    """Surrogate steps and a model step, batch after batch, watched by the metric itself.

    Args:
        settings: see `LearnedSettings`.
        filtered: weight the samples of a model step by the ramp filter (FEDS); False is plain LS, which never asks.
        proxy: added to the surrogate with `settings.proxy_weight`; None for none.

    Reference:
        [patel2020learning], [patel2021feds]
    """

    def __init__(
        self,
        settings: LearnedSettings,
        *,
        filtered: bool = False,
        proxy: Callable[[Any, Any], Tensor] | None = None,
    ) -> None:
        self.settings = settings
        self.descent = Descent(settings, parts=[proxy])
        self.filtered, self.proxy = filtered, proxy
        check_objective(settings.objective, filtered=filtered)  # they must fail now

    def begin(self, run: MethodRun) -> None:
        """Prepare the optimisers, the embedding and the held-out pairs; the metric is checked on generated pairs.

        Raises:
            InputError: a metric that cannot be learned, several processes, a batch in chunks.
        """
        require_whole_batches("learned", run)
        if run.fit is None or run.select is None:
            raise fail(
                "learned",
                "the run has no fit or select split",
                "both: pairs come from one, trust from the other",
            )
        self.descent.begin(run)
        self.run, self.model = run, run.model
        objective = dict(self.settings.objective)
        symmetrize = objective.pop("symmetrize", False)
        self.maker = PairMaker(
            run.model, run.metric, self.descent.parameters[0].device, symmetrize=symmetrize
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            encoder = self.maker.kind.encoder().to(self.maker.device)
        self.surrogate = make_surrogate(encoder, objective, filtered=self.filtered)
        self.exam = Exam(self.surrogate, self.maker, run, self.settings.trust)
        made_up = None if self.maker.kind.pairs is None else self.maker.made_up
        self.teacher = Teacher(self.surrogate, made_up, self.settings, seed=run.seed)
        self.counts = {"skipped": 0, "poor": 0, "lessons": 0, "kept": 0.0, "steps": 0}
        self.warm, self.distrust = False, ""

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take the surrogate steps and one model step; returns the loss before it, fit, penalty, kept fraction.

        Raises:
            Distrusted: the surrogate does not agree with the metric.
            InputError: the metric fails for too many samples.
            Diverged: the loss is not finite.
        """
        self._warm_up()
        if self.distrust:
            raise Distrusted(self.distrust)
        pairs = self.maker.trained(batch)
        self.teacher.remember(pairs.z, pairs.y, pairs.errors)
        for _ in range(self.settings.surrogate_steps):
            self.teacher.step(followed=self.descent.taken)
        value, kept = self._follow(pairs)
        self.counts["kept"] += kept
        self.counts["steps"] += 1
        self.counts["poor"] = self.counts["poor"] + 1 if kept < self.settings.kept_floor else 0
        if self.counts["poor"] >= self.settings.patience:
            self.counts["poor"] = 0
            self._lesson()
        return {"loss": value, **self.teacher.latest, "kept_fraction": kept}

    def _follow(self, pairs: Trained) -> tuple[float, float]:
        """Take the model step, unless the filter leaves no sample; returns the loss and the share of samples kept."""
        self.surrogate.requires_grad_(False)
        estimates = self.surrogate(pairs.z, pairs.y.detach())
        loss, kept = self.surrogate.model_loss(estimates, pairs.errors)
        self.surrogate.requires_grad_(True)
        if kept == 0 and self.proxy is None:
            self.counts["skipped"] += 1
            self.descent.skip()
            return float(loss.detach()), kept
        if self.proxy is not None:
            loss = loss + self.settings.proxy_weight * self.proxy(pairs.outputs, pairs.targets).mean()
        return self.descent.step(lambda: _backward(loss)), kept

    def _lesson(self) -> None:
        """Take extra surrogate steps: the filter keeps too few samples, or trust is lost."""
        for _ in range(self.settings.extra_steps):
            self.teacher.step(followed=self.descent.taken)

    def _warm_up(self) -> None:
        """Teach the surrogate before the first model step, once: made-up pairs, then both kinds."""
        if self.warm:
            return
        self.warm = True
        inputs, targets = self.exam.batches()[0]
        errors, made_up = self.maker.errors, self.maker.kind.pairs
        if made_up is None:
            errors.check(np.random.default_rng(self.run.seed), self.maker.outputs(inputs), targets)
        else:
            rng = np.random.default_rng((self.run.seed, HELD_OUT))
            errors.check(rng, *made_up(200, rng))
        for inputs, targets in first_batches(self.run.fit, batches=self.settings.replay_batches):
            self.teacher.pairs.add(self.maker.compared(self.maker.outputs(inputs), targets))
        steps = self.settings.surrogate_warmup
        for number in range(steps):
            self.teacher.step(followed=self.descent.taken, made_up_only=2 * number < steps)
            self.run.show(f"seed {self.run.seed} learns the metric", number + 1, steps, "step")

    def examine(self) -> dict[str, Any] | None:
        """Examine the surrogate on held-out pairs; one that is not trusted is taught more, or ends the stage.

        Returns:
            The fields `values`, `local`, `generated` and `gauges` of a `Fitted` record; None where the surrogate
            diverged, which the next step says.
        """
        try:
            findings = self._examined()
        except Diverged as error:
            self.distrust = str(error)
            return None
        self.distrust = self.exam.distrust(findings)
        report = self.exam.finished(findings, self._counted())
        if self.descent.taken == 0:
            self.counts["lessons"] = 0
        self.counts["kept"], self.counts["steps"] = 0.0, 0
        return report

    def _examined(self) -> Findings:
        """Teach and examine until the surrogate is trusted, or there are no more lessons."""
        self._warm_up()
        findings = self.exam.sit(followed=self.descent.taken > 0)
        while not findings.trusted and self.counts["lessons"] < self.settings.lessons:
            self.counts["lessons"] += 1
            self._lesson()
            findings = self.exam.sit(followed=self.descent.taken > 0)
        return findings

    def _counted(self) -> dict[str, float]:
        """The gauges that the method counts."""
        steps = self.counts["steps"]
        return {
            "kept_fraction": self.counts["kept"] / steps if steps else math.nan,
            "skipped_steps": self.counts["skipped"],
            "surrogate_steps": self.teacher.taken,
            "pauses": self.counts["lessons"],
            "sample_metric_calls": self.maker.errors.calls,
            "dropped_samples": self.maker.errors.dropped,
            "seconds": round(self.teacher.seconds, 3),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the descent, the embedding, its teacher and the counts."""
        return {
            "descent": self.descent.state_dict(),
            "surrogate": self.surrogate.state_dict(),
            "teacher": self.teacher.state_dict(),
            "counts": dict(self.counts),
            "seconds": self.teacher.seconds,
            "distrust": self.distrust,
            "before": None if self.exam.before is None else list(self.exam.before),
            "measured": [self.maker.errors.calls, self.maker.errors.samples, self.maker.errors.dropped],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.descent.load_state_dict(state["descent"])
        self.surrogate.load_state_dict(dict(state["surrogate"]))
        self.teacher.load_state_dict(state["teacher"])
        self.teacher.seconds = state["seconds"]
        self.counts, self.warm, self.distrust = dict(state["counts"]), True, state["distrust"]
        self.exam.before = None if state["before"] is None else tuple(state["before"])
        self.maker.errors.calls, self.maker.errors.samples, self.maker.errors.dropped = state["measured"]

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.descent.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.descent.load_beside(state)


def _backward(loss: Tensor) -> Tensor:
    loss.backward()
    return loss
