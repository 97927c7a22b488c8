"""Hierarchical complement entropy: wrong classes at the same distance in a tree of classes should be equally probable.

A second objective beside cross-entropy for classes in a tree that can be trusted, where near mistakes cost less: near
classes may stay more probable than far ones. It leaves the score of the right class alone, so that it trains no
classifier by itself: use `alternating:hierarchical_complement_entropy`, or add it to cross-entropy.
"""

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import Number, describe, fail, positive_number
from metricgrad.losses.class_scores import checked_targets, counted_samples, widened
from metricgrad.losses.class_tree import ClassTree, Nested, read_tree
from metricgrad.losses.complement_entropy import without_target
from metricgrad.losses.entropy_within import (
    ClassMask,
    Normalizer,
    allowed_classes,
    by_rows,
    negative_entropy_within,
    scale_of_entropy,
)

__all__ = ["hierarchical_complement_entropy_loss"]

NEEDS = ("tree", "groups")
"""Settings of which one is needed."""


def hierarchical_complement_entropy_loss(
    logits: Float[Tensor, "sample class"],
    targets: Integer[Tensor, " sample"],
    *,
    tree: ClassTree | Nested | None = None,
    groups: Iterable[Any] | None = None,
    normalizer: Normalizer = "support",
    level_weights: Sequence[Number] | None = None,
    class_mask: ClassMask | None = None,
) -> Float[Tensor, " sample"]:
    """Return -sum_d w_d c H(q_d) per sample, q_d the softmax over ring d of its target (exact; negative by design).

    Ring d holds the classes under node d - 1 on the way from the root to the target that are not under node d: ring 1
    is the farthest. In a tree of groups, ring 2 is the rest of the own group and ring 1 all other groups. With
    normalizer "none" and w = 1 the loss is the negative sum of the entropies, in nats.

    Args:
        logits: unnormalised class scores of at least two classes.
        targets: class numbers from 0; -100 for a sample to ignore.
        tree: of the classes: a `ClassTree`, or nested lists of class numbers, `[[0, 1], [2, 3, 4]]`, of any depth.
        groups: the group of every class instead, any labels, `[0, 0, 1, 1, 1]`. One of the two is given.
        normalizer: c for a ring of m classes: "support" 1 / m, "log_support" 1 / log m, "released" 1 / (classes under
            node d - 1), "none" 1.
        level_weights: w, >= 0, one per level from the root; None for 1 each.
        class_mask: [class] or [sample, class], True for the classes that a sample may have; rings count these alone.

    Returns:
        One value per sample, <= 0, lower is better. The mean over samples counts those whose ring is empty, too.

    Raises:
        InputError: both or neither of `tree` and `groups`; another number of classes; not one weight per level, or a
            negative one; fewer than two classes; an unknown normalizer; other shapes; a target that is no class, or
            that `class_mask` leaves out.

    Edge cases:
        A ring of fewer than two classes adds 0: with two classes all do, which is warned of, and in groups of two the
        inner ring. A flat tree gives `complement_entropy_loss`. An ignored sample has 0 and zero
        gradient: average with `mean_valid(loss, targets != -100)`. A batch without samples gives an empty loss. A
        logit of -inf removes its class. NaN within a ring stays NaN; the logit of the target is not read.

    Gradient:
        Exact: w_d c q_j (log q_j + H) for a class of ring d, 0 to the last bit for the target. No ring reaches another
        one's logits. float32 for half precision.

    Cost:
        O(sample class level), one level at a time; beyond 256 MB in parts, which are recomputed in the backward pass.

    Differs from the paper:
        Its equation could not be read. Two levels are those of the published code, whose divisors are "released"; it
        takes equal groups alone. More levels, and leaves at different depths, follow the same rule and are our own.
        The part that learns the tree was never published and is not built.

    Reference:
        [chen2019hierarchical]

    Example:
        >>> import torch
        >>> logits = torch.tensor([[5.0, 1.0, 1.0, 0.0, 0.0]])
        >>> hierarchical_complement_entropy_loss(logits, torch.tensor([0]), tree=[[0, 1, 2], [3, 4]])
        tensor([-0.6931])
    """
    caller = "hierarchical_complement_entropy_loss"
    targets = checked_targets(caller, logits, targets)
    if logits.shape[1] < 2:
        raise fail(caller, "logits have one class", "at least two, and three for a loss that is not 0")
    known = read_tree(caller, tree, groups)
    if known.classes != logits.shape[1]:
        came = f"the tree has {known.classes} classes for logits {describe(logits)}"
        raise fail(caller, came, "as many classes as columns")
    if known.classes == 2:
        warnings.warn(
            f"{caller}: there are two classes, so rings of one class, whose entropy is always 0.",
            stacklevel=2,
        )
    weights = _weights(caller, level_weights, known.levels)
    allowed = allowed_classes(caller, class_mask, logits, targets)
    paths = known.paths.to(logits.device)
    return by_rows(
        partial(_of_rows, caller, normalizer, weights, paths), logits, targets, allowed, passes=known.levels
    )


def _weights(caller: str, level_weights: Sequence[Number] | None, levels: int) -> list[float]:
    """Return one weight per level."""
    weights = [1.0] * levels if level_weights is None else list(level_weights)
    if len(weights) != levels:
        raise fail(
            caller, f"level_weights are {describe(level_weights)}", f"one per level of the tree ({levels})"
        )
    return [positive_number(caller, "a weight of level_weights", weight, zero=True) for weight in weights]


def _of_rows(
    caller: str,
    normalizer: Normalizer,
    weights: list[float],
    paths: Tensor,
    logits: Tensor,
    targets: Tensor,
    allowed: Tensor,
) -> Tensor:
    """Return the losses of some samples."""
    logits = widened(logits)
    of_targets = paths[targets.where(counted_samples(targets), 0)]  # [sample, level + 1]
    total = logits.new_zeros(len(logits))
    others = without_target(allowed, targets) & (logits.detach() != -torch.inf)
    for level, weight in enumerate(weights):
        # all classes are under the root
        under = others & (paths[:, level] == of_targets[:, level, None]) if level else others
        ring = under & (paths[:, level + 1] != of_targets[:, level + 1, None])
        value, count = negative_entropy_within(logits, ring)
        scale = scale_of_entropy(caller, normalizer, count, under.sum(1) + 1).to(value)
        total = total + weight * scale * value
    return total
