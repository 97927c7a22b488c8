"""The settings that all black-box methods have, and those of each."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from metricgrad._documents import NumberField, WholeField
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.few_numbers import Adapter
from metricgrad.methods.gated import Gate

__all__ = ["EvolutionSettings", "MixtureSettings", "PolicySettings", "SearchSettings", "ValueSettings"]


class SearchSettings(BaseModel):
    """What is moved, how often the metric is called, and what is taken over.

    Args:
        adapter: which numbers are moved. `bias`: one per output. `scale`: one factor per output. `film`: scale and
            shift of the units before the last layer, and its bias and scale. `head`: all weights of the last layer.
            `trained`: all parameters that the plan trains, of any network (for one wrapped by PEFT, LoRA or OFT).
        calls: of the metric on the pool.
        radius: of the trust region around the start; None for what lets a bias move by the log of the ratio of the
            largest to the smallest class, at least 1.
        gate: `bootstrap` takes over what is found only where it is better on the pool beyond chance (5 % quantile of
            1,000 paired resamples above 0); else the network stays as it came. `none` takes it over.
        settle_every: after so many steps the network is given what has been found so far.
        proxy_weight: 0: the training loss has its own place in these methods.
        proxy: settings of the training loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    adapter: Adapter = "film"
    calls: WholeField = Field(default=500, ge=1)
    radius: NumberField | None = Field(default=None, gt=0)
    gate: Gate = "bootstrap"
    settle_every: WholeField = Field(default=10, ge=1)
    proxy_weight: NumberField = Field(default=0.0, ge=0, le=0)
    proxy: dict[str, Any] = Field(default_factory=dict)


class MixtureSettings(SearchSettings):
    """How weights of training losses are searched.

    Args:
        calls: candidates that are trained and measured.
        gate: also `cross_fit`: two searches, each on a half of the pool; the mean of both is taken over where each is
            better on the half that it did not see, in the mean.
        sampler: `gp` up to 150 calls and `cmaes` beyond (None), `tpe`, or `random`, the control.
        inner_steps: of Adam, for every candidate, all on the same batches.
        learning_rate: of these steps.
        batch: items of a batch.
    """

    calls: WholeField = Field(default=100, ge=1)
    gate: Gate | Literal["cross_fit"] = "cross_fit"  # pyright: ignore[reportIncompatibleVariableOverride]
    sampler: Literal["gp", "cmaes", "tpe", "random"] | None = None
    inner_steps: WholeField = Field(default=30, ge=1)
    learning_rate: NumberField = Field(default=1e-2, gt=0)
    batch: WholeField = Field(default=256, ge=2)


class EvolutionSettings(SearchSettings):
    """How the metric is climbed by antithetic differences.

    Args:
        pairs: of points on both sides of the present one, a call each, for every step.
        sigma: standard deviation of the differences.
        learning_rate: length of a step.
        loss_weight: 0 follows the metric alone; above 0 the training loss leads, and the metric has this weight.
        shaping: of the values: `centered_rank`, `standardize` or `none`.
        batch: items of fit for the gradient of the training loss.
    """

    pairs: WholeField = Field(default=8, ge=1)
    sigma: NumberField = Field(default=0.1, gt=0)
    learning_rate: NumberField = Field(default=0.05, gt=0)
    loss_weight: NumberField = Field(default=0.0, ge=0)
    shaping: Literal["centered_rank", "standardize", "none"] = "centered_rank"
    batch: WholeField = Field(default=256, ge=2)


class ValueSettings(SearchSettings):
    """How the metric is learned as a function of the numbers, and followed beside the training loss.

    Args:
        trajectories: runs of the training loss with other rates and item weights, which teach the function first.
        trajectory_steps: of each.
        observe_every: steps from one call of the metric to the next.
        refit_every: steps from one fit of the function to the next.
        model: `ensemble` of five small networks, or `ridge`.
        value_weight: of its gradient beside that of the training loss, both of length 1.
        learning_rate: length of a guided step.
        batch: items of a batch.
    """

    trajectories: WholeField = Field(default=8, ge=1)
    trajectory_steps: WholeField = Field(default=30, ge=1)
    observe_every: WholeField = Field(default=5, ge=1)
    refit_every: WholeField = Field(default=10, ge=1)
    model: Literal["ensemble", "ridge"] = "ensemble"
    value_weight: NumberField = Field(default=0.5, ge=0)
    learning_rate: NumberField = Field(default=0.02, gt=0)
    batch: WholeField = Field(default=256, ge=2)


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
