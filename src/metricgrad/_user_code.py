"""Call what the user gave: whatever it raises becomes one sentence that says what was called with what."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._forward import forward
from metricgrad._structures import form, items_of
from metricgrad.errors import MetricgradError

__all__ = ["called", "embedded"]


def called(
    what: str,
    function: Callable[..., Any],
    *arguments: Any,
    expected: str = "what it can be called with",
    remedy: str = "",
) -> Any:
    """Call a function of the user; the traceback of what it raises is kept as the cause.

    Args:
        what: its name, for the message.
        function: what is called.
        arguments: by place.
        expected: what would not raise.
        remedy: what to do.

    Raises:
        InputError: the function raised; errors of this package and want of memory are passed on as they are.

    Example:
        >>> called("the loss", lambda outputs: 2 * outputs, 3)
        6
    """
    try:
        return function(*arguments)
    except (MetricgradError, MemoryError):
        raise
    except Exception as error:  # whatever the user's code raises
        said = " ".join(str(error).split())
        said = said if len(said) <= 200 else f"{said[:197]}..."
        given = f"; it was given {', '.join(map(form, arguments))}" if arguments else ""
        raise fail(what, f"it raised {type(error).__name__}: {said}{given}", expected, remedy) from error


def embedded(model: nn.Module, inputs: Any) -> Any:
    """Return the outputs of a network for a batch.

    Raises:
        InputError: the network raised.
    """
    if model.training and items_of(inputs) == 1:
        remedy = (
            "A batch of one item has no statistics for BatchNorm: choose another batch size, or drop_last=True in the "
            "DataLoader."
        )
    elif isinstance(inputs, Mapping) and inputs and inputs.keys() <= {"query", "document"}:
        remedy = "Queries and documents are embedded by a metricgrad.pairing.TwoTowers."
    elif isinstance(inputs, np.ndarray):
        remedy = "Splits(..., unpack=...) can make tensors of the arrays in a batch."
    elif (wanted := _other_type(model, inputs)) is not None:
        remedy = f"Its weights are {wanted}: where it computes with the inputs, give tensors of that type."
    else:
        remedy = "Splits(..., unpack=...) can change what the batches of a loader hold."
    return called(
        f"the network {type(model).__name__}",
        lambda given: forward(model, given),
        inputs,
        expected="inputs that it takes",
        remedy=remedy,
    )


def _other_type(model: nn.Module, inputs: Any) -> torch.dtype | None:
    """The dtype of the weights, where the inputs are one tensor of another."""
    wanted = next((value.dtype for value in model.parameters() if value.is_floating_point()), None)
    return wanted if isinstance(inputs, Tensor) and inputs.dtype != wanted else None
