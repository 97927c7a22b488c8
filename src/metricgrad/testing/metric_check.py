"""Hold a metric to the laws that the metrics of this library keep."""

import math
import random as python_random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from metricgrad._checks import describe, fail
from metricgrad._types import Metric
from metricgrad.testing.kinds import Kind, Pair, kind_named
from metricgrad.testing.loss_subject import apart
from metricgrad.testing.report import Law, Report, judged_by

__all__ = ["check_metric"]


@dataclass(frozen=True)
class MetricSubject:
    """A metric with all that the caller declared of it.

    Attributes:
        metric: `(outputs, targets) -> number or one value per row`.
        make_inputs: generator -> outputs and targets.
        kind: what it takes.
        takes: the name of that.
        higher_is_better: the direction.
        bounds: smallest and largest value.
        order_only: whether nothing but the order of the outputs counts.
        mean: whether it stays the same where every row comes twice.
        right: targets -> outputs that are right.
    """

    metric: Callable[[Any, Any], Any]
    make_inputs: Callable[[Generator], Pair]
    kind: Kind
    takes: str
    higher_is_better: bool
    bounds: tuple[float, float]
    order_only: bool
    mean: bool
    right: Callable[[Tensor], Tensor] | None

    def drawn(self, seed: int = 0) -> Pair:
        """Outputs and targets of a seed, the same at every call."""
        outputs, targets = self.make_inputs(Generator().manual_seed(seed))
        return outputs.detach().clone(), targets.clone()

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The metric as a tensor of float64: one number, or one per row."""
        found = self.metric(outputs.clone(), targets.clone())
        return torch.as_tensor(found).detach().double()


def check_metric(
    metric: Callable[[Any, Any], Any] | Metric,
    make_inputs: Callable[[Generator], Pair] | None = None,
    *,
    takes: str = "logits",
    higher_is_better: bool = True,
    bounds: tuple[float, float] = (0.0, 1.0),
    order_only: bool = False,
    mean: bool = True,
    right: Callable[[Tensor], Tensor] | None = None,
    skip: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Report:
    """Hold a metric to the laws of a metric, on a dozen made-up rows (exact up to rounding).

    Args:
        metric: `(outputs, targets) -> number`, or one value per row; or a `Metric` record.
        make_inputs: generator -> (outputs, targets), outputs float64; None for those of `takes`.
        takes: as `check_loss` has it.
        higher_is_better: the direction; that of a record is its own.
        bounds: smallest and largest value; those of a record are its own.
        order_only: whether nothing but the order of the outputs counts: an increasing map then changes nothing.
        mean: whether the value stays where every row comes twice, as that of a mean, a rate or an AUC does.
        right: targets -> outputs that are right; None for those of `takes`, or none where `make_inputs` is given.
        skip: laws to leave out, each with the reason.
        raises: whether a broken law raises; False returns the report either way.

    Returns:
        What was found of each law.

    Raises:
        LawBroken: a law is broken; the message says of each what came and what was expected.
        InputError: an argument does not fit.

    Gradient: none.

    Cost: some dozen calls on twelve rows.

    Example:
        >>> def hits(scores, targets):
        ...     return ((scores > 0) == (targets > 0)).double().mean()
        >>> check_metric(hits, takes="scores").broken
        []
        >>> check_metric(
        ...     lambda scores, targets: hits(scores, targets) / 2 + 1, takes="scores", raises=False
        ... ).broken
        ['bounds', 'perfect']
    """
    kind = kind_named("check_metric", takes)
    name = getattr(metric, "name", getattr(metric, "__name__", type(metric).__name__))
    if isinstance(metric, Metric):
        higher_is_better, bounds = metric.higher_is_better, metric.bounds
    elif not callable(metric) or isinstance(metric, type):
        expected = "a function (outputs, targets) -> number, or a Metric"
        raise fail("check_metric", f"the metric is {describe(metric)}", expected)
    subject = MetricSubject(
        _of_record(metric) if isinstance(metric, Metric) else metric,
        make_inputs or kind.draw,
        kind,
        takes,
        higher_is_better,
        bounds,
        order_only,
        mean,
        right or (kind.right if make_inputs is None else None),
    )
    return judged_by("check_metric", name, subject, METRIC_LAWS, skip or {}, raises=raises)


def _of_record(metric: Metric) -> Callable[[Any, Any], float]:
    """A record as one function."""
    return lambda outputs, targets: metric.summarise(metric.measure(outputs, targets))


def _value(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    found = subject.value(outputs, targets)
    if found.ndim > 1 or (found.ndim and len(found) != len(outputs)):
        return f"it returned {tuple(found.shape)} for {len(outputs)} rows"
    return "the value of ordinary outputs is no finite number" if not bool(found.isfinite().all()) else ""


def _bounds(subject: MetricSubject) -> str:
    low, high = subject.bounds
    for seed in range(3):
        outputs, targets = subject.drawn(seed)
        for values in (outputs, outputs.round() if subject.takes != "probabilities" else outputs):
            found = subject.value(values, targets)
            found = found[~found.isnan()]
            if found.numel() and not low - 1e-9 <= float(found.min()) <= float(found.max()) <= high + 1e-9:
                return f"values from {float(found.min()):.6g} to {float(found.max()):.6g}"
    return ""


def _direction(subject: MetricSubject) -> str:
    assert subject.right is not None
    _, targets = subject.drawn()
    other = targets.flip(0) if targets.is_floating_point() else targets.roll(1, 0)
    sign = 1 if subject.higher_is_better else -1
    right, wrong = (float(subject.value(subject.right(one), targets).nanmean()) for one in (targets, other))
    return "" if sign * right > sign * wrong else f"right outputs have {right:.6g}, wrong ones {wrong:.6g}"


def _perfect(subject: MetricSubject) -> str:
    assert subject.right is not None
    _, targets = subject.drawn()
    best = subject.bounds[1 if subject.higher_is_better else 0]
    found = float(subject.value(subject.right(targets), targets).nanmean())
    return (
        ""
        if math.isinf(best) or abs(found - best) <= 1e-6
        else f"right outputs have {found:.6g} for {best:.6g}"
    )


def _order(subject: MetricSubject) -> str:
    for seed in range(2):
        outputs, targets = subject.drawn(seed)
        rows = torch.randperm(len(outputs), generator=Generator().manual_seed(seed))
        before = subject.value(outputs, targets)
        came = apart(subject.value(outputs[rows], targets[rows]), before[rows] if before.ndim else before)
        if came:
            return f"in another order of the rows it gives {came}"
    return ""


def _twice(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    once = subject.value(outputs, targets).nanmean()
    came = apart(subject.value(torch.cat([outputs, outputs]), torch.cat([targets, targets])).nanmean(), once)
    return f"with every row twice it gives {came}" if came else ""


def _increasing(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    came = apart(subject.value(3 * outputs - 5, targets), subject.value(outputs, targets))
    return f"with outputs that rise alike it gives {came}" if came else ""


def _shift(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    moved = outputs + torch.linspace(-3, 3, len(outputs), dtype=outputs.dtype)[:, None]
    came = apart(subject.value(moved, targets), subject.value(outputs, targets))
    return f"with a constant added to each row it gives {came}" if came else ""


def _renamed(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    _, numbers = targets.unique(return_inverse=True)
    for other in (7 + 1000 * numbers, int(numbers.max()) - numbers):
        came = apart(subject.value(outputs, other), subject.value(outputs, targets))
        if came:
            return f"with other numbers for the labels it gives {came}"
    return ""


def _types(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    outputs = outputs.float()
    came = apart(
        subject.value(outputs, targets),
        subject.value(outputs.double(), targets),
        relative=1e-5,
        absolute=1e-6,
    )
    if came:
        return f"in float32 it gives {came}, that of the same numbers in float64"
    if targets.is_floating_point() or int(targets.max()) > 1 or subject.takes == "embeddings":
        return ""
    came = apart(subject.value(outputs, targets.bool()), subject.value(outputs, targets))
    return f"with targets of bool it gives {came}" if came else ""


def _inputs(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    given, classes = outputs.clone(), targets.clone()
    subject.metric(given, classes)
    if not torch.equal(given, outputs):
        return "it changed the outputs"
    return "" if torch.equal(classes, targets) else "it changed the targets"


def _randomness(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    state, found = python_random.getstate(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        python_random.seed(seed)
        found.append(subject.value(outputs, targets))
    python_random.setstate(state)
    came = apart(found[0], found[1], relative=0, absolute=0)
    return f"two calls with equal inputs give {came}" if came else ""


def _empty(subject: MetricSubject) -> str:
    outputs, targets = subject.drawn()
    found = subject.value(outputs[:0], targets[:0])
    if bool(found.isinf().any()) or found.numel() > 1:
        return f"it gives {found.tolist()}"
    low, high = subject.bounds
    plain = found[~found.isnan()]
    return (
        ""
        if not plain.numel() or low <= float(plain.min()) <= float(plain.max()) <= high
        else f"it gives {found.tolist()}"
    )


def _no_right(subject: MetricSubject) -> str:
    return "" if subject.right is not None else "nobody said which outputs are right"


METRIC_LAWS: tuple[Law[MetricSubject], ...] = (
    Law("value", "a finite number, or one value per row", _value),
    Law("bounds", "values within the bounds", _bounds),
    Law("direction", "right outputs have a better value than wrong ones", _direction, _no_right),
    Law("perfect", "right outputs have the best value", _perfect, _no_right),
    Law("order", "rows in another order have the same values", _order),
    Law(
        "twice",
        "every row twice is the same mean",
        _twice,
        lambda one: "" if one.mean else "declared: it is no mean",
    ),
    Law(
        "increasing",
        "only the order of the outputs counts",
        _increasing,
        lambda one: "" if one.order_only else "not declared to be one of order only",
    ),
    Law(
        "shift",
        "a constant added to all class scores of a row changes nothing",
        _shift,
        lambda one: "" if one.takes == "logits" else "these are no scores of classes that exclude each other",
    ),
    Law(
        "renamed",
        "labels are names: other numbers for them change nothing",
        _renamed,
        lambda one: "" if one.takes == "embeddings" else "targets are no names of groups",
    ),
    Law("types", "float32 and float64, whole numbers and bool give the same", _types),
    Law("inputs", "outputs and targets are left as they were", _inputs),
    Law("randomness", "the value depends on the inputs alone", _randomness),
    Law("empty", "no rows give NaN or a value within the bounds, and no error", _empty),
)
