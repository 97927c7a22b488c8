"""How flat is a metric over the cut between two classes? Its values at many cuts, with what a bootstrap draws."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from metricgrad._labels import Labels, number_labels
from metricgrad.decision.scores import log_scores
from metricgrad.decision.threshold import Threshold
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["CutCurve", "cut_curve"]

CUTS, RESAMPLES = 101, 200
MOST_COUNTS = 20_000_000
"""Counts of items by resample that are held at once."""


class CutCurve(NamedTuple):
    """A metric over the cut.

    Attributes:
        cuts: log odds of class 1 above which an item is positive, ascending.
        above: share of the items above the cut.
        values: of the metric; NaN where undefined.
        low: the lower end of the pointwise 95 % band; NaN where there is none.
        high: the upper end.
        best: the best cut of every resample; empty where there is none.
    """

    cuts: Float64[Tensor, "cut"]
    above: Float64[Tensor, "cut"]
    values: Float64[Tensor, "cut"]
    low: Float64[Tensor, "cut"]
    high: Float64[Tensor, "cut"]
    best: Float64[Tensor, "resample"]


def cut_curve(
    rule: Threshold,
    scores: Float[Tensor, "..."],
    y: Int64[Tensor, "item"],
    value: TableMetric,
    groups: Labels | None = None,
) -> CutCurve:
    """Measure a metric at quantiles of the scores, at one half and at the cut of a rule, with 200 resamples (exact).

    Args:
        rule: a fitted threshold, for its cut and for what the scores are.
        scores: of two classes, as the rule takes them.
        y: true classes.
        value: the metric as a function of tables.
        groups: of the items, which are drawn whole; None: every item for itself.

    Edge cases:
        A metric without a formula of the table is called once per cut, and has no band.

    Cost:
        O(item log item) and a table for each cut and resample.
    """
    logs = log_scores(scores, "probabilities" if rule.inputs == "probabilities" else "logits")
    odds = logs[:, 1] - logs[:, 0]
    marks = torch.stack([rule.cut, torch.zeros_like(rule.cut)])
    cuts = torch.cat([odds.quantile(torch.linspace(0, 1, CUTS, dtype=torch.float64)), marks]).unique()
    tables = _tables(odds, y, cuts, torch.ones(1, len(odds), dtype=torch.float64))[0]
    values, above = value(tables), tables[..., 1].sum(-1) / len(odds)
    if value.formula is None:
        nothing = torch.full_like(values, torch.nan)
        return CutCurve(cuts, above, values, nothing, nothing, cuts[:0])
    drawn = torch.cat([value(_tables(odds, y, cuts, times)) for times in _resamples(len(odds), groups)])
    low, high = (drawn.nanquantile(q, dim=0) for q in (0.025, 0.975))
    gains = (drawn if value.higher_is_better else -drawn).nan_to_num(nan=-torch.inf)
    return CutCurve(cuts, above, values, low, high, cuts[gains.argmax(1)])


def _resamples(items: int, groups: Labels | None) -> Iterator[Float64[Tensor, "resample item"]]:
    """How often each item comes in draws with replacement, in parts that memory holds."""
    member = None
    if groups is not None:
        member = number_labels("cut_curve", {"groups": groups}, device="cpu").codes[0].numpy()
    many = items if member is None else int(member.max()) + 1
    random, part = np.random.default_rng(0), max(1, min(RESAMPLES, MOST_COUNTS // items))
    shares = np.full(many, 1 / many)
    for first in range(0, RESAMPLES, part):
        times = random.multinomial(many, shares, size=min(part, RESAMPLES - first)).astype(np.float64)
        yield torch.from_numpy(times if member is None else times[:, member])


def _tables(
    odds: Float64[Tensor, "item"],
    y: Int64[Tensor, "item"],
    cuts: Float64[Tensor, "cut"],
    times: Float64[Tensor, "resample item"],
) -> Float64[Tensor, "resample cut 2 2"]:
    """Confusion tables [true, predicted] of every cut in every resample."""
    place = torch.bucketize(odds, cuts)  # how many cuts an item is above
    rows = []
    for true in (0, 1):
        cells = torch.zeros(len(times), len(cuts) + 1, dtype=torch.float64)
        below = cells.index_add_(1, place, times * (y == true)).cumsum(1)
        rows.append(torch.stack([below[:, :-1], below[:, -1:] - below[:, :-1]], -1))
    return torch.stack(rows, -2)
