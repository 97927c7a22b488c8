"""What the rule of the returned arm changes: confusion tables with argmax and with it, and the metric over the cut."""

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from metricgrad._decision_records import CutCurve, DecisionTables
from metricgrad._types import Metric
from metricgrad.decision import Threshold
from metricgrad.decision.rule import table_of
from metricgrad.decision.scores import log_scores
from metricgrad.metrics.table_metric import TableMetric
from metricgrad.tune.deciding import pool_of
from metricgrad.tune.outputs import Outputs

__all__ = ["cut_curve", "decision_tables"]

MOST_CLASSES = 100
CUTS, RESAMPLES = 101, 200
MOST_COUNTS = 20_000_000
"""Counts of items by resample that are held at once."""


def decision_tables(found: Outputs, seed: int, arm: str, split: str) -> DecisionTables | None:
    """Confusion tables [true][predicted] of argmax and of what was decided; None of very many classes.

    Args:
        found: outputs with decided classes.
        seed: of the model.
        arm: of the model.
        split: that the outputs are of.
    """
    pool = pool_of(found)
    if pool is None or found.decided is None:
        return None
    scores, targets = pool
    if scores.ndim == 1:
        scores = torch.stack([-scores, scores], 1)
    classes = scores.shape[1]
    if classes > MOST_CLASSES:
        return None
    tables = (table_of(decided, targets, classes) for decided in (scores.argmax(1), found.decided))
    argmax, fitted = (table.long().tolist() for table in tables)
    return DecisionTables(seed, arm, split, argmax, fitted)


def cut_curve(found: Outputs, rule: Threshold, metric: Metric, seed: int, arm: str) -> CutCurve | None:
    """The metric over the cut between two classes, with a bootstrap band and the best cuts of the resamples.

    Args:
        found: outputs of the split that the cut was fitted on.
        rule: with the cut.
        metric: of the run.
        seed: of the model.
        arm: of the model.

    Returns:
        The curve at cuts between the quantiles of the scores; None where outputs are no scores of two classes. A metric
        without a formula of the table is called once per cut, and has no band.
    """
    pool = pool_of(found)
    if pool is None:
        return None
    scores, targets = pool
    logs = log_scores(scores, "probabilities" if rule.inputs == "probabilities" else "logits")
    odds = logs[:, 1] - logs[:, 0]
    value = TableMetric(metric, 2)
    cuts = torch.cat([odds.quantile(torch.linspace(0, 1, CUTS, dtype=torch.float64)), rule.cut.reshape(1)])
    cuts = cuts.unique()
    once = torch.ones(1, len(odds), dtype=torch.float64)
    values = value(_tables(odds, targets, cuts, once))[0]
    low = high = torch.full_like(values, torch.nan)
    ends, drawn = [None, None], 0
    if value.formula is not None:
        resampled = torch.cat([value(_tables(odds, targets, cuts, times)) for times in _resamples(len(odds))])
        low, high = (resampled.nanquantile(q, dim=0) for q in (0.025, 0.975))
        gains = (resampled if value.higher_is_better else -resampled).nan_to_num(nan=-torch.inf)
        best = cuts[gains.argmax(1)]
        ends, drawn = [float(best.quantile(q)) for q in (0.05, 0.95)], len(best)
    curves = {"values": _known(values), "low": _known(low), "high": _known(high)}
    return CutCurve(
        seed,
        arm,
        float(rule.cut),
        0.0,
        cuts.tolist(),
        **curves,
        cut_low=ends[0],
        cut_high=ends[1],
        resamples=drawn,
    )


def _resamples(items: int) -> list[Float64[Tensor, "resample item"]]:
    """How often each item comes in draws with replacement, in parts that memory holds."""
    random, part = np.random.default_rng(0), max(1, min(RESAMPLES, MOST_COUNTS // items))
    shares = np.full(items, 1 / items)
    return [
        torch.from_numpy(random.multinomial(items, shares, size=count).astype(np.float64))
        for count in (min(part, RESAMPLES - first) for first in range(0, RESAMPLES, part))
    ]


def _tables(
    odds: Float64[Tensor, "item"],
    targets: Int64[Tensor, "item"],
    cuts: Float64[Tensor, "cut"],
    times: Float64[Tensor, "resample item"],
) -> Float64[Tensor, "resample cut 2 2"]:
    """Confusion tables [true, predicted] of every cut in every resample."""
    place = torch.bucketize(odds, cuts)  # how many cuts an item is above
    rows = []
    for true in (0, 1):
        cells = torch.zeros(len(times), len(cuts) + 1, dtype=torch.float64)
        below = cells.index_add_(1, place, times * (targets == true)).cumsum(1)
        rows.append(torch.stack([below[:, :-1], below[:, -1:] - below[:, :-1]], -1))
    return torch.stack(rows, -2)


def _known(values: Float64[Tensor, "cut"]) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]
