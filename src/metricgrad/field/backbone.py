"""A network of the user's under a head that embeds: named by its code, with weights out of a safetensors file.

Nothing is downloaded and nothing is unpickled.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from metricgrad._checks import describe, fail, nearest
from metricgrad._named_code import imported
from metricgrad._user_code import called
from metricgrad.tune.tensor_file import content_of_tensors, tensors_of

__all__ = ["Embedder", "cut", "load_weights", "network_named", "tried"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of ImageNet, which published weights expect."""
_SHOWN = 3


class Embedder(nn.Module):
    """A backbone, pooling where it gives maps, layer normalisation, and a linear layer to the embedding.

    Args:
        backbone: float pictures [item, 3, row, column], normalised by channel, to features [item, feature] or maps
            [item, feature, row, column].
        dim: of the embedding.
        size: rows and columns of a picture, to find the number of features with.
        pooling: of maps: `average`, or `gem`, the generalised mean with a power that is trained, from 3.
        layer_norm: whether features are normalised before the linear layer.
        freeze_batch_norm: whether batch normalisation keeps its statistics while training. Where it does not, a batch
            cannot be embedded in chunks.
        mean: of the channels, as the backbone was trained.
        deviation: of the channels.

    Raises:
        InputError: the backbone gives neither.

    Reference:
        [patel2022recall], whose official code has this head.

    Example:
        >>> backbone = nn.Conv2d(3, 8, 3)
        >>> Embedder(backbone, dim=4, size=16)(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int,
        size: int,
        pooling: Literal["average", "gem"] = "average",
        layer_norm: bool = True,
        freeze_batch_norm: bool = True,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.backbone, self.pooling, self.freeze_batch_norm = backbone, pooling, freeze_batch_norm
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("deviation", 255 * torch.tensor(deviation).view(3, 1, 1))
        self.power = nn.Parameter(torch.tensor(3.0)) if pooling == "gem" else None
        features = tried("backbone", backbone, self.features, (3, size, size)).shape[1]
        self.norm = nn.LayerNorm(features) if layer_norm else nn.Identity()
        self.head = nn.Linear(features, dim)
        self.train()

    def features(self, pictures: UInt8[Tensor, "item 3 row column"]) -> Float[Tensor, "item feature"]:
        """Return what the backbone sees, one row per picture."""
        seen = self.backbone((pictures.to(self.mean.dtype) - self.mean) / self.deviation)
        if not isinstance(seen, Tensor) or seen.ndim not in (2, 4) or len(seen) != len(pictures):
            raise fail(
                "backbone",
                f"it gives {describe(seen)} for {len(pictures)} pictures",
                "features [item, feature] or maps [item, feature, row, column]",
                "Name a function that returns a network with such outputs.",
            )
        if seen.ndim == 2:
            return seen
        if self.power is None:
            return seen.mean((2, 3))
        return seen.clamp(min=1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power)

    def forward(self, pictures: UInt8[Tensor, "item 3 row column"]) -> Float[Tensor, "item dim"]:
        """Return the embeddings, of any length: metrics and losses bring them to 1."""
        return self.head(self.norm(self.features(pictures)))

    def train(self, mode: bool = True) -> "Embedder":
        """Train or not; batch normalisation that is frozen stays as it is."""
        super().train(mode)
        if self.freeze_batch_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def tried(
    what: str, network: nn.Module, forward: Callable[[Tensor], Any], shape: tuple[int, int, int]
) -> Any:
    """Return what a network of the user's gives for two black pictures, without learning from them.

    Args:
        what: the network, for messages.
        network: is left in the mode that it is in.
        forward: the call of it.
        shape: channels, rows and columns of a picture.

    Raises:
        InputError: the call fails.
    """
    training = network.training
    network.eval()
    expected = f"a network of pictures [item, {', '.join(map(str, shape))}]"
    with torch.no_grad():
        given = called(what, forward, torch.zeros(2, *shape, dtype=torch.uint8), expected=expected)
    network.train(training)
    return given


def network_named(name: str, settings: Mapping[str, Any], what: str) -> nn.Module:
    """Return the network that a function or class of the user's makes.

    Args:
        name: `package.module:name`.
        settings: its keyword arguments.
        what: to call it in messages.

    Raises:
        InputError: it cannot be imported or called, or gives no network.
    """
    made = imported(name, f"the {what}")
    if isinstance(made, nn.Module) or not callable(made):
        came = f"{name!r} is {'a network' if isinstance(made, nn.Module) else describe(made)}"
        raise fail(what, came, "a function or class that makes a network", "Each seed has a new one.")
    network = called(what, functools.partial(made, **settings), expected="a function that makes a network")
    if not isinstance(network, nn.Module):
        raise fail(what, f"{name} gives {describe(network)}", "a torch.nn.Module")
    return network


def cut(network: nn.Module, name: str) -> nn.Module:
    """Replace a module of a network by one that hands on its input; returns the network.

    Args:
        network: is changed.
        name: of the module, such as the classifier `fc`.

    Raises:
        InputError: it has no such module.

    Example:
        >>> cut(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 9)), "1")(torch.zeros(1, 2)).shape
        torch.Size([1, 3])
    """
    modules = dict(network.named_modules())
    if not name or name not in modules:
        raise fail(
            "without",
            f"{type(network).__name__} has no module {name!r}",
            "one of its modules",
            nearest(name, modules),
        )
    home, _, last = name.rpartition(".")
    setattr(modules[home], last, nn.Identity())
    return network


def load_weights(network: nn.Module, path: Path, what: str, *, leave_out: Sequence[str] = ()) -> None:
    """Load weights into a network; every one of them must be in the file, and everything in the file must be used.

    Args:
        network: gets them.
        path: a safetensors file, such as `safetensors.torch.save_file(network.state_dict(), path)` writes.
        what: the network, for messages.
        leave_out: beginnings of names in the file that are not loaded, such as `head.`.

    Raises:
        InputError: names or shapes do not fit; with how many, and the first.
        CheckpointError: no such file, a pickle, or a damaged file.
    """
    place = path.expanduser().resolve()
    found = tensors_of(place, content_of_tensors(place))
    kept = {name: value for name, value in found.items() if not name.startswith(tuple(leave_out))}
    own = network.state_dict()
    reasons = [
        _several(sorted(own.keys() - kept.keys()), "weights of the network are not in it"),
        _several(sorted(kept.keys() - own.keys()), "of its weights are none of the network's"),
        _several(
            [
                f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
                for name, value in kept.items()
                if name in own and value.shape != own[name].shape
            ],
            "have another shape",
        ),
    ]
    if any(reasons):
        raise fail(
            what,
            f"{path} does not fit: {'; '.join(filter(None, reasons))}",
            "the weights of this network, by its own names",
            "Names in the file that are not wanted are left out with data.leave_out.",
        )
    network.load_state_dict(kept)


def _several(names: Sequence[str], how: str) -> str:
    if not names:
        return ""
    return f"{len(names)} {how} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
