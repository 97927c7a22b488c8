"""A metric of decided classes from its formula: the value for outputs and targets, and the facts of its record."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor

from metricgrad.metrics.class_rows import Outputs, Targets, averaged_rows, prediction_rows
from metricgrad.metrics.confusion import of_confusion
from metricgrad.metrics.facts import Facts, settings_of
from metricgrad.metrics.of_rows import OfCounts, of_all

__all__ = ["averages", "decided", "decided_value"]

Formula = Callable[..., Tensor]
"""`(Confusion, **settings) -> value`."""


def decided_value(
    caller: str,
    formula: Formula,
    outputs: Outputs,
    targets: Targets,
    *,
    threshold: float | None = None,
    **settings: Any,
) -> Float[Tensor, ""]:
    """The metric of a formula for outputs and targets."""
    rows = _rows_of(formula)
    own = {name: value for name, value in settings.items() if name in settings_of(rows)}
    kept = rows(caller, outputs, targets, threshold=threshold, **own)
    return of_all(partial(_summary, formula, **settings), kept)


def decided(function: Callable[..., Tensor], formula: Formula, **more: Any) -> Facts:
    """Facts of a metric of decided classes; its rows and their summary follow from the formula, unless in `more`."""
    rows = partial(_rows_of(formula), function.__name__)
    made: dict[str, Any] = {"rows": rows, "of_rows": partial(_summary, formula), "of_confusion": formula}
    return Facts(function, "classes", **{**made, **more})


def averages(name: str, **settings: Any) -> dict[str, dict[str, Any]]:
    """scikit-learn's names of the averages of a metric, each with the settings that it stands for.

    Example:
        >>> averages("f1", beta=1.0)["f1_macro"]
        {'beta': 1.0, 'average': 'macro'}
    """
    return {
        f"{name}_{average}": {**settings, "average": average} for average in ("macro", "micro", "weighted")
    }


def _rows_of(formula: Formula) -> Callable[..., Tensor]:
    """What is kept of each sample: of one class where that can be asked for, whether it is predicted and true."""
    return averaged_rows if "average" in settings_of(formula) else prediction_rows


def _summary(formula: Formula, rows: Float[Tensor, "sample 2"], **settings: Any) -> OfCounts:
    """The formula of rows; these know already which class is the positive one, and it is class 1 of theirs."""
    own = {name: settings[name] for name in settings_of(formula) if name in settings}
    own.pop("positive_class", None)
    return of_confusion(partial(formula, **own), rows)
