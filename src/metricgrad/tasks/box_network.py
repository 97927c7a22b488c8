"""A small network that finds the rotated box of the object in a scene, and the proxy loss that it is trained with."""

import math
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from metricgrad._checks import describe, fail
from metricgrad.tasks.start_model import started

__all__ = ["START_WEIGHTS", "BoxNetwork", "read_start", "smooth_l1_box_loss"]

START_WEIGHTS = Path(__file__).parent / "data" / "boxes" / "start.safetensors"

BETA = 0.1
"""Differences below it are squared, those above count by their size."""
LEAST_SIDE = 1e-6
"""Shorter sides count as this long where their logarithm is taken."""

_TYPICAL = (0.5, 0.5, math.log(0.5), math.log(0.25))  # cx, cy, log w, log h of a box before training


class BoxNetwork(nn.Module):
    """One rotated box for a scene of 64 x 64: five convolutions with group norm, two linear layers.

    The last layer gives six numbers: what the centre lacks to the middle of the picture, what the logarithms of the
    sides lack to a typical box, and the direction (cos 2t, sin 2t), so that boxes half a turn apart are one. Nothing
    depends on the batch. 230,350 parameters.

    Args:
        width: channels of the first two convolutions, a multiple of 8; the other three have twice as many.
        dropout: rate before the last two layers.

    Example:
        >>> boxes = BoxNetwork()(torch.zeros(3, 3, 64, 64, dtype=torch.uint8))
        >>> boxes.shape, bool((boxes[:, 2:4] > 0).all())
        (torch.Size([3, 5]), True)
    """

    def __init__(self, *, width: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(3, width, size=6, stride=4, padding=1),  # [sample, width, 16, 16]
            *_block(width, width),
            *_block(width, 2 * width, stride=2),  # [sample, 2 width, 8, 8]
            *_block(2 * width, 2 * width),
            *_block(2 * width, 2 * width),
            nn.Conv2d(2 * width, 24, 1),
            nn.ReLU(),  # [sample, 24, 8, 8]
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(24 * 64, 80),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(80, 6),
        )
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)

    def forward(self, pictures: UInt8[Tensor, "sample 3 64 64"]) -> Float[Tensor, "sample 5"]:
        """Return the boxes.

        Args:
            pictures: uint8 RGB, 0 to 255.

        Returns:
            cx, cy, w, h as shares of the picture's edge, w and h > 0; angle in [-pi/2, pi/2] in radians, from the x
            axis to the y axis, which points down.
        """
        weights = next(self.parameters())
        found = self.head(self.body(pictures.to(weights.dtype) / 64 - 2))
        offset, log_scale, cosine, sine = found[:, :2], found[:, 2:4], found[:, 4] + 1, found[:, 5]
        typical = found.new_tensor(_TYPICAL)
        sides = torch.exp(typical[2:] + log_scale.clamp(-4, 4))
        lost = (cosine.abs() + sine.abs()) < 1e-6  # no direction: atan2 has no gradient there
        angle = torch.atan2(sine, torch.where(lost, torch.ones_like(cosine), cosine)) / 2
        return torch.cat([typical[:2] + offset, sides, angle[:, None]], 1)


def _block(channels: int, out: int, *, size: int = 3, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    """A convolution, group norm, ReLU."""
    convolution = nn.Conv2d(channels, out, size, stride=stride, padding=padding, bias=False)
    return [convolution, nn.GroupNorm(8, out), nn.ReLU()]


def smooth_l1_box_loss(
    outputs: Float[Tensor, "sample 5"], targets: Float[Tensor, "sample 5"]
) -> Float[Tensor, "sample"]:
    """Compute the smooth-L1 distance of rotated boxes, blind to how a rectangle is described: a *surrogate* of IoU.

    With d = ((cx - cx*) / s, (cy - cy*) / s, log w / w*, log h / h*, t - t*), s = sqrt(w* h*) and the difference of
    angles taken into [-pi/2, pi/2): the sum over d of d^2 / (2 beta) where |d| < beta, else |d| - beta/2; beta = 0.1.
    The target stands for (w*, h*, t*) and for (h*, w*, t* + pi/2): the smaller of both sums is the loss.

    Args:
        outputs: cx, cy, w, h, angle in radians.
        targets: of the same form, in the same units.

    Returns:
        One loss for each sample, >= 0, and 0 where both describe one rectangle.

    Raises:
        InputError: another shape.

    Edge cases:
        a side below 1e-6 counts as 1e-6 and has no gradient. Where both descriptions are equally far (a square, a
        turn by 45 degrees) the gradient is that of (w*, h*, t*).

    Gradient:
        exact but for these places; it points along the shorter way round the period of the angle.

    Example:
        >>> box = torch.tensor([[0.5, 0.5, 0.4, 0.2, 0.3]])
        >>> turned = torch.tensor([[0.5, 0.5, 0.2, 0.4, 0.3 - math.pi / 2]])
        >>> round(float(smooth_l1_box_loss(box, turned)), 6)
        0.0
    """
    if outputs.shape != targets.shape or outputs.ndim != 2 or outputs.shape[1] != 5:
        raise fail(
            "smooth_l1_box_loss",
            f"outputs are {describe(outputs)} and targets {describe(targets)}",
            "[sample, 5] both: cx, cy, w, h, angle",
        )
    targets = targets.to(outputs.dtype)
    sides = outputs[:, 2:4].clamp_min(LEAST_SIDE).log()
    true_sides = targets[:, 2:4].clamp_min(LEAST_SIDE).log()
    centre = (outputs[:, :2] - targets[:, :2]) / true_sides.mean(1, keepdim=True).exp()
    turn = outputs[:, 4:] - targets[:, 4:]
    as_it_is = torch.cat([sides - true_sides, _within_half_turn(turn)], 1)
    swapped = torch.cat([sides - true_sides.flip(1), _within_half_turn(turn - math.pi / 2)], 1)
    return _smooth(centre) + torch.minimum(_smooth(as_it_is), _smooth(swapped))


def _within_half_turn(angle: Tensor) -> Tensor:
    """Take angles into [-pi/2, pi/2) by whole half turns."""
    return angle - math.pi * torch.floor(angle.detach() / math.pi + 0.5)


def _smooth(difference: Float[Tensor, "sample number"]) -> Float[Tensor, "sample"]:
    """Sum smooth-L1 over the numbers of each sample."""
    return smooth_l1_loss(difference, torch.zeros_like(difference), beta=BETA, reduction="none").sum(1)


def read_start(path: Path = START_WEIGHTS) -> BoxNetwork:
    """Return the network of the start model, in eval, with the weights that `scripts/train_boxes.py` wrote.

    Args:
        path: safetensors file.

    Raises:
        InputError: no such file, or not the weights of this network.
    """
    return started(BoxNetwork(), path, task="boxes")
