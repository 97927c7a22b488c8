"""Measure the exact metric on a split, and count how often that was done."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._structures import form, no_tensor
from metricgrad._types import Metric, Split
from metricgrad.decision import Fitted
from metricgrad.metrics import metric_calls
from metricgrad.tune.arrays import inputs_as_tensor, targets_as_given
from metricgrad.tune.checkpoint import same_random_state
from metricgrad.tune.decidable import as_outputs, judges
from metricgrad.tune.deciding import Deciding
from metricgrad.tune.outputs import Outputs, collect

__all__ = ["FITTING", "Evaluator", "Valued"]

FITTING = "select, to fit rules"
"""What calls are counted under that a metric without a formula takes while rules are fitted."""


class Valued(NamedTuple):
    """The metric of a model on select.

    Attributes:
        value: what chooses; where a rule decides, of the decisions by rules that were fitted on the other half.
        argmax: then of the same outputs without a rule; else None.
    """

    value: float
    argmax: float | None


class Evaluator:
    """Measures one metric; every measurement is counted by split.

    Args:
        metric: the exact metric.
        deciding: how class scores become classes; None: the metric makes its own of the outputs.

    Attributes:
        calls: number of measurements by split name.
    """

    def __init__(self, metric: Metric, deciding: Deciding | None = None) -> None:
        self.metric, self.deciding = metric, deciding
        self.calls: Counter[str] = Counter()
        self._known: dict[bytes, float] = {}

    def outputs(self, model: nn.Module, split: Split) -> Outputs:
        """Return what the model gives for a split, where the metric reads it: ranks are found on any device."""
        return collect(model, split, stay=self.metric.unit == "query")  # other metrics may want numpy

    def measured(self, found: Outputs, name: str) -> Tensor:
        """Return the metric's statistics [unit, stat] of what a model gave for a split; random states stay.

        Args:
            found: from `outputs`; a metric that reads classes (labels) is measured on what was decided, where something
                was, and of one real number per sample on the nearest class.
            name: of the split, for the count.

        Raises:
            InputError: the outputs hold NaN or infinite numbers, or are not what the metric reads.
        """
        self.calls[name] += 1
        with same_random_state():
            if found.decided is None and self.deciding is not None:
                found = self.deciding.plainly(found)
            if found.decided is not None and judges(self.metric, found.decided):
                return self.metric.measure(*self._read(as_outputs(self.metric, found), found.targets)).cpu()
            outputs, targets = self._read(found.outputs, found.targets)
            if found.reference_outputs is None:
                return self.metric.measure(outputs, targets).cpu()
            reference = self._read(found.reference_outputs, found.reference_targets)
            settings = dict(zip(("reference_outputs", "reference_targets"), reference, strict=True))
            return self.metric.measure(outputs, targets, **settings).cpu()

    def statistics(self, model: nn.Module, split: Split, name: str) -> Tensor:
        """Return the metric's statistics [unit, stat] of the model on a split.

        The model runs in eval mode without gradients; its mode and all random states are left as they were.

        Raises:
            InputError: the outputs hold NaN or infinite numbers, or the split is empty.
        """
        return self.measured(self.outputs(model, split), name)

    def _read(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """Return outputs and targets as a metric that compares numbers takes them; others get them as they are."""
        reads = self.metric.reads
        if reads in (None, "texts", "boxes"):
            return outputs, targets
        if isinstance(outputs, np.ndarray | list):
            outputs = inputs_as_tensor(self.metric.name, outputs)
        if not isinstance(outputs, Tensor) or outputs.layout != torch.strided or outputs.is_complex():
            raise no_tensor(
                self.metric.name,
                outputs,
                "one dense tensor of real numbers",
                "Wrap it in a module whose forward returns that alone, or give a function (outputs, targets) -> float.",
            )
        if reads == "embeddings":
            return outputs, targets
        if isinstance(targets, np.ndarray | list | tuple):
            targets = targets_as_given(self.metric.name, targets)
        if not isinstance(targets, Tensor):
            texts = isinstance(targets, list)
            raise fail(
                self.metric.name,
                f"targets are {form(targets)}",
                "one number per item",
                "Splits(..., classes=[...]) gives class names numbers."
                if texts
                else "Splits(..., unpack=...) takes one part of a batch for the targets.",
            )
        return outputs, targets.to(outputs.device)

    def valued(self, model: nn.Module, split: Split) -> Valued:
        """Measure a model on select: what chooses steps and arms, and the same without a rule where one decides."""
        found = self.outputs(model, split)
        without = self.summarised(self.measured(found, "select"))
        crossed = self.crossed(found)
        if crossed.decided is None:
            return Valued(without, None)
        return Valued(self.summarised(self.measured(crossed, "select")), without)

    def after_select(self, model: nn.Module, select: Split, split: Split, name: str) -> float:
        """Return the metric of a model on a split, where a rule decides by the one that select fits for it."""
        found = self.outputs(model, split)
        fitted = None if self.deciding is None else self.fitted(self.outputs(model, select))
        if self.deciding is not None and fitted is not None:
            found = self.deciding.by(fitted.rule, found)
        return self.summarised(self.measured(found, name))

    def crossed(self, found: Outputs) -> Outputs:
        """Decide every item of select by the rule that was fitted on the other half; unchanged where none applies."""
        fitted = self.fitted(found)
        return found if fitted is None else found._replace(decided=fitted.decisions)

    def fitted(self, found: Outputs) -> Fitted | None:
        """Fit the rule on select; None where none applies. The calls of a metric without a formula are counted.

        It is called once for equal confusion tables, which models of one run often share.
        """
        if self.deciding is None:
            return None
        before = metric_calls(self.metric)
        with same_random_state():
            fitted = self.deciding.fitted(found, self._known)
        if calls := metric_calls(self.metric) - before:
            self.calls[FITTING] += calls
        return fitted

    def value(self, model: nn.Module, split: Split, name: str) -> float:
        """Return the metric of the model on a split."""
        return self.summarised(self.statistics(model, split, name))

    def summarised(self, statistics: Tensor) -> float:
        """Return the metric of statistics; the random states are left as they were here too."""
        with same_random_state():
            return float(self.metric.summarise(statistics))

    def better(self, value: float, than: float) -> bool:
        """Return whether `value` is better; NaN is never better, and anything is better than NaN."""
        if np.isnan(value) or np.isnan(than):
            return not np.isnan(value)
        return value > than if self.metric.higher_is_better else value < than
