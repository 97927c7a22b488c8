"""Measure the exact metric on a split, and count how often that was done."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._types import Metric, Split
from metricgrad.tune.checkpoint import same_random_state
from metricgrad.tune.passes import begin_pass, seed_everything
from metricgrad.tune.splits import reference_of

__all__ = ["Evaluator", "collect"]


class Evaluator:
    """Measures one metric; every measurement is counted by split.

    Args:
        metric: the exact metric.

    Attributes:
        calls: number of measurements by split name.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.calls: Counter[str] = Counter()

    def statistics(self, model: nn.Module, split: Split, name: str) -> Tensor:
        """Return the metric's statistics [unit, stat] of the model on a split.

        The model runs in eval mode without gradients; its mode and all random states are left as they were.

        Raises:
            InputError: the outputs hold NaN or infinite numbers, or the split is empty.
        """
        self.calls[name] += 1
        with same_random_state():
            outputs, targets = collect(model, split)
            settings = {}
            reference = reference_of(split)
            if reference is not None:
                reference_outputs, reference_targets = collect(model, reference)
                settings = {"reference_outputs": reference_outputs, "reference_targets": reference_targets}
            return self.metric.measure(outputs, targets, **settings)

    def value(self, model: nn.Module, split: Split, name: str) -> float:
        """Return the metric of the model on a split."""
        return float(self.metric.summarise(self.statistics(model, split, name)))

    def better(self, value: float, than: float) -> bool:
        """Return whether `value` is better; NaN is never better, and anything is better than NaN."""
        if np.isnan(value) or np.isnan(than):
            return not np.isnan(value)
        return value > than if self.metric.higher_is_better else value < than


def collect(model: nn.Module, split: Split) -> tuple[Any, Any]:
    """Run the model over a split in eval mode and join the batches, which are the same ones every time.

    Args:
        model: the network.
        split: yields `(inputs, targets)`.

    Returns:
        Outputs and targets, tensors joined on axis 0; lists where the batches are lists (ragged outputs).

    Raises:
        InputError: the split yields no batch.
    """
    training = model.training
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    model.eval()
    try:
        with torch.no_grad(), same_random_state():
            seed_everything(0)
            begin_pass(split, 0)
            pairs = [(model(_to(inputs, device)), targets) for inputs, targets in split]
    finally:
        model.train(training)
    if not pairs:
        raise fail(
            "evaluation", "the split yields no batch", "at least one", "Is the DataLoader exhausted or empty?"
        )
    return _join([output for output, _ in pairs]), _join([target for _, target in pairs])


def _to(inputs: Any, device: torch.device) -> Any:
    return inputs.to(device) if isinstance(inputs, Tensor) else inputs


def _join(parts: list[Any]) -> Any:
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat(parts)
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [item for part in parts for item in _items(part)]


def _items(part: Any) -> Iterable[Any]:
    return part if isinstance(part, Iterable) else [part]
