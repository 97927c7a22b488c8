"""Soft confusion: any metric that is a function of the confusion table, of a table that is counted with probabilities.

F, MCC, kappa, balanced accuracy, G-mean, IoU, a cost: the one formula of the metric is given the soft table, so a new
metric needs no loss of its own. A metric without a formula goes by `slope_loss`. A rule of decision that was fitted for
the metric often brings more than training: compare with it.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Integer
from torch import Tensor, nn

from metricgrad._checks import Number, fail
from metricgrad._types import Metric
from metricgrad.losses.soft_table import RunningTable, probabilities, soft_table
from metricgrad.metrics import adapt

__all__ = ["SoftConfusionLoss", "soft_confusion_loss"]

SPACE = {"temperature": (0.25, 0.5, 1.0, 2.0), "momentum": (0.0, 0.9, 0.97)}
"""Values that tries draw from."""


def soft_confusion_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    metric: Any,
    temperature: Number = 1.0,
) -> Float[Tensor, ""]:
    """Return best - M(C) with the soft confusion table C of a batch (surrogate).

        C[y, k] = sum over the samples of class y of softmax(logits / temperature)_k

    Args:
        logits: unnormalised class scores. One score z of class 1 is two columns, 0 and z.
        targets: class numbers from 0; -100 for a sample to ignore.
        metric: M: a metric of ours that is a function of the table, by name (`macro_f1`), record or function; or a
            function of one table [true, predicted], differentiable, higher is better, with the best value 1. `tune`
            gives that of the run.
        temperature: > 0. As it goes to 0 the loss becomes that of the exact metric, and its gradient 0.

    Returns:
        A scalar, lower is better: M itself where lower is better; else the best value of M (0 if it has none) less M.

    Raises:
        InputError: a metric that is no function of the table; temperature <= 0; other shapes; a target that is no
            class.

    Warns:
        UserWarning: logits that look like probabilities.

    Edge cases:
        No sample, or a metric that is undefined for the table: 0 with zero gradient. A class without a sample in the
        batch is soft-predicted all the same, so a macro metric counts it with 0. NaN stays NaN.

    Gradient:
        Exact. The ratio of the counts of a batch is a biased estimate of that of the data: use large batches, or
        `SoftConfusionLoss`, which remembers. float32 for half precision, counts in float64.

    Cost:
        O(sample class) and one value of the metric.

    Differs from the paper:
        The papers on smooth F of one label ([benedict2022sigmoidf1]) count four numbers per label; this is the whole
        table. `soft_counts_loss` has theirs.

    Reference:
        [benedict2022sigmoidf1]

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
        >>> soft_confusion_loss(logits, torch.tensor([0, 1, 1]), metric="accuracy")
        tensor(0.3232)
    """
    decided, targets = probabilities("soft_confusion_loss", logits, targets, temperature)
    return _of_table(_value("soft_confusion_loss", metric), soft_table(decided, targets)).to(decided.dtype)


class SoftConfusionLoss(nn.Module):
    """`soft_confusion_loss` of a running table: the batches before count, too, without their gradient (surrogate).

    Args:
        metric: see `soft_confusion_loss`.
        momentum: in 0 to below 1; share of the table that stays from batch to batch. 0 is the batch alone. The gradient
            is (1 - momentum) of that of a batch, which matters only beside another loss.
        temperature: > 0; see `soft_confusion_loss`.

    Raises:
        InputError: as `soft_confusion_loss`; momentum outside 0 to 1; another number of classes than before.

    Edge cases:
        The table is a buffer, so that `state_dict` holds it. In eval mode nothing is remembered.

    Example:
        >>> import torch
        >>> criterion = SoftConfusionLoss("macro_f1")
        >>> logits, targets = torch.randn(8, 3, generator=torch.manual_seed(0)), torch.arange(8) % 3
        >>> criterion(logits, targets), criterion.running.table.sum()
        (tensor(0.5477), tensor(8.0000, dtype=torch.float64))
    """

    def __init__(self, metric: Any, *, momentum: Number = 0.9, temperature: Number = 1.0) -> None:
        super().__init__()
        self.value = _value("SoftConfusionLoss", metric)
        self.running, self.temperature = RunningTable(momentum), temperature

    def forward(
        self, logits: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch and remember its table."""
        decided, targets = probabilities("SoftConfusionLoss", logits, targets, self.temperature)
        return _of_table(self.value, self.running(soft_table(decided, targets))).to(decided.dtype)


RUNNING = SoftConfusionLoss
"""What `tune` trains with."""


def _value(caller: str, metric: Any) -> Callable[[Tensor], Tensor]:
    """Return table -> loss for a metric, whatever its direction."""
    if not isinstance(metric, Metric | str) and _of_one_table(metric):
        return lambda table: 1 - metric(table)
    record = metric if isinstance(metric, Metric) else adapt(metric)
    formula = record.of_table
    if formula is None:
        raise fail(
            caller,
            f"{record.name} is no function of the confusion table that we know",
            "a metric of ours of decided classes, such as macro_f1, or a function of one table",
            "surrogate:slope takes any metric of classes that can be called.",
        )
    if not record.higher_is_better:
        return formula
    best = record.bounds[1] if math.isfinite(record.bounds[1]) else 0.0
    return lambda table: best - formula(table)


def _of_one_table(metric: Any) -> bool:
    """Whether a function takes one argument, which a metric of (outputs, targets) does not."""
    if not callable(metric):
        return False
    parameters = inspect.signature(metric).parameters.values()
    wanted = [
        one
        for one in parameters
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return len(wanted) == 1


def _of_table(value: Callable[[Tensor], Tensor], table: Tensor) -> Tensor:
    """Return the loss of a table; 0, attached to the graph, where the table has no sample or no value."""
    if not bool((table != 0).any()):  # NaN is not 0
        return table.flatten()[:0].sum()
    loss = value(table)
    if bool(loss.isnan()) and bool(table.isfinite().all()):
        return table.flatten()[:0].sum()
    return loss
