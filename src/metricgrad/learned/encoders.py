"""Embedding networks for what networks put out: texts, boxes, class probabilities, vectors.

An encoder is the h of a learned surrogate and brings outputs and targets into the space that h is defined on
(`compare`). All are piecewise linear, without batch normalisation or dropout: a deterministic map of each sample.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from metricgrad._checks import describe, fail

__all__ = [
    "BoxEncoder",
    "ClassEncoder",
    "SequenceEncoder",
    "VectorEncoder",
    "box_features",
    "box_in_frame",
    "encoded",
    "one_hot",
]

SLOPE = 0.2
SMALLEST_SIDE = 1e-6


def _mlp(*widths: int) -> nn.Sequential:
    """Linear layers with leaky ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


class _Windows(nn.Module):
    """Every step beside its neighbours, zeros beyond the ends: with a linear layer, a convolution over 3 steps.

    On a CPU it takes two thirds of the time of `nn.Conv1d` at these widths.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, rows: Float[Tensor, "sample step channel"]) -> Float[Tensor, "sample window channels"]:
        """Join the rows of each window."""
        last = rows.shape[1] - 1
        padded = nn.functional.pad(rows, (0, 0, 1, 1))
        return torch.cat([padded[:, shift : shift + last + 1 : self.stride] for shift in range(3)], 2)


class SequenceEncoder(nn.Module):
    """Embeds texts: rows of probabilities per step over an alphabet and an end symbol (learned-surrogate encoder).

    Network: 1x1 convolution to 64 channels, three convolutions over 3 steps (64, 128, 256 channels, stride 2 on the
    last two) with leaky ReLU, then 512 and `dim` units; `width` scales all but the last.

    Args:
        alphabet: the symbols, in the order of the network's outputs; the end symbol follows them.
        max_length: steps L of an output, and the longest text.
        dim: of the embedding.
        width: channels of the first two convolutions; on a CPU 32 takes less than half the time of 64.
        unknown: symbol of the alphabet that stands for any other; None refuses them.
        truncate: cut longer texts instead of refusing them.

    Raises:
        InputError: an empty alphabet or one with a symbol twice, max_length < 1, an `unknown` outside the alphabet.

    Example:
        >>> encoder = SequenceEncoder("ab", max_length=4)
        >>> z, y = encoder.compare(torch.zeros(1, 4, 3), ["ab"])
        >>> z.shape, y[0].argmax(-1).tolist(), encoder(y).shape
        (torch.Size([1, 4, 3]), [0, 1, 2, 2], torch.Size([1, 256]))
    """

    def __init__(
        self,
        alphabet: str,
        max_length: int,
        *,
        dim: int = 256,
        width: int = 64,
        unknown: str | None = None,
        truncate: bool = False,
    ) -> None:
        super().__init__()
        if not alphabet or len(set(alphabet)) < len(alphabet):
            raise fail("SequenceEncoder", f"alphabet is {alphabet!r}", "symbols, each once")
        if max_length < 1:
            raise fail("SequenceEncoder", f"max_length is {max_length}", "a number >= 1")
        if unknown is not None and unknown not in alphabet:
            raise fail("SequenceEncoder", f"unknown is {unknown!r}", "a symbol of the alphabet, or None")
        self.alphabet, self.max_length, self.unknown, self.truncate = alphabet, max_length, unknown, truncate
        symbols, steps = len(alphabet) + 1, (max_length + 3) // 4  # after two strides of 2
        self.network = nn.Sequential(
            nn.Linear(symbols, width),
            _Windows(), nn.Linear(3 * width, width), nn.LeakyReLU(SLOPE),
            _Windows(stride=2), nn.Linear(3 * width, 2 * width), nn.LeakyReLU(SLOPE),
            _Windows(stride=2), nn.Linear(6 * width, 4 * width), nn.LeakyReLU(SLOPE),
            nn.Flatten(), nn.Linear(4 * width * steps, 8 * width), nn.LeakyReLU(SLOPE), nn.Linear(8 * width, dim),
        )  # fmt: skip

    def forward(self, points: Float[Tensor, "sample step symbol"]) -> Float[Tensor, "sample dim"]:
        """Embed rows of probabilities."""
        return self.network(points)

    def compare(
        self, outputs: Float[Tensor, "sample step symbol"], targets: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Return the probabilities of the outputs (logits), and the targets as rows of zeros and ones.

        Raises:
            InputError: another shape, an unknown symbol, a text longer than max_length.
        """
        expected = (len(targets), self.max_length, len(self.alphabet) + 1)
        if tuple(outputs.shape) != expected:
            raise fail("SequenceEncoder", f"outputs are {describe(outputs)}", f"logits {list(expected)}")
        codes = encoded(
            targets, self.alphabet, self.max_length, unknown=self.unknown, truncate=self.truncate
        ).to(outputs.device)
        return outputs.softmax(-1), one_hot(codes, expected[2]).to(outputs.dtype)


