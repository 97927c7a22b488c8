"""Every case of decision.json: metrics of a table, slopes, slope decode, prior shift."""

from functools import partial
from typing import Any

import pytest
import torch

from metricgrad import metrics
from metricgrad.decision import PriorShift, SlopeDecode
from metricgrad.metrics.records import metric_record
from metricgrad.metrics.table_metric import confusion_slope
from tests.decision.plain import PlainMetric
from tests.oracles.decision import value_of_table
from tests.oracles_json.reading import Case, cases, hold, renamed

NAMES = {"rounds": "rounds", "pseudo_count": "pseudo_count", "step": "step", "grid": "grid"}

FORMULAS = {
    "accuracy": (metrics.accuracy, {}),
    "balanced_accuracy": (metrics.balanced_accuracy, {}),
    "expected_cost": (metrics.expected_cost, {}),
    "f_macro": (metrics.f_beta, {"average": "macro"}),
    "f_weighted": (metrics.f_beta, {"average": "weighted"}),
    "g_mean": (metrics.g_mean, {}),
    "jaccard_macro": (metrics.jaccard, {"average": "macro"}),
    "kappa": (metrics.cohen_kappa, {}),
    "linear_kappa": (metrics.cohen_kappa, {"weights": "linear"}),
    "mcc": (metrics.matthews_corrcoef, {}),
    "quadratic_kappa": (metrics.cohen_kappa, {"weights": "quadratic"}),
}
"""Our metrics by their names in the file."""


def metric(case: Case, classes: int) -> PlainMetric:
    """The metric of a case, in plain loops."""
    settings = {key: case["params"][key] for key in ("beta", "cost") if key in case["params"]}
    return PlainMetric(partial(value_of_table, case["params"]["metric"], **settings), classes)


def settings(case: Case) -> dict[str, Any]:
    """Settings of the rule."""
    return renamed(case["params"], NAMES, ("metric", "beta", "cost"))


def metric_of_table(case: Case) -> dict[str, Any]:
    """The value of our formula; costs are lower the better."""
    table = torch.tensor(case["inputs"]["table"], dtype=torch.float64)
    function, fixed = FORMULAS[case["params"]["metric"]]
    given = {key: case["params"][key] for key in ("beta", "cost") if key in case["params"]}
    record = metric_record(function, **fixed, **given)
    assert record.of_table is not None
    value = record.of_table(table)
    return {"value": value if record.higher_is_better else -value}


def slopes(case: Case) -> dict[str, Any]:
    """Slopes by the library."""
    table = torch.tensor(case["inputs"]["table"], dtype=torch.float64)
    return {"slopes": confusion_slope(metric(case, len(table)), table, **settings(case))}


def slope_decode(case: Case) -> dict[str, Any]:
    """Rounds, kept slopes and decisions."""
    p = torch.tensor(case["inputs"]["probabilities"], dtype=torch.float64)
    rule = SlopeDecode(**settings(case)).fit(p, case["inputs"]["targets"], metric(case, p.shape[1]))
    best = max([rule.start_value, *rule.round_values])
    return {
        "start_value": rule.start_value,
        "round_values": rule.round_values,
        "value": rule.start_value if rule.is_argmax else best,
        "slopes": None if rule.is_argmax else rule.slopes,
        "decisions": rule.decide(p),
    }


def prior_shift(case: Case) -> dict[str, Any]:
    """Values of the whole grid and the chosen shift."""
    p = torch.tensor(case["inputs"]["probabilities"], dtype=torch.float64)
    rule = PriorShift(class_counts=case["inputs"]["prior"], **settings(case))
    rule.fit(p, case["inputs"]["targets"], metric(case, p.shape[1]))
    return {"values": rule.values, "value": max(rule.values), "tau": float(rule.tau)}


@pytest.mark.parametrize("case", cases("decision"))
def test_case(case: Case):
    """A case of the file."""
    operations = {
        "metric_of_table": metric_of_table,
        "confusion_slope": slopes,
        "slope_decode": slope_decode,
        "prior_shift": prior_shift,
    }
    hold(case, operations)
