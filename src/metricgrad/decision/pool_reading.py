"""Read a pool: what its outputs are depends on the rule that decides them."""

from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from metricgrad._checks import fail, tensor_of, whole_number
from metricgrad.decision.known import Asked, kind_of_rule, plain_for
from metricgrad.decision.plain_rules import Midpoint, Rounding
from metricgrad.decision.pool import Pool
from metricgrad.decision.scores import Inputs, Kind, class_numbers, read_scores, refuse_parts
from metricgrad.decision.suited import suited
from metricgrad.metrics import adapt
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["read_pool"]


def read_pool(
    p: Any, y: Any, metric: Any, inputs: Inputs, rule: Asked, groups: Any = None, most: int | None = None
) -> Pool:
    """Read a pool; InputError for what does not fit."""
    refuse_parts("fit_rule", p)
    if most is not None:
        most = whole_number("fit_rule", "most", most)
    given = metric if isinstance(metric, TableMetric) else adapt(metric)
    record = given.metric if isinstance(given, TableMetric) else given
    rule = suited(p, y, record) if rule == "auto" else rule
    plain = plain_for(kind_of_rule(rule))
    if plain is Midpoint:
        read = Midpoint(inputs=inputs).fit(p, y, record)
        scores, marks = (tensor_of("fit_rule", "p and y", part, "numbers").cpu() for part in (p, y))
        pool = Pool(rule, scores.double(), cast(Kind, read.inputs), marks.long(), record, read.classes)
        return replace(pool, most=most).grouped(groups)
    if plain is Rounding:
        levels = given.classes if isinstance(given, TableMetric) else getattr(rule, "wanted", None)
        classes, kind = Rounding(classes=levels).fit(p, y, given).classes, cast(Kind, "logits")
        scores = tensor_of("fit_rule", "p", p, "numbers").cpu().double().reshape(-1)
    else:
        scores, kind = read_scores("fit_rule", p, inputs)
        classes = scores.shape[1] if scores.ndim == 2 else 2
    value = given if isinstance(given, TableMetric) else TableMetric(given, classes)
    if not len(scores):
        raise fail("fit_rule", "there is no item", "at least one")
    truth: Tensor = class_numbers("fit_rule", y, len(scores), classes)
    return Pool(rule, scores, kind, truth, value, classes, most=most).grouped(groups)
