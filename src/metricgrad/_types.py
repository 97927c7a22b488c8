"""The protocols that the families share: metric, loss, split, method.

They are structural: a class of yours fits when it has the members, it need not import anything from here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

__all__ = [
    "Judging",
    "Loss",
    "Method",
    "MethodRun",
    "Metric",
    "Observer",
    "OutputKind",
    "Reading",
    "Split",
    "Structure",
]

Reading = Literal[
    "embeddings", "classes", "scores", "probabilities", "labels", "pixels", "values", "texts", "boxes"
]
"""What a metric makes of the outputs: `classes` takes class ids or class scores, of which the largest decides;
`scores` one number per sample, higher for class 1, of any scale; `labels` decisions or scores of several labels per
sample, each of which is there or not; `pixels` class ids or class scores of every pixel of an image; `values` numbers
that are compared with targets."""

Observer = Callable[[Mapping[str, Any]], None]
"""Receives events (see `metricgrad._records`): progress, evaluations, notes. The default writes plain lines."""


def _as_points(outputs: Any, targets: Any) -> tuple[Any, Any]:
    return outputs, targets


@dataclass(frozen=True)
class OutputKind:
    """What the outputs of a network are: how they are read, and how a learned surrogate compares them with targets.

    Attributes:
        name: for messages: `words`, `rotated boxes`, ...
        decode: outputs -> predictions, one a sample, as the metric takes them (texts, boxes, classes); the deployed
            reading, without a gradient.
        encoder: makes a new embedding network h, the same one for prediction and target: points of that space
            [sample, ...] -> [sample, dim]. No batch normalisation and no dropout: a deterministic map of each sample
            by itself. Seeds are set by the caller.
        pairs: `(count, generator) -> (outputs, targets)`: pairs made without data or labels, in the formats that the
            network and the split use; None where there is no way to make them.
        compare: `(outputs, targets) -> (z, y)`: brings both into the space that the encoder embeds, each [sample, ...];
            z is differentiable in the outputs. By default they are points of that space already.
    """

    name: str
    decode: Callable[[Any], Any]
    encoder: Callable[[], nn.Module]
    pairs: Callable[[int, np.random.Generator], tuple[Any, Any]] | None = None
    compare: Callable[[Any, Any], tuple[Tensor, Tensor]] = _as_points


@dataclass(frozen=True)
class Metric:
    """An exact metric: pure functions and facts, no gradient.

    Attributes:
        name: what it is called in tables and on the command line, e.g. `recall@1`.
        measure: `(outputs, targets) -> statistics` float64 [unit, stat]. A retrieval metric (`unit == "query"`)
            also takes `reference_outputs=` and `reference_targets=`.
        summarise: `statistics -> float`; any subset or repetition of units may be given (the bootstrap does so).
        higher_is_better: the direction.
        bounds: smallest and largest possible value.
        per_sample: whether the metric is a mean over samples of e(prediction, target), so that it can be learned.
        unit: what a row of the statistics is: `query`, `sample`, `word`, `image`; `whole` where one row stands
            for the whole set and no interval can be given.
        description: one sentence for tables and reports: which of the readings of an ambiguous name this is.
        reads: what it makes of the outputs; None where it is handed them as they are (a function of the user).
        kind: what the outputs are, where `measure` decodes them itself; needed to learn the metric.
        of_predictions: then `(predictions, targets) -> statistics`, what `measure` does after decoding.
        function: the metric function of this library that the record was made of; None for any other. A metric is
            recognised by this function and its settings, never by its name, which anybody may change.
        settings: all settings of that function by name, those that were not given at their defaults.
        of_table: the metric as a function of confusion tables [*batch, true, predicted] -> float64 [*batch], class k in
            row and column k, the settings bound; tables of real numbers are fine, it is differentiable in them. None
            where the metric is no function of a table (one of scores, or with a threshold).
        of_label_tables: of a metric that reads `labels`, the same as a function of the tables of all labels
            [*batch, label, true, predicted] -> float64 [*batch], two classes each: 0 absent, 1 there. See
            `metrics.label_tables`.
    """

    name: str
    measure: Callable[..., Tensor]
    summarise: Callable[[Tensor], float]
    higher_is_better: bool
    bounds: tuple[float, float]
    per_sample: bool = False
    unit: str = "sample"
    description: str = ""
    reads: Reading | None = None
    kind: OutputKind | None = None
    of_predictions: Callable[[Any, Any], Tensor] | None = None
    function: Callable[..., Tensor] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    of_table: Callable[[Tensor], Tensor] | None = None
    of_label_tables: Callable[[Tensor], Tensor] | None = None


class Loss(Protocol):
    """Differentiable, lower is better, not reduced."""

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return one value per unit [unit]."""
        ...


