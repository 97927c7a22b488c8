"""Every case of direct_loss.json."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad.direct import Candidates, Contingency, DirectLoss, FrameEdit, Interleaving, Multiclass, TopK
from metricgrad.direct.brackets import bracket
from metricgrad.direct.contingency import best_counts
from metricgrad.direct.epsilon import displacement, fitted_epsilon
from tests.oracles_json.reading import Case, Within, cases, gradient, hold

pytestmark = pytest.mark.filterwarnings("ignore:DirectLoss. update='neg' on raw scores")

CLOSE = 1e-9
SIDES = {"plus": 1, "minus": -1}


def row(values: Any, dtype: torch.dtype = torch.float64) -> Tensor:
    """A batch of one unit."""
    return torch.tensor([values], dtype=dtype)


def held(case: Case, structure: Any, scores: Tensor, targets: Any, shown: Callable[[Tensor], Any]) -> Mapping:
    """All that a case can expect of a structure; `shown` writes a statistic as the file does."""
    epsilon, expected = case["params"]["epsilon"], case["expected"]
    found: dict[str, Any] = {}
    prediction, found["max_F"] = structure.predict(scores, targets=targets)
    loss = structure.task_loss(prediction, targets)
    for side, sign in SIDES.items():
        if sign not in structure.signs:
            continue
        output, value = structure.augment(scores, targets, epsilon=epsilon, sign=sign)
        found[f"max_{side}"] = value
        task_loss = structure.task_loss(output, targets)
        score = (structure.gradient(output, targets) * scores).flatten(1).sum(1)
        torch.testing.assert_close(score + sign * epsilon * task_loss, value, atol=CLOSE, rtol=CLOSE)
        # an output that is not the only optimum has been held to its value, which is
        only = expected.get(f"argmax_{side}_count", 1) == 1
        found[f"argmax_{side}"] = shown(output) if only else expected.get(f"argmax_{side}")
        found[f"argmax_{side}_count"] = expected.get(f"argmax_{side}_count")
        losses = expected.get(f"loss_{side}", [])
        found[f"loss_{side}"] = Within(task_loss.tolist(), 1e-9) if len(losses) == 1 else losses
        if len(losses) > 1:
            assert min(abs(task_loss.item() - one) for one in losses) < CLOSE
    for update in ("two", "pos", "neg", "hinge"):
        signs = {"two": {1, -1}, "pos": {1}, "neg": {-1}, "hinge": {1}}[update]
        if signs <= structure.signs and (update != "hinge" or hasattr(structure, "ideal")):
            free = scores.clone().requires_grad_()
            value = DirectLoss(structure, update=update, epsilon=epsilon)(free, targets)
            found["hinge" if update == "hinge" else f"l_{update}"] = value
            found[f"gradient_{update}"] = gradient(value, free)[0]
    if "loss_optimistic" in expected:  # the prediction counts ties half: between the best and the worst order
        assert expected["loss_optimistic"] - CLOSE <= loss.item() <= expected["loss_pessimistic"] + CLOSE
        found |= {name: expected[name] for name in ("loss_optimistic", "loss_pessimistic")}
    return {
        name: value[0] if isinstance(value, Tensor) and name[:3] == "max" else value
        for name, value in found.items()
    }


def interleaving(case: Case) -> Mapping:
    """Rankings."""
    scores, targets = row(case["inputs"]["scores"]), row(case["inputs"]["targets"], torch.long)
    structure = Interleaving(case["params"]["metric"], k=case["params"]["k"])
    found = held(case, structure, scores, targets, lambda counts: ascending(counts, targets))
    prediction, _ = structure.predict(scores, targets=targets)
    return {
        **found,
        "skipped": not bool(structure.defined(scores, targets)),
        "c_prediction_half": ascending(prediction, targets),
        # what divide and conquer would return, were it not refused here
        "divide_and_conquer_wrong_value": case["expected"].get("divide_and_conquer_wrong_value"),
    }


def ascending(counts: Tensor, targets: Tensor) -> list[float]:
    """The negatives above each positive, by the positives' scores."""
    return counts[targets.bool()].sort().values.tolist()


def contingency(case: Case) -> Mapping:
    """Sets."""
    scores, targets = row(case["inputs"]["scores"]), row(case["inputs"]["targets"], torch.long)
    return held(case, counted(case), scores, targets, lambda output: output[0])


def counted(case: Case) -> Contingency:
    """The structure of a case, which may name a beta that its metric does not have."""
    settings = {"beta": case["params"]["beta"]} if case["params"]["metric"] == "f_beta" else {}
    return Contingency(case["params"]["metric"], **settings)


def contingency_counts(case: Case) -> Mapping:
    """Sets, by their counts alone."""
    positives, negatives = (row(case["inputs"][f"scores_{kind}"])[0] for kind in ("positive", "negative"))
    found: dict[str, Any] = {}
    for side, sign in SIDES.items():
        first, second, value = best_counts(
            counted(case), positives, negatives, epsilon=case["params"]["epsilon"], sign=sign
        )
        found |= {f"argmax_{side}": [first, second], f"max_{side}": value}
        if case["params"].get("sign") == sign:
            found |= {"argmax": [first, second], "value": value}
    wrong = case["expected"].get("divide_and_conquer_wrong_value")
    assert wrong is None or found["value"] > wrong + CLOSE
    return {**found, "divide_and_conquer_wrong_value": wrong}


