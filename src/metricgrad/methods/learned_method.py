"""Learn the metric, then follow what was learned: LS, and with a filter FEDS.

Surrogate steps fit the distance of two embeddings to the metric; model steps lower that distance. No gradient of the
one reaches the parameters of the other. A surrogate that does not agree with the metric on pairs that did not
teach it must not touch the model.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._structures import moved, one_tensor
from metricgrad._types import MethodRun
from metricgrad._user_code import embedded
from metricgrad.errors import Distrusted, Diverged
from metricgrad.learned import (
    FilteredSurrogate,
    SampleErrors,
    filtered_mean,
)
from metricgrad.learned.pairs import Pairs, PairSource
from metricgrad.methods.descent import Descent, require_finite, require_whole_batches
from metricgrad.methods.exam import HELD_OUT, Exam, Findings
from metricgrad.methods.learned_settings import LearnedSettings, check_objective, make_surrogate
from metricgrad.methods.pair_maker import PairMaker, first_batches

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
        self.run, self.model, self.device = run, run.model, self.descent.parameters[0].device
        objective = dict(self.settings.objective)
        self.errors = SampleErrors(run.metric, symmetrize=objective.pop("symmetrize", False))
        self.kind = self.errors.kind
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            encoder = self.kind.encoder().to(self.device)
        self.surrogate = make_surrogate(encoder, objective, filtered=self.filtered)
        self.maker = PairMaker(run.model, self.errors, self.device)
        self.exam = Exam(self.surrogate, self.maker, run, self.settings.trust)
        self.teacher = torch.optim.Adam(self.surrogate.parameters(), lr=self.settings.surrogate_learning_rate)
        self.pairs = PairSource(
            None if self.kind.pairs is None else self.maker.made_up,
            batches=self.settings.replay_batches,
            local_fraction=self.settings.local_fraction,
            seed=run.seed,
        )
        self.counts = {"taught": 0, "skipped": 0, "poor": 0, "lessons": 0, "kept": 0.0, "steps": 0}
        self.seconds, self.warm, self.distrust = 0.0, False, ""
        self.latest: dict[str, float] = {}

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
        inputs, targets = batch
        targets = moved(targets, self.device)
        outputs = one_tensor("learned", embedded(self.model, moved(inputs, self.device)))
        errors = self.errors(outputs.detach(), targets)
        z, y = self.kind.compare(outputs, targets)
        self.pairs.add(Pairs.known(z, y, errors))
        for _ in range(self.settings.surrogate_steps):
            self._teach()
        value, kept = self._follow(outputs, targets, z, y.detach(), errors)
        self.counts["kept"] += kept
        self.counts["steps"] += 1
        self.counts["poor"] = self.counts["poor"] + 1 if kept < self.settings.kept_floor else 0
        if self.counts["poor"] >= self.settings.patience:
            self.counts["poor"] = 0
            self._lesson()
        return {"loss": value, **self.latest, "kept_fraction": kept}

    def _follow(
        self, outputs: Tensor, targets: Any, z: Tensor, y: Tensor, errors: Tensor
    ) -> tuple[float, float]:
        """Take the model step, unless the filter leaves no sample; returns the loss and the share of samples kept."""
        self.surrogate.requires_grad_(False)
        estimates = self.surrogate(z, y)
        losses, kept = self.surrogate.loss(estimates), 1.0
        if isinstance(self.surrogate, FilteredSurrogate) and self.surrogate.filter_on != "surrogate":
            weights = self.surrogate.weights(estimates, errors)
            kept = float((weights > 0).float().mean())
            loss = filtered_mean(losses, weights)
        else:
            loss = losses.sum() / len(losses)
        self.surrogate.requires_grad_(True)
        if kept == 0 and self.proxy is None:
            self.counts["skipped"] += 1
            self.descent.skip()
            return float(loss.detach()), kept
        if self.proxy is not None:
            loss = loss + self.settings.proxy_weight * self.proxy(outputs, targets).mean()
        return self.descent.step(lambda: _backward(loss)), kept

    def _teach(self, *, made_up_only: bool = False) -> None:
        """Take one surrogate step."""
        began = time.perf_counter()
        pairs = self.pairs.draw(self.settings.surrogate_batch, made_up_only=made_up_only)
        fit = self.surrogate.fit(*pairs)
        self.teacher.zero_grad(set_to_none=True)
        taught = f"the surrogate's {{}} after {self.counts['taught']} steps of its own"
        require_finite(taught.format("loss"), float(fit.objective.detach()), self.descent.taken)
        fit.objective.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.surrogate.parameters(), 1.0)
        require_finite(taught.format("gradient"), float(norm), self.descent.taken)
        self.teacher.step()
        self.counts["taught"] += 1
        self.latest = {"fit": float(fit.fit.detach()), "penalty": float(fit.penalty.detach())}
        self.seconds += time.perf_counter() - began

    def _lesson(self) -> None:
        """Take extra surrogate steps: the filter keeps too few samples, or trust is lost."""
        for _ in range(self.settings.extra_steps):
            self._teach()

    def _warm_up(self) -> None:
        """Teach the surrogate before the first model step, once: made-up pairs, then both kinds."""
        if self.warm:
            return
        self.warm = True
        inputs, targets = self.exam.batches()[0]
        if self.kind.pairs is None:
            self.errors.check(np.random.default_rng(self.run.seed), self.maker.outputs(inputs), targets)
        else:
            rng = np.random.default_rng((self.run.seed, HELD_OUT))
            self.errors.check(rng, *self.kind.pairs(200, rng))
        for inputs, targets in first_batches(self.run.fit, batches=self.settings.replay_batches):
            self.pairs.add(self.maker.compared(self.maker.outputs(inputs), targets))
        steps = self.settings.surrogate_warmup
        for number in range(steps):
            self._teach(made_up_only=2 * number < steps)
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
            "surrogate_steps": self.counts["taught"],
            "pauses": self.counts["lessons"],
            "sample_metric_calls": self.errors.calls,
            "dropped_samples": self.errors.dropped,
            "seconds": round(self.seconds, 3),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return both optimisers, the embedding, the remembered pairs and the counts."""
        return {
            "descent": self.descent.state_dict(),
            "surrogate": self.surrogate.state_dict(),
            "teacher": self.teacher.state_dict(),
            "pairs": self.pairs.state_dict(),
            "counts": dict(self.counts),
            "seconds": self.seconds,
            "distrust": self.distrust,
            "before": None if self.exam.before is None else list(self.exam.before),
            "measured": [self.errors.calls, self.errors.samples, self.errors.dropped],
            "latest": dict(self.latest),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.descent.load_state_dict(state["descent"])
        self.surrogate.load_state_dict(dict(state["surrogate"]))
        self.teacher.load_state_dict(dict(state["teacher"]))
        self.pairs.load_state_dict(state["pairs"])
        self.counts, self.seconds, self.warm = dict(state["counts"]), state["seconds"], True
        self.distrust, self.latest = state["distrust"], dict(state["latest"])
        self.exam.before = None if state["before"] is None else tuple(state["before"])
        self.errors.calls, self.errors.samples, self.errors.dropped = state["measured"]

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return self.descent.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        self.descent.load_beside(state)


def _backward(loss: Tensor) -> Tensor:
    loss.backward()
    return loss
