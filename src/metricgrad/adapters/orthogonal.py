"""Rotate the inputs of trained layers and train nothing else: angles between units and their norms stay.

A run that follows a noisy surrogate can then not undo what the layers have learned, only turn it. Not where features
are wrong rather than turned, and not where a head must change its scale (`with_gain`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from metricgrad._checks import Number, Whole, fail, positive_number, whole_number
from metricgrad.adapters.rotation import Turn, cayley, skew_symmetric

__all__ = [
    "Rotation",
    "attach_orthogonal_adapter",
    "limit_rotation",
    "merge_orthogonal_adapter",
    "merged_state",
]

LARGEST_BLOCK = 1024
"""Inputs that are turned as one block; a solve is O(block^3) and its numbers are O(block^2)."""

_MAPS: Mapping[str, Turn] = {"cayley": cayley, "matrix_exponential": torch.linalg.matrix_exp}
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Rotation(nn.Module):
    """What `attach_orthogonal_adapter` puts on a weight: W -> W R, R block-diagonal and orthogonal.

    Args:
        weight: of the layer, a unit per row; further axes belong to a unit.
        groups: of a convolution; the units of a group read the same inputs and are turned alike.
        block_size: inputs that are turned together.
        turn: skew-symmetric matrix to rotation.
        with_gain: whether each unit has a factor, too.

    Attributes:
        skew: the numbers above the diagonals of S, all blocks one after the other; the identity at 0.
        gain: what is added to the factor 1 of each unit, or None.
        was_trainable: `requires_grad` of the weight before.
    """

    def __init__(
        self, weight: Tensor, *, groups: int, block_size: int, turn: Turn, with_gain: bool = False
    ) -> None:
        super().__init__()
        self.groups, self.turn, self.was_trainable = groups, turn, weight.requires_grad
        inputs = weight[0].numel()
        whole, rest = divmod(inputs, block_size)
        self.blocks = [(groups * whole, block_size)] * (whole > 0) + [(groups, rest)] * (rest > 0)
        count = sum(number * size * (size - 1) // 2 for number, size in self.blocks)
        wide = torch.promote_types(weight.dtype, torch.float32)
        self.skew = nn.Parameter(torch.zeros(count, dtype=wide, device=weight.device))
        self.gain = (
            nn.Parameter(torch.zeros(len(weight), dtype=wide, device=weight.device)) if with_gain else None
        )

    def forward(self, weight: Tensor) -> Tensor:
        """Return W R in the type of W, computed in float32 or wider."""
        rows = weight.to(self.skew.dtype).reshape(self.groups, len(weight) // self.groups, -1)
        turned, begin, first = [], 0, 0
        for number, size in self.blocks:
            end = begin + number * size * (size - 1) // 2
            upper = self.skew[begin:end].view(self.groups, number // self.groups, -1)
            last = first + number // self.groups * size
            blocks = rows[..., first:last].unflatten(-1, (-1, size))
            rotation = self.turn(skew_symmetric(upper, size))
            turned.append(torch.einsum("gubi,gbij->gubj", blocks, rotation).flatten(-2))
            begin, first = end, last
        found = torch.cat(turned, -1).reshape_as(weight)
        if self.gain is not None:
            found = found * (1 + self.gain).view(-1, *[1] * (weight.ndim - 1))
        return found.to(weight.dtype)


def attach_orthogonal_adapter(
    module: nn.Module,
    block_size: Whole | None = 32,
    map: Literal["cayley", "matrix_exponential"] | Turn = "cayley",
    *,
    with_gain: bool = False,
) -> dict[str, nn.Parameter]:
    """Rotate the inputs of every linear and convolution layer: W -> W R, beginning at R = I (exact).

    The weights are frozen; what else the module trains is left as it is. The module computes as before until a step is
    taken. `merge_orthogonal_adapter` writes W R into the weights when training is over.

    Args:
        module: the network; its `Linear` and `Conv1d`, `Conv2d`, `Conv3d` layers whose weight has `requires_grad` are
            rotated, other layers stay.
        block_size: inputs that are turned together, >= 2; the last block may be smaller. None: all inputs of a layer.
        map: how a skew-symmetric matrix becomes a rotation: `cayley`, `matrix_exponential` or a function. The
            orthogonality of a function is not checked; `cayley_neumann` is only nearly orthogonal.
        with_gain: one factor per unit beside the rotation, from 1 on; then norms change, angles do not.

    Returns:
        The parameters to train by their names in the module: per layer one vector of the numbers above the diagonals,
        inputs (block_size - 1) / 2 of them, and the gains. A vector takes no weight decay in `tune`: it would pull
        back to the identity.

    Raises:
        InputError: block_size < 2, no block_size for a layer of more than 1,024 inputs, an unknown map, no layer to
            rotate, a weight that two layers share or that has a parametrisation already.

    Edge cases:
        A layer with one input cannot be turned and is left alone. A convolution is turned over its channels and kernel
        places together, per group. Weights in half precision are turned in float32 and rounded again, so that angles
        are kept to their precision.

    Gradient:
        Exact. The rotation is computed anew in each forward pass.

    Cost:
        Per forward pass and layer O(inputs block_size^2) for the rotation and O(units inputs block_size) to apply it.

    Differs from the paper:
        It begins at the identity of trained weights (the published one turns fixed random weights from a random
        matrix), and in blocks.

    Reference:
        [liu2021orthogonal] with the Cayley map; blocks as in [qiu2023oft].

    Example:
        >>> layer = nn.Linear(4, 3)
        >>> before = layer.weight.detach().clone()
        >>> parameters = attach_orthogonal_adapter(layer, block_size=2)
        >>> {name: len(value) for name, value in parameters.items()}
        {'parametrizations.weight.0.skew': 2}
        >>> optimiser = torch.optim.Adam(parameters.values(), lr=0.1)
        >>> layer(torch.ones(1, 4)).sum().backward()
        >>> optimiser.step()
        >>> merge_orthogonal_adapter(layer)
        >>> bool(torch.isclose(layer.weight.norm(dim=1), before.norm(dim=1)).all())
        True
    """
    turn = map if callable(map) else _MAPS.get(map)
    if turn is None:
        raise fail(
            "attach_orthogonal_adapter", f"map is {map!r}", "'cayley', 'matrix_exponential' or a function"
        )
    size = (
        None
        if block_size is None
        else whole_number("attach_orthogonal_adapter", "block_size", block_size, least=2)
    )
    layers: list[tuple[str, Any]] = [
        (name, layer) for name, layer in module.named_modules() if _can_turn(layer)
    ]
    _refuse_shared(module, layers)
    for name, layer in layers:
        inputs = layer.weight[0].numel()
        if size is None and inputs > LARGEST_BLOCK:
            raise fail(
                "attach_orthogonal_adapter",
                f"{name or type(layer).__name__} has {inputs} inputs to turn as one block",
                f"a block_size, where a layer has more than {LARGEST_BLOCK}",
            )
    if not layers:
        raise fail(
            "attach_orthogonal_adapter",
            f"{type(module).__name__} has no layer to rotate",
            "a Linear or Conv1d to Conv3d layer of more than one input whose weight has requires_grad",
        )
    for _, layer in layers:
        rotation = Rotation(
            layer.weight,
            groups=getattr(layer, "groups", 1),
            block_size=min(size or LARGEST_BLOCK, layer.weight[0].numel()),
            turn=turn,
            with_gain=with_gain,
        )
        layer.weight.requires_grad_(False)
        parametrize.register_parametrization(layer, "weight", rotation)
    turned = {f"{name}." if name else "" for name, _ in layers}
    return {
        name: value
        for name, value in module.named_parameters()
        if any(name.startswith(f"{place}parametrizations.weight.0.") for place in turned)
    }


def merge_orthogonal_adapter(module: nn.Module) -> None:
    """Write W R into the weights of a module and take the adapters off; weights train again as they did before.

    Args:
        module: that `attach_orthogonal_adapter` had, or a copy of it.

    Raises:
        InputError: nothing is attached.
    """
    found = list(_rotated(module))
    if not found:
        raise fail(
            "merge_orthogonal_adapter", f"{type(module).__name__} has no adapter", "one that was attached"
        )
    for _, layer, rotation in found:
        _take_off(layer)
        layer.weight.requires_grad_(rotation.was_trainable)


def merged_state(module: nn.Module) -> dict[str, Any]:
    """Return the state dict that the module would have after a merge; the module stays as it is.

    A module without adapters gives its state dict.

    Example:
        >>> layer = nn.Linear(4, 3)
        >>> parameters = attach_orthogonal_adapter(layer)
        >>> sorted(merged_state(layer))
        ['bias', 'weight']
    """
    state = module.state_dict()
    for name, layer, _ in _rotated(module):
        place = f"{name}." if name else ""
        own = f"{place}parametrizations.weight."
        state = {key: value for key, value in state.items() if not key.startswith(own)}
        state[f"{place}weight"] = layer.weight.detach()
    return state


@torch.no_grad()
def limit_rotation(module: nn.Module, radius: Number) -> None:
    """Shrink S of every layer to a Frobenius norm of at most `radius`: a trust region, called after each step.

    Args:
        module: that `attach_orthogonal_adapter` had.
        radius: > 0; of the whole S of a layer, sqrt(2) times the norm of its vector.

    Raises:
        InputError: radius <= 0.
    """
    most = positive_number("limit_rotation", "radius", radius)
    for _, _, rotation in _rotated(module):
        length = float(2**0.5 * rotation.skew.norm())
        if length > most:
            rotation.skew.mul_(most / length)


def _take_off(layer: Any) -> None:
    """Make a layer plain again, with the weight that it has now.

    `remove_parametrizations` takes the weight from the class of the layer, which copies of the layer share with it.
    """
    kept, merged = layer.parametrizations.weight.original, layer.weight.detach()
    if (
        len(layer.parametrizations) > 1 or len(layer.parametrizations.weight) > 1
    ):  # others have put theirs on it
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        return
    del layer.parametrizations
    layer.__class__ = type(layer).__bases__[0]
    kept.data = merged
    layer.register_parameter("weight", kept)


def _can_turn(layer: nn.Module) -> bool:
    if not isinstance(layer, _LAYERS) or isinstance(layer.weight, nn.UninitializedParameter):
        return False
    return layer.weight.requires_grad and layer.weight.ndim > 1 and layer.weight[0].numel() > 1


def _refuse_shared(module: nn.Module, layers: list[tuple[str, Any]]) -> None:
    """One weight with two rotations would be two weights after the merge."""
    owners: dict[int, list[str]] = {}
    for name, value in module.named_parameters(remove_duplicate=False):
        owners.setdefault(id(value), []).append(name)
    for name, layer in layers:
        what = f"the weight of {name or type(layer).__name__}"
        if parametrize.is_parametrized(layer, "weight"):
            raise fail(
                "attach_orthogonal_adapter",
                f"{what} has a parametrisation already",
                "plain weights",
                "Merge or remove it first.",
            )
        shared = owners.get(id(layer.weight), [])
        if len(shared) > 1:
            raise fail(
                "attach_orthogonal_adapter",
                f"{what} is shared ({', '.join(shared)})",
                "a weight of one layer",
                "Freeze it (requires_grad_(False)), so that it is left alone.",
            )


def _rotated(module: nn.Module) -> Iterator[tuple[str, Any, Rotation]]:
    """Name, layer and rotation of what is attached."""
    for name, layer in list(module.named_modules()):
        if parametrize.is_parametrized(layer, "weight"):
            first: Any = layer.parametrizations["weight"][0]  # pyright: ignore[reportIndexIssue, reportArgumentType]
            if isinstance(first, Rotation):
                yield name, layer, first
