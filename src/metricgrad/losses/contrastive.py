"""Supervised contrastive loss: the usual proxy that an embedding is trained with before it is tuned for a metric.

It pulls rows of one class together against all others. It gives good starting embeddings and is the control arm
that a metric loss has to beat; it does not optimise any reported metric itself.
"""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import Number, describe, fail, positive_number, require_matrix
from metricgrad._labels import Labels, number_labels
from metricgrad.losses.row_chunks import in_row_chunks
from metricgrad.pairing.similarity import unit_rows

__all__ = ["contrast", "supcon_loss"]

SPACE = {"temperature": (0.04, 0.07, 0.1)}
"""Values that tries draw from."""


def supcon_loss(
    embeddings: Float[Tensor, "query dim"],
    targets: Labels,
    *,
    temperature: Number = 0.07,
    positives: Literal["outside", "inside"] = "outside",
    normalize: bool = True,
    base_temperature: Number | None = None,
) -> Float[Tensor, " query"]:
    """Return the supervised contrastive loss of every row as anchor (exact value of a proxy loss).

    With A all rows but the anchor a and Pos its rows of the same label, s = <f_a, f_b> / temperature:
    outside: LSE over A of s - mean over Pos of s;  inside: LSE over A of s - LSE over Pos of s + log |Pos|.

    Args:
        embeddings: rows.
        targets: integer or string labels, one per row; views of one picture are rows with equal labels.
        temperature: > 0; tau, a number. 0.07 is the value of the public code. To learn it: unit rows divided by its
            square root, with temperature=1 and normalize=False.
        positives: whether the mean over positives stands outside or inside of the logarithm.
        normalize: scale rows to length 1 first.
        base_temperature: None, or a value > 0: the loss times temperature / base_temperature, as the public code.

    Returns:
        One value per row, >= 0, lower is better.

    Raises:
        InputError: temperature <= 0 or asking for a gradient; labels of another number than rows; unknown `positives`.

    Edge cases:
        An anchor without positive has 0 and zero gradient: average with
        `mean_valid(loss, has_positive(targets))`. An empty batch gives an empty loss.

    Gradient:
        Exact. The log-sum-exp takes its maximum over A only, so that it stays right where all others are opposite;
        float32 for half precision.

    Cost:
        O(query^2 dim) time, O(query^2) memory; beyond 256 MB of similarities in row chunks that are recomputed
        in the backward pass.

    Differs from the paper:
        Nothing at the defaults. The public code counts an anchor without positives as 0 and divides by all anchors;
        `mean_valid` with `has_positive` divides by those that have one.

    Reference:
        [khosla2020supcon] equations 2 (outside) and 3 (inside).

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> supcon_loss(embeddings, [0, 0, 1, 1], temperature=0.5)
        tensor([0.2395, 0.2395, 0.2395, 0.2395])
    """
    require_matrix("supcon_loss", "embeddings", embeddings, "query, dim")
    if positives not in ("outside", "inside"):
        raise fail("supcon_loss", f"positives is {positives!r}", "'outside' or 'inside'")
    temperature = positive_number("supcon_loss", "temperature", temperature)
    factor = (
        1.0
        if base_temperature is None
        else temperature / positive_number("supcon_loss", "base_temperature", base_temperature)
    )
    (codes,) = number_labels("supcon_loss", {"targets": targets}, device=embeddings.device).codes
    if len(codes) != len(embeddings):
        raise fail(
            "supcon_loss", f"{len(codes)} targets for embeddings {describe(embeddings)}", "one label per row"
        )
    rows = unit_rows(embeddings) if normalize else embeddings
    rows = rows if rows.dtype == torch.float64 else rows.float()
    anchors = torch.nonzero(torch.bincount(codes)[codes] > 1).squeeze(1) if len(codes) else codes
    losses = contrast(rows, codes, anchors, temperature=temperature, inside=positives == "inside") * factor
    return torch.zeros(len(rows), dtype=losses.dtype, device=losses.device).index_add(0, anchors, losses)


def contrast(
    rows: Float[Tensor, "item dim"],
    codes: Int[Tensor, " item"],
    anchors: Int[Tensor, " anchor"],
    *,
    temperature: float,
    inside: bool = False,
    apart: int | None = None,
) -> Float[Tensor, " anchor"]:
    """Return the loss of some rows as anchors against all others, where they are many in chunks.

    Args:
        rows: float32 or wider.
        codes: class of every row.
        anchors: numbers of rows, each with another one of its class.
        temperature: tau.
        inside: the mean over positives stands inside of the logarithm.
        apart: number of the first row of those that do not meet each other as anchors; None for none.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return in_row_chunks(
            partial(_of_anchors, codes, temperature, inside, apart),
            anchors,
            (rows,),
            # alive in the backward pass: logits, their softmax, and both once more for "inside"
            row_bytes=4 * len(rows) * rows.element_size(),
        )


def _of_anchors(
    codes: Tensor, temperature: float, inside: bool, apart: int | None, anchors: Tensor, rows: Tensor
) -> Tensor:
    logits = (rows.index_select(0, anchors) / temperature) @ rows.T  # [anchor, item]
    logits[torch.arange(len(anchors), device=rows.device), anchors] = -torch.inf
    if apart is not None:
        later = torch.arange(len(rows), device=rows.device) >= apart
        logits = logits.masked_fill((anchors >= apart).unsqueeze(1) & later, -torch.inf)
    others = torch.logsumexp(logits, 1)
    of_class = codes[anchors]
    counts = torch.bincount(codes)
    positives = (counts[of_class] - 1).to(rows.dtype)  # [anchor]
    if inside:
        elsewhere = codes != of_class.unsqueeze(1)
        return others - torch.logsumexp(logits.masked_fill(elsewhere, -torch.inf), 1) + positives.log()
    # the mean of the similarities is the similarity to the mean: no mask [anchor, item] is needed
    sums = torch.zeros(len(counts), rows.shape[1], dtype=rows.dtype, device=rows.device)
    # index_select: the gradient of indexing would be added by several threads in the order of their coming
    of_anchors = sums.index_add(0, codes, rows).index_select(0, of_class)
    means = (of_anchors - rows.index_select(0, anchors)) / positives.unsqueeze(1)  # [anchor, dim]
    return others - (rows.index_select(0, anchors) * means).sum(1) / temperature
