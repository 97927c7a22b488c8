"""Every case of learned_surrogates.json."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metricgrad.learned import (
    FilteredSurrogate,
    LearnedSurrogate,
    agreement,
    box_features,
    filtered_mean,
    sign_agreement,
)
from metricgrad.metrics import edit_distance, rotated_iou
from metricgrad.metrics.overlap import overlap_of_vertices
from tests.oracles_json.reading import Case, cases, hold


def double(values: Any) -> Tensor:
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def edit(case: Case) -> dict[str, Any]:
    """Levenshtein distance, plain and divided by the longer length."""
    pair = [case["inputs"]["prediction"]], [case["inputs"]["target"]]
    return {
        "edit_distance": edit_distance(*pair)[0],
        "normalised_by_longer": edit_distance(*pair, normalizer="longer")[0],
    }


def overlap(case: Case) -> dict[str, Any]:
    """Intersection over union of rotated boxes, compiled; the torch form and the swapped pair give the same."""
    prediction, target = (double([case["inputs"][side]]) for side in ("prediction", "target"))
    found = rotated_iou(prediction, target)
    for other in (rotated_iou(target, prediction), overlap_of_vertices(prediction, target)):
        torch.testing.assert_close(other, found, rtol=0, atol=case["tolerance"])
    return {"iou": found[0]}


def features(case: Case) -> dict[str, Any]:
    """Features of a box, equal for every other description of it."""
    found = box_features(double(case["inputs"]["box"]))
    for same in case["inputs"]["same_box"]:
        torch.testing.assert_close(box_features(double(same)), found, atol=1e-10, rtol=0)
    return {"features": found}


def penalty(case: Case) -> dict[str, Any]:
    """Estimates, fit, penalty and objective of a network given by its layers, with the gradient of its parameters."""
    inputs, params = case["inputs"], dict(case["params"])
    layers: list[nn.Module] = []
    for weight, bias in inputs["layers"]:
        linear = nn.Linear(len(weight[0]), len(weight)).double()
        linear.weight.data, linear.bias.data = double(weight), double(bias)
        layers += [linear, nn.LeakyReLU(0.2)]
    surrogate = LearnedSurrogate(nn.Sequential(*layers[:-1]), **params)
    z, y, errors = (double(inputs[name]) for name in ("predictions", "targets", "metric"))
    found = surrogate.fit(z, y, errors)
    found.objective.backward()
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    of_layers = [[_gradient(layer.weight), _gradient(layer.bias)] for layer in linears]
    point = z.clone().requires_grad_()
    estimates = surrogate(point, y)
    (of_points,) = torch.autograd.grad(estimates.sum(), point)
    return {
        "e_hat": estimates,
        "fit": found.fit.item(),
        "penalty": found.penalty.item(),
        "objective": found.objective.item(),
        "grad_layers": of_layers,
        "grad_e_hat_predictions": of_points,
    }


def _gradient(value: Tensor) -> Any:
    """An unused parameter (the last bias, which cancels) has gradient 0."""
    return (torch.zeros_like(value) if value.grad is None else value.grad).tolist()


def ramp(case: Case) -> dict[str, Any]:
    """Weights of the filter, the loss under them and its gradient."""
    misses, estimates = double(case["inputs"]["errors"]), double(case["inputs"]["e_hat"]).requires_grad_()
    surrogate = FilteredSurrogate(nn.Identity(), **case["params"])
    weights = surrogate.weights(estimates, estimates.detach() - misses)
    loss = filtered_mean(surrogate.loss(estimates), weights)
    (gradient,) = torch.autograd.grad(loss, estimates)
    kept = (weights > 0).double().mean().item() if len(weights) else 0.0
    return {
        "weights": weights,
        "loss": loss.item(),
        "take_step": kept > 0,
        "kept_fraction": kept,
        "grad_e_hat": gradient,
    }


def trust(case: Case) -> dict[str, Any]:
    """Agreement at a checkpoint, and whether the estimates moved as the metric did until the next one."""
    inputs = {name: double(values) for name, values in case["inputs"].items()}
    found = agreement(inputs["surrogate_before"], inputs["metric_before"])
    share, changed = sign_agreement(
        inputs["surrogate_before"], inputs["surrogate_after"], inputs["metric_before"], inputs["metric_after"]
    )
    return {
        "mean_absolute_error": found.mean_absolute_error,
        "kendall_tau_b": found.kendall_tau,
        "sign_agreement": share,
        "changed_pairs": changed,
    }


OPERATIONS = {
    "edit_distance": edit,
    "rotated_iou": overlap,
    "box_features": features,
    "gradient_penalty": penalty,
    "ramp_filter": ramp,
    "trust_report": trust,
}


@pytest.mark.parametrize("case", cases("learned_surrogates"))
def test_case(case: Case) -> None:
    """A case of the file."""
    hold(case, OPERATIONS)
