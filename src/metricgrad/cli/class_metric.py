"""The metric that a rule of decision is fitted for."""

from collections.abc import Mapping
from typing import Any

from metricgrad._types import Metric
from metricgrad.cli.named import metric_named
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["metric_of_classes"]


def metric_of_classes(given: Mapping[str, Any]) -> Metric:
    """Return the metric that the options of the command name.

    Args:
        given: the options by name.

    Raises:
        InputError: it does not judge decided classes: a ranking metric, one of several labels or of values.
    """
    exact = metric_named(given["metric"], given["higher_is_better"])
    TableMetric(exact, 2)  # refuses it
    return exact
