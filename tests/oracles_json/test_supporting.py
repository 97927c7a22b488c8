"""Every case of supporting.json: compression, rotations, scores of untrained networks, splines, zero norms."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from metricgrad import adapters
from tests.oracles_json.reading import Case, cases, hold, leaf

NOT_BUILT = (
    "compress_activations",
    "naswot_score",
    "zero_norm",
    "hard_concrete_gate",
    "swarm_step",
)


def orthogonal_adapter(case: Case) -> Mapping[str, Any]:
    """Maps of one skew matrix, and what the Cayley map makes of a weight; or the nearest orthogonal matrix."""
    inputs, params = case["inputs"], case["params"]
    if "matrix" in inputs:
        return {"orthogonal": adapters.lowdin(leaf(inputs["matrix"]))}
    weight, size = leaf(inputs["weight"]).detach(), params["size"]
    upper = torch.tensor(inputs["skew_upper"], dtype=torch.float64)
    skew = adapters.skew_symmetric(upper, size)
    nearly = adapters.cayley_neumann(skew, params["neumann_terms"])
    layer = torch.nn.Linear(size, len(weight)).double()
    layer.weight.data = weight.clone()
    (found,) = adapters.attach_orthogonal_adapter(layer, block_size=size).values()
    found.data = upper
    adapters.merge_orthogonal_adapter(layer)
    return {
        "cayley": adapters.cayley(skew),
        "cayley_neumann": nearly,
        "cayley_neumann_error": (nearly.T @ nearly - torch.eye(size, dtype=torch.float64)).abs().max(),
        "matrix_exponential": torch.linalg.matrix_exp(skew),
        "rotated_weight": layer.weight,
        "energy_before": adapters.hyperspherical_energy(weight),
        "energy_after": adapters.hyperspherical_energy(layer.weight),
    }


def linear_spline(case: Case) -> Mapping[str, Any]:
    """Values, slope changes and what is rebuilt from them."""
    inputs, params = case["inputs"], case["params"]
    coefficients, x = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("coefficients", "x"))
    step, threshold = params["step"], params["threshold"]
    changes = adapters.slope_changes(coefficients, step)
    sparse = adapters.sparser(coefficients, step, threshold)
    return {
        "values": adapters.linear_spline(x, coefficients, left=params["left"], step=step),
        "slope_changes": changes,
        "tv2": adapters.tv2(coefficients, step),
        "coefficients_from_changes": adapters.from_slope_changes(coefficients[:2], changes, step),
        "thresholded_changes": adapters.slope_changes(sparse, step),
        "coefficients_after_threshold": sparse,
        "nearest_monotone_coefficients": adapters.nearest_monotone(coefficients),
    }


OPERATIONS = {"linear_spline": linear_spline, "orthogonal_adapter": orthogonal_adapter}


@pytest.mark.parametrize("case", cases("supporting", NOT_BUILT))
def test_case(case: Case) -> None:
    """A case of the file."""
    hold(case, OPERATIONS)
