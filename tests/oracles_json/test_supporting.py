"""Every case of supporting.json: compression, rotations, scores of untrained networks, splines, zero norms."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from metricgrad import adapters
from metricgrad.scale.quantising import Quantised, quantised
from tests.oracles_json.reading import Case, cases, hold, leaf, renamed


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


def compress_activations(case: Case) -> Mapping[str, Any]:
    """Codes for given uniforms; mean and variance over a fine grid of uniforms; bytes of one group."""
    inputs, params = case["inputs"], case["params"]
    bits, size = params["bits"], params["group_size"]
    if not inputs:  # 16 bits for each bound
        one = quantised(
            torch.rand(1, size),
            torch.rand(1, size),
            bits=bits,
            group_size=size,
            metadata_dtype=torch.bfloat16,
        )
        assert one is not None
        each = 8 * one.nbytes / size
        return {"bits_per_value": each, "ratio_to_float32": 32 / each}
    values, uniforms = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("values", "uniforms"))

    def kept(uniforms: torch.Tensor) -> Quantised:
        found = quantised(values, uniforms, bits=bits, group_size=size, metadata_dtype=torch.float64)
        assert found is not None
        return found

    given, least, most = kept(uniforms), *(kept(torch.full_like(values, bound)) for bound in (0.0, 1 - 1e-12))
    low, high = least.restored(), most.restored()
    share = torch.where(high > low, (values - low) / torch.where(high > low, high - low, 1.0), 0.0)
    mean = low + share * (high - low)  # u >= 1 - share rounds up
    middle = (
        kept((1 - share - 1e-9).clamp(0, 1 - 1e-12)).restored(),
        kept((1 - share + 1e-9).clamp(max=1 - 1e-12)).restored(),
    )
    between = (share > 1e-6) & (share < 1 - 1e-6)
    torch.testing.assert_close(torch.stack(middle)[:, between], torch.stack([low, high])[:, between])
    variance = share * (high - mean).square() + (1 - share) * (low - mean).square()
    return {
        "codes": given.codes(),
        "restored": given.restored(),
        "expected_restored": mean,
        "variance": variance,
        "tanh_gradient_bias": values.square() - (variance + mean.square()),
    }


def naswot_score(case: Case) -> Mapping[str, Any]:
    """Agreements of given patterns; the score is that of a network which has them."""
    codes = torch.tensor(case["inputs"]["codes"])
    kernel = adapters.agreement(codes.bool())
    score = adapters.naswot_score(torch.nn.ReLU(), codes - 0.5)
    return {
        "kernel": kernel,
        "determinant": torch.linalg.det(kernel),
        "score": "-inf" if score == -math.inf else score,
    }


def zero_norm(case: Case) -> Mapping[str, Any]:
    """A count."""
    weights = torch.tensor(case["inputs"]["weights"], dtype=torch.float64)
    return {"value": adapters.zero_norm(weights, case["params"]["tolerance"])}


def hard_concrete_gate(case: Case) -> Mapping[str, Any]:
    """Gates for given uniforms."""
    log_alpha, uniforms = (
        torch.tensor(case["inputs"][name], dtype=torch.float64) for name in ("log_alpha", "uniforms")
    )
    found = adapters.hard_concrete_gate(log_alpha, uniforms, **case["params"])
    return {
        "gate": found.gate,
        "deterministic_gate": found.steady,
        "open_probability": found.open,
        "expected_zero_norm": found.open.sum(),
    }


def swarm_step(case: Case) -> Mapping[str, Any]:
    """One step of weights or of masks."""
    names = {
        "position": "position",
        "mask": "mask",
        "velocity": "velocity",
        "own_best": "own_best",
        "leader": "leader",
    }
    names |= {"random_own": "random_own", "random_leader": "random_leader", "uniforms": "uniforms"}
    inputs = {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in renamed(case["inputs"], names).items()
    }
    params = renamed(
        case["params"], {"inertia": "inertia", "own": "own", "social": "social", "velocity_limit": "limit"}
    )
    if "mask" in inputs:
        mask, velocity = adapters.swarm_mask_step(**inputs, **params)
        return {"velocity": velocity, "mask": mask.long()}
    position, velocity = adapters.swarm_step(**inputs, **params)
    return {"velocity": velocity, "position": position}


OPERATIONS = {
    "zero_norm": zero_norm,
    "hard_concrete_gate": hard_concrete_gate,
    "swarm_step": swarm_step,
    "naswot_score": naswot_score,
    "compress_activations": compress_activations,
    "linear_spline": linear_spline,
    "orthogonal_adapter": orthogonal_adapter,
}


@pytest.mark.parametrize("case", cases("supporting"))
def test_case(case: Case) -> None:
    """A case of the file."""
    hold(case, OPERATIONS)
