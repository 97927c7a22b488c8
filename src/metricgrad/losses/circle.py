"""Circle loss: similar pairs are drawn together and others pushed apart, the harder the further they are from right.

Every similarity has a weight of its own, how far it is from where it should be, so that pairs which are right already
do not pull. A proxy for verification and retrieval: it optimises no reported metric. Batches need several samples of
each class. `circle_class_loss` is the same with one weight vector per class instead of pairs.
"""

import math
import warnings
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from metricgrad._checks import Number, fail, finite_number, positive_number
from metricgrad._labels import Labels
from metricgrad.losses.row_chunks import rows_at_once
from metricgrad.losses.similarities import Compared, compared, mean_of_directions

__all__ = ["circle_loss", "circle_sums", "log_of_one_and", "margin_and_scale"]

SPACE = {"margin": (0.25, 0.4), "scale": (32.0, 80.0, 256.0)}
"""Values that tries draw from."""

ALIVE = 8
"""Matrices of similarities that a chunk has at once."""


def circle_loss(
    embeddings: Float[Tensor, "query dim"],
    targets: Labels | Tensor,
    *,
    documents: Float[Tensor, "document dim"] | None = None,
    margin: Number = 0.4,
    scale: Number = 80.0,
    pooling: Literal["anchor", "batch"] = "anchor",
    symmetric: bool = False,
    normalize: bool = True,
    pairs: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, "*query"]:
    """Return the circle loss of every row as anchor (exact value of a proxy loss; its weights are constants).

    With s_p the similarities to the rows of the anchor's label, s_n those to all others:
    loss = log(1 + sum_n exp(scale a_n (s_n - margin)) * sum_p exp(-scale a_p (s_p - 1 + margin))),
    a_p = max(0, 1 + margin - s_p), a_n = max(0, s_n + margin). One pair on s_n^2 + (s_p - 1)^2 = 2 margin^2: ln 2.

    Args:
        embeddings: rows; with `documents` queries.
        targets: one label per row; with `documents` the relevance [query, document], above 0 is relevant.
        documents: the other side, each document once.
        margin: m; 0.25 to 0.4 are usual.
        scale: gamma, > 0.
        pooling: `anchor`, the sums of every anchor are multiplied by each other; `batch`, the sums over all pairs of
            the batch, each pair once: one value for the batch.
        symmetric: with documents, the mean of both directions, see `info_nce_loss`; for `anchor` only.
        normalize: scale rows to length 1 first, so that similarities are cosines.
        pairs: bool [query, item], which pairs are compared, as a miner chooses them; None for all. An item that a
            query is not compared with is neither relevant to it nor a negative.

    Returns:
        One value per row, a scalar for `batch`; >= 0, lower is better.

    Raises:
        InputError: scale <= 0; shapes that do not fit; unknown `pooling`; `pairs` with `batch`; a setting that asks
            for a gradient.

    Warns:
        UserWarning: a margin outside -1 to 1.

    Edge cases:
        An anchor without a positive or without a negative has 0 and zero gradient: average over the others with
        `mean_valid`. One whose loss is 0 by underflow counts. Duplicates (s_p = 1) still pull, with weight margin. NaN
        stays NaN.

    Gradient:
        As in the paper, a_p and a_n are constants: dloss/ds_n = Z softmax_n a_n scale and dloss/ds_p = -Z softmax_p a_p
        scale, Z = 1 - exp(-loss). That is not the derivative of the value. float32 for half precision: logits reach
        1,248 at margin 0.25 and scale 256.

    Cost:
        O(query item dim) time, three matrix products. 256 MB of similarities at once: chunks of queries, computed again
        in the backward pass. It cannot be differentiated twice.

    Differs from the paper:
        Nothing for `anchor`. `batch` is a form that circulates as code. pytorch-metric-learning has the loss of each
        anchor as here and averages over those above 0, so its mean differs where losses underflow.

    Reference:
        [sun2020circle] equations 6 and 10; batch losses and defaults of section 4.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
        >>> circle_loss(embeddings, [0, 0, 1, 1], margin=0.25, scale=8.0)
        tensor([1.5051, 5.4156, 4.4576, 1.0238])
    """
    margin, scale = margin_and_scale("circle_loss", margin, scale)
    if pooling not in ("anchor", "batch"):
        raise fail("circle_loss", f"pooling is {pooling!r}", "'anchor' or 'batch'")
    if pairs is not None and pooling == "batch":
        raise fail("circle_loss", "pairs came with pooling='batch'", "pooling='anchor', or no pairs")
    sides = compared("circle_loss", embeddings, targets, documents, normalize=normalize, pairs=pairs)

    def of_anchors(sides: Compared) -> Tensor:
        return log_of_one_and(circle_sums(sides, margin=margin, scale=scale).sum(1))

    def of_batch(sides: Compared) -> Tensor:
        return _of_batch(sides, circle_sums(sides, margin=margin, scale=scale))

    both = symmetric and pooling == "anchor"  # the pairs of a batch are the same both ways
    return mean_of_directions(sides, of_anchors if pooling == "anchor" else of_batch, symmetric=both)


