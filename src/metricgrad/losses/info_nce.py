"""InfoNCE: a query's document must win against all other documents of the batch, in a softmax of similarities.

The usual proxy loss for pairs of queries and documents, and the control that a metric loss has to beat there. It
optimises no reported metric. Large batches help: the other pairs of the batch are the negatives.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from metricgrad._checks import Number, positive_number
from metricgrad._labels import Labels
from metricgrad._safe import share
from metricgrad.losses.similarities import compared, in_directions

__all__ = ["info_nce_loss"]

SPACE = {"temperature": (0.02, 0.05, 0.1, 0.3)}
"""Values that tries draw from."""


def info_nce_loss(
    embeddings: Float[Tensor, "query dim"],
    targets: Labels | Tensor,
    *,
    documents: Float[Tensor, "document dim"] | None = None,
    temperature: Number = 0.05,
    symmetric: bool = False,
    normalize: bool = True,
    pairs: Bool[Tensor, "query item"] | None = None,
) -> Float[Tensor, " query"]:
    """Return the InfoNCE loss of every query, the mean over its relevant documents (exact value of a proxy loss).

    With s = <q, d> / temperature and N the documents that are not relevant to q:
    loss[q] = mean over relevant d of -log(exp s[q, d] / (exp s[q, d] + sum over n in N of exp s[q, n])).
    The other relevant documents of q are in no denominator.

    Args:
        embeddings: queries; without `documents` rows that are compared with each other.
        targets: relevance [query, document], above 0 is relevant (grades do not weigh); without `documents` one label
            per row: rows with the same label are relevant to each other, and no row meets itself.
        documents: the other side, each document once.
        temperature: > 0, a number.
        symmetric: the mean of both directions, queries against documents and documents against queries. The loss of a
            document counts for the queries that it is relevant to. It changes nothing for rows under labels.
        normalize: scale rows to length 1 first.
        pairs: bool [query, item], which pairs are compared, as a miner chooses them; None for all. An item that a
            query is not compared with is neither relevant to it nor a negative.

    Returns:
        One value per query, >= 0, lower is better.

    Raises:
        InputError: shapes that do not fit; temperature <= 0 or asking for a gradient.

    Edge cases:
        A query without a relevant document has 0 and zero gradient: average with `mean_valid(loss, mask)`. A query
        to which everything is relevant has 0, too. Documents that are relevant to no query are negatives.

    Gradient:
        Exact; float32 for half precision.

    Cost:
        O(query document dim) time, O(query document) memory, beyond 256 MB in chunks of queries that are recomputed
        in the backward pass. `symmetric` doubles both.

    Differs from the paper:
        With one relevant document per query it is theirs, with one other row of the label NT-Xent [chen2020simclr],
        and `symmetric` gives the loss of CLIP [radford2021clip]. Several relevant documents are masked out of each
        other's denominator: they are no negatives.

    Reference:
        [oord2018cpc] equation 4.

    Example:
        >>> queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> documents = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> info_nce_loss(queries, torch.eye(2, 3), documents=documents, temperature=0.5)
        tensor([0.1429, 0.2395])
    """
    temperature = positive_number("info_nce_loss", "temperature", temperature)

    def one_way(similarities: Tensor, relevant: Tensor) -> Tensor:
        logits = similarities / temperature  # [query, item]
        negative = ~relevant & (logits > -torch.inf)
        rivals = negative.any(1, keepdim=True)
        # a query without negatives has no sum to take: 0 stands there, and its loss is 0
        of_negatives = torch.where(rivals, logits.masked_fill(~negative, -torch.inf), 0).logsumexp(1)
        ahead = torch.where(relevant & rivals, logits - of_negatives.unsqueeze(1), 0)
        lost = torch.where(relevant & rivals, -logsigmoid(ahead), 0)
        return share(lost.sum(1), relevant.sum(1))

    sides = compared("info_nce_loss", embeddings, targets, documents, normalize=normalize, pairs=pairs)
    return in_directions(sides, one_way, symmetric=symmetric)
