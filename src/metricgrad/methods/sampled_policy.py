"""Follow rewards of outputs that are drawn: the network is a policy, and the metric judges what it decides.

A draw is one class per place (sample, frame, pixel) from the softmax of the outputs; the metric is given it as outputs
that leave no doubt, so that it decodes them as it decodes those of the network. Draws and gradient are of the pool: it
is the only data that the judge is for.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._structures import one_tensor
from metricgrad._types import Judging, MethodRun
from metricgrad._user_code import embedded
from metricgrad.blackbox import policy_advantages
from metricgrad.errors import TrialFailed
from metricgrad.methods.blackbox_settings import PolicySettings
from metricgrad.methods.descent import Descent
from metricgrad.methods.few_numbers import Items
from metricgrad.methods.fit_items import each_item_once

__all__ = ["SampledPolicy"]

SURE = 30.0
"""Logit of a class that was drawn; the others have 0."""


@final
class SampledPolicy:
    """Some sets of outputs are drawn for a batch of the pool; the log probability of each moves by its advantage.

    Args:
        settings: see `PolicySettings`.

    Reference:
        [williams1992reinforce], [rennie2017self]
    """

    def __init__(self, settings: PolicySettings) -> None:
        self.settings, self.descent = settings, Descent(settings)
        self.judge_calls = settings.calls

    def begin(self, run: MethodRun) -> None:
        """Make the optimiser and keep the pool."""
        if run.chunk is not None:
            raise fail(
                "blackbox:policy", f"chunk is {run.chunk}", "None: a batch of the pool is embedded whole"
            )
        assert run.judge is not None and run.pool is not None
        self.descent.begin(run)
        self.run, self.model = run, run.model
        self.judge: Judging = run.judge
        self.sign = 1.0 if run.metric.higher_is_better else -1.0
        self.device = self.descent.parameters[0].device
        self.pool = self._pool(run)
        self.start = self._at_start()
        self.taken = 0

    def _pool(self, run: MethodRun) -> Items:
        given, targets = zip(*each_item_once(run.pool), strict=True)
        if not all(isinstance(part, Tensor) for part in given):
            raise fail("blackbox:policy", "inputs that are no tensor", "one tensor with one row per item")
        texts = [one for part in targets for one in part]
        joined = torch.cat(targets) if isinstance(targets[0], Tensor) else texts
        return Items(torch.cat(given), joined)

    def _at_start(self) -> Float[Tensor, "item *place class"] | None:
        """The log probabilities of the start, which the policy shall not leave far behind."""
        if not self.settings.start_weight:
            return None
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            parts = [self._log_policy(part) for part in self.pool.given.split(self.settings.batch)]
        self.model.train(training)
        return torch.cat(parts)

    def _log_policy(self, inputs: Tensor) -> Float[Tensor, "item *place class"]:
        outputs = one_tensor("blackbox:policy", embedded(self.model, inputs.to(self.device)))
        if outputs.ndim < 2 or outputs.shape[-1] < 2:
            came = f"the network gives {tuple(outputs.shape)}"
            raise fail("blackbox:policy", came, "scores of at least two classes on the last axis")
        return outputs.log_softmax(-1)

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Draw, let the metric judge, and take one step. The batch is not read.

        Raises:
            TrialFailed: fewer than two of the draws have a value.
            JudgeEnded: all calls are spent.
            Diverged: the gradient is not finite; the weights have not moved.
        """
        self.taken += 1
        generator = torch.Generator().manual_seed(1_000_003 * self.run.seed + self.taken)
        size = min(self.settings.batch, len(self.pool))
        rows = torch.randperm(len(self.pool), generator=generator)[:size]
        items = self.pool.of(rows)
        log_policy = self._log_policy(items.given)
        drawn = self._drawn(log_policy, generator)
        rewards, greedy = self._rewards(log_policy, drawn, items)
        valid = rewards.isfinite().flatten(1).all(1)
        if int(valid.sum()) < 2:
            raise TrialFailed("fewer than two draws have a value of the metric")
        of_items = rewards[valid].T  # [1 or item, draw]
        baseline = None if greedy is None else greedy.expand(len(of_items))
        advantages = policy_advantages(of_items, self.settings.baseline, greedy=baseline).T
        chosen = log_policy.gather(-1, drawn[valid].movedim(0, -1)).movedim(-1, 0)  # [draw, item, *place]
        chosen = chosen.flatten(2).sum(2) if chosen.ndim > 2 else chosen
        loss = -(advantages.to(chosen) * chosen).sum(1).mean()
        if self.start is not None:
            start = self.start[rows.to(self.start.device)].to(log_policy)
            away = (log_policy.exp() * (log_policy - start)).nan_to_num().sum(-1)
            loss = loss + self.settings.start_weight * away.mean()
        self.descent.step(lambda: _backward(loss))
        return {"loss": -float(rewards[valid].mean())}

    def _drawn(self, log_policy: Tensor, generator: torch.Generator) -> Tensor:
        """Draw classes for every place [draw, item, *place]."""
        probabilities = log_policy.detach().exp().cpu().flatten(0, -2)
        found = torch.multinomial(probabilities, self.settings.samples, replacement=True, generator=generator)
        return found.T.reshape(-1, *log_policy.shape[:-1]).to(log_policy.device)

    def _rewards(self, log_policy: Tensor, drawn: Tensor, items: Items) -> tuple[Tensor, Tensor | None]:
        """Return the rewards [draw, 1 or item], and those of what the network decides where they are asked for."""
        greedy = log_policy.detach().argmax(-1)
        columns = log_policy.shape[-1]
        whole = torch.stack([self._judged(one, items, columns) for one in drawn])
        base = self._judged(greedy, items, columns) if self.settings.baseline == "greedy" else None
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
        outputs = SURE * torch.nn.functional.one_hot(classes, columns).float()
        try:
            value = self.sign * self.judge(outputs, items.targets)
        except TrialFailed:
            value = math.nan
        return torch.tensor(value - self._too_long(outputs, items), dtype=torch.float64)

    def _too_long(self, outputs: Tensor, items: Items) -> float:
        """Return the penalty for lengths of texts that are not those of the targets."""
        kind = self.run.metric.kind
        if not self.settings.length_weight or kind is None:
            return 0.0
        texts = kind.decode(outputs)
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
        self.start = None if state["start"] is None else state["start"].to(self.device)


def _backward(loss: Tensor) -> Tensor:
    loss.backward()
    return loss