class Structure(Protocol):
    """Discrete outputs y of a network: their score F(y; scores), linear in the scores, and their task loss L(y).

    A *statistic* describes one output for each unit: float64 of the shape of the scores. Where several outputs tie for
    the prediction it is their average. `mask` is False where an item (a token) is padding; None for none.

    Attributes:
        signs: of epsilon for which `augment` is exact, among +1 and -1.
        exact: whether the outputs are all there are; False for a sample of them.

    Optional members: `ideal(scores, targets, *, mask=None) -> (statistic, value)`, the output that the target names
    (for the hinge); `augment_both(scores, targets, *, epsilon, mask=None)`, both signs at once;
    `moved(first, second, targets, *, mask=None) -> [unit]`, how far two outputs lie apart (default: the share of the
    items where their statistics differ); `noise`, the law of noise on scores: "normal" (default) or "gumbel".
    """

    signs: frozenset[int]
    exact: bool

    def defined(self, scores: Tensor, targets: Any, *, mask: Tensor | None = None) -> Tensor:
        """Check the arguments (InputError) and return which units have a task loss: bool [unit]."""
        ...

    def predict(
        self, scores: Tensor, *, targets: Any = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the output of the largest score, and that score: statistic and float64 [unit]."""
        ...

    def augment(
        self, scores: Tensor, targets: Any, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the output that maximises F + sign * epsilon * L, and the maximum: statistic and float64 [unit]."""
        ...

    def gradient(self, statistic: Tensor, targets: Any, *, mask: Tensor | None = None) -> Tensor:
        """Return dF/dscores at an output: float64, of the shape of the scores."""
        ...

    def task_loss(self, statistic: Tensor, targets: Any, *, mask: Tensor | None = None) -> Tensor:
        """Return L of an output: float64 [unit]."""
        ...


@runtime_checkable
class Split(Protocol):
    """A re-iterable of `(inputs, targets)` batches.

    Optional members that `tune` uses when they are there: `set_epoch(epoch: int)` before each pass (a shuffling
    split must depend on nothing else), `rebatch(size: int) -> Split`, `part(kept) -> Split` (the items of a mask, in
    batches of the same kind; with it go `targets`, and the tensor `inputs` or `each_once`), `each_once() -> Split`
    (each item once, without random views), `reference: Split` (the items that its queries are ranked against;
    default: its own items without the query), `pictures(indices) -> list[bytes]` (PNG, for the report's gallery),
    `drawn(indices, boxes_by_name) -> list[bytes]` (the same with boxes drawn in), `names: Sequence[str]` (one per
    item) and `digest: str` (content hash).
    """

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield `(inputs, targets)` batches; every pass yields the whole split."""
        ...


class Judging(Protocol):
    """The exact metric in the hands of a method: counted, with a budget; a failed call is an error, never a value."""

    def __call__(
        self, outputs: Any, targets: Any, *, reference_outputs: Any = None, reference_targets: Any = None
    ) -> float:
        """Return the metric of outputs."""
        ...

    def measured(
        self, outputs: Any, targets: Any, *, reference_outputs: Any = None, reference_targets: Any = None
    ) -> tuple[Tensor, float]:
        """Return its statistics [unit, stat], which resamples are drawn from, and the metric, of one call."""
        ...


@dataclass(frozen=True)
class MethodRun:
    """What a method is given before its first step.

    Attributes:
        model: the network, in train mode, on its device.
        parameters: the trainable parameters by name.
        metric: the exact metric of the run.
        steps: the number of steps that the stage will take (schedules need it).
        seed: seed of anything that the method draws itself.
        chunk: rows that are embedded at once where a batch is larger than memory, `auto` for as many as fit; None
            for the whole batch.
        fit: the split that the batches come from, for a method that prepares itself before the first step.
        select: the split that decides, for a method that must know what it may trust; None for one that asks for
            `judge`: it would learn on the split that chooses.
        show: takes `(what, done, total, unit)`, for work before the first step that somebody waits for.
        pool: the split that `judge` is for, held back from `fit`; None where the method does not ask for it.
        judge: the exact metric, counted; see `metricgrad.tune.judge.Judge`.
    """

    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    metric: Metric
    steps: int
    seed: int
    chunk: int | Literal["auto"] | None = None
    fit: "Split | None" = None
    select: "Split | None" = None
    show: Callable[[str, int, int, str], None] = lambda what, done, total, unit: None
    pool: "Split | None" = None
    judge: "Judging | None" = None


class Method(Protocol):
    """How a road becomes training steps; owns its optimisers and extra networks.

    Optional members: `examine() -> Mapping | None`, called at every evaluation, step 0 included: the fields `values`,
    `local`, `generated` and `gauges` of a `Fitted` record, of a method that learns the metric; `beside() -> dict` and
    `load_beside(state)`: what is trained beside the network (a loss with parameters), kept with the weights of a stage
    and handed on from the start to the arms, before `begin`; `judge_calls`: how often a stage may call
    `MethodRun.judge`; a method without it has no judge and no pool.
    """

    def begin(self, run: MethodRun) -> None:
        """Prepare optimisers and extra networks for a stage."""
        ...

    def step(self, batch: Sequence[Any]) -> Mapping[str, float]:
        """Take one training step on a batch `(inputs, targets)`; return what is worth logging, `loss` among it.

        `metric_calls`, where it is there, is how often the step called the exact metric; the run counts these calls.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as nested dicts, lists, numbers, strings and tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `begin`."""
        ...
