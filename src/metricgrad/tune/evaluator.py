"""Measure the exact metric on a split, and count how often that was done."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._structures import form, items_of, joined, moved, pair, tensors_of
from metricgrad._types import Metric, Split
from metricgrad._user_code import embedded
from metricgrad.scale.chunk import device_of
from metricgrad.tune.arrays import inputs_as_tensor, targets_as_given
from metricgrad.tune.checkpoint import same_random_state
from metricgrad.tune.passes import begin_pass, seed_everything
from metricgrad.tune.splits import reference_of

__all__ = ["Evaluator", "collect", "collect_targets", "count_items"]


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
            stay = self.metric.unit == "query"  # ranks are found on any device; other metrics may want numpy
            outputs, targets = self._read(*collect(model, split, stay=stay))
            settings = {}
            reference = reference_of(split)
            if reference is not None:
                reference_outputs, reference_targets = self._read(*collect(model, reference, stay=stay))
                settings = {"reference_outputs": reference_outputs, "reference_targets": reference_targets}
            return self.metric.measure(outputs, targets, **settings).cpu()

    def _read(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """Return outputs and targets as a metric that compares numbers takes them; others get them as they are."""
        reads = self.metric.reads
        if reads in (None, "texts", "boxes"):
            return outputs, targets
        if isinstance(outputs, np.ndarray | list):
            outputs = inputs_as_tensor(self.metric.name, outputs)
        if not isinstance(outputs, Tensor) or outputs.layout != torch.strided or outputs.is_complex():
            raise fail(
                self.metric.name, f"the network returns {form(outputs)}", "one dense tensor of real numbers",
                "Wrap it in a module whose forward returns that alone, or give a function (outputs, targets) -> float.",
            )  # fmt: skip
        if reads == "embeddings":
            return outputs, targets
        if isinstance(targets, np.ndarray | list | tuple):
            targets = targets_as_given(self.metric.name, targets)
        if not isinstance(targets, Tensor):
            texts = isinstance(targets, list)
            raise fail(
                self.metric.name, f"targets are {form(targets)}", "one number per item",
                "Splits(..., classes=[...]) gives class names numbers." if texts else "Splits(..., unpack=...) takes "
                "one part of a batch for the targets.",
            )  # fmt: skip
        return outputs, targets.to(outputs.device)

    def value(self, model: nn.Module, split: Split, name: str) -> float:
        """Return the metric of the model on a split; the random states are left as they were here too."""
        statistics = self.statistics(model, split, name)
        with same_random_state():
            return float(self.metric.summarise(statistics))

    def better(self, value: float, than: float) -> bool:
        """Return whether `value` is better; NaN is never better, and anything is better than NaN."""
        if np.isnan(value) or np.isnan(than):
            return not np.isnan(value)
        return value > than if self.metric.higher_is_better else value < than


def collect(model: nn.Module, split: Split, *, stay: bool = False) -> tuple[Any, Any]:
    """Run the model over a split in eval mode and join the batches, which are the same ones every time.

    Args:
        model: the network.
        split: yields `(inputs, targets)`.
        stay: leave the outputs on the model's device, with the targets; else all is on the CPU.

    Returns:
        Outputs and targets, joined as `_structures.joined` says: tensors on axis 0, dicts and tuples part by part,
        a list with one entry per item where they are lists or differ in length from batch to batch.

    Raises:
        InputError: the split yields no batch, or one that is no `(inputs, targets)`; outputs or targets that cannot
            be joined; the model raised.
    """
    training = model.training
    device = device_of(model)
    model.eval()
    outputs, targets, rows = [], [], []
    try:
        with torch.no_grad(), same_random_state():
            seed_everything(0)
            begin_pass(split, 0)
            for inputs, target in map(pair, split):
                outputs.append(embedded(model, moved(inputs, device)))
                targets.append(target)
                rows.append(items_of(inputs, target))
    finally:
        model.train(training)
    if not outputs:
        raise fail(
            "evaluation", "the split yields no batch", "at least one", "Is the DataLoader exhausted or empty?"
        )
    found = joined("outputs", outputs, rows)
    place = next((tensor.device for tensor in tensors_of(found)), device) if stay else torch.device("cpu")
    return moved(found, place), moved(joined("targets", targets, rows), place)


def collect_targets(split: Split) -> Any:
    """Join the targets of a split as `collect` does, in the same order."""
    targets, rows = [], []
    for inputs, target in _one_reading(split):
        targets.append(target)
        rows.append(items_of(inputs, target))
    return joined("targets", targets, rows)


def count_items(split: Split) -> int | None:
    """Count the items that `collect` would read; None where batches do not show how many they hold."""
    counts = [items_of(*batch) for batch in _one_reading(split)]
    return None if None in counts else sum(filter(None, counts))


def _one_reading(split: Split) -> Iterator[tuple[Any, Any]]:
    """Yield the batches that `collect` reads, in the same order."""
    with same_random_state():
        seed_everything(0)
        begin_pass(split, 0)
        yield from map(pair, split)
