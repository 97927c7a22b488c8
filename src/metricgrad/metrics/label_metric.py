"""A metric of several labels per sample from the formula of one label: its value, and the facts of its record."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from metricgrad.metrics.facts import Facts, settings_of
from metricgrad.metrics.label_tables import (
    Average,
    Tables,
    averaged,
    label_rows,
    of_labels,
    require_average,
)
from metricgrad.metrics.of_rows import OfCounts, of_all

__all__ = ["facts_of_labels", "label_value"]

Formula = Callable[..., Tensor]
"""`(Confusion, average="binary", **settings) -> value` of one class, of `class_formulas`."""


def label_value(
    function: Callable[..., Tensor],
    formula: Formula,
    outputs: Shaped[Tensor, "sample label"],
    targets: Shaped[Tensor, "sample label"],
    *,
    average: Average,
    threshold: float | None,
    **settings: Any,
) -> Float64[Tensor, ""]:
    """The metric of a formula for outputs and targets."""
    rows = label_rows(function.__name__, outputs, targets, threshold=threshold)
    return of_all(partial(_of_rows, function.__name__, formula, average=average, **settings), rows)


def facts_of_labels(function: Callable[..., Tensor], formula: Formula, short: str, **settings: Any) -> Facts:
    """Facts of a metric of a formula.

    Args:
        function: the public function.
        formula: of one label.
        short: what names of averages begin with; scikit-learn's `f1_samples` is one of them.
        **settings: that these names stand for.
    """
    return Facts(
        function,
        reads="labels",
        rows=partial(label_rows, function.__name__),
        of_rows=partial(_of_rows, function.__name__, formula),
        of_label_tables=partial(_of_tables, formula),
        aliases={
            **{
                f"multilabel_{short}_{average}": {**settings, "average": average}
                for average in ("macro", "micro", "weighted")
            },
            f"{short}_samples": {**settings, "average": "samples"},
        },
    )


def _of_rows(
    caller: str,
    formula: Formula,
    rows: Float[Tensor, "sample column"],
    *,
    average: str = "macro",
    **settings: Any,
) -> OfCounts:
    """The metric of rows as `label_rows` makes them."""
    require_average(caller, average)
    return of_labels(_of_one(formula, settings), rows, average)


def _of_tables(formula: Formula, settings: Mapping[str, Any]) -> Callable[[Tables], Tensor] | None:
    """The metric as a function of the tables of labels, where it is one."""
    if settings["average"] == "samples":
        return None
    return partial(averaged, _of_one(formula, settings), average=settings["average"])


def _of_one(formula: Formula, settings: Mapping[str, Any]) -> Formula:
    """The formula of one label with its settings."""
    own = settings_of(formula).keys() - {"average", "positive_class"}
    return partial(formula, average="binary", **{name: settings[name] for name in own if name in settings})
