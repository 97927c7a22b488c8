"""The cases of black_box.json: rules of decision, and what a black-box search is made of."""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from metricgrad import blackbox
from metricgrad.decision import ClassBiases, Threshold
from metricgrad.decision.scores import log_scores
from metricgrad.decision.undefined import Undefined
from tests.decision.plain import PlainMetric
from tests.oracles.decision import binary_value, value_of_table
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf


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


def _numbers(values: list[float | None]) -> torch.Tensor:
    """Values as float64; None is a metric that failed."""
    return torch.tensor([float("nan") if one is None else one for one in values], dtype=torch.float64)


def evolution_strategy(case: Case) -> dict[str, Any]:
    """The estimate, and how many pairs had two values."""
    plus, minus = _numbers(case["inputs"]["values_plus"]), _numbers(case["inputs"]["values_minus"])
    noise = torch.tensor(case["inputs"]["noise"], dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no pair at all
        found = blackbox.evolution_gradient(noise, plus, minus, **case["params"])
    return {"estimate": found, "pairs_used": int(blackbox.usable_pairs(plus, minus).sum())}


def policy_gradient(case: Case) -> dict[str, Any]:
    """The estimate of one draw, its mean over all draws, and the exact gradient."""
    baseline, drawn = case["params"]["baseline"], case["inputs"]["samples"]
    logits = leaf(case["inputs"]["logits"])
    rewards = torch.tensor(case["inputs"]["rewards"], dtype=torch.float64)
    greedy = rewards[logits.argmax()] if baseline == "greedy" else None

    def estimate(samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        advantages = blackbox.policy_advantages(rewards[samples], baseline, greedy=greedy)
        return advantages, -gradient(
            blackbox.policy_gradient_loss(logits.log_softmax(0)[samples], advantages), logits
        )

    advantages, found = estimate(torch.tensor(drawn))
    expected = (logits.softmax(0) * rewards).sum()
    exact = gradient(expected, logits)
    mean = torch.zeros_like(exact)
    for every in torch.cartesian_prod(*[torch.arange(len(logits))] * len(drawn)):
        mean += logits.detach().softmax(0)[every].prod() * estimate(every)[1]
    return {
        "expected_reward": expected.item(),
        "exact_gradient": exact,
        "estimate": found,
        "advantages": advantages,
        "mean_of_estimate": mean,
        "unbiased": bool(torch.isclose(mean, exact, atol=1e-9).all()),
    }


def minimum_risk(case: Case) -> dict[str, Any]:
    """Loss and gradient; q from the gradients of costs that are 1 for one candidate."""
    logs, alpha = leaf(case["inputs"]["log_probabilities"]), case["params"]["alpha"]
    costs = torch.tensor(case["inputs"]["costs"], dtype=torch.float64)
    loss = blackbox.minimum_risk_loss(logs[None], costs[None], alpha=alpha)[0]
    one = torch.eye(len(costs), dtype=torch.float64)
    q = blackbox.minimum_risk_loss(logs[None].expand(len(costs), -1), one, alpha=alpha)
    return {"loss": loss.item(), "gradient": gradient(loss, logs), "q": q.detach()}


def credit(case: Case) -> dict[str, Any]:
    """What each sampled output adds."""
    targets, classes = torch.tensor(case["inputs"]["targets"]), case["params"]["classes"]

    def value(said: torch.Tensor) -> float:
        table = (targets * classes + said).bincount(minlength=classes**2).reshape(classes, classes)
        return value_of_table(case["params"]["metric"], table.numpy())

    sampled, greedy = (torch.tensor(case["inputs"][name]) for name in ("sampled", "greedy"))
    return {"credit": blackbox.set_credit(value, sampled, greedy)}


def mixture_weights(case: Case) -> dict[str, Any]:
    """Weights of a mixture."""
    return {"weights": blackbox.mixture_weights(leaf(case["inputs"]["a"]), **case["params"]).detach()}


def elite_mean(case: Case) -> dict[str, Any]:
    """The mean of the best."""
    points = torch.tensor(case["inputs"]["points"], dtype=torch.float64)
    values = _numbers(case["inputs"]["values"])
    return {"mean": blackbox.elite_mean(points, values, case["params"]["fraction"])}


def paired_bootstrap(case: Case) -> dict[str, Any]:
    """Both models on the given resamples."""
    inputs, params = case["inputs"], case["params"]
    targets = np.array(inputs["targets"])

    def model(name: str):
        said = np.array(inputs[name])

        def value(rows: torch.Tensor) -> float:
            cells = targets[rows] * params["classes"] + said[rows]
            table = np.bincount(cells, minlength=params["classes"] ** 2)
            return value_of_table(params["metric"], table.reshape(params["classes"], -1))

        return value

    found = blackbox.paired_bootstrap_of_calls(
        model("predictions_b"),
        model("predictions_a"),
        len(targets),
        resamples=np.array(inputs["resamples"]),
        alpha=params["alpha"],
    )
    return found._asdict()


def value_targets(case: Case) -> dict[str, Any]:
    """Values between observations."""
    inputs = [
        torch.tensor(case["inputs"][name], dtype=torch.float64)
        for name in ("times", "observed", "observed_variance", "query_times")
    ]
    return blackbox.interpolated_values(*inputs, **case["params"])._asdict()


def value_loss(case: Case) -> dict[str, Any]:
    """The loss, and how many pairs are clear."""
    predictions, values, variances = (
        torch.tensor(case["inputs"][name], dtype=torch.float64)
        for name in ("predictions", "values", "variances")
    )
    return {
        "loss": float(blackbox.value_loss(predictions, values, variances, **case["params"])),
        "pairs": int(blackbox.clear_pairs(values, variances).sum()),
    }


def combine_gradients(case: Case) -> dict[str, Any]:
    """The direction of a step."""
    gradients = [
        torch.tensor(case["inputs"][name], dtype=torch.float64)
        for name in ("loss_gradient", "value_gradient")
    ]
    return {"direction": blackbox.combined_direction(*gradients, **case["params"])}


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        threshold,
        bias_plug_in,
        evolution_strategy,
        policy_gradient,
        minimum_risk,
        credit,
        mixture_weights,
        elite_mean,
        paired_bootstrap,
        value_targets,
        value_loss,
        combine_gradients,
    )
}


@pytest.mark.parametrize("case", cases("black_box"))
def test_case(case: Case):
    """A case of the file."""
    hold(case, OPERATIONS)
