"""Fit a rule to a pool, judge it on items that it was not fitted to, and keep plain decisions where it gains nothing.

Plain is what is decided without a rule: argmax of class scores, rounding of one real number, one half of each label.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from metricgrad.decision.halves import first_half
from metricgrad.decision.plain_rules import is_plain
from metricgrad.decision.pool import Pool
from metricgrad.decision.pool_reading import read_pool
from metricgrad.decision.rule import MARGIN, Rule
from metricgrad.decision.scores import Inputs
from metricgrad.decision.slope_decode import SlopeDecode
from metricgrad.decision.undefined import Undefined

__all__ = ["Fitted", "cross_fitted", "fit_rule"]


@dataclass(frozen=True)
class Fitted:
    """A rule, and what it does for the metric on the pool it was fitted to.

    Attributes:
        rule: the rule, fitted to the whole pool; the plain one where nothing was gained: `Argmax`, of one real number
            `Rounding`, of several labels `Midpoint`.
        argmax_value: value of the plain decisions of the pool, argmax of class scores; NaN where undefined.
        value: value of the rule on the pool: optimistic, as it was chosen there.
        cross_fitted: value of `decisions`: the one to choose by.
        decisions: classes [sample] or labels [sample, label] of the pool, each decided by a rule that was fitted to the
            other half; the plain ones where these are kept.
        note: why these were kept, or what else was done otherwise than asked; empty where nothing was.
        calls: calls of a metric without a formula.
    """

    rule: Rule
    argmax_value: float
    value: float
    cross_fitted: float
    decisions: Int64[Tensor, "sample *label"]
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
    most: int | None = None,
) -> Fitted:
    """Fit a rule of decision to outputs for a metric of decisions.

    Args:
        p: probabilities or logits [sample, class], or one score of class 1 [sample]; for `cuts` and `rounding` one real
            number per sample; for `labels` and `midpoint` probabilities or logits [sample, label].
        y: true classes [sample], whole numbers; for labels 0 and 1 [sample, label].
        metric: anything that `metrics.adapt` takes and that reads classes (labels), or a `TableMetric`.
        rule: `auto`, `argmax`, `threshold`, `slope`, `prior`, `biases`, `cuts`, `rounding`, `labels`, `midpoint`, or
            a rule whose settings are taken; it is not changed. `auto` is `labels` for a metric that reads labels,
            `cuts` for a weighted kappa of one number and more than two classes, else `threshold` for two classes and
            `slope` for more.
        class_counts: items of each class where the model was trained, for rules that use class shares.
        inputs: what p is; `auto` looks at it.
        groups: of items that belong together (the visits of a patient), one label each: both halves get whole groups.
        most: items that a fit looks at, None for all; where there are more, so many are drawn at random, the same ones
            for every model. Values and decisions are of all items.

    Returns:
        The rule, its values and the decisions of the pool.

    Raises:
        InputError: an unknown rule, a metric that reads something else than the rule decides, other shapes or values.

    Edge cases:
        Plain decisions are kept, with a note, where the pool has fewer items than the rule wants (threshold 50, slope,
        cuts and labels 200, prior 800, biases 3,000), where the metric is undefined for all candidates, where the rule
        decides the whole pool as they do, and where the cross-fitted value is not above theirs.

    Gradient: none.

    Cost: three fits.

    Example:
        >>> import torch
        >>> p = torch.linspace(0.01, 0.9, 100)
        >>> fitted = fit_rule(p, p > 0.3, "f1")
        >>> fitted.rule.name, round(fitted.argmax_value, 3), round(fitted.cross_fitted, 3)
        ('threshold', 0.804, 0.992)
    """
    pool = read_pool(p, y, metric, inputs, rule, groups, most)
    before = pool.calls
    wanted = pool.wanted(class_counts)
    plain = pool.plain(wanted.class_names)
    decided = plain(pool.scores)
    plain_value = pool.value_of(decided)

    def kept(why: str) -> Fitted:
        note = f"{plain.name} was kept: {why}" if why else ""
        return Fitted(plain, plain_value, plain_value, plain_value, decided, note, pool.calls - before)

    if is_plain(wanted):
        return kept("")
    if pool.nothing_to_decide:
        return kept(pool.nothing_to_decide)
    if len(pool.y) < wanted.least:
        return kept(f"{wanted.name} wants {wanted.least:,} items and the pool has {len(pool.y):,}")
    flat = ""
    try:
        fitted = pool.fit(wanted)
        if isinstance(fitted, SlopeDecode) and fitted.flat:
            flat = "every slope decode has the value of argmax: the prior shift was tried instead"
            wanted = replace(pool, rule="prior").wanted(class_counts)
            fitted = pool.fit(wanted)
    except Undefined as error:
        return kept(str(error))
    note = flat or fitted.note
    why = f" ({note})" if note else ""
    decisions, on_all = _crossed(pool, wanted, decided), fitted.decide(pool.scores)
    value, crossed = pool.value_of(on_all), pool.value_of(decisions)
    same = bool((on_all == decided).all())  # what the halves find is not what the rule would do
    if same and not math.isnan(value):
        return kept(f"{wanted.name}, fitted on the whole pool, decides as {plain.name} does{why}")
    if math.isnan(value) or math.isnan(crossed):
        return kept(str(Undefined(wanted.name, pool.failure)))
    sign = 1 if pool.value.higher_is_better else -1
    if sign * (crossed - plain_value) <= MARGIN:  # not where the plain decision has no value
        return kept(
            f"{wanted.name}, fitted on one half and judged on the other, gives {crossed:.4g}; "
            f"{plain.name} gives {plain_value:.4g}{why}"
        )
    return Fitted(fitted, plain_value, value, crossed, decisions, note, pool.calls - before)


def cross_fitted(
    p: Any,
    y: Any,
    metric: Any,
    rule: str | Rule = "auto",
    *,
    class_counts: Any = None,
    inputs: Inputs = "auto",
    groups: Any = None,
) -> Int64[Tensor, "sample *label"]:
    """Decide every item of a pool by a rule that was fitted to the other half of it.

    The halves share every class, and are the same for all models with these targets. A metric of the decisions is
    honest: no item was decided by a rule that saw its target. Where the metric is undefined for all candidates in one
    half, the other is decided without a rule.

    Args: as `fit_rule`; the least sizes of a pool are not asked for.

    Returns:
        Classes [sample], or labels [sample, label].

    Raises:
        InputError: as `fit_rule`.

    Cost: two fits, each on half the items.

    Example:
        >>> import torch
        >>> p = torch.linspace(0.01, 0.9, 100)
        >>> int((cross_fitted(p, p > 0.3, "f1") != (p > 0.3)).sum())
        1
    """
    pool = read_pool(p, y, metric, inputs, rule, groups)
    return _crossed(pool, pool.wanted(class_counts), pool.plain()(pool.scores))


def _crossed(pool: Pool, rule: Rule, plain: Tensor) -> Tensor:
    """Decisions of both halves, each by the rule of the other."""
    first = first_half(pool.y, pool.groups)
    decisions = plain.clone()
    for here, there in ((first, ~first), (~first, first)):
        if not (bool(here.any()) and bool(there.any())):
            continue
        fitted = copy.deepcopy(rule)
        try:
            pool.fit(fitted, here)
        except Undefined:
            continue  # undefined in this half: the other stays plain
        decisions[there] = fitted.decide(pool.scores[there])
    return decisions
