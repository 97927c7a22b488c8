"""Metrics of what a network's outputs say: texts, boxes, classes are read from the outputs and then measured.

A metric of texts knows nothing of networks. Its record gets a `kind` of output here, whose `decode` comes first; a
learned surrogate needs both, the outputs for their gradient and the predictions for the metric. What measures is a
small object and no closure, so that it can be sent to other processes when the functions in it can.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._types import Metric, OutputKind
from metricgrad.errors import Interrupted, MetricFailed
from metricgrad.interval import mean_of_units
from metricgrad.metrics.foreign import copied, name_of, number_of, told

__all__ = ["Decoded", "EachSample", "of_kind", "per_sample"]

LARGEST_SHARE_UNDEFINED = 0.01
"""Share of the samples, of a thousand at least, for which a user's function may raise."""


@dataclass(frozen=True)
class Decoded:
    """`(outputs, targets) -> statistics` by way of predictions.

    Attributes:
        decode: outputs -> predictions.
        of_predictions: (predictions, targets) -> statistics.
    """

    decode: Callable[[Any], Any]
    of_predictions: Callable[[Any, Any], Tensor]

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Decode and measure."""
        return self.of_predictions(self.decode(outputs), targets)


@dataclass(frozen=True)
class EachSample:
    """`(predictions, targets) -> statistics` by one call of a function for each sample.

    Attributes:
        name: what messages call the metric.
        function: (prediction, target) -> number.
    """

    name: str
    function: Callable[[Any, Any], float]

    def __call__(self, predictions: Any, targets: Any) -> Float64[Tensor, "sample 1"]:
        """Call the function for every pair, which it may keep and change: they are copies.

        A sample for which it raises is NaN, undefined; so is one for which it returns no finite number.

        Raises:
            InputError: other numbers of predictions and targets.
            MetricFailed: the function failed for more than a hundredth of the samples (ten at least).
        """
        if len(predictions) != len(targets):
            came = f"{len(predictions)} predictions for {len(targets)} targets"
            raise fail(self.name, came, "one target each")
        values, failures = [], []
        for pair in zip(predictions, targets, strict=True):
            value, failure = self._value(*(copied(self.name, part) for part in pair))
            values.append(value)
            failures += [failure] if failure else []
        if len(failures) > LARGEST_SHARE_UNDEFINED * max(len(values), 1000):
            raise MetricFailed(
                f"{self.name}: it {failures[0]} and failed for {len(failures):,} of {len(values):,} samples; expected "
                "a number for every pair, or at most 1 % without one."
            )
        return torch.tensor(values, dtype=torch.float64)[:, None]

    def _value(self, prediction: Any, target: Any) -> tuple[float, str]:
        """The value of a pair, or NaN and what went wrong."""
        try:
            with torch.set_grad_enabled(
                torch.is_grad_enabled()
            ):  # as it was, whatever the function leaves behind
                found = self.function(prediction, target)
                value = number_of(found)
        except Interrupted:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's function raises
            return math.nan, f"raised {told(error)}"
        return (math.nan, f"returned {describe(found)}") if value is None else (value, "")


def of_kind(metric: Metric, kind: OutputKind) -> Metric:
    """Let a metric of predictions measure the outputs of a network (exact): they are decoded first.

    Args:
        metric: its `measure` takes predictions, as `decode` of the kind gives them; or a metric that has a kind or a
            `decode` already, which this one replaces.
        kind: what the outputs are, e.g. `learned.words(alphabet, max_length)`.

    Returns:
        The same metric with `kind`, whose `measure` takes outputs and whose `of_predictions` takes predictions. Both
        can be pickled when the metric's `measure` and the kind's `decode` can.

    Raises:
        InputError: not a metric, not a kind, a metric that ranks embeddings (they are no predictions).

    Edge cases: as the metric.

    Gradient: none; a learned surrogate of the metric has one.

    Cost: one `decode` for each measurement.

    Example:
        >>> from metricgrad.metrics.names import metric_by_name
        >>> kind = OutputKind(
        ...     "numbers as texts", lambda outputs: [str(one) for one in outputs.tolist()], torch.nn.Identity
        ... )
        >>> metric = of_kind(metric_by_name("edit_distance"), kind)
        >>> metric.summarise(metric.measure(torch.tensor([12, 345]), ["12", "35"]))
        0.5
    """
    if not isinstance(metric, Metric):
        raise fail(
            "of_kind", f"metric is {describe(metric)}", "a Metric", "metrics.adapt makes one of a name."
        )
    if not isinstance(kind, OutputKind):
        raise fail("of_kind", f"kind is {describe(kind)}", "an OutputKind, such as learned.words(...)")
    if metric.unit == "query":
        raise fail("of_kind", f"{metric.name} ranks embeddings", "a metric of decoded predictions")
    of_predictions = metric.of_predictions or metric.measure
    return dataclasses.replace(
        metric, measure=Decoded(kind.decode, of_predictions), kind=kind, of_predictions=of_predictions
    )


def per_sample(
    function: Callable[[Any, Any], float],
    decode: Callable[[Any], Sequence[Any]] | None = None,
    *,
    higher_is_better: bool,
    name: str | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    kind: OutputKind | None = None,
) -> Metric:
    """Make a metric of a function e(prediction, target) of one sample: its mean over samples (exact).

    Such a metric can be learned by a surrogate network as well (`learned/`), since each sample has its own value.

    Args:
        function: takes one prediction and one target, returns a number; NaN where it is undefined.
        decode: turns the outputs of the model into a sequence of predictions (e.g. an argmax, or the greedy text);
            None decodes as the kind does; without a kind the outputs are handed over row by row.
        higher_is_better: the direction of e.
        name: what tables call it; by default the name of the function.
        bounds: smallest and largest value of e.
        kind: what the outputs are, e.g. `learned.words(...)`; a learned surrogate needs it. Where `decode` is given
            the record's kind decodes in that way, too.

    Returns:
        A record with one column of statistics and `per_sample=True`. Its `measure` can be pickled when the functions
        that are given can: those at the top of a module.

    Raises:
        InputError: (on measuring) other numbers of predictions and targets, too many failures of the function.

    Edge cases:
        A sample with NaN, or for which the function raises or returns no finite number, is left out of the mean; more
        than a hundredth of the samples (ten at least) for which it fails are an error. No sample: NaN.

    Gradient: none.

    Cost: one call per sample and measurement, none for the interval.

    Example:
        >>> metric = per_sample(lambda text, target: abs(len(text) - len(target)), higher_is_better=False)
        >>> metric.summarise(metric.measure(["ab", "c"], ["a", "c"]))
        0.5
    """
    label = name or name_of(function)
    if kind is not None and decode is not None:
        kind = dataclasses.replace(kind, decode=decode)
    decode = kind.decode if kind is not None else decode
    of_predictions = EachSample(label, function)
    return Metric(
        name=label,
        measure=of_predictions if decode is None else Decoded(decode, of_predictions),
        summarise=mean_of_units,
        higher_is_better=higher_is_better,
        bounds=bounds,
        per_sample=True,
        unit="sample",
        description=f"mean over samples of {label}(prediction, target)",
        kind=kind,
        of_predictions=None if decode is None else of_predictions,
    )
