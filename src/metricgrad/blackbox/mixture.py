"""Mixtures of training losses: few numbers a black-box search chooses, and what they say about training.

Each term is a mean loss (of a class, a cluster, a surrogate) divided by its value at the start. Equal weights are then
*not* plain training: a class with few items counts as much as one with many.
"""

import math
from collections.abc import Sequence
from itertools import count as numbers

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from metricgrad._checks import (
    Number,
    describe,
    fail,
    finite_number,
    positive_number,
    require_finite,
    tensor_of,
)

__all__ = [
    "LEAST_START_LOSS",
    "continuing_weights",
    "default_clip",
    "default_radius",
    "elite_mean",
    "first_candidates",
    "mixture_weights",
]

LEAST_START_LOSS = 1e-8
"""A term is divided by its loss at the start, and by no less than this."""


def mixture_weights(a: Float[Tensor, "*batch term"], clip: Number = 3.0) -> Float[Tensor, "*batch term"]:
    """Return w = K softmax(clip(a, -clip, clip)) over the K terms: positive, mean 1 (exact).

    Args:
        a: what a search proposes, one number per term.
        clip: > 0; no two weights are further apart than a factor exp(2 clip).

    Returns:
        The weights, in the type of a.

    Raises:
        InputError: a has no axis or is no float; NaN in a; clip <= 0.

    Edge cases:
        A number added to all of a changes nothing while none is clipped. One term has the weight 1.

    Gradient:
        Exact; 0 for a clipped number's own coordinate.

    Cost:
        O(term).

    Reference:
        [zhao2019mowe] searches weights of examples; this mixture is ours.

    Example:
        >>> mixture_weights(torch.tensor([0.0, 0.0, 9.0]))
        tensor([0.1358, 0.1358, 2.7283])
    """
    most = positive_number("mixture_weights", "clip", clip)
    if a.ndim == 0 or not a.is_floating_point():
        raise fail("mixture_weights", f"a is {describe(a)}", "a floating-point tensor [..., term]")
    if bool(a.isnan().any()):
        raise fail("mixture_weights", "a has NaN", "numbers")
    return a.shape[-1] * a.clamp(-most, most).softmax(-1)


def continuing_weights(
    counts: Shaped[Tensor, " term"] | Sequence[float], start_losses: Shaped[Tensor, " term"] | Sequence[float]
) -> Float[Tensor, " term"]:
    """Return the a that trains on as before: a_k = log(n_k L_k) - mean (exact).

    The mean loss over all items is sum_k n_k loss_k / n. A term is loss_k / L_k, so its weight must be n_k L_k.

    Args:
        counts: items of each term, > 0.
        start_losses: L_k, the mean loss of each term at the start, >= 0; the floor `LEAST_START_LOSS` holds here as in
            the terms.

    Returns:
        a, centred, float64.

    Raises:
        InputError: no term, other lengths, a count that is not positive, a loss that is negative or not finite.

    Edge cases:
        Where a goes beyond the clip of `mixture_weights`, the mixture is only the nearest to plain training:
        `default_clip` is wide enough.

    Gradient:
        None.

    Example:
        >>> continuing_weights([94, 6], [1.0, 1.0])
        tensor([ 1.3758, -1.3758], dtype=torch.float64)
    """
    sizes, losses = _terms("continuing_weights", counts, start_losses)
    return _centred(sizes.log() + losses.log())


def first_candidates(
    counts: Shaped[Tensor, " term"] | Sequence[float],
    start_losses: Shaped[Tensor, " term"] | Sequence[float],
    *,
    clip: Number = 3.0,
    names: Sequence[str] | None = None,
) -> dict[str, Float[Tensor, " term"]]:
    """Return what every search tries first, in this order: continuing, inverse class frequency, each term alone.

    The start itself comes before them and needs no proposal. Inverse frequency weighs an item by 1 / n_k; in terms
    that are divided by their start it is a_k = log L_k - mean. Alone, a term has a_k = clip and the others -clip.

    Args:
        counts: items of each term.
        start_losses: mean loss of each term at the start.
        clip: that of the search; all candidates are within it. Plain training that lies beyond is moved to its edge:
            `default_clip` is wide enough for it.
        names: of the terms; None for their numbers.

    Returns:
        Candidate by name: `continuing`, `inverse_frequency`, `alone:<name>`.

    Raises:
        InputError: as `continuing_weights`; names that are not one per term or not different.

    Edge cases:
        With one term there is only `continuing`.

    Example:
        >>> list(first_candidates([94, 6], [1.0, 1.0], names=["no", "yes"]))
        ['continuing', 'inverse_frequency', 'alone:no', 'alone:yes']
    """
    most = positive_number("first_candidates", "clip", clip)
    sizes, losses = _terms("first_candidates", counts, start_losses)
    called = [str(n) for n, _ in zip(numbers(), sizes, strict=False)] if names is None else list(names)
    if len(called) != len(sizes) or len(set(called)) != len(called):
        raise fail("first_candidates", f"names are {called}", f"{len(sizes)} different names")
    found = {"continuing": continuing_weights(sizes, losses).clamp(-most, most)}
    if len(sizes) > 1:
        found["inverse_frequency"] = _centred(losses.log()).clamp(-most, most)
        alone = torch.full((len(sizes), len(sizes)), -most, dtype=torch.float64).fill_diagonal_(most)
        found |= {f"alone:{name}": row for name, row in zip(called, alone, strict=True)}
    return found


