"""Few numbers that are folded into the last linear layer of a network: what a black-box search moves.

The network keeps its form: the numbers change weight and bias of a layer that is there already, and nothing is added.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from metricgrad._checks import Number, fail, positive_number
from metricgrad._forward import forward
from metricgrad._structures import no_tensor

__all__ = ["AdapterKind", "HeadAdapter", "within_radius"]

AdapterKind = Literal["bias", "scale", "film", "head"]
"""What the numbers do, see `HeadAdapter`."""

_KINDS = ("bias", "scale", "film", "head")


class HeadAdapter:
    """Numbers phi that are folded into the last linear layer of a network, W: (K, H), b: (K,).

    | kind | numbers | layer |
    |---|---|---|
    | `bias` | K | b + phi |
    | `scale` | K | exp(phi) W, exp(phi) b, per output |
    | `film` | 2 H + K + 1 | exp(c) W diag(1 + s), exp(c) (b + W t) + d |
    | `head` | K H + K | W + phi_W, b + phi_b |

    Of `film`, s and t scale and shift the units that enter, d shifts the outputs, c scales all; phi is (s, t, d, c).

    phi = 0 is the network as it came, bit for bit. The numbers always refer to the weights that the layer had when the
    adapter was made, however often they are written.

    Args:
        network: whose returned outputs are those of one linear layer, or these without a last axis of one.
        kind: what the numbers do.
        inputs: of one batch; the network is called with them once, in eval and without gradient, to see which layer
            gives its outputs.

    Attributes:
        size: how many numbers.
        name: of the layer in the network; empty where the network is that layer.
        layer: the layer.

    Raises:
        InputError: an unknown kind; outputs that are not those of a linear layer; a layer that is called more than
            once, that shares its weights, whose weight is computed, or that has no bias where one is needed.

    Edge cases:
        `head` of a layer without a bias has K H numbers. Weights in half precision are computed in the type of phi and
        rounded.

    Gradient:
        `weights` and `outputs` are differentiable in phi, exactly; the weights of the network are constants.

    Cost:
        O(K H) to fold.

    Reference:
        [perez2018film] for scale and shift of units.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> adapter = HeadAdapter(network, "bias", torch.ones(1, 4))
        >>> adapter.name, adapter.size
        ('2', 2)
        >>> before = network(torch.ones(1, 4))
        >>> adapter.write(torch.tensor([0.0, 1.0]))
        >>> (network(torch.ones(1, 4)) - before).round(decimals=4).tolist()
        [[0.0, 1.0]]
    """

    def __init__(self, network: nn.Module, kind: AdapterKind, inputs: Any) -> None:
        if kind not in _KINDS:
            raise fail("HeadAdapter", f"kind is {kind!r}", "'bias', 'scale', 'film' or 'head'")
        self.kind: AdapterKind = kind
        self.network = network
        found = _head_of(network, inputs)
        self.name, self.layer, self._flat = found.name, found.layer, found.flat
        self._weight = self.layer.weight.detach().clone()
        self._bias = None if self.layer.bias is None else self.layer.bias.detach().clone()
        if self._bias is None and kind in ("bias", "film"):
            raise fail(
                "HeadAdapter",
                f"the layer {self.name!r} has no bias",
                f"one for the kind {kind!r}",
                "Take 'scale' or 'head'.",
            )
        outputs, units = self._weight.shape
        self.size = {
            "bias": outputs,
            "scale": outputs,
            "film": 2 * units + outputs + 1,
            "head": self._weight.numel() + (0 if self._bias is None else outputs),
        }[kind]

    def weights(self, phi: Float[Tensor, " number"]) -> dict[str, Tensor]:
        """Return the weights of the layer with phi folded in, by their names in the network, for `functional_call`.

        Example:
            >>> adapter = HeadAdapter(nn.Linear(2, 2), "scale", torch.ones(1, 2))
            >>> phi = torch.zeros(2, requires_grad=True)
            >>> outputs = torch.func.functional_call(adapter.network, adapter.weights(phi), torch.ones(1, 2))
            >>> outputs.sum().backward()
            >>> phi.grad.shape
            torch.Size([2])
        """
        weight, bias = self._folded(phi)
        before = f"{self.name}." if self.name else ""
        return {f"{before}weight": weight} | ({} if bias is None else {f"{before}bias": bias})

    def write(self, phi: Float[Tensor, " number"]) -> None:
        """Write weight and bias with phi folded in into the network, in place; zeros restore what it came with."""
        with torch.no_grad():
            weight, bias = self._folded(phi.detach())
            self.layer.weight.copy_(weight)
            if bias is not None:
                self.layer.bias.copy_(bias)

    def features(self, inputs: Any) -> Float[Tensor, "... unit"]:
        """Return what enters the layer for a batch, in eval and without gradient: it does not depend on phi.

        A search calls it once per batch, and `outputs` for every phi.
        """
        caught: list[Tensor] = []
        hook = self.layer.register_forward_pre_hook(lambda _, arguments: caught.append(arguments[0]))
        try:
            _in_eval(self.network, lambda: forward(self.network, inputs))
        finally:
            hook.remove()
        return caught[0].detach()

    def outputs(self, features: Float[Tensor, "... unit"], phi: Float[Tensor, " number"]) -> Tensor:
        """Return the outputs of the network with phi for what `features` gave, differentiable in phi."""
        found = F.linear(features, *self._folded(phi))
        return found.squeeze(-1) if self._flat else found

    def _folded(self, phi: Tensor) -> tuple[Tensor, Tensor | None]:
        if phi.shape != (self.size,):
            raise fail("HeadAdapter", f"phi is {tuple(phi.shape)}", f"{self.size} numbers for {self.kind!r}")
        wide = torch.promote_types(phi.dtype, self._weight.dtype)
        weight = self._weight.to(phi.device, wide)
        bias = None if self._bias is None else self._bias.to(phi.device, wide)
        new_weight, new_bias = self._moved(phi, weight, bias)
        return self._back(new_weight, self._weight), (
            None if new_bias is None or self._bias is None else self._back(new_bias, self._bias)
        )

    def _moved(self, phi: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with phi, in a wide type."""
        outputs, units = weight.shape
        if self.kind == "scale":
            factor = phi.exp()
            return factor[:, None] * weight, None if bias is None else factor * bias
        if self.kind == "head":
            change = phi[: weight.numel()].view(outputs, units)
            return weight + change, None if bias is None else bias + phi[weight.numel() :]
        assert bias is not None  # refused at the beginning
        if self.kind == "bias":
            return weight, bias + phi
        scale, shift, output_shift, log_scale = phi.split([units, units, outputs, 1])
        factor = log_scale.exp()
        return factor * weight * (1 + scale), factor * (bias + weight @ shift) + output_shift

    @staticmethod
    def _back(found: Tensor, start: Tensor) -> Tensor:
        """In the type of the layer; where nothing has changed, with the very bits (-0 + 0 is another zero)."""
        rounded = found.to(start.dtype, copy=True)
        with torch.no_grad():
            same = start.to(rounded.device)
            rounded.copy_(torch.where(rounded == same, same, rounded))
        return rounded


