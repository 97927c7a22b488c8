"""Triplet loss with the hardest negative: a relevant item must be nearer than the nearest irrelevant one, by a margin.

It looks at the one item that costs the first rank, so that it is close to recall@1 and reciprocal rank. Helps where
an embedding already ranks fairly well and batches are large (512 pairs and more). From random weights the hardest
negative can collapse the embedding: begin with a proxy loss. Noisy labels hurt, since the hardest negative may be
relevant and not judged.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad._checks import Number, positive_number
from metricgrad._labels import Labels
from metricgrad._safe import share
from metricgrad.losses.similarities import compared, in_directions

__all__ = ["hardest_triplet_loss"]

SPACE = {"margin": (0.1, 0.2, 0.3, 0.4)}
"""Values that tries draw from."""


def hardest_triplet_loss(
    embeddings: Float[Tensor, "query dim"],
    targets: Labels | Tensor,
    *,
    documents: Float[Tensor, "document dim"] | None = None,
    margin: Number = 0.2,
    symmetric: bool = False,
    normalize: bool = True,
    pairs: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, " query"]:
    """Return the triplet loss of every query with its hardest negative, the mean over its relevant items (surrogate).

    loss[q] = mean over relevant x of max(0, margin + max over irrelevant n of s[q, n] - s[q, x]), s the cosine.

    Args:
        embeddings: queries; without `documents` rows that are compared with each other.
        targets: relevance [query, document], above 0 is relevant (grades do not weigh); without `documents` one label
            per row: rows with the same label are relevant to each other, and no row meets itself.
        documents: the other side, each document once.
        margin: > 0, in units of cosine; 0.1 to 0.4 are usual.
        symmetric: the mean of both directions, queries against documents and documents against queries. The loss of a
            document counts for the queries that it is relevant to. It changes nothing for rows under labels.
        normalize: scale rows to length 1 first, so that similarities are cosines.
        pairs: bool [query, item], which pairs are compared, as a miner chooses them; None for all. An item that a
            query is not compared with is neither relevant to it nor a negative.

    Returns:
        One value per query, lower is better, from 0 to margin + 2 on cosines.

    Raises:
        InputError: shapes that do not fit; margin <= 0 or asking for a gradient.

    Edge cases:
        A query without a relevant item has 0 and zero gradient: average with `mean_valid(loss, mask)`. A query to
        which everything is relevant has 0, too. A collapsed embedding has the loss `margin`.

    Gradient:
        Exact: to each relevant item within the margin and to the hardest negative; equal hardest negatives share it.
        0 where the margin is kept. float32 for half precision.

    Cost:
        O(query item dim) time, O(query item) memory, beyond 256 MB in chunks of queries that are recomputed in the
        backward pass. `symmetric` doubles both.

    Differs from the paper:
        Similarities are cosines, as in VSE++ [faghri2018vsepp], not squared distances; of unit rows the order is the
        same. All relevant items count, not one drawn at random. VSE++ adds the two directions, `symmetric` is their
        mean.

    Reference:
        [schroff2015facenet] section 3.2; [faghri2018vsepp] for cosines and both directions.

    Example:
        >>> queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> documents = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> hardest_triplet_loss(queries, torch.tensor([[1, 0, 0], [0, 1, 0]]), documents=documents)
        tensor([0.0000, 0.4000])
    """
    margin = positive_number("hardest_triplet_loss", "margin", margin)

    def one_way(similarities: Tensor, relevant: Tensor) -> Tensor:
        negative = ~relevant & (similarities > -torch.inf)
        rivals = negative.any(1, keepdim=True)  # [query, 1]
        masked = torch.where(negative, similarities, -torch.inf)
        hardest = torch.where(rivals, masked, 0).amax(1, keepdim=True)
        lost = torch.where(relevant & rivals, margin + hardest - similarities, 0).clamp(min=0)
        return share(lost.sum(1), relevant.sum(1))

    sides = compared("hardest_triplet_loss", embeddings, targets, documents, normalize=normalize, pairs=pairs)
    return in_directions(sides, one_way, symmetric=symmetric)