def encoded(
    texts: Sequence[str],
    alphabet: str,
    max_length: int,
    *,
    unknown: str | None = None,
    truncate: bool = False,
) -> Int[Tensor, "sample step"]:
    """Return the symbols of texts as numbers, filled up with the end symbol.

    Raises:
        InputError: an unknown symbol, a text longer than max_length.
    """
    number = {symbol: index for index, symbol in enumerate(alphabet)}
    end, rows = len(alphabet), []
    for text in texts:
        if len(text) > max_length and not truncate:
            raise fail(
                "words", f"a text of {len(text)} symbols: {text!r}", f"at most {max_length}",
                "Give a larger max_length, or truncate=True.",
            )  # fmt: skip
        row = []
        for symbol in text[:max_length]:
            if symbol not in number and unknown is None:
                raise fail(
                    "words", f"the symbol {symbol!r} of {text!r}", f"one of {alphabet!r}",
                    "Enlarge the alphabet, or name a symbol that stands for others: unknown=.",
                )  # fmt: skip
            row.append(number[symbol if symbol in number else str(unknown)])
        rows.append(row + [end] * (max_length - len(row)))
    return torch.tensor(rows, dtype=torch.long).reshape(len(texts), max_length)


def one_hot(codes: Int[Tensor, "*sample"], classes: int) -> Float[Tensor, "*sample classes"]:
    """Return rows with a one at the number."""
    return nn.functional.one_hot(codes, classes).to(torch.get_default_dtype())


class BoxEncoder(nn.Module):
    """Embeds boxes in the frame of the target: shift, turn and size of the pair do not matter (encoder).

    Args:
        rotated: boxes are cx, cy, w, h, angle (radians, counter-clockwise), as `box_features`; else cx, cy, w, h.
        dim: of the embedding.

    Example:
        >>> encoder = BoxEncoder()
        >>> z, y = encoder.compare(
        ...     torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.0]])
        ... )
        >>> z[0, :3].tolist(), y[0, :3].tolist()
        ([1.0, 0.0, 2.0], [0.0, 0.0, 2.0])
    """

    def __init__(self, *, rotated: bool = True, dim: int = 128) -> None:
        super().__init__()
        self.rotated = rotated
        self.network = _mlp(7 if rotated else 4, 256, 256, dim)

    def forward(self, points: Float[Tensor, "sample feature"]) -> Float[Tensor, "sample dim"]:
        """Embed boxes that `compare` brought into the frame of their target."""
        return self.network(points)

    def compare(
        self, outputs: Float[Tensor, "sample coordinate"], targets: Float[Tensor, "sample coordinate"]
    ) -> tuple[Tensor, Tensor]:
        """Return both boxes in the frame of the target, as features.

        Raises:
            InputError: another number of coordinates, or of boxes.
        """
        coordinates = 5 if self.rotated else 4
        if outputs.shape != targets.shape or outputs.ndim != 2 or outputs.shape[1] != coordinates:
            raise fail(
                "BoxEncoder", f"outputs are {describe(outputs)} and targets {describe(targets)}",
                f"two tensors [sample, {coordinates}]",
            )  # fmt: skip
        targets = targets.to(outputs)
        pair = (box_in_frame(outputs, targets), box_in_frame(targets, targets))
        return (box_features(pair[0]), box_features(pair[1])) if self.rotated else pair


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
    return torch.stack(
        [
            x, y, width + height, longer * (2 * angle).cos(), longer * (2 * angle).sin(),
            root * (4 * angle).cos(), root * (4 * angle).sin(),
        ],
        -1,
    )  # fmt: skip


