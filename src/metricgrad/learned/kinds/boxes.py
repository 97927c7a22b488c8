"""Boxes as outputs, upright and rotated: compared in the frame of the target."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._types import OutputKind
from metricgrad.learned.layers import as_they_are, mlp
from metricgrad.metrics import rotated_iou

__all__ = [
    "BoxEncoder",
    "RotatedBoxPairs",
    "UprightBoxPairs",
    "box_features",
    "box_in_frame",
    "rotated_boxes",
    "upright_boxes",
]

BINS = 10
"""Bins of equal width of the intersection over union, filled alike."""
POOL = 12
"""Candidates drawn for every pair of boxes that is kept."""
SMALLEST_SIDE = 1e-6


def rotated_boxes() -> OutputKind:
    """Rotated boxes: outputs and targets are cx, cy, w, h, angle in radians, counter-clockwise [sample, 5].

    Example:
        >>> rotated_boxes().encoder()(torch.zeros(1, 7)).shape
        torch.Size([1, 128])
    """
    return OutputKind("rotated boxes", as_they_are, BoxEncoder, RotatedBoxPairs(), compare_rotated)


def upright_boxes() -> OutputKind:
    """Upright boxes: outputs and targets are cx, cy, w, h [sample, 4].

    Example:
        >>> upright_boxes().name
        'upright boxes'
    """
    encoder = partial(BoxEncoder, rotated=False)
    return OutputKind("upright boxes", as_they_are, encoder, UprightBoxPairs(), compare_upright)


def compare_rotated(
    outputs: Float[Tensor, "sample coordinate"], targets: Float[Tensor, "sample coordinate"]
) -> tuple[Tensor, Tensor]:
    """Return both boxes in the frame of the target, as features.

    Raises:
        InputError: another number of coordinates, or of boxes.

    Example:
        >>> z, y = compare_rotated(
        ...     torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.0]])
        ... )
        >>> z[0, :3].tolist(), y[0, :3].tolist()
        ([1.0, 0.0, 2.0], [0.0, 0.0, 2.0])
    """
    z, y = _in_frame(outputs, targets, coordinates=5)
    return box_features(z), box_features(y)


def compare_upright(
    outputs: Float[Tensor, "sample coordinate"], targets: Float[Tensor, "sample coordinate"]
) -> tuple[Tensor, Tensor]:
    """Return both boxes in the frame of the target.

    Raises:
        InputError: another number of coordinates, or of boxes.
    """
    return _in_frame(outputs, targets, coordinates=4)


def _in_frame(outputs: Tensor, targets: Tensor, *, coordinates: int) -> tuple[Tensor, Tensor]:
    if outputs.shape != targets.shape or outputs.ndim != 2 or outputs.shape[1] != coordinates:
        came = f"outputs are {describe(outputs)} and targets {describe(targets)}"
        raise fail("boxes", came, f"two tensors [sample, {coordinates}]")
    targets = targets.to(outputs)
    return box_in_frame(outputs, targets), box_in_frame(targets, targets)


def box_in_frame(
    boxes: Float[Tensor, "sample coordinate"], frames: Float[Tensor, "sample coordinate"]
) -> Float[Tensor, "sample coordinate"]:
    """Express boxes in the frame of others: shifted to their centre, turned back by their angle, divided by sqrt(w h).

    Intersection over union is unchanged by this.
    """
    size = (frames[:, 2].clamp_min(SMALLEST_SIDE) * frames[:, 3].clamp_min(SMALLEST_SIDE)).sqrt()
    size = size.clamp_min(SMALLEST_SIDE)
    x, y = (boxes[:, :2] - frames[:, :2]).unbind(1)
    sides = boxes[:, 2:4] / size[:, None]
    if boxes.shape[1] == 4:
        return torch.cat([torch.stack([x / size, y / size], 1), sides], 1)
    cosine, sine = frames[:, 4].cos(), frames[:, 4].sin()
    turned = torch.stack([(cosine * x + sine * y) / size, (cosine * y - sine * x) / size], 1)
    return torch.cat([turned, sides, (boxes[:, 4] - frames[:, 4])[:, None]], 1)


def box_features(boxes: Float[Tensor, "*sample 5"]) -> Float[Tensor, "*sample 7"]:
    """Features of rotated boxes that are the same for every description of a rectangle, and smooth.

    (cx, cy, w + h, (w - h) cos 2t, (w - h) sin 2t, sqrt(w h) cos 4t, sqrt(w h) sin 4t): equal for (w, h, t),
    (h, w, t + pi/2) and (w, h, t + pi), yet sensitive to the turn of a square.

    Args:
        boxes: cx, cy, w, h, angle in radians; sides are at least 1e-6 under the root.

    Gradient: exact.

    Example:
        >>> box_features(torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0])).tolist()
        [0.0, 0.0, 2.0, 0.0, 0.0, 1.0, 0.0]
    """
    x, y, width, height, angle = boxes.unbind(-1)
    root = (width.clamp_min(SMALLEST_SIDE) * height.clamp_min(SMALLEST_SIDE)).sqrt()
    longer = width - height
    turn = longer * (2 * angle).cos(), longer * (2 * angle).sin()
    turn_of_a_square = root * (4 * angle).cos(), root * (4 * angle).sin()
    return torch.stack([x, y, width + height, *turn, *turn_of_a_square], -1)


class BoxEncoder(nn.Module):
    """Embeds boxes in the frame of the target: shift, turn and size of the pair do not matter (encoder).

    Args:
        rotated: boxes are cx, cy, w, h, angle (radians, counter-clockwise), as `box_features`; else cx, cy, w, h.
        dim: of the embedding.

    Example:
        >>> BoxEncoder()(torch.zeros(1, 7)).shape
        torch.Size([1, 128])
    """

    def __init__(self, *, rotated: bool = True, dim: int = 128) -> None:
        super().__init__()
        self.network = mlp(7 if rotated else 4, 256, 256, dim)

    def forward(self, points: Float[Tensor, "sample feature"]) -> Float[Tensor, "sample dim"]:
        """Embed boxes that were brought into the frame of their target."""
        return self.network(points)


@dataclass(frozen=True)
class RotatedBoxPairs:
    """Rotated boxes beside jittered copies, the intersection over union spread evenly over [0, 1].

    Targets have sides of ratio up to 10 and any angle. At most a tenth of the pairs, the lowest bin's, is disjoint.

    Example:
        >>> outputs, targets = RotatedBoxPairs()(100, np.random.default_rng(0))
        >>> np.histogram(rotated_iou(outputs, targets), 10, (0, 1))[0].tolist()
        [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    """

    rotated: bool = True

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return boxes cx, cy, w, h, angle [count, 5], candidates and targets."""
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        if count == 0:
            return torch.zeros(0, 5), torch.zeros(0, 5)
        wanted = np.full(BINS, count // BINS)
        wanted[rng.permutation(BINS)[: count % BINS]] += 1
        while wanted.any():  # every bin has a share of the candidates: it ends
            boxes, targets = self._candidates(POOL * count, rng)
            overlap = rotated_iou(torch.from_numpy(boxes), torch.from_numpy(targets)).numpy()
            bins = np.minimum((overlap * BINS).astype(int), BINS - 1)
            for number in range(BINS):
                chosen = np.flatnonzero(bins == number)[: wanted[number]]
                kept.append((boxes[chosen], targets[chosen]))
                wanted[number] -= len(chosen)
        boxes, targets = (np.concatenate(side) for side in zip(*kept, strict=True))
        order = rng.permutation(len(boxes))
        return torch.from_numpy(boxes[order]).float(), torch.from_numpy(targets[order]).float()

    def _candidates(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        size = np.exp(rng.uniform(np.log(0.1), np.log(0.5), count))
        ratio = np.exp(rng.uniform(-np.log(10.0), np.log(10.0), count) / 2)
        angle = rng.uniform(-np.pi, np.pi, count) * self.rotated
        centre = rng.uniform(0.0, 1.0, (count, 2))
        targets = np.column_stack([centre, size * ratio, size / ratio, angle])
        amount = rng.uniform(0.0, 1.0, count) ** 2  # most copies are near, some far
        shift = rng.normal(0.0, 1.0, (count, 2)) * amount[:, None] * targets[:, 2:4]
        cosine, sine = np.cos(angle), np.sin(angle)
        moved = np.column_stack(
            [cosine * shift[:, 0] - sine * shift[:, 1], sine * shift[:, 0] + cosine * shift[:, 1]]
        )
        sides = targets[:, 2:4] * np.exp(rng.normal(0.0, 0.7, (count, 2)) * amount[:, None])
        width = np.where(rng.random(count) < 0.5, 0.15, 1.0)
        turned = angle + rng.normal(0.0, 1.0, count) * width * amount * self.rotated
        return np.column_stack([centre + moved, sides, turned]), targets


@dataclass(frozen=True)
class UprightBoxPairs:
    """The same for upright boxes cx, cy, w, h.

    Example:
        >>> outputs, targets = UprightBoxPairs()(10, np.random.default_rng(0))
        >>> outputs.shape
        torch.Size([10, 4])
    """

    def __call__(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return boxes [count, 4], candidates and targets."""
        boxes, targets = RotatedBoxPairs(rotated=False)(count, rng)
        return boxes[:, :4], targets[:, :4]
