"""The few numbers that a black-box method moves, and what the network gives at any of them.

They start at 0, where the network is the one that came. What lies before its last layer runs once for every item.
"""

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from metricgrad._checks import fail
from metricgrad._structures import form, joined, moved
from metricgrad._types import MethodRun, Split
from metricgrad.blackbox import HeadAdapter
from metricgrad.methods.fit_items import each_item_once
from metricgrad.scale.chunk import device_of

__all__ = ["Adapter", "FewNumbers", "Items"]

Adapter = Literal["bias", "scale", "film", "head", "trained"]

AT_ONCE = 1024
"""Items that go through the whole network at once."""


class Items(NamedTuple):
    """Items of a split, as the numbers act on them.

    Attributes:
        given: what enters the last layer, or the network [item, ...].
        targets: a tensor, or a list with one entry per item.
    """

    given: Tensor
    targets: Any

    def __len__(self) -> int:
        """Count the items."""
        return len(self.given)

    def of(self, rows: Int[Tensor, " row"]) -> "Items":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return some of the items."""
        targets = self.targets
        some = targets[rows] if isinstance(targets, Tensor) else [targets[row] for row in rows.tolist()]
        return Items(self.given[rows], some)


class FewNumbers:
    """A network as a function of a vector phi, which is 0 for the network as it came.

    Args:
        caller: for messages.
        run: what the method was given.
        adapter: `bias`, `scale`, `film` or `head` fold phi into the last layer, see `blackbox.HeadAdapter`; `trained`
            adds it to all parameters that the plan lets be trained, and runs the whole network at every phi.

    Attributes:
        size: how many numbers there are.

    Raises:
        InputError: the network does not end with a linear layer, or the plan holds that layer fixed.
    """

    def __init__(self, caller: str, run: MethodRun, adapter: Adapter) -> None:
        self.caller, self.model, self.parameters = caller, run.model, dict(run.parameters)
        self.device = device_of(run.model)
        self.start = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.head: HeadAdapter | None = None
        self.size = sum(value.numel() for value in self.start.values())
        if adapter == "trained":
            return
        assert run.fit is not None
        inputs, _ = next(iter(each_item_once(run.fit)))
        self.head = HeadAdapter(self.model, adapter, moved(inputs, self.device))
        self.size = self.head.size
        for name in self.head.weights(self.zero()):
            if name not in self.parameters:
                came = f"adapter is {adapter!r} and the plan holds {name} fixed"
                raise fail(caller, came, "a plan that trains the last layer (plan.trainable), or 'trained'")

    def read(self, split: Split) -> Items:
        """Run every item of a split once, in eval mode, up to where the numbers act.

        Raises:
            InputError: inputs that are not one tensor with one row per item.
        """
        given, targets = [], []
        for inputs, some in each_item_once(split):
            inputs = moved(inputs, self.device)
            given.append(inputs if self.head is None else self.head.features(inputs))
            targets.append(some)
        counts = [len(part) if isinstance(part, Tensor) else None for part in given]
        rows = joined("inputs", given, counts)
        if not isinstance(rows, Tensor):
            raise fail(self.caller, f"the items are {form(rows)}", "one tensor with one row per item")
        return Items(rows, moved(joined("targets", targets, counts), self.device))

    def outputs(self, phi: Float[Tensor, " number"], items: Items) -> Tensor:
        """Return what the network gives for some items at phi, differentiable in phi."""
        if self.head is None:
            with self._still():
                weights = self._moved(phi)
                parts = [functional_call(self.model, weights, (part,)) for part in items.given.split(AT_ONCE)]
            return torch.cat(parts)
        return self.head.outputs(items.given, phi)

    def write(self, phi: Float[Tensor, " number"]) -> None:
        """Give the network the weights of phi; 0 gives it back as it came, to the last bit."""
        if self.head is not None:
            self.head.write(phi)
            return
        with torch.no_grad():
            for name, value in self._moved(phi).items():
                self.parameters[name].copy_(value)

    def _moved(self, phi: Tensor) -> dict[str, Tensor]:
        weights, begin = {}, 0
        for name, value in self.start.items():
            step = phi[begin : begin + value.numel()].reshape(value.shape)
            weights[name], begin = value + step.to(value.dtype), begin + value.numel()
        return weights

    def zero(self) -> Float[Tensor, " number"]:
        """Return the phi of the network as it came."""
        return torch.zeros(self.size, device=self.device, dtype=next(iter(self.start.values())).dtype)

    def _still(self) -> "_EvalMode":
        return _EvalMode(self.model)


class _EvalMode:
    """The network in eval mode for a while."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.training = self.model.training
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        self.model.train(self.training)