class ClassEncoder(nn.Module):
    """Embeds class probabilities (encoder): outputs are logits [sample, class], targets classes [sample].

    Args:
        classes: how many.
        dim: of the embedding.

    Example:
        >>> z, y = ClassEncoder(3).compare(torch.zeros(1, 3), torch.tensor([2]))
        >>> z.sum().item(), y.tolist()
        (1.0, [[0.0, 0.0, 1.0]])
    """

    def __init__(self, classes: int, *, dim: int = 128) -> None:
        super().__init__()
        self.classes = classes
        self.network = _mlp(classes, 256, dim)

    def forward(self, points: Float[Tensor, "sample class"]) -> Float[Tensor, "sample dim"]:
        """Embed probabilities."""
        return self.network(points)

    def compare(
        self, outputs: Float[Tensor, "sample class"], targets: Int[Tensor, "sample"]
    ) -> tuple[Tensor, Tensor]:
        """Return the probabilities of the outputs, and the targets as rows of zeros and ones.

        Raises:
            InputError: another number of classes or samples, a target out of range.
        """
        targets = torch.as_tensor(targets, device=outputs.device).long()
        if tuple(outputs.shape) != (len(targets), self.classes):
            raise fail(
                "ClassEncoder", f"outputs are {describe(outputs)}", f"[{len(targets)}, {self.classes}]"
            )
        if len(targets) and (targets.min() < 0 or targets.max() >= self.classes):
            raise fail(
                "ClassEncoder",
                f"targets from {targets.min()} to {targets.max()}",
                f"classes 0 to {self.classes - 1}",
            )
        return outputs.softmax(-1), one_hot(targets, self.classes).to(outputs.dtype)


class VectorEncoder(nn.Module):
    """Embeds vectors, standardised (encoder): outputs and targets are [sample, coordinate].

    Args:
        mean: of the training targets [coordinate].
        deviation: their standard deviation [coordinate]; a coordinate that never changes is left unscaled.
        dim: of the embedding.

    Example:
        >>> encoder = VectorEncoder(torch.zeros(2), torch.tensor([2.0, 1.0]))
        >>> encoder.compare(torch.tensor([[2.0, 1.0]]), torch.zeros(1, 2))[0].tolist()
        [[1.0, 1.0]]
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Any, deviation: Any, *, dim: int = 128) -> None:
        super().__init__()
        mean, deviation = (torch.as_tensor(one, dtype=torch.get_default_dtype()) for one in (mean, deviation))
        if mean.ndim != 1 or mean.shape != deviation.shape:
            raise fail(
                "VectorEncoder",
                f"mean is {describe(mean)}, deviation {describe(deviation)}",
                "two vectors [coordinate]",
            )
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1.0))
        self.network = _mlp(len(mean), 256, 256, dim)

    def forward(self, points: Float[Tensor, "sample coordinate"]) -> Float[Tensor, "sample dim"]:
        """Embed standardised vectors."""
        return self.network(points)

    def compare(
        self, outputs: Float[Tensor, "sample coordinate"], targets: Float[Tensor, "sample coordinate"]
    ) -> tuple[Tensor, Tensor]:
        """Return both, standardised.

        Raises:
            InputError: other shapes.
        """
        targets = torch.as_tensor(targets).to(outputs)
        if outputs.shape != targets.shape or outputs.ndim != 2 or outputs.shape[1] != len(self.mean):
            raise fail(
                "VectorEncoder", f"outputs are {describe(outputs)}, targets {describe(targets)}",
                f"[sample, {len(self.mean)}]",
            )  # fmt: skip
        return (outputs - self.mean) / self.deviation, (targets - self.mean) / self.deviation
