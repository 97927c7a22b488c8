"""Fit a rule to a pool, judge it on items that it was not fitted to, and keep argmax where nothing is gained."""

import copy
import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from metricgrad.decision.halves import first_half
from metricgrad.decision.known import check_rule, new_rule
from metricgrad.decision.pool import Pool, read_pool
from metricgrad.decision.rule import MARGIN, Argmax, Rule
from metricgrad.decision.scores import Inputs
from metricgrad.decision.slope_decode import SlopeDecode
from metricgrad.decision.undefined import Undefined

__all__ = ["Fitted", "cross_fitted", "fit_rule"]


@dataclass(frozen=True)
class Fitted:
    """A rule, and what it does for the metric on the pool it was fitted to.

    Attributes:
        rule: the rule, fitted to the whole pool; `Argmax` where nothing was gained.
        argmax_value: value of argmax on the pool; NaN where undefined.
        value: value of the rule on the pool: optimistic, as it was chosen there.
        cross_fitted: value of `decisions`: the one to choose by.
        decisions: classes [sample] of the pool, each decided by a rule that was fitted to the other half; those of
            argmax where argmax is kept.
        note: why argmax was kept, or what else was done otherwise than asked; empty where nothing was.
        calls: calls of a metric without a formula.
    """

    rule: Rule
    argmax_value: float
    value: float
    cross_fitted: float
    decisions: Int64[Tensor, "sample"]
    note: str
    calls: int


def fit_rule(
    p: Any,
    y: Any,
    metric: Any,
    rule: str | Rule = "auto",
    *,
    class_counts: Any = None,
    inputs: Inputs = "auto",
    groups: Any = None,
) -> Fitted:
    """Fit a rule of decision to scores for a metric of decided classes.

    Args:
        p: probabilities or logits [sample, class], or one score of class 1 [sample].
        y: true classes [sample], whole numbers.
        metric: anything that `metrics.adapt` takes and that reads classes, or a `TableMetric`.
        rule: `auto` (`threshold` for two classes, else `slope`), `argmax`, `threshold`, `slope`, `prior`, `biases`, or
            a rule whose settings are taken; it is not changed.
        class_counts: items of each class where the model was trained, for rules that use class shares.
        inputs: what p is; `auto` looks at it.
        groups: of items that belong together (the visits of a patient), one label each: both halves get whole groups.

    Returns:
        The rule, its values and the decisions of the pool.

    Raises:
        InputError: an unknown rule, one of ordered classes or of labels (`CutPoints`, `LabelThresholds` are fitted by
            themselves), a metric that reads something else than classes, other shapes or values.

    Edge cases:
        Argmax is kept, with a note, where the pool has fewer items than the rule wants (threshold 50, slope 200, prior
        800, biases 3,000), where the metric is undefined for all candidates, where the rule decides the whole pool as
        argmax does, and where the cross-fitted value is not above that of argmax.

    Gradient: none.

    Cost: three fits.

    Example:
        >>> import torch
        >>> p = torch.linspace(0.01, 0.9, 100)
        >>> fitted = fit_rule(p, p > 0.3, "f1")
        >>> fitted.rule.name, round(fitted.argmax_value, 3), round(fitted.cross_fitted, 3)
        ('threshold', 0.804, 0.992)
    """
    check_rule(rule)
    pool = read_pool(p, y, metric, inputs, groups)
    before = pool.value.calls
    wanted = new_rule(rule, pool.kind, pool.value.classes, class_counts)
    decided = pool.argmax()
    argmax_value = pool.value_of(decided)
    argmax = Argmax(inputs=pool.kind, class_names=wanted.class_names).fit(pool.scores, pool.y, pool.value)

    def kept(note: str) -> Fitted:
        calls = pool.value.calls - before
        return Fitted(argmax, argmax_value, argmax_value, argmax_value, decided, note, calls)

    if isinstance(wanted, Argmax):
        return kept("")
    if len(pool.y.unique()) < 2:
        return kept("argmax was kept: the pool holds one class only")
    if len(pool.y) < wanted.least:
        return kept(
            f"argmax was kept: {wanted.name} wants {wanted.least:,} items and the pool has {len(pool.y):,}"
        )
    flat = ""
    try:
        fitted = wanted.fit(pool.scores, pool.y, pool.value)
        if isinstance(fitted, SlopeDecode) and fitted.flat:
            flat = "every slope decode has the value of argmax: the prior shift was tried instead"
            wanted = new_rule("prior", pool.kind, pool.value.classes, class_counts)
            fitted = wanted.fit(pool.scores, pool.y, pool.value)
    except Undefined as error:
        return kept(f"argmax was kept: {error}")
    note = flat or fitted.note
    why = f" ({note})" if note else ""
    decisions, on_all = _crossed(pool, wanted), fitted.decide(pool.scores)
    value, crossed = pool.value_of(on_all), pool.value_of(decisions)
    same = bool((on_all == decided).all())  # what the halves find is not what the rule would do
    if same and not math.isnan(value):
        return kept(f"argmax was kept: {wanted.name}, fitted on the whole pool, decides as argmax does{why}")
    if math.isnan(value) or math.isnan(crossed):
        return kept(f"argmax was kept: {Undefined(wanted.name, pool.value.failure)}")
    sign = 1 if pool.value.higher_is_better else -1
    if sign * (crossed - argmax_value) <= MARGIN:  # not where argmax has no value
        return kept(
            f"argmax was kept: {wanted.name}, fitted on one half and judged on the other, gives {crossed:.4g}; "
            f"argmax gives {argmax_value:.4g}{why}"
        )
    return Fitted(fitted, argmax_value, value, crossed, decisions, note, pool.value.calls - before)


def cross_fitted(
    p: Any,
    y: Any,
    metric: Any,
    rule: str | Rule = "auto",
    *,
    class_counts: Any = None,
    inputs: Inputs = "auto",
    groups: Any = None,
) -> Int64[Tensor, "sample"]:
    """Decide every item of a pool by a rule that was fitted to the other half of it.

    The halves share every class, and are the same for all models with these targets. A metric of the decisions is
    honest: no item was decided by a rule that saw its target. Where the metric is undefined for all candidates in one
    half, argmax decides the other.

    Args: as `fit_rule`; the least sizes of a pool are not asked for.

    Returns:
        Classes [sample].

    Raises:
        InputError: as `fit_rule`.

    Cost: two fits, each on half the items.

    Example:
        >>> import torch
        >>> p = torch.linspace(0.01, 0.9, 100)
        >>> int((cross_fitted(p, p > 0.3, "f1") != (p > 0.3)).sum())
        1
    """
    check_rule(rule)
    pool = read_pool(p, y, metric, inputs, groups)
    return _crossed(pool, new_rule(rule, pool.kind, pool.value.classes, class_counts))


def _crossed(pool: Pool, rule: Rule) -> Tensor:
    """Decisions of both halves, each by the rule of the other."""
    first = first_half(pool.y, pool.groups)
    decisions = pool.argmax()
    for here, there in ((first, ~first), (~first, first)):
        if not (bool(here.any()) and bool(there.any())):
            continue
        fitted = copy.deepcopy(rule)
        try:
            fitted.fit(pool.scores[here], pool.y[here], pool.value)
        except Undefined:
            continue  # undefined in this half: argmax decides the other
        decisions[there] = fitted.decide(pool.scores[there])
    return decisions
