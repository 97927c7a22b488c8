"""The metric as an error of every sample: counted, its failures bounded, in other processes where it is slow."""

import math
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._types import Metric, OutputKind
from metricgrad.learned.workers import Workers, taken

__all__ = ["SampleErrors"]

CHECKED_PAIRS = 100
LARGEST_SHARE_DROPPED = 0.01
"""Share of the samples, of a thousand at least, that may be without an error."""
SLOW = 1e-3
"""Seconds a sample from which other processes take part."""


class SampleErrors:
    """Errors of samples by a metric that is a mean over them, for a learned surrogate.

    Args:
        metric: with `per_sample`, `kind` and `of_predictions`; where higher is better its upper bound must be finite,
            and the error is bound - value.
        symmetrize: take the mean of e(prediction, target) and e(target, prediction), with a warning; for a metric that
            is not symmetric.
        processes: that share the work where the metric is slow; default: the number of cores.

    Attributes:
        calls: of the metric so far, one per sample and direction, those of `check` included.
        samples: of which an error was asked for.
        dropped: those among them without one (NaN).

    Raises:
        InputError: a metric that is not one of samples, does not know its kind of output, or has no best value.
    """

    def __init__(self, metric: Metric, *, symmetrize: bool = False, processes: int | None = None) -> None:
        self.kind, self._measure = _learnable(metric)
        self.name, self.symmetrize = metric.name, symmetrize
        self.best = metric.bounds[1] if metric.higher_is_better else None
        self.calls = self.samples = self.dropped = 0
        self.processes = max(1, processes or os.cpu_count() or 1)
        self._workers: Workers | None = None
        self._decided = False

    def __call__(self, outputs: Any, targets: Any) -> Float64[Tensor, "sample"]:
        """Return the error of every sample, >= 0; NaN where the metric has none.

        Raises:
            InputError: a negative error, or more than a hundredth of the samples (ten at least) without one.
        """
        predictions = self.kind.decode(outputs)
        errors = self._errors(predictions, targets)
        if self.symmetrize:
            errors = (errors + self._errors(targets, predictions)) / 2
        self.samples += len(errors)
        self.dropped += int(torch.isnan(errors).sum())
        if self.dropped > LARGEST_SHARE_DROPPED * max(self.samples, 1000):
            raise fail(
                self.name,
                f"it gave no number for {self.dropped:,} of {self.samples:,} samples (an exception, NaN or infinity)",
                "at most 1 % without one",
                "Let it return a number for every pair that the model or the generator can produce.",
            )
        return errors

    def check(self, rng: np.random.Generator, outputs: Any, targets: Any) -> None:
        """Look at up to 100 pairs whether a distance can represent the metric: 0 at equality, and symmetric.

        Raises:
            InputError: it is not; the message shows a pair.
        """
        chosen = rng.permutation(len(targets))[:CHECKED_PAIRS]
        predictions = taken(self.kind.decode(outputs), chosen)
        targets = taken(targets, chosen)
        began = time.perf_counter()
        equal = self._errors(targets, targets)
        self._decide((time.perf_counter() - began) / max(1, len(targets)))
        wrong = torch.nonzero(equal.abs() > 1e-9)[:, 0]
        if len(wrong):
            pair = targets[int(wrong[0])]
            raise fail(
                self.name,
                f"its error of {_shown(pair)} against itself is {equal[wrong[0]]:.4g}",
                "0 at equality",
                "A learned surrogate is a distance and cannot represent it.",
            )
        there, back = self._errors(predictions, targets), self._errors(targets, predictions)
        differs = torch.nonzero((there - back).abs() > 1e-6 * (1 + there.abs()))[:, 0]
        if len(differs) and not self.symmetrize:
            place = int(differs[0])
            raise fail(
                self.name,
                f"it is {there[place]:.4g} for prediction {_shown(predictions[place])} and target "
                f"{_shown(targets[place])}, but {back[place]:.4g} the other way round "
                f"({len(differs)} of {len(there)} pairs)",
                "a symmetric metric, which a distance can represent",
                "symmetrize=True takes the mean of both.",
            )
        if len(differs):
            warnings.warn(
                f"{self.name} is not symmetric: the mean of both directions is learned",
                UserWarning,
                stacklevel=2,
            )

    def close(self) -> None:
        """End the other processes."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def _errors(self, predictions: Any, targets: Any) -> Tensor:
        values = self._values(predictions, targets)
        self.calls += len(values)
        values = torch.where(torch.isfinite(values), values, math.nan)
        errors = values if self.best is None else self.best - values
        negative = torch.nonzero(errors < -1e-9)[:, 0]
        if len(negative):
            place = int(negative[0])
            raise fail(
                self.name,
                f"the error of prediction {_shown(predictions[place])} is {errors[place]:.4g}",
                "errors >= 0",
                "For a metric where higher is better give its best value (bounds).",
            )
        return errors.clamp_min(0)

    def _values(self, predictions: Any, targets: Any) -> Tensor:
        few = len(targets) < 2 * self.processes
        measure = self._measure if self._workers is None or few else self._workers
        return measure(predictions, targets)[:, 0].double().cpu()

    def _decide(self, seconds: float) -> None:
        """Start other processes where a sample takes long; once."""
        if self._decided or seconds < SLOW or self.processes == 1:
            return
        self._decided = True
        try:
            self._workers = Workers(self._measure, self.processes)
        except RuntimeError as error:
            warnings.warn(
                f"{self.name} takes {1000 * seconds:.0f} ms a sample and cannot be sent to other processes ({error}); "
                "define it at the top of a module of its own to use all cores",
                UserWarning,
                stacklevel=3,
            )


def _learnable(metric: Metric) -> tuple[OutputKind, Callable[[Any, Any], Tensor]]:
    if not metric.per_sample:
        raise fail(
            f"learned:{metric.name}",
            f"it is not a mean over samples (measured per {metric.unit})",
            "a metric of single samples, such as edit_distance, iou or per_sample(your_function)",
            "Ranking metrics have surrogate: and direct: methods.",
        )
    if metric.kind is None or metric.of_predictions is None:
        raise fail(
            f"learned:{metric.name}",
            "what the outputs of the model are is not known",
            "a metric with a kind of output",
            "Give per_sample(..., kind=learned.words(...)) or another kind; see `metricgrad.learned`.",
        )
    if metric.higher_is_better and not math.isfinite(metric.bounds[1]):
        raise fail(
            f"learned:{metric.name}",
            "higher is better, and its best value is not known",
            "a finite upper bound",
            "Give per_sample(..., bounds=(worst, best)).",
        )
    return metric.kind, metric.of_predictions


def _shown(item: Any) -> str:
    text = repr(item.tolist() if isinstance(item, Tensor | np.ndarray) else item)
    return text if len(text) <= 80 else f"{text[:77]}..."
