"""A metric of decided classes as a function of confusion tables, whoever wrote it, and its slope at a table.

A metric of ours has a formula of the table. A foreign one is called: with a weight per cell where it takes
`sample_weight`, else with labels that are written out from a table of whole numbers. Either way it is a function of a
table [true, predicted], and rules of decision need nothing else of it.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float64, Num
from torch import Tensor

from metricgrad._checks import fail, whole_number
from metricgrad._types import Metric
from metricgrad.errors import Interrupted, MetricgradError
from metricgrad.metrics.adapt import adapt, metric_calls
from metricgrad.metrics.foreign import ForeignFunction, told

__all__ = ["TableMetric", "confusion_slope"]

ROWS = 20_000
"""Labels that a fractional table is written out as, where a metric takes labels only: a step of 0.002 is 40 of them."""

REMEMBERED = 2**20
"""Numbers in all the tables whose values are kept."""

Tables = Num[Tensor, "*batch true predicted"]


class TableMetric:
    """A metric of decided classes, called with confusion tables [*batch, true, predicted] (exact).

    Class k is row k and column k, and the number k where the metric is called with labels.

    Attributes:
        metric: the record.
        classes: how many there are.
        higher_is_better: its direction; values are those of the metric, whatever the direction.
        calls: how often a metric without a formula was called so far: once per table that is not known, and twice more
            where a function is first tried (see `adapt`).
        failure: what the last call that raised said; None where none did.

    Args:
        metric: a record, a name, or anything else that `metrics.adapt` takes, called with (predicted classes, targets).
            One of pixels is the formula of the table of all pixels.
        classes: how many there are, >= 1.
        higher_is_better: the direction of a function where it is not known.
        known: values of tables that this metric was called for before; it is filled, up to a million numbers in tables.
        form: what a record of anybody else takes instead of predicted class numbers, made of these.

    Raises:
        InputError: a metric that reads something else than classes, such as a ranking metric; as `adapt`.

    Edge cases:
        A metric that raises, or returns NaN, is undefined for that table: NaN. A table without a sample: NaN from a
        foreign metric. A fractional table, where labels must be written out: the nearest table of whole numbers
        with 20,000 samples, by largest remainders.

    Gradient: exact for a metric with a formula; none for others.

    Cost: of a formula O(table) for all tables at once; otherwise one call per new table, with class^2 samples where it
    takes weights, else with as many as the table holds.

    Example:
        >>> value = TableMetric("error_rate", 2)
        >>> value(torch.tensor([[[3.0, 1.0], [0.0, 4.0]]])), value.higher_is_better
        (tensor([0.1250], dtype=torch.float64), False)
    """

    def __init__(
        self,
        metric: Any,
        classes: int,
        *,
        higher_is_better: bool | None = None,
        known: dict[bytes, float] | None = None,
        form: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.metric = (
            metric if isinstance(metric, Metric) else adapt(metric, higher_is_better=higher_is_better)
        )
        self.classes = whole_number("TableMetric", "classes", classes)
        if self.metric.reads not in ("classes", "pixels", None):
            raise fail(
                f"metric {self.metric.name}",
                f"it reads {self.metric.reads}, not decided classes, so no decision rule changes it",
                "a metric of decided classes, such as macro_f1",
                "Leave the rule out.",
            )
        self.higher_is_better = self.metric.higher_is_better
        self.calls = 0
        self.failure: str | None = None
        self._known = {} if known is None else known
        self._form = form or (lambda predicted: predicted)

    def __call__(self, tables: Tables) -> Float64[Tensor, "*batch"]:
        """Value of every table, NaN where it is undefined."""
        tables = torch.as_tensor(tables).double()
        if tables.ndim < 2 or tables.shape[-2:] != (self.classes, self.classes):
            came = f"tables are {tuple(tables.shape)}"
            raise fail(self.metric.name, came, f"(*batch, {self.classes}, {self.classes}): true, predicted")
        if self.formula is not None:
            return self.formula(tables)
        flat = tables.detach().reshape(-1, self.classes, self.classes)
        values = torch.tensor([self._value(table) for table in flat.cpu()], dtype=torch.float64)
        return values.reshape(tables.shape[:-2])

    @property
    def formula(self) -> Callable[[Tensor], Tensor] | None:
        """The metric as a function of tables; None where it can only be called."""
        return self.metric.of_table

    @property
    def weighted(self) -> bool:
        """Whether a metric without a formula takes a weight per sample."""
        foreign = _foreign(self.metric)
        return foreign is not None and foreign.foreign.weighted

    def gains(self, tables: Tables) -> Float64[Tensor, "*batch"]:
        """Values with the sign that makes higher better; -inf where undefined."""
        values = self(tables)
        return (values if self.higher_is_better else -values).nan_to_num(nan=-torch.inf)

    def countable(self, table: Tensor, step: float) -> tuple[Tensor, float, float]:
        """What of a table and a step in one of its cells this metric can tell apart.

        Returns:
            The table, the step and the factor that both were multiplied by: as they came where any real number counts,
            else whole numbers.
        """
        if self.formula is not None or self.weighted:
            return table, step, 1.0
        factor = ROWS / float(table.sum())
        return _whole(table * factor), float(max(1, round(step * factor))), factor

    def _value(self, table: Tensor) -> float:
        """The value of one table; of equal tables the metric is called once."""
        if not float(table.sum()) > 0:
            return float("nan")
        key = table.numpy().tobytes()
        if key in self._known:
            return self._known[key]
        before = metric_calls(self.metric)
        value = self._called(table)
        self.calls += max(1, metric_calls(self.metric) - before)
        if len(self._known) * self.classes**2 < REMEMBERED:
            self._known[key] = value
        return value

    def _called(self, table: Tensor) -> float:
        """Call the metric for one table."""
        foreign = _foreign(self.metric)
        try:
            if foreign is not None and foreign.foreign.weighted:
                target, predicted = table.nonzero(as_tuple=True)
                return foreign.value(predicted, target, sample_weight=table[target, predicted])
            if bool((table != table.round()).any()):
                table = _whole(table * (ROWS / table.sum()))
            predicted, target = _labels(table)
            predicted = predicted if foreign is not None else self._form(predicted)
            return float(self.metric.summarise(self.metric.measure(predicted, target)))
        except Interrupted:
            raise
        except (
            Exception
        ) as error:  # whatever a metric of others raises: it is undefined here, and `failure` says why
            self.failure = str(error) if isinstance(error, MetricgradError) else told(error)
            return float("nan")


def confusion_slope(
    value: Callable[[Tensor], Tensor],
    table: Num[Tensor, "true predicted"],
    *,
    step: float | None = None,
    pseudo_count: float = 0.5,
    among: Bool[Tensor, "class"] | None = None,
) -> Float64[Tensor, "true predicted"]:
    """How a metric changes when one more sample of class y is taken for class k (a measured slope).

        G[y, k] = (M(C + c + h e_yk) - M(C + c)) / h * sum(C)      c: pseudo-count in every cell, h: step

    Args:
        value: tables [*batch, true, predicted] -> [*batch]; a `TableMetric`.
        table: C, the counts [true, predicted]; any real numbers >= 0.
        step: h, > 0; by default 0.002 of the samples.
        pseudo_count: c, >= 0: it keeps the slope of a class without a sample, or without a hit, finite.
        among: the classes whose rows and columns are measured, by default all; the others are 0.

    Returns:
        [true, predicted], of the metric itself, whatever its direction. NaN where the metric is undefined.

    Edge cases:
        A metric that is called with labels written out: base and step are whole numbers of labels, so the difference
        is of exactly this step.

    Gradient: none.

    Cost: 1 value and one for each measured cell.

    Reference:
        [narasimhan2015consistent]: the plug-in rule of a metric's slope; here the slope is measured.

    Example:
        >>> table = torch.tensor([[3.0, 1.0], [0.0, 4.0]])
        >>> confusion_slope(TableMetric("accuracy", 2), table, step=1e-6, pseudo_count=0.0)
        tensor([[ 0.1250, -0.8750],
                [-0.8750,  0.1250]], dtype=torch.float64)
    """
    table = torch.as_tensor(table).detach().double()
    samples = float(table.sum())
    base, step = table + pseudo_count, 0.002 * samples if step is None else step
    factor = 1.0
    if isinstance(value, TableMetric):
        base, step, factor = value.countable(base, step)
    classes = torch.arange(len(table)) if among is None else among.nonzero()[:, 0]
    start, slopes = value(base), torch.zeros_like(table)
    cell = torch.arange(len(classes))
    for true in classes:  # a row at a time: class^3 numbers at once, not class^4
        stepped = base.repeat(len(classes), 1, 1)
        stepped[cell, true, classes] += step
        slopes[true, classes] = value(stepped) - start
    return slopes * (factor * samples / step)


def _foreign(metric: Metric) -> ForeignFunction | None:
    """The function of others within a record; None for a record of ours."""
    within = getattr(metric.summarise, "__self__", None)
    return within if isinstance(within, ForeignFunction) else None


def _whole(table: Tensor) -> Tensor:
    """Whole numbers of the same (rounded) sum, by largest remainders; of equal ones the first cells win."""
    flat = table.reshape(-1)
    down = flat.floor()
    missing = round(float(flat.sum() - down.sum()))
    down[(flat - down).sort(descending=True, stable=True).indices[:missing]] += 1
    return down.reshape(table.shape)


def _labels(table: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true class of every sample of a table of whole numbers."""
    target, predicted = table.nonzero(as_tuple=True)
    times = table[target, predicted].long()
    return predicted.repeat_interleave(times), target.repeat_interleave(times)
