"""The cases of black_box.json that are rules of decision: thresholds and biases."""

from functools import partial
from typing import Any

import pytest
import torch

from metricgrad.decision import ClassBiases, Threshold
from metricgrad.decision.scores import log_scores
from metricgrad.decision.undefined import Undefined
from tests.decision.plain import PlainMetric
from tests.oracles.decision import binary_value, value_of_table
from tests.oracles_json.reading import Case, cases, hold

NOT_BUILT = (
    "combine_gradients",
    "credit",
    "elite_mean",
    "evolution_strategy",
    "minimum_risk",
    "mixture_weights",
    "paired_bootstrap",
    "policy_gradient",
    "value_loss",
    "value_targets",
)


def threshold(case: Case) -> dict[str, Any]:
    """The chosen cut, and every number of positives that does as well."""
    word, beta = case["params"]["metric"], case["params"]["beta"]
    assert case["params"]["base_threshold"] == 0.5
    value = PlainMetric(lambda t: binary_value(word, t[1][1], t[0][1], t[1][0], t[0][0], beta), 2)
    scores = torch.tensor(case["inputs"]["scores"], dtype=torch.float64)
    targets = torch.tensor(case["inputs"]["targets"])
    rule = Threshold(inputs="probabilities")
    try:
        rule.fit(scores, targets, value)
    except Undefined:
        return {"undefined": True}
    found = rule.found
    base = scores > 0.5
    tables = torch.stack([_table(scores > cut, targets) for cut in [*scores.unique().tolist(), -1.0]])
    values = value(tables)
    positives = [int(t[:, 1].sum()) for t in tables[values >= values.max() - 1e-12]]
    assert int((rule.decide(scores) == 1).sum()) == (
        found.above if found.gain > value(_table(base, targets)) + 1e-9 else int(base.sum())
    )
    low, high = (None if abs(edge) == torch.inf else edge for edge in found.interval)
    columns = log_scores(scores, "probabilities")
    odds = dict(zip((columns[:, 1] - columns[:, 0]).tolist(), scores.tolist(), strict=True))
    return {
        "best_value": found.gain,
        "base_value": value(_table(base, targets)),
        "optimal_predicted_positive_counts": sorted(positives),
        "chosen_predicted_positive": found.above,
        "interval_low": low if low is None else _nearest(odds, low),
        "interval_high": high if high is None else _nearest(odds, high),
    }


def _table(said: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (targets * 2 + said.long()).bincount(minlength=4).reshape(2, 2).double()


def _nearest(odds: dict[float, float], edge: float) -> float:
    """The score whose log odds are an edge."""
    return odds[min(odds, key=lambda one: abs(one - edge))]


def bias_plug_in(case: Case) -> dict[str, Any]:
    """The search ends between the best single coordinate, where it starts, and the optimum."""
    expected, bound = case["expected"], case["tolerance"]
    logs = torch.tensor(case["inputs"]["log_probabilities"], dtype=torch.float64)
    targets = torch.tensor(case["inputs"]["targets"])
    value = PlainMetric(partial(value_of_table, case["params"]["metric"]), logs.shape[1])
    rule = ClassBiases(bags=1, least_of_class=0, inputs="logits").fit(logs, targets, value)

    def reached(decided: torch.Tensor) -> float:
        cells = (targets * rule.classes + decided).bincount(minlength=rule.classes**2)
        return float(value(cells.reshape(rule.classes, rule.classes).double()))

    found = reached(rule.decide(logs))
    first = max(expected["start_value"], expected["best_single_coordinate"][0])
    assert first - bound <= found <= expected["optimum"] + bound
    return {**expected, "start_value": reached(logs.argmax(1))}


@pytest.mark.parametrize("case", cases("black_box", NOT_BUILT))
def test_case(case: Case):
    """A case of the file."""
    hold(case, {"threshold": threshold, "bias_plug_in": bias_plug_in})
