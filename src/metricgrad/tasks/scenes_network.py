"""A small network for the class of every pixel: down to an eighth of the picture and up again, with links across."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

__all__ = ["SceneNetwork"]


class SceneNetwork(nn.Module):
    """Class scores of every pixel of a scene; nothing depends on the batch.

    Args:
        classes: how many.
        width: channels at half the resolution, a multiple of 8; doubled at each halving.
        dropout: rate of whole channels at the lowest resolution.

    Example:
        >>> SceneNetwork(7)(torch.zeros(2, 3, 48, 48, dtype=torch.uint8)).shape
        torch.Size([2, 7, 48, 48])
    """

    def __init__(self, classes: int, *, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.to_halves = _block(3, width, size=4, stride=2)
        self.to_quarters = _block(width, 2 * width, stride=2)
        self.to_eighths = nn.Sequential(
            _block(2 * width, 4 * width, stride=2),
            _block(4 * width, 4 * width),
            nn.Dropout2d(dropout),
        )
        self.up_to_quarters = _block(6 * width, 2 * width)
        self.up_to_halves = _block(3 * width, width)
        self.head = nn.Sequential(nn.Conv2d(width, 4 * classes, 1), nn.PixelShuffle(2))

    def forward(
        self, pictures: UInt8[Tensor, "sample 3 row column"]
    ) -> Float[Tensor, "sample class row column"]:
        """Return the logits.

        Args:
            pictures: uint8 RGB, 0 to 255; height and width are multiples of 8.
        """
        weights = next(self.parameters())
        half = self.to_halves(pictures.to(weights.dtype) / 64 - 2)
        quarter = self.to_quarters(half)
        eighth = self.to_eighths(quarter)
        up = self.up_to_quarters(torch.cat([_doubled(eighth), quarter], 1))
        return self.head(self.up_to_halves(torch.cat([_doubled(up), half], 1)))


def _doubled(values: Tensor) -> Tensor:
    return nn.functional.interpolate(values, scale_factor=2, mode="nearest")


def _block(channels: int, out: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution, group norm, ReLU."""
    convolution = nn.Conv2d(channels, out, size, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(8, out), nn.ReLU())
