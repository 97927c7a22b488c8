"""A loss that the user gave, as an objective: checked when it is called, with what it keeps and trains itself.

A loss may have parameters (the class centres of ArcFace, the proxies of ProxyAnchor), which are trained beside the
network, and state that its calls change (a memory of past embeddings), which goes into the checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._structures import form, moved, part_named, tensors_of
from metricgrad._user_code import called

__all__ = ["GivenLoss", "require_gradient"]


class GivenLoss:
    """A callable `(outputs, targets) -> loss` of the user.

    Args:
        loss: a function, or a `torch.nn.Module`, which is then trained with all its parameters that require a
            gradient.
    """

    def __init__(self, loss: Callable[[Any, Any], Any]) -> None:
        self.loss = loss
        self.name = getattr(loss, "__name__", type(loss).__name__)
        self.module = loss if isinstance(loss, nn.Module) else None
        self._known: set[int] = set()
        self._looked = False

    def begin(self, model: nn.Module, device: torch.device) -> None:
        """Go to the device of the network's outputs; its parameters are those that a loss may reach beside its own."""
        if self.module is not None:
            self.module.to(device)
        self._known = {id(value) for value in [*model.parameters(), *self.parameters()]}
        self._looked = False

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained beside the network."""
        if self.module is None:
            return []
        return [value for value in self.module.parameters() if value.requires_grad]

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss, a scalar or one value per item.

        Raises:
            InputError: the loss raised; it returned something else, or a tensor without gradient; it reaches a
                parameter that nobody trains.
        """
        before = list(tensors_of(outputs))
        nodes = {value.grad_fn for value in before}
        who = f"the loss {self.name}"
        texts = isinstance(targets, list | tuple) and bool(targets) and isinstance(targets[0], str)
        remedy = (
            "Splits(..., classes=[...]) gives class names numbers."
            if texts
            else "Write a function (outputs, targets) -> loss around it, which brings both into the form that it takes."
        )
        remedy = part_named(outputs, remedy)
        loss = called(
            who, self.loss, outputs, targets, expected="outputs and targets that it takes", remedy=remedy
        )
        if not isinstance(loss, Tensor):
            raise fail(
                who,
                f"it returned {form(loss)}",
                "a tensor: a scalar or one value per item",
                "Return the loss alone, without item() or detach().",
            )
        require_gradient(who, loss, outputs)
        if not self._looked:
            self._check_reach(who, loss, before, nodes)
            self._looked = True
        return loss

    def _check_reach(self, who: str, loss: Tensor, outputs: list[Tensor], nodes: set[Any]) -> None:
        """A loss must depend on the outputs, and on no parameter that nobody trains."""
        leaves, met = _leaves(loss, nodes)
        own = {id(value) for value in self.parameters()}
        others = [leaf for leaf in leaves if not any(leaf is value for value in outputs)]
        for leaf in others:
            if id(leaf) not in self._known:
                raise fail(
                    who,
                    f"it reaches a parameter {tuple(leaf.shape)} that is neither the network's nor its own",
                    "a loss whose parameters are trained",
                    "Give the loss as a torch.nn.Module that holds them, not as a function around it.",
                )
        if not met and len(others) == len(leaves) and all(id(leaf) in own for leaf in leaves):
            raise fail(who, "it does not depend on the outputs of the network", "a loss that can train it")

    def state_dict(self) -> dict[str, Any]:
        """Return all that calls and training change: parameters, buffers, numbers and tensors among the members."""
        if self.module is None:
            return {}
        state = {f"state/{name}": value for name, value in self.module.state_dict().items()}
        members = {f"member/{place}/{name}": value for place, name, value in _members(self.module)}
        return {**state, **members}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if self.module is None or not state:
            return
        own = {
            name.removeprefix("state/"): value for name, value in state.items() if name.startswith("state/")
        }
        device = next(
            (value.device for value in self.module.state_dict().values() if isinstance(value, Tensor)), None
        )
        self.module.load_state_dict(own)
        for name, value in state.items():
            if name.startswith("member/"):
                _, place, member = name.split("/")
                setattr(
                    self.module.get_submodule(place),
                    member,
                    value if device is None else moved(value, device),
                )


def require_gradient(caller: str, loss: Tensor, outputs: Any) -> None:
    """Raise InputError where a loss has no gradient, and say on which side it was lost."""
    if loss.requires_grad:
        return
    if any(value.requires_grad for value in tensors_of(outputs)):
        raise fail(
            caller,
            f"it returned {describe(loss)} without gradient",
            "a loss that depends on the outputs",
            "Look for item(), detach(), argmax or numpy in it.",
        )
    raise fail(
        caller,
        "the outputs of the network have no gradient",
        "outputs that depend on its trainable parameters",
        "Look for detach() or no_grad in forward, torch.no_grad() around the call, or plan.trainable that names parts "
        "which forward does not use.",
    )


def _leaves(loss: Tensor, stop: set[Any]) -> tuple[list[Tensor], bool]:
    """Return the leaves that a loss reaches without passing the nodes to stop at, and whether it meets one of those."""
    if loss.grad_fn is None:
        return [loss], False
    waiting: list[Any] = [loss.grad_fn]
    seen, leaves, met = set(), [], False
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in stop:
            met = True
            continue
        if hasattr(node, "variable"):
            leaves.append(node.variable)  # pyright: ignore[reportAttributeAccessIssue]
        waiting.extend(before for before, _ in node.next_functions)
    return leaves, met


def _members(module: nn.Module) -> Iterator[tuple[str, str, Any]]:
    """Yield place, name and value of the numbers, texts and tensors that the modules keep outside the state dict."""
    for place, part in module.named_modules():
        for name, value in vars(part).items():
            if name.startswith("_") or name == "training":
                continue
            if isinstance(value, Tensor):
                yield place, name, value.detach()
            elif value is None or type(value) in (bool, int, float, str):
                yield place, name, value
