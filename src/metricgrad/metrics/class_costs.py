"""Expected cost: what decisions cost on average, by a matrix of costs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._columns import one_column
from metricgrad.metrics import class_formulas as formulas
from metricgrad.metrics.class_metric import decided
from metricgrad.metrics.class_rows import Outputs, Targets, prediction_rows
from metricgrad.metrics.confusion import of_confusion
from metricgrad.metrics.costs import Costs, cost_matrix
from metricgrad.metrics.of_rows import of_all

__all__ = ["expected_cost"]


def expected_cost(
    outputs: Outputs, targets: Targets, *, cost: Costs, threshold: float | None = None
) -> Float[Tensor, ""]:
    """Mean over the samples of the cost of the decision (exact).

        mean_i cost[y_i, prediction_i]

    Args:
        outputs: class scores (the largest decides, the first of equals), predicted class ids, or one score of class 1
            per sample.
        targets: class ids 0, 1, ...
        cost: costs [true, predicted]: rows of numbers, a tensor or array, or a text as in the names of metrics:
            `"expected_cost:cost=0 1; 5 0"` has a row for class 0 and one for class 1, `expected_cost:cost=costs.txt`
            reads the rows from the lines of a file. Negative costs are gains.
        threshold: of one score per sample: above it the prediction is class 1, else class 0.

    Returns:
        float64 scalar between the smallest and the largest cost, lower is better.

    Raises:
        InputError: shapes or types that do not fit, NaN scores, one score per sample without a threshold, costs that
            are no square matrix of finite numbers, a class without a row of costs.

    Edge cases:
        ties: the lowest class id. No sample: NaN. With cost 0 on the diagonal and 1 elsewhere it is `error_rate`.

    Gradient: none; the formula, `Metric.of_table`, has one in the table.

    Cost: O(sample * class + class^2).

    Reference:
        [elkan2001foundations]

    Example:
        >>> import torch
        >>> expected_cost(torch.tensor([0, 1, 0, 0]), torch.tensor([0, 0, 1, 0]), cost="0 1; 5 0")
        tensor(1.5000, dtype=torch.float64)
    """
    rows = _cost_rows(outputs, targets, cost=cost, threshold=threshold)
    return of_all(partial(of_confusion, partial(formulas.expected_cost, cost=cost)), rows)


def _cost_rows(
    outputs: Outputs, targets: Targets, *, cost: Costs, threshold: float | None = None
) -> Float[Tensor, "sample 2"]:
    """Check and return (predicted, target) of every sample, all of them classes with a row of costs."""
    rows, classes = (
        prediction_rows("expected_cost", outputs, targets, threshold=threshold),
        len(cost_matrix(cost)),
    )
    if len(rows) and one_column(outputs).ndim == 2 and outputs.shape[1] != classes:
        came = f"outputs are {describe(outputs)} and cost has {classes} rows"
        raise fail("expected_cost", came, "a row and a column of costs for each class")
    strange = rows[(rows < 0) | (rows >= classes)]
    if len(strange):
        came = f"there is a class {int(strange[0])} and cost has {classes} rows"
        raise fail("expected_cost", came, f"classes 0 to {classes - 1}")
    return rows


def _bounds(settings: Mapping[str, Any]) -> tuple[float, float]:
    numbers = [number for row in settings["cost"] for number in row]
    return min(numbers), max(numbers)


FACTS = (
    decided(
        expected_cost,
        formulas.expected_cost,
        rows=_cost_rows,
        higher_is_better=False,
        bounds=_bounds,
        plain={"cost": cost_matrix},
    ),
)
