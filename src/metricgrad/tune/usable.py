"""Splits as a run uses them: in one form, their classes numbered, parted, in batches of the plan."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from metricgrad._checks import caller, fail
from metricgrad._types import Metric
from metricgrad.tune.given_data import given_splits, numbered
from metricgrad.tune.groups import check_groups
from metricgrad.tune.splits import Splits, check_disjoint

__all__ = ["usable_splits"]


def usable_splits(given: Any, metric: Metric, batch: int | None) -> tuple[Splits, Sequence[str]]:
    """Return the splits, and what the record must say of them, as sentences.

    Args:
        given: as `tune` takes them.
        metric: of the run.
        batch: rows of a fit batch; None as the split has them.

    Raises:
        InputError: they are none, share classes of a retrieval metric, or have groups that do not fit.
    """
    splits, told = numbered(given_splits(given), metric)
    if metric.unit == "query":
        check_disjoint(splits)
    check_groups(splits)
    return (splits if batch is None else _rebatched(splits, batch)), told


def _rebatched(splits: Splits, batch: int) -> Splits:
    if not hasattr(splits.fit, "rebatch"):
        raise fail(
            caller(),
            f"plan.batch is {batch}, but the fit split is a {type(splits.fit).__name__}",
            "a split that can change its batch",
            "Set the batch size where you make the split.",
        )
    return replace(splits, fit=splits.fit.rebatch(batch))  # pyright: ignore[reportAttributeAccessIssue]
