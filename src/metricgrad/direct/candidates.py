"""A list of candidate outputs with a task loss each: any metric that can be computed, of any output.

Problem: for most metrics nobody can solve for the loss-augmented output. Idea: take it among a few outputs that were
drawn, scored and judged. Helps where the list holds the prediction and outputs that the network nearly chose. Does not
help with a short list: what is not on it cannot be found, and the decode is exact over the list only.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor

from metricgrad._checks import describe, fail, require_finite
from metricgrad.direct.choice import chosen_one, tied_ones

__all__ = ["Candidates", "candidate_losses", "gumbel_candidates", "require_choices"]


class Candidates:
    """One of the candidates of each query: F + sign * epsilon * L is maximised over the list for both signs.

    F = the score of the candidate, L = the loss that came with it. Scores are [query, candidate], targets the task
    losses [query, candidate], any finite numbers; mask is False where a list is shorter. A statistic holds 1 at the
    candidate.

    Edge cases:
        The prediction shares 1 equally among candidates of the largest score. A query without candidates has no loss;
        one with a single candidate has no gradient. A list without the prediction brackets the loss of the list's best
        and not that of the network: put the prediction first and, where it is known, the target too.

    Gradient:
        dF/dscores = the statistic. Exact over the list, an estimate for all outputs (`exact` is False).

    Cost:
        O(candidate) for each query.

    Differs from the paper:
        Lorberbom et al. decode over all outputs. Their noise is Gumbel, added to F and the same in every decode: that
        is the `noise` of `DirectLoss`.

    Reference:
        [lorberbom2019direct] section 3; [song2016direct] for the update.

    Example:
        >>> scores = torch.tensor([[2.0, 1.5, 0.0]], dtype=torch.float64)
        >>> losses = torch.tensor([[0.6, 0.2, 0.0]])
        >>> Candidates().augment(scores, losses, epsilon=2.0, sign=-1)
        (tensor([[0., 1., 0.]], dtype=torch.float64), tensor([1.1000], dtype=torch.float64))
    """

    signs = frozenset({1, -1})
    exact = False
    noise = "gumbel"

    def defined(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Bool[Tensor, " query"]:
        """Return which queries have a candidate; InputError for arguments that do not fit."""
        require_choices("Candidates", scores, mask, "query, candidate")
        if (
            not isinstance(targets, Tensor)
            or targets.shape != scores.shape
            or not targets.is_floating_point()
        ):
            raise fail(
                "Candidates",
                f"targets are {describe(targets)} and scores {describe(scores)}",
                "a floating-point task loss for every score",
                "`candidate_losses` computes them.",
            )
        require_finite("Candidates", "targets", targets if mask is None else targets.masked_fill(~mask, 0))
        return _all_there(scores, mask).any(1)

    def predict(
        self, scores: Tensor, *, targets: Any = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query candidate"], Float[Tensor, " query"]]:
        """Return the candidate of the largest score, tied ones in equal shares, and that score."""
        there = _all_there(scores, mask)
        statistic = tied_ones(scores.double().masked_fill(~there, -torch.inf))[0] * there
        return statistic, _total(statistic, scores, mask)

    def augment(
        self, scores: Tensor, targets: Tensor, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "query candidate"], Float[Tensor, " query"]]:
        """Return the first candidate of the largest F + sign * epsilon * L, and that value."""
        there = _all_there(scores, mask)
        value = scores.double() + sign * epsilon * targets.double()
        statistic = chosen_one(value.masked_fill(~there, -torch.inf))[0] * there
        return statistic, _total(statistic, value, mask)

    def gradient(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, "query candidate"]:
        """Return dF/dscores, which is the statistic."""
        return statistic

    def task_loss(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, " query"]:
        """Return L of the candidate, the mean of the tied ones."""
        return _total(statistic, targets, mask)


def candidate_losses(
    task_loss: Callable[[Any, Any], float],
    candidates: Sequence[Sequence[Any]] | Tensor,
    targets: Sequence[Any] | Tensor,
) -> Float[Tensor, "query candidate"]:
    """Return the task loss of every candidate of every query (exact): what `Candidates` takes as targets.

    `losses[q, k] = task_loss(candidates[q][k], targets[q])`.

    Args:
        task_loss: `(candidate, target) -> float`, lower is better; anything that Python can compute.
        candidates: `[query][candidate]` outputs, equally many for every query; a tensor of tokens is indexed likewise.
        targets: one for each query.

    Returns:
        float64.

    Raises:
        InputError: another number of targets than queries, lists of different lengths, or a loss that is not finite.

    Edge cases:
        No queries give a tensor of shape (0, 0).

    Gradient:
        None: it belongs to the scores of the candidates.

    Cost:
        One call for every candidate, one after the other.

    Example:
        >>> def wrong(candidate, target):
        ...     return sum(one != other for one, other in zip(candidate, target)) / len(target)
        >>> candidate_losses(wrong, [["abc", "axc"]], ["abd"])
        tensor([[0.3333, 0.6667]], dtype=torch.float64)
    """
    lengths = [len(row) for row in candidates]
    if len(lengths) != len(targets):
        raise fail(
            "candidate_losses",
            f"{len(lengths)} lists of candidates came with {len(targets)} targets",
            "a target for each list",
        )
    if len(set(lengths)) > 1:
        raise fail(
            "candidate_losses",
            f"lists of {min(lengths)} to {max(lengths)} candidates",
            "equally many for every query",
            "Repeat one to fill a list, and mask it: `mask` of `DirectLoss` is False there.",
        )
    losses = [
        [float(task_loss(one, target)) for one in row]
        for row, target in zip(candidates, targets, strict=True)
    ]
    found = torch.tensor(losses, dtype=torch.float64).reshape(len(lengths), lengths[0] if lengths else 0)
    return require_finite("candidate_losses", "the task loss", found)


def gumbel_candidates(
    logits: Float[Tensor, "unit token class"], count: int, *, generator: Generator | None = None
) -> tuple[Int64[Tensor, "unit candidate token"], Float[Tensor, "unit candidate"]]:
    """Return the prediction and draws from a factorised model (samples), with their scores.

    candidates[u, 0] = argmax(logits[u]); the others are argmax(logits[u] + Gumbel noise), a draw from the softmax of
    every token; scores[u, k] = sum over tokens t of logits[u, t, candidates[u, k, t]].

    Args:
        logits: [unit, token, class], finite.
        count: candidates for each unit, the prediction among them, >= 1.
        generator: of the noise; None for torch's own.

    Returns:
        Candidates, int64 [unit, candidate, token], and their scores in the type of the logits [unit, candidate].

    Raises:
        InputError: logits of another shape, without classes or not finite, or a count < 1.

    Edge cases:
        A draw may repeat the prediction or another one; `Candidates` then shares the prediction among them. Without
        tokens every candidate is empty and scores 0.

    Gradient:
        Of the scores, 1 at every class that a candidate has. The draws have none.

    Cost:
        O(unit x candidate x token x class) time and memory.

    Reference:
        [lorberbom2019direct] section 3.

    Example:
        >>> logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
        >>> candidates, scores = gumbel_candidates(logits, 3, generator=torch.Generator().manual_seed(0))
        >>> candidates[0, 0].tolist(), scores[0, 0].item()
        ([0, 1], 3.0)
    """
    require_choices("gumbel_candidates", logits, None, "unit, token, class", name="logits")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise fail("gumbel_candidates", f"count is {count!r}", "a whole number >= 1")
    units, tokens, _ = logits.shape
    with torch.no_grad():
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        drawn = wide.new_empty(units, count - 1, *logits.shape[1:]).exponential_(generator=generator)
        drawn = (wide[:, None] - drawn.log()).argmax(3)  # minus the logarithm of an exponential is a Gumbel
        candidates = torch.cat([wide.argmax(2)[:, None], drawn], 1)  # [unit, candidate, token]
    each = logits[:, None].expand(-1, count, -1, -1).gather(3, candidates[..., None])
    return candidates, each.reshape(units, count, tokens).sum(2)


def require_choices(caller: str, scores: Any, mask: Any, axes: str, *, name: str = "scores") -> None:
    """Raise InputError unless scores have these axes, a last one that is not empty, and finite numbers.

    Args:
        caller: for the message.
        scores: to be checked; what stands where the mask is False may be anything.
        mask: None, or bool with the shape of the first two axes.
        axes: names, separated by a comma and a space.
        name: of the scores, for the message.
    """
    names = axes.split(", ")
    shaped = isinstance(scores, Tensor) and scores.ndim == len(names) and scores.is_floating_point()
    if not shaped or scores.shape[-1] == 0:
        raise fail(
            caller,
            f"{name} are {describe(scores)}",
            f"a floating-point tensor ({axes}) with at least one {names[-1]}",
        )
    places = scores.shape[:2]
    if mask is not None and (
        not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != places
    ):
        raise fail(caller, f"mask is {describe(mask)}", f"bool of the shape {tuple(places)}, or None")
    require_finite(caller, name, scores.masked_fill(~_all_there(scores, mask), 0))


def _all_there(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mask, spread over the axes of the scores that it has not."""
    if mask is None:
        return torch.ones_like(scores, dtype=torch.bool)
    return mask.view(*mask.shape, *[1] * (scores.ndim - mask.ndim)).expand(scores.shape)


def _total(statistic: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    return (statistic * values.double().masked_fill(~_all_there(values, mask), 0)).sum(1)
