"""The weights of a network under the names of the network itself, whatever it is wrapped in.

`torch.compile` and `DataParallel` put a wrapper around a network, and its name into every key of the state dict
(`_orig_mod.`, `module.`). Weights are kept without those, so that they fit the network with the wrapper and without.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad.adapters import merged_state
from metricgrad.errors import CheckpointError
from metricgrad.tune.checkpoint import load_weights

__all__ = [
    "averaged",
    "beside_of",
    "load_beside",
    "load_into",
    "load_model",
    "own_names",
    "state_of",
    "weights_of",
]

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def own_names(model: nn.Module) -> dict[str, str]:
    """Return, for every key of the state dict, its name in the network without wrappers."""
    return _own_names(model, model.state_dict())


def _own_names(model: nn.Module, keys: Iterable[str]) -> dict[str, str]:
    return {key: _own_name(model, key) for key in keys}


def _own_name(model: nn.Module, key: str) -> str:
    kept: list[str] = []
    module: nn.Module | None = model
    for part in key.split("."):
        inner = {} if module is None else dict(module.named_children())
        if not (_wraps(module) and part in ("_orig_mod", "module") and part in inner):
            kept.append(part)
        module = inner.get(part)
    return ".".join(kept)


def _wraps(module: nn.Module | None) -> bool:
    """Whether a module is a wrapper; that of torch.compile is told by its member, since importing it takes seconds."""
    return isinstance(module, _PARALLEL) or (module is not None and hasattr(module, "_orig_mod"))


def weights_of(model: nn.Module) -> dict[str, Any]:
    """Return a copy of the state dict on the CPU, under the network's own names, adapters merged into their weights."""
    return _own(model, merged_state(model))


def state_of(model: nn.Module) -> dict[str, Any]:
    """Return the same with weights and adapters apart: what training goes on from."""
    return _own(model, model.state_dict())


def _own(model: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    names = _own_names(model, state)
    return {names[key]: _copied(value) for key, value in state.items()}


def beside_of(method: Any) -> dict[str, Any]:
    """Return a copy of what a method trains beside the network; empty where it trains nothing else."""
    found = getattr(method, "beside", None)
    return {} if found is None else _copied(found())


def load_beside(method: Any, state: Mapping[str, Any]) -> None:
    """Let a method go on from what another stage trained beside the network, where it trains such a thing."""
    load = getattr(method, "load_beside", None)
    if load is not None:
        load(state)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value


def load_into(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Put weights into a network, wrapped or not; they may have its own names or those of its wrapper.

    Raises:
        CheckpointError: they are of another network.
    """
    names = own_names(model)
    wrapped = {own: key for key, own in names.items()}
    given = {wrapped.get(name, name): value for name, value in weights.items()}
    try:
        with torch.no_grad():
            model.load_state_dict(given)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"the weights do not fit {type(model).__name__}: {reason[:300]}. Expected those of the same network."
        ) from error


def averaged(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of state dicts of one network; what is no floating-point tensor is the first one's."""
    first = states[0]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if isinstance(value, Tensor) and value.is_floating_point()
        else value
        for name, value in first.items()
    }


def load_model(path: Path, model: nn.Module) -> None:
    """Put the weights of a file into a network of their form."""
    load_into(model, load_weights(path))