def within_radius(
    phi: Float[Tensor, " number"], radius: Number, start: Float[Tensor, " number"] | None = None
) -> Float[Tensor, " number"]:
    """Return the point of the ball ||phi - start|| <= radius that is nearest to phi (exact).

    Args:
        phi: numbers of an adapter.
        radius: > 0.
        start: middle of the ball; None for 0.

    Raises:
        InputError: radius <= 0.

    Edge cases:
        Within the ball, phi itself, bit for bit. NaN stays NaN.

    Gradient:
        Exact, that of the projection; a search that projects after its step needs none.

    Reference:
        [parikh2014proximal]

    Example:
        >>> within_radius(torch.tensor([3.0, 4.0]), 1)
        tensor([0.6000, 0.8000])
    """
    most = positive_number("within_radius", "radius", radius)
    middle = torch.zeros_like(phi) if start is None else start
    away = phi - middle
    length = away.norm()
    return phi if not bool(length > most) else middle + away * (most / length)


class _Head(NamedTuple):
    name: str
    layer: nn.Linear
    flat: bool


def _in_eval(network: nn.Module, call: Callable[[], Any]) -> Any:
    """Call without gradient, every module in eval, and each back in its mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            return call()
    finally:
        for module, mode in modes:
            module.training = mode


def _head_of(network: nn.Module, inputs: Any) -> _Head:
    """The linear layer whose outputs the network returns; InputError, in words, where there is none."""
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    given: list[tuple[str, Tensor, int]] = []

    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _, __, output: given.append((name, output, output._version))

    hooks = [layer.register_forward_hook(noting(name)) for name, layer in layers.items()]
    try:
        outputs = _in_eval(network, lambda: forward(network, inputs))
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(outputs, Tensor):
        remedy = "Wrap the network in a module whose forward returns that tensor alone."
        raise no_tensor("HeadAdapter", outputs, "one tensor of outputs", remedy)
    for name, output, version in given:
        flat = output.shape == (*outputs.shape, 1)
        if (
            outputs.data_ptr() == output.data_ptr()
            and outputs.numel() == output.numel()
            and output._version == version
            and (flat or output.shape == outputs.shape)
        ):
            _require_plain(network, name, layers[name], sum(one == name for one, *_ in given))
            return _Head(name, layers[name], flat)
    last = f"its last linear layer is {given[-1][0]!r}, and something follows it" if given else "it has none"
    raise fail(
        "HeadAdapter",
        f"the outputs of the network are not those of a linear layer: {last}",
        "a network that returns the outputs of an nn.Linear as they are",
        "Return what enters the last step (log_softmax, normalisation) and take that step in the loss.",
    )


def _require_plain(network: nn.Module, name: str, layer: nn.Linear, calls: int) -> None:
    """InputError where changing the layer would change something else, or nothing."""
    if calls > 1:
        raise fail(
            "HeadAdapter", f"the layer {name!r} is called {calls} times", "a layer that is called once"
        )
    own = dict(layer.named_parameters(recurse=False))
    if type(layer).forward is not nn.Linear.forward or "weight" not in own or layer._forward_pre_hooks:
        raise fail(
            "HeadAdapter",
            f"the layer {name!r} computes its weight or has hooks",
            "a plain nn.Linear",
            "Merge the adapter or parametrisation that is on it first.",
        )
    storages = {one.untyped_storage().data_ptr() for one in own.values()}
    others = [
        other
        for other, parameter in network.named_parameters(remove_duplicate=False)
        if parameter.untyped_storage().data_ptr() in storages
        and all(parameter is not one or other.rpartition(".")[0] != name for one in own.values())
    ]
    if others:
        raise fail(
            "HeadAdapter",
            f"the layer {name!r} shares its weights with {others[0]!r}",
            "a layer whose weights are its own",
        )
