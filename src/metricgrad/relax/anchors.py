"""Anchors: corners of the cube of comparisons at which a metric is asked for its value.

Drawn around two corners: the truth, where every comparison is right, and the hard corner, where the outputs stand now.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from metricgrad._checks import describe, fail, nearest

__all__ = ["Recipe", "drawn_anchors", "require_recipe"]

Recipe = Literal["uniloss", "graded"]

EACH = 16
"""Corners of each of the three sorts of `uniloss`."""
SHARES, DRAWS, RANDOM = (0.125, 0.25, 0.5, 1.0), 4, 8
"""Of `graded`: which shares of the wrong comparisons are corrected, how often each, and how many corners are random."""


def require_recipe(caller: str, anchors: object) -> None:
    """Raise InputError for what is neither the name of a recipe nor a matrix of corners."""
    if isinstance(anchors, Tensor):
        if anchors.ndim != 2 or not len(anchors) or not bool((anchors.abs() == 1).all()):
            raise fail(caller, f"anchors are {describe(anchors)}", "corners of -1 and 1 [anchor, comparison]")
        return
    known = get_args(Recipe)
    if anchors not in known:
        expected = f"{' or '.join(map(repr, known))}, or a tensor [anchor, comparison]"
        raise fail(caller, f"anchors is {describe(anchors)}", expected, nearest(str(anchors), known))


def drawn_anchors(
    recipe: Recipe,
    truth: Float[Tensor, "block n"],
    hard: Float[Tensor, "block n"],
    free: Bool[Tensor, "block n"],
    generator: Generator,
) -> Float[Tensor, "block anchor n"]:
    """Draw the anchors of every block.

    `uniloss`: the truth; 16 times the truth with one comparison turned; 16 times the hard corner with one wrong
    comparison corrected, or one turned where none is wrong; 16 corners of fair coins. `graded`: the truth; the hard
    corner with a random eighth, quarter, half and all of its wrong comparisons corrected, 4 times each; 8 corners of
    fair coins.

    Args:
        recipe: one of the two.
        truth: the corner where every comparison is right.
        hard: the corner of the outputs.
        free: the comparisons that may be turned; the others stand as in the hard corner everywhere.
        generator: on the CPU.

    Returns:
        Corners of -1 and 1.
    """
    best = torch.where(free, truth, hard)
    wrong = free & (best != hard)
    if recipe == "uniloss":
        near = torch.where(wrong.any(-1, keepdim=True), wrong, free)
        parts = [best.unsqueeze(1), _one_turned(best, free, generator), _one_turned(hard, near, generator)]
        return torch.cat([*parts, _coins(hard, free, EACH, generator)], 1)
    corrected = [_corrected(best, hard, wrong, share, generator) for share in SHARES]
    return torch.cat([best.unsqueeze(1), *corrected, _coins(hard, free, RANDOM, generator)], 1)


def _uniform(like: Tensor, count: int, generator: Generator) -> Tensor:
    """Numbers in [0, 1), as many corners for each block; drawn on the CPU, the same for every device."""
    shape = (like.shape[0], count, like.shape[1])
    return torch.rand(shape, generator=generator, dtype=torch.float32).to(like.device)


def _one_turned(corner: Tensor, eligible: Tensor, generator: Generator) -> Tensor:
    """Copies of a corner with one eligible comparison turned in each; none where none is eligible."""
    drawn = _uniform(corner, EACH, generator).masked_fill(~eligible.unsqueeze(1), -1.0)
    turned = torch.zeros_like(drawn, dtype=torch.bool).scatter_(2, drawn.argmax(2, keepdim=True), True)
    return torch.where(turned & eligible.unsqueeze(1), -corner.unsqueeze(1), corner.unsqueeze(1))


def _corrected(best: Tensor, hard: Tensor, wrong: Tensor, share: float, generator: Generator) -> Tensor:
    """Copies of the hard corner in which a share of the wrong comparisons, one at least, is corrected."""
    drawn = _uniform(hard, DRAWS, generator).masked_fill(~wrong.unsqueeze(1), 2.0)
    place = drawn.argsort(2).argsort(2)
    count = (share * wrong.sum(1)).ceil()
    right = (place < count[:, None, None]) & wrong.unsqueeze(1)
    return torch.where(right, best.unsqueeze(1), hard.unsqueeze(1))


def _coins(hard: Tensor, free: Tensor, count: int, generator: Generator) -> Tensor:
    """Corners of fair coins."""
    coins = torch.where(_uniform(hard, count, generator) < 0.5, -1.0, 1.0).to(hard.dtype)
    return torch.where(free.unsqueeze(1), coins, hard.unsqueeze(1))
