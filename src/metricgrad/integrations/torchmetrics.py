"""Our exact metrics as metrics of torchmetrics: update, compute, reset, and states that processes and merges share."""

from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe, extra, fail
from metricgrad.metrics import adapt

torchmetrics = extra("torchmetrics", "torchmetrics", "metricgrad.integrations.torchmetrics")
dim_zero_cat = torchmetrics.utilities.dim_zero_cat

__all__ = ["ExactMetric"]


class ExactMetric(torchmetrics.Metric):
    """One of our exact metrics with the interface of `torchmetrics.Metric` (exact, no gradient).

    The batches are kept and measured together, so that it does not matter how the data were divided, whether over
    batches, processes or objects (`merge_state`). The value of `forward` is that of its batch alone.

    A retrieval metric ranks the rows against each other, or against references where `update_references` was given
    some; a batch of `forward` then against the references that this object holds so far. Every process gives its part
    of the references, or none: what two of them give comes twice.

    Args:
        metric: as `metrics.adapt` takes it: a name such as `"recall@1"`, a function of `metrics`, a `Metric`.
        higher_is_better: the direction, for a function that does not tell its own.
        **options: of `torchmetrics.Metric`, such as `compute_on_cpu=True` or `sync_on_compute=False`.

    Attributes:
        metric: the record.
        higher_is_better: the direction.

    Raises:
        InputError: what `metrics.adapt` refuses.
        MissingExtraError: (when this module is imported) torchmetrics is not installed.

    Edge cases:
        `compute` without a row is refused, unlike a mean of nothing. An undefined value is NaN. `BootStrapper` repeats
        rows: right for a metric over samples; in a retrieval metric a repeated row finds its own copy, so use
        `metricgrad evaluate` or `compare` for an interval there. A query that is also among the references finds
        itself. In a `MetricCollection` with references say `compute_groups=False`: else its members share their rows.

    Cost:
        All outputs and targets in memory, and one measurement per `compute` or `forward`.

    Example:
        >>> metric = ExactMetric("macro_f1")
        >>> metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
        >>> metric.update(torch.tensor([1, 1]), torch.tensor([0, 1]))
        >>> metric.compute(), metric.higher_is_better
        (tensor(0.7333, dtype=torch.float64), True)
        >>> found = ExactMetric("recall@1")
        >>> found.update_references(torch.eye(2), torch.tensor([0, 1]))
        >>> found.update(torch.tensor([[3.0, 1.0]]), torch.tensor([0]))
        >>> found.compute()
        tensor(1., dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False
    outputs: list[Tensor]  # one tensor, where the states of processes were gathered
    targets: list[Tensor]
    reference_outputs: list[Tensor]  # of a retrieval metric
    reference_targets: list[Tensor]

    def __init__(self, metric: Any, *, higher_is_better: bool | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.metric = adapt(metric, higher_is_better=higher_is_better)
        self.add_state("outputs", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")
        self._ranks = self.metric.unit == "query"
        self._against: dict[str, Tensor] = {}  # references of a batch of `forward`, which resets the states
        if self._ranks:
            self.add_state("reference_outputs", default=[], dist_reduce_fx="cat")
            self.add_state("reference_targets", default=[], dist_reduce_fx="cat")

    @property
    def higher_is_better(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a higher value is better."""
        return self.metric.higher_is_better

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Keep a batch.

        Args:
            preds: outputs [sample, ...] as the metric reads them: embeddings, class scores, classes, ...
            target: [sample, ...], labels or whatever the metric compares with.

        Raises:
            InputError: no tensors, or another number of targets than of outputs.
        """
        _check_rows("ExactMetric.update", preds, target)
        self.outputs.append(preds.detach())
        self.targets.append(target.detach())
        if self._ranks and not len(self.reference_outputs):
            self._add_references(preds[:0], target[:0])  # states that processes gather must be of one form

    def update_references(self, preds: Tensor, target: Tensor) -> None:
        """Keep a batch of references: what the rows of `update` are ranked against, instead of each other.

        Args:
            preds: embeddings [item, dim].
            target: [item], labels of the same kind as those of `update`.

        Raises:
            InputError: the metric ranks nothing; no tensors, or another number of targets than of embeddings.
        """
        if not self._ranks:
            came = f"{self.metric.name} is measured per {self.metric.unit}"
            raise fail("ExactMetric.update_references", came, "a retrieval metric, such as recall@1")
        _check_rows("ExactMetric.update_references", preds, target)
        self._computed = None  # as the package does around `update`
        self._update_count += 1
        self._add_references(preds, target)
        if not len(self.outputs):
            self.outputs.append(preds[:0].detach())
            self.targets.append(target[:0].detach())

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Keep a batch and return the value of it alone, as `update` and `compute` would."""
        self._against = self._references()
        try:
            return super().forward(*args, **kwargs)
        finally:
            self._against = {}

    def compute(self) -> Tensor:
        """Return the metric over all rows, a float64 scalar (float32 on a device without float64).

        Raises:
            InputError: there is no row; what the metric refuses.
        """
        outputs, targets = _rows(self.outputs), _rows(self.targets)
        if not len(outputs):
            raise fail("ExactMetric.compute", "no row came", "update(preds, target) before compute()")
        references = self._references() or self._against
        value = self.metric.summarise(self.metric.measure(outputs, targets, **references))
        wide = torch.float32 if outputs.device.type == "mps" else torch.float64
        return torch.tensor(value, dtype=wide, device=outputs.device)

    def _references(self) -> dict[str, Tensor]:
        """The references as the metric takes them; empty where there are none."""
        if not self._ranks or not len(outputs := _rows(self.reference_outputs)):
            return {}
        return {"reference_outputs": outputs, "reference_targets": _rows(self.reference_targets)}

    def _add_references(self, preds: Tensor, target: Tensor) -> None:
        place = torch.device("cpu") if self.compute_on_cpu else preds.device
        self.reference_outputs.append(preds.detach().to(place))
        self.reference_targets.append(target.detach().to(place))


def _check_rows(caller: str, preds: Any, target: Any) -> None:
    """Raise InputError unless these are tensors of as many rows."""
    came = f"preds are {describe(preds)} and target is {describe(target)}"
    if not isinstance(preds, Tensor) or not isinstance(target, Tensor):
        raise fail(caller, came, "two tensors, one row per sample", "Number texts first.")
    if not preds.ndim or not target.ndim or len(preds) != len(target):
        raise fail(caller, came, "as many targets as outputs")


def _rows(state: list[Tensor] | Tensor) -> Tensor:
    """The rows of a state: a list of batches, or one tensor where processes were gathered."""
    return dim_zero_cat(state) if len(state) else torch.zeros(0)
