"""What every search of a few numbers stands on: the network as a function of them, fit, the judged pool, the loss."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from metricgrad._documents import NumberField, WholeField
from metricgrad._types import MethodRun
from metricgrad.errors import JudgeEnded, TrialFailed
from metricgrad.methods.few_numbers import Adapter, FewNumbers, Items
from metricgrad.methods.gated import Gate, Judged
from metricgrad.methods.mixture_terms import Terms, batches_of, radius_for, terms_of
from metricgrad.methods.weighed_loss import WeighedLoss

__all__ = ["Drawn", "SearchGround", "SearchSettings"]


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


class Drawn(NamedTuple):
    """A batch of fit: its items and their numbers."""

    items: Items
    rows: Int[Tensor, " row"]


class SearchGround:
    """The parts that the searches share.

    Args:
        name: of the method, for messages.
        settings: see `SearchSettings`.
        loss: the training loss; None for a search that follows the metric alone.

    Attributes:
        taken: number of steps so far.
        numbers: the network as a function of phi.
        judged: the metric of phi on the pool.
        fit: items that the loss is trained on; None without a loss.
        terms: of the loss; None without one.
        radius: of the trust region.
        ranked: whether the loss of an item depends on the others of its class.
    """

    def __init__(self, name: str, settings: SearchSettings, loss: WeighedLoss | None) -> None:
        self.name, self.settings, self.loss = name, settings, loss

    def begin(self, run: MethodRun) -> None:
        """Read fit and pool once, and group the items of fit into terms of the loss."""
        assert run.fit is not None and run.pool is not None
        self.steps, self.taken, self.seed = run.steps, 0, run.seed
        self.ranked = run.metric.unit == "query"
        self.numbers = FewNumbers(self.name, run, self.settings.adapter)
        self.judged = Judged(run, self.numbers, self.numbers.read(run.pool))
        self.fit: Items | None = None
        self.terms: Terms | None = None
        if self.loss is not None:
            self.loss.begin(run, ranked=self.ranked)
            self.fit = self.numbers.read(run.fit)
            self.terms = terms_of(self.name, self.loss, self.numbers, self.fit)
        of_classes = self.judged.pool.targets if self.fit is None else self.fit.targets
        self.radius = self.settings.radius or radius_for(of_classes)

    def batches(self, size: int, seed: int) -> list[Drawn]:
        """Return all items of fit in batches, in an order drawn by the seed."""
        assert self.fit is not None
        generator = torch.Generator().manual_seed(seed)
        rows = batches_of(self.fit, size=size, ranked=self.ranked, generator=generator)
        return [Drawn(self.fit.of(some), some) for some in rows]

    def batch(self, size: int) -> Drawn:
        """Return a batch of fit, another one at every step."""
        assert self.fit is not None
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.taken)
        rows = batches_of(self.fit, size=size, ranked=self.ranked, generator=generator)[0]
        return Drawn(self.fit.of(rows), rows)

    def value(
        self, phi: Float[Tensor, " number"], drawn: Drawn, mixture: Float[Tensor, " term"] | None = None
    ) -> Float[Tensor, ""]:
        """Return the training loss of a batch at phi: its mean, or the mixture of its terms."""
        assert self.loss is not None and self.terms is not None
        outputs = self.numbers.outputs(phi, drawn.items)
        if mixture is None:
            return self.loss.mean(outputs, drawn.items)
        return self.terms.mixed(mixture, self.loss, outputs, drawn.items, drawn.rows)

    def of_start(self) -> tuple[float, float]:
        """Measure the start: value and variance.

        Raises:
            JudgeEnded: it has no value, so that nothing can be compared with it.
        """
        try:
            return self.judged.observed(self.numbers.zero())
        except TrialFailed as error:
            raise JudgeEnded(f"the metric has no value for the model as it came: {error}") from error

    def due(self, most: int) -> bool:
        """Whether the network is given now what has been found: now and then, and at the end."""
        return self.taken % self.settings.settle_every == 0 or self.taken in (most, self.steps)

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on."""
        return {"taken": self.taken, "taken_over": self.judged.taken_over, "beside": self.beside()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.taken, self.judged.taken_over = state["taken"], state["taken_over"]
        self.load_beside(state["beside"])

    def beside(self) -> dict[str, Any]:
        """Return the state of the user's loss; empty where it has none."""
        return {} if self.loss is None else self.loss.beside()

    def load_beside(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of the user's loss in another stage."""
        if self.loss is not None:
            self.loss.load_beside(state)
