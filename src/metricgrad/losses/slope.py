"""Slope loss: train on how a metric changes when one more sample of a class is taken for another one.

For a metric of decided classes that can only be called: a function of a library, of a team, of a competition. Calls
measure its slope at the soft confusion table of the last batches, and the loss is linear in that slope. A metric with a
formula has `soft_confusion_loss`, which follows the same gradient without calls.
"""

from typing import Any

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from metricgrad._checks import Number, describe, fail, positive_number, tensor_of, whole_number
from metricgrad._types import Metric
from metricgrad.errors import MetricFailed
from metricgrad.losses.class_scores import counted_samples
from metricgrad.losses.soft_table import RunningTable, of_saved_size, probabilities, soft_table
from metricgrad.metrics import adapt
from metricgrad.metrics.table_metric import TableMetric, confusion_slope

__all__ = ["SlopeLoss", "slope_loss"]

SPACE = {"temperature": (0.5, 1.0, 2.0), "momentum": (0.9, 0.97)}
"""Values that tries draw from."""


def slope_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    slopes: Shaped[Tensor, "true predicted"],
    temperature: Number = 1.0,
) -> Float[Tensor, " sample"]:
    """Return -sum_k p_k G[y, k] per sample, p = softmax(logits / temperature) (surrogate: the metric made linear).

    Args:
        logits: unnormalised class scores.
        targets: class numbers y from 0; -100 for a sample to ignore.
        slopes: G, what the metric gains where a sample of class y is taken for class k, higher is better; see
            `metrics.table_metric.confusion_slope`. A constant, without a gradient. A matrix of costs is -G.
        temperature: > 0.

    Returns:
        One value per sample, lower is better, between -max G and -min G of its row.

    Raises:
        InputError: slopes that are not finite or not [class, class]; temperature <= 0; other shapes; a target that is
            no class.

    Warns:
        UserWarning: logits that look like probabilities.

    Edge cases:
        An ignored sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. A constant added to
        a row of G changes the loss, not its gradient. NaN among the logits stays NaN.

    Gradient:
        Exact for these slopes: -p_k (G[y, k] - sum_j p_j G[y, j]) / temperature. At the slopes of the soft table it is
        that of the metric of the table. float32 for half precision.

    Cost:
        O(sample class).

    Reference:
        [narasimhan2015consistent]: a metric made linear at a table, there for plug-in rules; the loss is ours.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> slope_loss(logits, torch.tensor([0, 0]), slopes=torch.eye(2))
        tensor([-0.8808, -0.1192])
    """
    caller = "slope_loss"
    decided, targets = probabilities(caller, logits, targets, temperature)
    gains = tensor_of(caller, "slopes", slopes, "finite numbers [class, class]: true, predicted").to(decided)
    if gains.shape != (logits.shape[1], logits.shape[1]) or not bool(gains.isfinite().all()):
        came = f"slopes are {describe(slopes)} for logits {describe(logits)}"
        raise fail(caller, came, "finite numbers [class, class]: true, predicted")
    counted = counted_samples(targets)
    return -(decided * gains[targets.where(counted, 0)]).masked_fill(~counted.unsqueeze(1), 0).sum(1)


class SlopeLoss(nn.Module):
    """`slope_loss` with the slopes of any metric of classes, measured at a running soft table (surrogate).

    Args:
        metric: a metric of decided classes: a name, a record, a function of (predictions, targets), a scorer.
        momentum: in 0 to below 1; share of the soft table that stays from batch to batch.
        refresh_every: steps between two measurements of the slopes, >= 1.
        temperature: > 0; see `slope_loss`.
        pseudo_count: >= 0, added to every cell of the table before the slopes are measured: they stay finite for
            classes that the last batches lack. 0.5 is a small share of a table of large batches.
        higher_is_better: the direction of a function, where it does not tell its own.

    Attributes:
        calls: how often the metric was called so far; 0 for one with a formula.
        slopes: G of the last measurement, higher is better.

    Raises:
        InputError: a metric that reads no classes; momentum outside 0 to 1; as `slope_loss`.
        MetricFailed: the metric raised, or gave NaN, for the running table itself.

    Edge cases:
        Table, slopes, calls and steps are buffers, so that `state_dict` holds them. In eval mode nothing is measured
        or remembered, once there are slopes. A cell whose step the metric cannot judge has slope 0.

    Cost:
        class^2 + 1 calls of a metric without a formula per measurement, and two by which `adapt` tries a function that
        takes no `sample_weight`. Each has class^2 weighted samples, or else 20,000 labels: raise `refresh_every` where
        that is slow. With a formula
        class^4 operations, which is for at most some 100 classes.

    Example:
        >>> criterion = SlopeLoss(
        ...     lambda predictions, targets: (predictions == targets).float().mean(), higher_is_better=True
        ... )
        >>> logits, targets = torch.randn(8, 3, generator=torch.manual_seed(0)), torch.arange(8) % 3
        >>> criterion(logits, targets).shape, int(criterion.calls)
        (torch.Size([8]), 12)
    """

    slopes: Tensor
    calls: Tensor
    steps: Tensor

    def __init__(
        self,
        metric: Any,
        *,
        momentum: Number = 0.9,
        refresh_every: int = 1,
        temperature: Number = 1.0,
        pseudo_count: Number = 0.5,
        higher_is_better: bool | None = None,
    ) -> None:
        super().__init__()
        self.metric = (
            metric if isinstance(metric, Metric) else adapt(metric, higher_is_better=higher_is_better)
        )
        TableMetric(self.metric, 2)  # one that reads no classes must fail now
        self.refresh_every = whole_number("SlopeLoss", "refresh_every", refresh_every)
        self.running, self.temperature = RunningTable(momentum), temperature
        self.pseudo_count = positive_number("SlopeLoss", "pseudo_count", pseudo_count, zero=True)
        self.register_buffer("slopes", torch.zeros(0, 0, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_pre_hook(of_saved_size)

    def forward(
        self, logits: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
    ) -> Float[Tensor, " sample"]:
        """Return the loss of every sample; remember the table, and measure the slopes where it is time."""
        with torch.no_grad():
            table = self.running(soft_table(*probabilities("SlopeLoss", logits, targets, self.temperature)))
        due = self.training and int(self.steps) % self.refresh_every == 0
        if (due or not len(self.slopes)) and 0 < float(table.sum()) < torch.inf:  # not of NaN
            self.slopes = self._measured(table)
        self.steps += self.training
        slopes = self.slopes if len(self.slopes) else torch.zeros_like(table)
        return slope_loss(logits, targets, slopes=slopes, temperature=self.temperature)

    def _measured(self, table: Tensor) -> Tensor:
        """Return the slopes at a table, higher is better."""
        value = TableMetric(self.metric, len(table))
        slopes = confusion_slope(value, table, pseudo_count=self.pseudo_count).to(table.device)
        self.calls += value.calls
        if bool(slopes.isnan().all()):
            why = f" ({value.failure})" if value.failure else ""
            raise MetricFailed(
                f"slope: the metric {self.metric.name} is undefined for the soft confusion table of the training "
                f"batches{why}; expected a number. It is called with predicted and true class numbers."
            )
        return (slopes if value.higher_is_better else -slopes).nan_to_num(0.0)


RUNNING = SlopeLoss
"""What `tune` trains with."""
