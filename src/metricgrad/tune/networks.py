"""The networks of a run: made for a seed, copied, and checked before anything is trained."""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import caller, describe, fail
from metricgrad._copies import copied
from metricgrad._user_code import called
from metricgrad.errors import CheckpointError, InputError
from metricgrad.tune.packing import packed, unpacked
from metricgrad.tune.passes import seed_everything
from metricgrad.tune.weights import load_into, own_names

__all__ = ["SeededModel"]


class SeededModel:
    """Builds the start model of a seed, the same one every time: a copy, or what the user's function makes.

    Args:
        model: a network, which is never changed, or `seed -> network`.
        device: where the networks are put; None leaves them where they are.

    Raises:
        InputError: neither of both.
    """

    def __init__(
        self, model: nn.Module | Callable[[int], nn.Module], device: str | torch.device | None = None
    ) -> None:
        if not isinstance(model, nn.Module) and not callable(model):
            raise fail(
                caller(),
                f"model is {describe(model)}",
                "a torch.nn.Module or a callable seed -> torch.nn.Module",
            )
        if isinstance(model, type) and issubclass(model, nn.Module):
            raise fail(
                caller(),
                f"model is the class {model.__name__}",
                "a network, or a function seed -> network",
                f"Call it: {model.__name__}(...).",
            )
        self.model, self.device = model, None if device is None else _usable(device)
        self._trained: dict[int, weakref.ref[Tensor]] = {}
        self._checked = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process takes over: what was made here is of no use there."""
        return {**vars(self), "_trained": {}}

    def __call__(self, seed: int) -> nn.Module:
        """Return the start model of a seed.

        Raises:
            InputError: it cannot be copied, trained or kept, or the function gives the same network twice.
        """
        if isinstance(self.model, nn.Module):
            _check_whole(self.model)
            model = copied(_unwrapped(self.model))
        else:
            seed_everything(seed)
            model = called(
                "model",
                self.model,
                seed,
                expected="a function seed -> network",
                remedy="It is called with one number.",
            )
            if not isinstance(model, nn.Module):
                raise fail(caller(), f"model({seed}) is {describe(model)}", "a torch.nn.Module")
            model = _unwrapped(model)
            _check_whole(model)
            self._check_new(model)
        _own_memory(model)
        if self.device is not None:
            model = model.to(self.device)
        if not self._checked:
            _check_kept(model)
            self._checked = True
        return model

    def _check_new(self, model: nn.Module) -> None:
        """Two networks of a run must not share what one of them trains."""
        for name, value in model.named_parameters():
            known = self._trained.get(id(value))
            if value.requires_grad and known is not None and known() is value:
                raise fail(
                    caller(),
                    f"model gave the same parameter {name!r} in two calls",
                    "a new network at each call: the arms of a run must not train one and the same",
                    "Build it inside the function, or give the network itself, which is copied. Parts that are "
                    "shared on purpose are frozen with requires_grad_(False).",
                )
        self._trained = {id(value): weakref.ref(value) for value in model.parameters()}


def _usable(device: str | torch.device) -> torch.device:
    """Return a device on which something can be computed; InputError with the reason where it cannot."""
    try:
        found = torch.device(device)
        if found.type == "meta":
            raise fail(caller(), "device is 'meta'", "a device that computes numbers, such as cpu or cuda")
        (torch.zeros(1, device=found) + 1).item()
    except InputError:
        raise
    except (RuntimeError, AssertionError, TypeError, ValueError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [""])[0].split(". ")[0]
        raise fail(
            caller(),
            f"the device {str(device)!r} cannot be used ({reason})",
            "a device of this machine",
            "`metricgrad doctor` says what this installation of torch finds; leave device out for the network's own.",
        ) from error
    return found


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network within `DistributedDataParallel`: the processes of a run share out the batches themselves."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def _check_whole(model: nn.Module) -> None:
    """Every parameter and buffer must be there, in this process."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if nn.parameter.is_lazy(value):
            raise fail(
                caller(),
                f"{name} of {type(model).__name__} has no shape yet (a lazy module)",
                "a network that ran once",
                "Call it on a batch before (in the function, where model is one).",
            )
        if value.is_meta:
            raise fail(
                caller(),
                f"{name} of {type(model).__name__} is on the device meta, without numbers",
                "a network with weights",
                "Load its weights first (to_empty, load_state_dict).",
            )
        if type(value).__name__ == "DTensor" or type(value.data).__name__ == "DTensor":
            raise fail(
                caller(),
                f"{name} of {type(model).__name__} is spread over processes (FSDP)",
                "a network that is whole in every process",
                "Give it before it is sharded.",
            )
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        raise fail(
            caller(),
            f"{type(model).__name__} is sharded (FSDP)",
            "a network that is whole in every process",
            "Give it before it is sharded.",
        )


def _own_memory(model: nn.Module) -> None:
    """Give expanded tensors memory of their own: nothing can be loaded into several items that share one number."""
    new: dict[int, Tensor] = {}
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        for name, value in module._buffers.items():
            if value is not None and _expanded(value):
                module._buffers[name] = new.setdefault(id(value), value.contiguous())
    for value in model.parameters():
        if _expanded(value):
            value.data = value.data.contiguous()


def _expanded(value: Tensor) -> bool:
    return value.layout == torch.strided and any(
        stride == 0 and size > 1 for stride, size in zip(value.stride(), value.shape, strict=True)
    )


def _check_kept(model: nn.Module) -> None:
    """What a checkpoint keeps must fit the network again; better said now than after the training."""
    names, found = own_names(model), {}
    for key, value in model.state_dict().items():
        tensors: dict[str, Tensor] = {}
        try:
            tree = packed(value, functools.partial(_named, tensors))
        except InputError as error:
            raise fail(
                caller(),
                f"{key!r} in the state dict of {type(model).__name__} cannot be kept ({error})",
                "what safetensors and JSON hold",
                "Leave it out of the state dict (persistent=False), or return "
                "dicts, lists, numbers, strings and tensors from get_extra_state.",
            ) from error
        found[names[key]] = unpacked(tree, tensors)
    try:
        load_into(model, found)
    except CheckpointError as error:
        raise fail(
            caller(),
            f"{type(model).__name__} does not load its own state dict ({error})",
            "a network whose load_state_dict takes what state_dict gives",
        ) from error


def _named(tensors: dict[str, Tensor], value: Tensor) -> str:
    tensors[name := str(len(tensors))] = value.detach().clone()
    return name
