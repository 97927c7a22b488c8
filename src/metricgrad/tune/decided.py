"""What the rule of the returned arm changes: confusion tables with argmax and with it, and the metric over the cut."""

from collections.abc import Sequence

from torch import Tensor

from metricgrad._decision_records import CutCurve, DecisionTables
from metricgrad._types import Metric
from metricgrad.decision import CutPoints, Threshold
from metricgrad.decision.cut_curve import cut_curve as curve_of
from metricgrad.decision.cut_points import nearest_class
from metricgrad.decision.rule import Rule, table_of
from metricgrad.decision.scores import log_scores
from metricgrad.metrics.table_metric import TableMetric
from metricgrad.tune.decidable import numbered_of, pool_of
from metricgrad.tune.outputs import Outputs

__all__ = ["cut_curve", "decision_tables"]

MOST_CLASSES = 100


def decision_tables(
    found: Outputs, rule: Rule, seed: int, arm: str, split: str, names: Sequence[str] = ()
) -> DecisionTables | None:
    """Confusion tables [true][predicted] without a rule and of what was decided; None of very many classes, of labels.

    Args:
        found: outputs with decided classes.
        rule: that decided; it knows what the scores are.
        seed: of the model.
        arm: of the model.
        split: that the outputs are of.
        names: of the classes; one without a name keeps its number.
    """
    numbers = isinstance(rule, CutPoints)
    pool = numbered_of(found) if numbers else pool_of(found)
    if pool is None or found.decided is None or rule.classes > MOST_CLASSES:
        return None
    (scores, targets), classes = pool, rule.classes
    if bool((targets >= classes).any()):
        return None
    kind = "probabilities" if rule.inputs == "probabilities" else "logits"
    plain = nearest_class(scores, classes) if numbers else log_scores(scores, kind).argmax(1)
    tables = (table_of(decided, targets, classes) for decided in (plain, found.decided))
    argmax, fitted = (table.long().tolist() for table in tables)
    named = [*names[:classes], *map(str, range(len(names), classes))] if names else []
    return DecisionTables(seed, arm, split, argmax, fitted, named)


def cut_curve(found: Outputs, rule: Threshold, metric: Metric, seed: int, arm: str) -> CutCurve | None:
    """The metric over the cut between two classes, with a bootstrap band and the best cuts of the resamples.

    Args:
        found: outputs of the split that the cut was fitted on.
        rule: with the cut.
        metric: of the run.
        seed: of the model.
        arm: of the model.

    Returns:
        The curve of `decision.cut_curve`; None where outputs are no scores of two classes.
    """
    pool = pool_of(found)
    if pool is None:
        return None
    curve = curve_of(rule, *pool, TableMetric(metric, 2))
    ends = [float(curve.best.quantile(q)) for q in (0.05, 0.95)] if len(curve.best) else [None, None]
    return CutCurve(
        seed,
        arm,
        float(rule.cut),
        0.0,
        curve.cuts.tolist(),
        *map(_known, (curve.values, curve.low, curve.high)),
        cut_low=ends[0],
        cut_high=ends[1],
        resamples=len(curve.best),
    )


def _known(values: Tensor) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]
