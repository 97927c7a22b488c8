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
    batches, processes or objects (`merge_state`). The value of `forward` is that of its batch alone, for a retrieval
    metric the batch ranked among itself.

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
        `metricgrad evaluate` or `compare` for an interval there.

    Cost:
        All outputs and targets in memory, and one measurement per `compute` or `forward`.

    Example:
        >>> metric = ExactMetric("macro_f1")
        >>> metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
        >>> metric.update(torch.tensor([1, 1]), torch.tensor([0, 1]))
        >>> metric.compute(), metric.higher_is_better
        (tensor(0.7333, dtype=torch.float64), True)
    """

    is_differentiable = False
    full_state_update = False
    outputs: list[Tensor]  # one tensor, where the states of processes were gathered
    targets: list[Tensor]

    def __init__(self, metric: Any, *, higher_is_better: bool | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.metric = adapt(metric, higher_is_better=higher_is_better)
        self.add_state("outputs", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

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
        if not isinstance(preds, Tensor) or not isinstance(target, Tensor):
            came = f"preds are {describe(preds)} and target is {describe(target)}"
            raise fail("ExactMetric.update", came, "two tensors, one row per sample", "Number texts first.")
        if not preds.ndim or not target.ndim or len(preds) != len(target):
            came = f"preds are {describe(preds)} and target is {describe(target)}"
            raise fail("ExactMetric.update", came, "as many targets as outputs")
        self.outputs.append(preds.detach())
        self.targets.append(target.detach())

    def compute(self) -> Tensor:
        """Return the metric over all rows, a float64 scalar (float32 on a device without float64).

        Raises:
            InputError: there is no row; what the metric refuses.
        """
        outputs, targets = (
            dim_zero_cat(one) if len(one) else torch.zeros(0) for one in (self.outputs, self.targets)
        )
        if not len(outputs):
            raise fail("ExactMetric.compute", "no row came", "update(preds, target) before compute()")
        value = self.metric.summarise(self.metric.measure(outputs, targets))
        wide = torch.float32 if outputs.device.type == "mps" else torch.float64
        return torch.tensor(value, dtype=wide, device=outputs.device)
