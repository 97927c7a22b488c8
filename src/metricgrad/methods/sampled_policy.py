"""Follow rewards of outputs that are drawn: the network is a policy, and the metric judges what it decides.

A draw is one class per place (sample, frame, pixel) from the softmax of the outputs; the metric is given it as outputs
that leave no doubt, so that it decodes them as it decodes those of the network. Draws and gradient are of the pool: it
is the only data that the judge is for.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._documents import NumberField, WholeField
from metricgrad._types import Judging, MethodRun
from metricgrad.blackbox import kl_to_start, policy_advantages
from metricgrad.errors import TrialFailed
from metricgrad.methods.class_policy import ClassPolicy
from metricgrad.methods.descent import Descent, DescentSettings
from metricgrad.methods.few_numbers import Items

__all__ = ["PolicySettings", "SampledPolicy"]

NAME = "blackbox:policy"


class PolicySettings(DescentSettings):
    """How outputs are drawn and their rewards followed; the steps are those of every other method.

    Args:
        calls: of the metric on the pool, one for every drawn set of outputs.
        samples: sets of outputs that are drawn for every batch of the pool, at least 2.
        batch: items of a batch.
        baseline: what a reward is compared with, see `blackbox.policy_advantages`.
        credit: `set`: all items of a batch share the reward of the set. `item`: each has what the metric loses where
            its own output is the decoded one instead; a call for every item and set.
        start_weight: weight of the divergence from the policy of the start.
        length_weight: for texts: how much a reward loses with the relative difference in length from the target.
    """

    learning_rate: NumberField = Field(default=1e-4, gt=0)
    calls: WholeField = Field(default=2000, ge=1)
    samples: WholeField = Field(default=8, ge=2)
    batch: WholeField = Field(default=256, ge=1)
    baseline: Literal["leave_one_out", "none", "greedy", "group_mean", "group_normalized"] = "leave_one_out"
    credit: Literal["set", "item"] = "set"
    start_weight: NumberField = Field(default=0.05, ge=0)
    length_weight: NumberField = Field(default=0.0, ge=0)


@final
class SampledPolicy:
    """Some sets of outputs are drawn for a batch of the pool; the log probability of each moves by its advantage.

    Args:
        settings: see `PolicySettings`.

    Reference:
        [williams1992reinforce], [rennie2017selfcritical]
    """

    def __init__(self, settings: PolicySettings) -> None:
        self.settings, self.descent = settings, Descent(settings)
        self.judge_calls = settings.calls

    def begin(self, run: MethodRun) -> None:
        """Make the optimiser and keep the pool, with the policy of the start."""
        if run.chunk is not None:
            raise fail(NAME, f"chunk is {run.chunk}", "None: a batch of the pool is embedded whole")
        assert run.judge is not None and run.pool is not None
        self.descent.begin(run)
        self.judge: Judging = run.judge
        self.kind, self.seed, self.taken = run.metric.kind, run.seed, 0
        self.sign = 1.0 if run.metric.higher_is_better else -1.0
        self.policy = ClassPolicy(NAME, run.model, self.descent.parameters[0].device, run.pool)
        self.start = self.policy.at_start() if self.settings.start_weight else None

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Draw, let the metric judge, and take one step. The batch is not read.

        Raises:
            TrialFailed: fewer than two of the draws have a value.
            JudgeEnded: all calls are spent.
            Diverged: the gradient is not finite; the weights have not moved.
        """
        self.taken += 1
        settings, pool = self.settings, self.policy.items
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.taken)
        rows = torch.randperm(len(pool), generator=generator)[: settings.batch]
        items = pool.of(rows)
        chances = self.policy.log_probabilities(items)
        drawn = self.policy.drawn(chances, settings.samples, generator)
        rewards, greedy = self._rewards(chances, drawn, items)
        valid = rewards.isfinite().all(1)
        if int(valid.sum()) < 2:
            raise TrialFailed("fewer than two draws have a value of the metric")
        of_items = rewards[valid].T  # [1 or item, draw]
        baseline = None if greedy is None else greedy.expand(len(of_items))
        advantages = policy_advantages(of_items, settings.baseline, greedy=baseline).T
        chosen = chances.gather(-1, drawn[valid].movedim(0, -1)).movedim(-1, 0)  # [draw, item, *place]
        chosen = chosen.flatten(2).sum(2) if chosen.ndim > 2 else chosen
        loss = -(advantages.to(chosen) * chosen).sum(1).mean()
        if self.start is not None:
            away = kl_to_start(chances, self.start[rows.to(self.start.device)].to(chances))
            loss = loss + settings.start_weight * away.mean()
        self.descent.step(lambda: _backward(loss))
        return {"loss": -float(rewards[valid].mean())}

    def _rewards(
        self, chances: Tensor, drawn: Tensor, items: Items
    ) -> tuple[Float[Tensor, "draw unit"], Float[Tensor, ""] | None]:
        """Return the rewards, of each set as a whole or of its items, and of what the network decides where asked."""
        greedy, columns = chances.detach().argmax(-1), chances.shape[-1]
        base = self._judged(greedy, items, columns) if self.settings.baseline == "greedy" else None
        whole = torch.stack([self._judged(one, items, columns) for one in drawn])
        if self.settings.credit == "set":
            return whole.unsqueeze(1), base
        credits = torch.empty(len(drawn), len(items), dtype=torch.float64)
        for number, one in enumerate(drawn):
            for place in range(len(items)):
                other = one.clone()
                other[place] = greedy[place]
                credits[number, place] = whole[number] - self._judged(other, items, columns)
        return credits, None if base is None else torch.zeros((), dtype=torch.float64)

    def _judged(self, classes: Tensor, items: Items, columns: int) -> Float[Tensor, ""]:
        outputs = self.policy.as_outputs(classes, columns)
        try:
            value = self.sign * self.judge(outputs, items.targets)
        except TrialFailed:
            value = math.nan
        return torch.tensor(value - self._too_long(outputs, items), dtype=torch.float64)

    def _too_long(self, outputs: Tensor, items: Items) -> float:
        """Return the penalty for lengths of texts that are not those of the targets."""
        if not self.settings.length_weight or self.kind is None:
            return 0.0
        texts = self.kind.decode(outputs)
        away = [
            abs(len(one) - len(target)) / max(1, len(target))
            for one, target in zip(texts, items.targets, strict=True)
        ]
        return self.settings.length_weight * sum(away) / len(away)

    def state_dict(self) -> dict[str, Any]:
        """Return the descent, how many steps were taken, and the policy of the start."""
        return {"descent": self.descent.state_dict(), "taken": self.taken, "start": self.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.descent.load_state_dict(state["descent"])
        self.taken = state["taken"]
        self.start = None if state["start"] is None else state["start"].to(self.policy.device)


def _backward(loss: Tensor) -> Tensor:
    loss.backward()
    return loss
