"""What a rule changes on rows that it was not fitted to: the metric with an interval, tables, the other metrics."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from metricgrad._types import Metric
from metricgrad.cli.aligned_files import Rows
from metricgrad.cli.compare_verdict import document
from metricgrad.cli.scored import Scored
from metricgrad.decision import Fitted
from metricgrad.decision.other_metrics import other_metrics
from metricgrad.decision.rule import table_of
from metricgrad.differences import Grouping

__all__ = ["Progress", "evidence"]

Progress = Callable[[Mapping[str, Any]], None]
"""Draws events."""


def evidence(
    metric: Metric,
    judged: Scored,
    before: Tensor,
    after: Tensor,
    fitted: Fitted,
    progress: Progress,
    **draws: Any,
) -> dict[str, Any]:
    """Measure both decisions of the same rows.

    Args:
        metric: that the rule was fitted for.
        judged: the rows.
        before: their classes without a rule.
        after: their classes by the rule.
        fitted: the rule.
        progress: is told how far the draws are.
        draws: resamples, confidence and seed of the interval.
    """
    assert judged.targets is not None
    targets, names = judged.targets, judged.names
    plain = fitted.rule.without
    kept = fitted.rule.name == plain
    arms = [plain, f"{plain} (kept)" if kept else fitted.rule.name]
    grouping = Grouping(None, metric.unit)
    if judged.groups is not None:
        grouping = Grouping(judged.groups, "group")
    facts = {"rows": len(judged), "rows_left_out": [0, 0]}
    rows = Rows([metric.measure(one, targets) for one in (before, after)], grouping, facts)
    found = document(metric, arms, rows, arms[0], progress, **draws)
    first, second = found.pop("files")
    found.pop("baseline")
    claim = second["verdict"]
    if kept:
        claim, found["verdict"] = (
            "nothing claimed",
            f"Nothing is claimed: {fitted.note or f'{plain} was asked for'}.",
        )
    tables = [table_of(one, targets, len(names.classes)) for one in (before, after)]
    return {
        **found,
        "before": {key: first[key] for key in ("value", "low", "high")},
        "after": {key: second[key] for key in ("value", "low", "high")},
        "difference": {
            "value": second["difference"],
            "low": second["difference_low"],
            "high": second["difference_high"],
            "p_value": second["p_value"],
            "claim": claim,
        },
        "tables": dict(zip(("before", "after"), (one.long().tolist() for one in tables), strict=True)),
        "others": other_metrics(*tables, positive=names.positive is not None),
    }