def margin_and_scale(caller: str, margin: Number, scale: Number) -> tuple[float, float]:
    """Return both settings as floats.

    Raises:
        InputError: no finite numbers; scale <= 0.

    Warns:
        UserWarning: a margin outside -1 to 1.
    """
    margin, scale = finite_number(caller, "margin", margin), positive_number(caller, "scale", scale)
    if abs(margin) >= 1:
        warnings.warn(
            f"{caller}: margin is {margin:g}; cosines lie within -1 to 1, so every pair is on one side of it. "
            "0.25 to 0.4 are usual.",
            stacklevel=3,
        )
    return margin, scale


def circle_sums(sides: Compared, *, margin: float, scale: float) -> Float[Tensor, "query 2"]:
    """Return the logarithms of the sums over negatives and over positives of every query; -inf for a sum of nothing."""
    return _Sums.apply(sides.queries, sides.items, sides, margin, scale)  # pyright: ignore[reportReturnType]


def log_of_one_and(x: Float[Tensor, "*unit"]) -> Float[Tensor, "*unit"]:
    """Return log(1 + exp(x)), right at both ends; 0 without a gradient at -inf."""
    return torch.logaddexp(x, torch.zeros_like(x))


class _Sums(torch.autograd.Function):
    """Log-sum-exps of every query over its negatives and positives, with weights that are constants.

    Only the sums are kept for the backward pass, which computes the similarities again, chunk by chunk.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, items: Tensor, sides: Compared, margin: float, scale: float
    ) -> Tensor:
        sides = sides._replace(queries=queries, items=items)
        found = queries.new_empty(len(queries), 2)
        for places in _chunks(sides):
            logits, _, relevant = _logits(sides, places, margin, scale)
            found[places, 0] = logits.masked_fill(relevant, -torch.inf).logsumexp(1)
            found[places, 1] = logits.masked_fill_(~relevant, -torch.inf).logsumexp(1)
        ctx.save_for_backward(queries, items, found)
        ctx.asked = sides._replace(queries=queries[:0], items=items[:0]), margin, scale
        return found

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        queries, items, found = ctx.saved_tensors
        sides, margin, scale = ctx.asked
        sides = sides._replace(queries=queries, items=items)
        sums = found.masked_fill(found == -torch.inf, 0)
        of_queries, of_items = torch.empty_like(queries), torch.zeros_like(items)
        for places in _chunks(sides):
            logits, weights, relevant = _logits(sides, places, margin, scale)
            far, near = sums[places].split(1, 1)
            of_far, of_near = gradients[0][places].split(1, 1)
            slopes = logits.sub_(torch.where(relevant, near, far)).exp_()
            slopes = slopes.mul_(weights).mul_(torch.where(relevant, of_near, of_far))
            of_queries[places] = slopes @ items
            of_items += slopes.T @ queries[places]
        return of_queries, of_items, None, None, None


def _chunks(sides: Compared) -> tuple[Tensor, ...]:
    """Return the numbers of the queries, as many at once as the budget allows."""
    row_bytes = ALIVE * len(sides.items) * sides.queries.element_size()
    return torch.arange(len(sides.queries), device=sides.queries.device).split(rows_at_once(row_bytes))


def _logits(sides: Compared, places: Tensor, margin: float, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return scale a (s - border), signed, scale a and who is a positive; a query itself has logit -inf, weight 0."""
    similarities, relevant = sides.queries[places] @ sides.items.T, sides.relevant(places)
    ideals = torch.where(relevant, similarities.new_tensor(1 + margin), -margin)
    # of a positive at most 0, of a negative at least 0
    weights = (similarities - ideals).mul_(scale)
    weights = torch.where(relevant, weights.clamp_max(0), weights.clamp_min(0))
    borders = torch.where(relevant, similarities.new_tensor(1 - margin), margin)
    logits = similarities.sub_(borders).mul_(weights)
    apart = sides.apart(places)
    if apart is not None:
        logits.masked_fill_(apart, -torch.inf)
        weights.masked_fill_(apart, 0)
    return logits, weights, relevant


def _of_batch(sides: Compared, sums: Tensor) -> Tensor:
    """Return the loss of all pairs together; 0 where there is no pair of either kind."""
    if not bool((sums != -torch.inf).any(0).all()):  # NaN counts
        return sums.flatten()[:0].sum()
    of_pairs = sums.logsumexp(0)
    # rows that are compared with each other have every pair twice
    return log_of_one_and((of_pairs - math.log(2) * sides.own).sum())