def elite_mean(
    candidates: Float[Tensor, "candidate term"],
    values: Float[Tensor, " candidate"],
    share: Number = 0.25,
    *,
    maximize: bool = True,
) -> Float[Tensor, " term"]:
    """Return the mean of the best candidates, the better ones weighing more (exact).

    The best mu = ceil(share n) of the n candidates that have a value, in order (ties: the earlier first), weigh
    log(mu + 1/2) - log(rank), normalised. The best single candidate is often the luckiest one; their mean less so.

    Args:
        candidates: one per row.
        values: of the metric; NaN or infinite where it failed.
        share: of the candidates, in (0, 1].
        maximize: whether higher values are better.

    Raises:
        InputError: no candidate with a value, other lengths, a share outside (0, 1].

    Edge cases:
        A change of the metric that keeps the order changes nothing. One candidate is its own mean.

    Gradient:
        None in the values; linear in the candidates.

    Reference:
        [hansen2016cma]

    Example:
        >>> elite_mean(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0.3, 0.9, torch.nan]), share=1)
        tensor([0.8042])
    """
    part = finite_number("elite_mean", "share", share)
    if not 0 < part <= 1:
        raise fail("elite_mean", f"share is {share!r}", "a number in (0, 1]")
    if len(values) != len(candidates):
        raise fail(
            "elite_mean",
            f"there are {len(values)} values",
            f"one for each of the {len(candidates)} candidates",
        )
    usable = values.isfinite().nonzero()[:, 0]
    if not len(usable):
        raise fail("elite_mean", f"none of {len(values)} candidates has a value", "at least one finite value")
    order = usable[values[usable].argsort(descending=maximize, stable=True)].to(candidates.device)
    elites = max(1, math.ceil(part * len(usable) - 1e-9))  # 0.1 * 30 is more than 3
    rank = torch.arange(1, elites + 1, dtype=torch.float64, device=candidates.device)
    weights = math.log(elites + 0.5) - rank.log()
    weights = (weights / weights.sum()).to(candidates.dtype)
    return weights @ candidates[order[:elites]]


def default_clip(
    counts: Shaped[Tensor, " term"] | Sequence[float],
    start_losses: Shaped[Tensor, " term"] | Sequence[float],
    least: Number = 3.0,
) -> float:
    """Return a clip within which plain training lies: the largest of `least` and |continuing_weights|.

    Args:
        counts: items of each term.
        start_losses: mean loss of each term at the start.
        least: the clip where plain training is nearer than that, > 0.

    Raises:
        InputError: as `continuing_weights`; least <= 0.

    Example:
        >>> default_clip([94, 6], [1.0, 1.0]), round(default_clip([100_000, 10], [1.0, 1.0]), 2)
        (3.0, 4.61)
    """
    smallest = positive_number("default_clip", "least", least)
    return max(smallest, float(continuing_weights(counts, start_losses).abs().max()))


def default_radius(class_shares: Shaped[Tensor, " class"] | Sequence[float], least: Number = 1.0) -> float:
    """Return a trust region rho in which the output biases can undo the class shares (exact).

    rho = max(least, log(largest / smallest share), ||log shares - mean||): one bias can move by the log of the class
    ratio, and all together can make the classes equally likely. The inner steps must be able to get there: Adam moves
    a number by at most about its learning rate per step, so steps * learning rate must be rho or more.

    Args:
        class_shares: shares or counts of the classes in the data that the network was trained on.
        least: the radius of balanced classes, > 0.

    Raises:
        InputError: no class with a share, a negative or infinite one, least <= 0.

    Edge cases:
        A class without items has no ratio and is left out.

    Reference:
        [menon2021longtail] for the biases; the radius is ours.

    Example:
        >>> round(default_radius([0.94, 0.06]), 2)
        2.75
    """
    smallest = positive_number("default_radius", "least", least)
    shares = tensor_of("default_radius", "class_shares", class_shares, "shares or counts of classes").double()
    require_finite("default_radius", "class_shares", shares)
    if bool((shares < 0).any()) or not bool((shares > 0).any()):
        raise fail(
            "default_radius", f"class_shares are {shares.tolist()}", "numbers >= 0, at least one of them > 0"
        )
    logs = shares[shares > 0].log()
    return max(smallest, float(logs.max() - logs.min()), float(_centred(logs).norm()))


def _centred(values: Tensor) -> Tensor:
    return values - values.mean()


def _terms(caller: str, counts: object, losses: object) -> tuple[Tensor, Tensor]:
    """Counts and floored start losses, float64."""
    sizes = tensor_of(caller, "counts", counts, "items of each term").double().cpu()
    start = tensor_of(caller, "start_losses", losses, "a loss per term").double().cpu()
    if sizes.ndim != 1 or sizes.shape != start.shape or not len(sizes):
        raise fail(
            caller,
            f"counts are {tuple(sizes.shape)} and start_losses {tuple(start.shape)}",
            "one of each per term, at least one term",
        )
    if not bool((sizes > 0).all() and sizes.isfinite().all()):
        raise fail(
            caller, f"counts are {sizes.tolist()}", "numbers > 0", "Leave out a term that has no items."
        )
    if not bool((start >= 0).all() and start.isfinite().all()):
        raise fail(caller, f"start_losses are {start.tolist()}", "finite numbers >= 0")
    return sizes, start.clamp(min=LEAST_START_LOSS)
