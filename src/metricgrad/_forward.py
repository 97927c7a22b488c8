"""How a network is called with the inputs of a batch: whole, or part by part where only that fits."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["forward"]


def forward(model: nn.Module, inputs: Any) -> Any:
    """Return the outputs of a network.

    Args:
        model: the network.
        inputs: of a batch. A dict whose keys are parameters of `forward` is given by name (`model(**inputs)`), a tuple
            or list by place (`model(*inputs)`) where `forward` wants several arguments; anything else as it is.

    Example:
        >>> import torch
        >>> forward(nn.Bilinear(2, 3, 1), (torch.ones(4, 2), torch.ones(4, 3))).shape
        torch.Size([4, 1])
    """
    if isinstance(inputs, Mapping) and _by_name(model, inputs):
        return model(**inputs)
    if type(inputs) in (tuple, list) and not _takes(model, inputs) and _takes(model, *inputs):
        return model(*inputs)
    return model(inputs)


def _by_name(model: nn.Module, inputs: Mapping[Any, Any]) -> bool:
    """Whether all keys are names of arguments; a forward of `*args` says nothing of itself."""
    found = _signature(model)
    if found is None or not inputs or not all(isinstance(key, str) for key in inputs):
        return False
    if any(one.kind is one.VAR_POSITIONAL for one in found.parameters.values()):
        return False
    return _takes(model, **inputs)


def _takes(model: nn.Module, *arguments: Any, **named: Any) -> bool:
    found = _signature(model)
    try:
        return found is not None and found.bind(*arguments, **named) is not None
    except TypeError:
        return False


def _signature(model: nn.Module) -> inspect.Signature | None:
    """The arguments of the network within wrappers (`DataParallel`, `torch.compile`); None where they are unknown."""
    network: Any = model
    while _wraps(network):
        network = network._orig_mod if hasattr(network, "_orig_mod") else network.module
    try:
        return inspect.signature(network.forward)
    except (TypeError, ValueError):
        return None


def _wraps(model: nn.Module) -> bool:
    return hasattr(model, "_orig_mod") or isinstance(
        model, nn.DataParallel | nn.parallel.DistributedDataParallel
    )
