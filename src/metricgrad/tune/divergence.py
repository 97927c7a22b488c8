"""Whether training has left the finite numbers: a try that diverges ends, the others of the run go on."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from metricgrad._forward import forward
from metricgrad._structures import moved, pair, tensors_of
from metricgrad.scale.chunk import device_of
from metricgrad.tune.checkpoint import same_random_state

__all__ = ["parameter_that_diverged", "what_diverged"]


def parameter_that_diverged(parameters: Mapping[str, nn.Parameter]) -> str | None:
    """Name a parameter that is not finite; None where all are."""
    for name, value in parameters.items():
        if not torch.isfinite(value).all():
            return f"the parameter {name} is not finite"
    return None


def what_diverged(model: nn.Module, parameters: Mapping[str, nn.Parameter], batch: Any) -> str | None:
    """Say what is not finite any more: a parameter, or an output for a batch; None where everything is.

    Args:
        model: in the mode in which something failed.
        parameters: those that are trained.
        batch: `(inputs, targets)`.
    """
    found = parameter_that_diverged(parameters)
    if found is not None:
        return found
    with torch.no_grad(), same_random_state():
        try:
            outputs = forward(model, moved(pair(batch)[0], device_of(model)))
        except (
            Exception
        ):  # whatever the network raises: then it is no divergence, and the first error is raised
            return None
    for value in tensors_of(outputs):
        if value.is_floating_point() and not torch.isfinite(value).all():
            return "the outputs are not finite"
    return None
