"""The soft confusion table of class scores: every sample is taken for each class as much as its probability says.

Any function of a confusion table has a gradient through it. One batch is little for a ratio of counts, so a running
table remembers the batches before it, without their gradient.
"""

from typing import Any

import torch
from jaxtyping import Float, Float64, Integer
from torch import Tensor, nn

from metricgrad._checks import Number, fail, finite_number, positive_number
from metricgrad.losses.class_scores import checked_targets, counted_samples, warn_of_probabilities, widened

__all__ = ["RunningTable", "of_saved_size", "probabilities", "soft_table"]


def probabilities(
    caller: str,
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    temperature: Number,
) -> tuple[Float[Tensor, "sample class"], Integer[Tensor, " sample"]]:
    """Return softmax(logits / temperature) of every sample, and the targets as int64.

    Raises:
        InputError: other shapes, a target that is no class, a temperature that is not positive.

    Edge cases:
        The row of an ignored sample is uniform, without a gradient, whatever its logits.
    """
    warmth = positive_number(caller, "temperature", temperature)
    targets = checked_targets(caller, logits, targets)
    warn_of_probabilities(caller, logits)
    known = widened(logits).masked_fill(~counted_samples(targets).unsqueeze(1), 0)
    return (known / warmth).softmax(1), targets


def soft_table(
    decided: Float[Tensor, "sample class"], targets: Integer[Tensor, " sample"]
) -> Float64[Tensor, "true predicted"]:
    """Return the confusion table of soft decisions: row y sums the decisions of the samples of class y.

    Args:
        decided: probabilities.
        targets: class numbers from 0; a sample whose target is -100 is left out.

    Gradient:
        Exact; sums in float64.

    Cost:
        O(sample class).

    Example:
        >>> soft_table(torch.tensor([[0.75, 0.25], [0.5, 0.5]]), torch.tensor([0, 1]))
        tensor([[0.7500, 0.2500],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    counted = counted_samples(targets)
    classes = decided.shape[1]
    table = torch.zeros(classes, classes, dtype=torch.float64, device=decided.device)
    return table.index_add(0, targets[counted], decided[counted].double())


class RunningTable(nn.Module):
    """A decaying sum of tables: that of the newest batch with its gradient, those before it without.

        R_t = C_t + momentum * R_(t-1)

    It is 1 / (1 - momentum) times an exponential mean, so a metric of shares sees that mean.

    Args:
        momentum: in 0 to below 1; 0 is the batch alone.

    Attributes:
        table: R, float64 [true, predicted]; [0, 0] before the first batch, which brings the number of classes.

    Edge cases:
        In eval mode, and where a batch has NaN, nothing is remembered.

    Example:
        >>> running = RunningTable(0.5)
        >>> [float(running(torch.ones(1, 1, dtype=torch.float64))) for _ in range(3)]
        [1.0, 1.5, 1.75]
    """

    table: Tensor

    def __init__(self, momentum: Number) -> None:
        super().__init__()
        self.momentum = finite_number("RunningTable", "momentum", momentum)
        if not 0 <= self.momentum < 1:
            raise fail("RunningTable", f"momentum is {momentum!r}", "a number from 0 to below 1")
        self.register_buffer("table", torch.zeros(0, 0, dtype=torch.float64))
        self.register_load_state_dict_pre_hook(of_saved_size)

    def forward(self, batch: Float64[Tensor, "true predicted"]) -> Float64[Tensor, "true predicted"]:
        """Return the running table with this batch in it, and remember it.

        Raises:
            InputError: another number of classes than before.
        """
        if not len(self.table):
            self.table = torch.zeros_like(batch, requires_grad=False)
        if self.table.shape != batch.shape:
            raise fail(
                "RunningTable", f"a table of {len(batch)} classes after one of {len(self.table)}", "as many"
            )
        running = batch + self.momentum * self.table
        if self.training and bool(running.isfinite().all()):
            self.table = running.detach()
        return running


def of_saved_size(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let the buffers of a module have the sizes of those that it is about to load: a hook of `load_state_dict`."""
    for name, buffer in list(module.named_buffers(recurse=False)):
        saved = state_dict.get(f"{prefix}{name}")
        if saved is not None and saved.shape != buffer.shape:
            setattr(module, name, buffer.new_zeros(saved.shape))