def multiclass(case: Case) -> Mapping:
    """One of several classes."""
    cost = torch.tensor(case["inputs"]["cost"], dtype=torch.float64)
    targets = torch.tensor([case["inputs"]["target"]])
    return held(
        case, Multiclass(cost), row(case["inputs"]["scores"]), targets, lambda one: one[0].argmax().item()
    )


def top_k(case: Case) -> Mapping:
    """The first k."""
    scores, targets = row(case["inputs"]["scores"]), row(case["inputs"]["targets"], torch.long)
    metric = case["params"]["metric"]
    structure = TopK(
        metric, **({} if metric == "precision_recall_break_even" else {"k": case["params"]["k"]})
    )
    return held(case, structure, scores, targets, lambda one: one[0].nonzero()[:, 0].tolist())


def frame_edit(case: Case) -> Mapping:
    """A symbol for every frame."""
    frames = case["inputs"]["scores"]
    scores = row(frames) if frames else torch.zeros(1, 0, 2, dtype=torch.float64)
    reference = row(case["inputs"]["reference"], torch.long)
    return held(
        case,
        FrameEdit(automaton=True),
        scores,
        reference,
        lambda one: one[0].argmax(-1).tolist() if frames else [],
    )


def candidates(case: Case) -> Mapping:
    """One of some outputs; the noise of a case is part of its scores."""
    scores = row(case["inputs"]["scores"]) + row(case["inputs"]["noise"])
    return held(case, Candidates(), scores, row(case["inputs"]["losses"]), lambda one: one[0].argmax().item())


def blackbox_rank(case: Case) -> Mapping:
    """Rankings under a loss that is linear in the ranks."""
    scores, targets = row(case["inputs"]["scores"]), row(case["inputs"]["targets"], torch.long)
    params, structure = case["params"], Interleaving(case["params"]["loss"])
    free = scores.clone().requires_grad_()
    with pytest.warns(RuntimeWarning, match="shrinking"):
        criterion = DirectLoss(
            structure, update="blackbox", epsilon=params["lambda"], margin=params["margin"]
        )
    value = criterion(free, targets)
    ranked = scores + params["margin"] * (0.5 - targets.double())
    slopes = structure.identity(ranked, targets)[1]
    return {
        "rank": ranks(ranked),
        "rank_shifted": ranks(ranked - params["lambda"] * scores.shape[1] * slopes),
        "loss": value,
        "gradient_blackbox": gradient(value, free)[0],
        "gradient_identity_raw": slopes[0],
    }


def ranks(scores: Tensor) -> list[int]:
    """Rank 1 is the largest."""
    return (1 + scores.argsort(dim=1, descending=True, stable=True).argsort(dim=1))[0].tolist()


def blackbox_multiclass(case: Case) -> Mapping:
    """The black-box update is the negative one for a linear loss."""
    scores, costs = row(case["inputs"]["scores"]), row(case["inputs"]["cost_row"])
    strength = case["params"]["lambda"]
    structure, targets = Multiclass(costs.expand(scores.shape[1], -1)), torch.tensor([0])
    found = bracket(structure, "neg", scores, targets, epsilon=strength)
    _, slopes = structure.blackbox(scores, targets, strength=strength)
    torch.testing.assert_close(slopes, found.gradient)
    return {"l_neg": found.value[0], "gradient": slopes[0]}


def auto_epsilon(case: Case) -> Mapping:
    """The smallest epsilon that moves the loss enough."""
    scores, targets = (torch.tensor([query[part] for query in case["inputs"]["queries"]]) for part in (0, 1))
    params, structure = case["params"], Interleaving(case["params"]["metric"], k=case["params"]["k"])

    def apart(epsilon: float) -> float:
        found = bracket(structure, params["update"], scores.double(), targets, epsilon=epsilon)
        return displacement(found, structure, targets, None, 1.0)

    most = apart(1e9)
    epsilon = fitted_epsilon(apart, 1.0, target=params["target"], far=1e9)
    if most == 0:
        assert epsilon == 1.0
        return {"goal": 0.0, "epsilon": None}
    tied = case["tolerance"] * epsilon  # the step is taken on either side of the limit
    return {
        "goal": min(params["target"], most / 2),
        "epsilon": epsilon,
        "displacement": apart(epsilon + tied) if math.isfinite(tied) else None,
    }


OPERATIONS = {
    function.__name__: function
    for function in (
        interleaving,
        contingency,
        contingency_counts,
        multiclass,
        top_k,
        frame_edit,
        candidates,
        blackbox_rank,
        blackbox_multiclass,
        auto_epsilon,
    )
}


@pytest.mark.parametrize("case", cases("direct_loss"))
def test_case(case: Case):
    """A case of the file."""
    hold(case, OPERATIONS)
