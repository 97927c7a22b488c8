"""Copies of networks and losses: what a user gave is never changed."""

import copy
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from metricgrad._checks import caller, describe, fail

__all__ = ["copied"]

Module = TypeVar("Module", bound=nn.Module)


def copied(model: Module) -> Module:
    """Return a copy of a network or loss; kept activations come without their graph.

    Raises:
        InputError: something within it cannot be copied; the message names where.
    """
    kept = list(_with_graph(model))
    memo: dict[int, Any] = {id(value): value.detach().clone() for value in kept}
    try:
        with torch.no_grad():  # copies of scripted networks would be computed from the original otherwise
            copy_of = copy.deepcopy(model, memo)
    except Exception as error:  # whatever the user's objects raise
        reason = (str(error).splitlines() or [""])[0][:120]
        raise fail(
            caller(),
            f"{type(model).__name__} cannot be copied: {_not_copied(model)} ({type(error).__name__}: {reason})",
            "a network that copy.deepcopy takes",
            "Give a function seed -> network, which makes a new one at each call.",
        ) from error
    for own, new in zip(model.parameters(), copy_of.parameters(), strict=True):
        new.requires_grad_(own.requires_grad)
    return copy_of


def _with_graph(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors with a graph that the modules keep, in whatever they keep them."""
    seen: set[int] = set()
    stack: list[Any] = [
        vars(module) for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)
    ]
    while stack:
        value = stack.pop()
        if id(value) in seen or isinstance(
            value, nn.Module | FunctionType | ModuleType | type | str | int | float
        ):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if value.grad_fn is not None:
                yield value
        elif isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            stack.extend(value)
        elif hasattr(value, "__dict__"):
            stack.append(vars(value))


def _not_copied(model: nn.Module) -> str:
    """Name the attribute that deepcopy refuses."""
    for place, module in model.named_modules():
        for name, value in vars(module).items():
            if name in ("_modules", "_parameters"):
                continue
            try:
                copy.deepcopy(value)
            except Exception:  # noqa: BLE001, RUF100 (only its place is asked for; the caller tells the reason)
                return f"the attribute {'.'.join(filter(None, (place, name)))!r} is {describe(value)}"
    return "deepcopy fails"
