"""kNN classification: the class of a query by a vote of the items nearest to it. Exact, no gradient.

An embedding that retrieves well classifies well without a classifier, also for classes that training never saw, and
where a classifier's softmax forgets rare classes. The neighbours come from `nearest.py`: by similarity, then by
index, in tiles, so that the result is the same whatever the tile, engine or number of threads.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail, nearest, positive_number, require_ks
from metricgrad._labels import Labels, number_labels
from metricgrad._safe import or_one
from metricgrad.metrics.nearest import NearestItems, nearest_items
from metricgrad.metrics.own_references import same_rows
from metricgrad.metrics.query_rows import voted
from metricgrad.metrics.ranks import as_numbers

__all__ = ["KnnPrediction", "knn_accuracy", "knn_classify", "knn_classify_from_scores", "knn_error"]

Weights = Literal["uniform", "similarity"]

_TIE = 1e-12
"""Probabilities that differ by less, relative to the larger one, are equal: they are sums of rounded votes."""


class KnnPrediction(NamedTuple):
    """What the neighbours of every query say.

    Attributes:
        classes: the distinct labels, ascending; the tensors below number them.
        winner: number of the predicted class, -1 where no neighbour votes.
        candidates: classes among the neighbours, ascending; -1 where there are fewer than neighbours.
        probabilities: of the candidates; 0 where padded. All other classes have probability 0.
        neighbours: the items that voted.
    """

    classes: np.ndarray
    winner: Int[Tensor, " query"]
    candidates: Int[Tensor, "query k"]
    probabilities: Float[Tensor, "query k"]
    neighbours: NearestItems

    def labels(self) -> list[Any]:
        """Return the predicted label of every query, None where no neighbour votes."""
        known = [*self.classes.tolist(), None]
        return [known[number] for number in self.winner.tolist()]


def knn_classify(
    queries: Float[Tensor, "query dim"],
    references: Float[Tensor, "item dim"],
    labels: Labels,
    *,
    k: int = 5,
    weights: Weights = "uniform",
    temperature: float = 0.07,
    prior_ratio: Mapping[Any, float] | None = None,
    exclude: Int[Tensor, " query"] | None = None,
    normalize: bool = True,
) -> KnnPrediction:
    """Predict the class of every query by a vote of its k nearest items (exact).

        P(c) = sum of the votes of the neighbours of class c / sum of all votes,    times prior_ratio[c], renormalised
        vote = 1 (uniform)  or  exp((s - s_nearest) / temperature) (similarity)

    The winner is the most probable class; of equals (to 1e-12, relative) the one with the larger sum of similarities
    among the neighbours, then the smaller label.

    Args:
        queries: one row per query.
        references: the labelled items. If this is the very tensor of the queries, each query is left out of its own
            neighbours.
        labels: one per item, whole numbers or strings.
        k: number of neighbours, >= 1.
        weights: `uniform` or `similarity`.
        temperature: of the similarity vote, in units of similarity, > 0; small ones ask the nearest item alone.
        prior_ratio: for each label, how much more frequent its class is where the prediction is used than among the
            items: target prior / training prior, >= 0.
        exclude: index of one item per query that is passed over; -1 for none.
        normalize: cosine; False for the dot product.

    Returns:
        Winner, candidates with probabilities, and the neighbours, on the device of the search.

    Raises:
        InputError: as `nearest_items`; labels of another length or type; a temperature <= 0; unknown weights; a
            label without prior ratio or a negative one.

    Edge cases:
        ties: by index among items; between classes as above. k > number of items: all items. No item to vote, or
        prior ratio 0 for all that do: no winner (-1), probabilities 0.

    Gradient: none.

    Cost:
        That of `nearest_items`, and O(query x k x log k); memory O(query x k), whatever the number of classes.

    Reference:
        [picek2022plant] for the use of retrieval embeddings; k, temperature and the prior's form are ours.

    Example:
        >>> items = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> knn_classify(torch.tensor([[1.0, 0.1]]), items, ["a", "b", "b", "c"], k=3).labels()
        ['b']
    """
    caller = "knn_classify"
    _check(caller, k, weights, temperature)
    if exclude is None and same_rows(references, queries):
        exclude = torch.arange(len(queries))
    found = nearest_items(queries, references, k, exclude=exclude, normalize=normalize)
    return _vote(caller, found, labels, len(references), weights, temperature, prior_ratio)


def knn_classify_from_scores(
    scores: Shaped[Tensor, "query item"],
    labels: Labels,
    *,
    k: int = 5,
    weights: Weights = "uniform",
    temperature: float = 0.07,
    prior_ratio: Mapping[Any, float] | None = None,
    exclude: Int[Tensor, " query"] | None = None,
) -> KnnPrediction:
    """Predict the class of every query from given similarities to labelled items (exact).

    The vote of `knn_classify` for similarities that are at hand, of any kind.

    Args:
        scores: higher is nearer; any real numbers.
        labels: one per item.
        k: as there, like all that follows.
        weights: as there.
        temperature: as there.
        prior_ratio: as there.
        exclude: as there.

    Returns:
        As there; similarities in float64.

    Raises:
        InputError: as there; scores that are no matrix, NaN or infinite.

    Edge cases: as there.

    Gradient: none.

    Cost:
        O(query x item x log item).

    Example:
        >>> found = knn_classify_from_scores(torch.tensor([[0.9, 0.8, 0.7]]), [7, 3, 3], k=3)
        >>> found.labels(), found.candidates
        ([3], tensor([[ 0,  1, -1]]))
    """
    caller = "knn_classify_from_scores"
    _check(caller, k, weights, temperature)
    if scores.ndim != 2 or not bool(torch.isfinite(scores).all()):
        raise fail(caller, f"scores are {describe(scores)}", "a matrix (query, item) of finite numbers")
    queries, items = scores.shape
    similarities, order = scores.detach().double(), as_numbers(scores.detach())
    if exclude is not None:
        if exclude.shape != (queries,) or not bool(((exclude >= -1) & (exclude < items)).all()):
            raise fail(
                caller, f"exclude is {describe(exclude)}", f"{queries} item numbers, -1 (none) to {items - 1}"
            )
        rows = (exclude >= 0).nonzero()[:, 0]
        order = order.index_put((rows, exclude[rows]), order.new_tensor(-torch.inf))
    best = order.sort(dim=1, descending=True, stable=True)  # equals stay in the order of their index
    item, there = best.indices[:, :k], best.values[:, :k] > -torch.inf
    similarity = similarities.gather(1, item).masked_fill(~there, -torch.inf)
    item = item.masked_fill(~there, -1)
    return _vote(caller, NearestItems(item, similarity), labels, items, weights, temperature, prior_ratio)


def knn_accuracy(
    embeddings: Float[Tensor, "query dim"],
    labels: Labels,
    *,
    reference_embeddings: Float[Tensor, "item dim"] | None = None,
    reference_labels: Labels | None = None,
    k: int = 5,
    weights: Weights = "uniform",
    temperature: float = 0.07,
    normalize: bool = True,
) -> Float[Tensor, " query"]:
    """1 where the k nearest items vote for the query's own class, else 0 (exact); its mean is kNN accuracy.

    Args:
        embeddings: one row per query.
        labels: one per query, whole numbers or strings.
        reference_embeddings: the items that vote; None for the other embeddings (leave one out).
        reference_labels: one per reference.
        k: number of neighbours, >= 1; 1 is the nearest-neighbour classifier.
        weights: `uniform` or `similarity`, as in `knn_classify`.
        temperature: of the similarity vote, > 0.
        normalize: cosine; False for the dot product.

    Returns:
        One float64 value per query, 0 or 1.

    Raises:
        InputError: as `knn_classify`; references without labels or the other way round.

    Edge cases:
        ties: as `knn_classify`. No item to vote: NaN. A class that no item has cannot win: 0.

    Gradient: none; `losses.recall_at_k_loss` pulls the same neighbours.

    Cost: as `knn_classify`.

    Reference:
        [picek2022plant]

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> knn_accuracy(points, ["a", "a", "b", "b"], k=1)
        tensor([1., 1., 0., 1.], dtype=torch.float64)
    """
    caller = "knn_accuracy"
    if (reference_embeddings is None) != (reference_labels is None):
        raise fail(caller, "one of reference_embeddings and reference_labels came alone", "both or neither")
    items = embeddings if reference_embeddings is None else reference_embeddings
    sets = (
        {"labels": labels}
        if reference_labels is None
        else {"labels": labels, "reference_labels": reference_labels}
    )
    codes = number_labels(caller, sets).codes
    if len(codes[0]) != len(embeddings):
        raise fail(
            caller, f"{len(codes[0])} labels for {len(embeddings)} embeddings", "one label per embedding"
        )
    found = knn_classify(
        embeddings, items, codes[-1], k=k, weights=weights, temperature=temperature, normalize=normalize
    )
    won = torch.from_numpy(np.append(found.classes, -1)).to(found.winner.device)[found.winner]  # -1: nobody
    right = won == codes[0].to(won.device)
    return torch.where(found.winner >= 0, right.double(), torch.nan)


def knn_error(
    embeddings: Float[Tensor, "query dim"],
    labels: Labels,
    *,
    reference_embeddings: Float[Tensor, "item dim"] | None = None,
    reference_labels: Labels | None = None,
    k: int = 5,
    weights: Weights = "uniform",
    temperature: float = 0.07,
    normalize: bool = True,
) -> Float[Tensor, " query"]:
    """1 where the k nearest items vote for another class than the query's, else 0 (exact); 1 - `knn_accuracy`.

    Args:
        embeddings: one row per query.
        labels: one per query, whole numbers or strings.
        reference_embeddings: the items that vote; None for the other embeddings (leave one out).
        reference_labels: one per reference.
        k: number of neighbours, >= 1.
        weights: `uniform` or `similarity`, as in `knn_classify`.
        temperature: of the similarity vote, > 0.
        normalize: cosine; False for the dot product.

    Returns:
        One float64 value per query, 0 or 1, lower is better.

    Raises:
        InputError: as `knn_accuracy`.

    Edge cases: as `knn_accuracy`: no item to vote is NaN, a class that no item has is 1.

    Gradient: none.

    Cost: as `knn_classify`.

    Reference:
        [picek2022plant]

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
        >>> knn_error(points, ["a", "a", "b", "b"], k=1)
        tensor([0., 0., 1., 0.], dtype=torch.float64)
    """
    references = {"reference_embeddings": reference_embeddings, "reference_labels": reference_labels}
    vote = {"weights": weights, "temperature": temperature, "normalize": normalize}
    return 1 - knn_accuracy(embeddings, labels, **references, k=k, **vote)


def _check(caller: str, k: int, weights: str, temperature: float) -> None:
    """Raise InputError for settings that do not fit."""
    require_ks(caller, (k,))
    if weights not in get_args(Weights):
        known = get_args(Weights)
        raise fail(
            caller, f"weights is {weights!r}", "'uniform' or 'similarity'", nearest(str(weights), known)
        )
    positive_number(caller, "temperature", temperature)


def _vote(
    caller: str,
    neighbours: NearestItems,
    labels: Labels,
    items: int,
    weights: str,
    temperature: float,
    prior_ratio: Mapping[Any, float] | None,
) -> KnnPrediction:
    """Add up the votes of the neighbours class by class."""
    item, similarity = neighbours
    device = item.device
    numbered = number_labels(caller, {"labels": labels}, device=device)
    (codes,), classes = numbered.codes, numbered.classes
    if len(codes) != items:
        raise fail(caller, f"{len(codes)} labels for {items} items", "one label per item")
    none = len(classes)  # the code of a place without neighbour sorts behind all classes
    known = torch.cat([codes, codes.new_tensor([none])])
    codes_there, order = known[item].sort(dim=1, stable=True)  # [query, k] class by class, nearest first
    there = codes_there < none
    similarity = similarity.gather(1, order).masked_fill(~there, 0)
    votes = there.double()
    if weights == "similarity" and item.shape[1]:
        votes = votes * ((similarity - neighbours.similarity[:, :1]) / temperature).exp().masked_fill(
            ~there, 0
        )
    first = torch.ones_like(there)
    first[:, 1:] = codes_there[:, 1:] != codes_there[:, :-1]
    place = first.cumsum(1) - 1  # [query, k] which of the query's classes
    nothing = torch.zeros_like(similarity)
    votes = nothing.scatter_add(1, place, votes)  # [query, class]: at most k classes a query
    sums = nothing.scatter_add(1, place, similarity)
    candidates = torch.full_like(codes_there, none).scatter(1, place, codes_there)
    probabilities = _shares(votes)
    if prior_ratio is not None:
        ratios = torch.tensor(
            [*_ratios(caller, classes, prior_ratio), 0.0], dtype=torch.float64, device=device
        )
        probabilities = _shares(probabilities * ratios[candidates])
    winner = _winner(probabilities, sums, candidates)
    return KnnPrediction(
        classes, winner, candidates.masked_fill(candidates == none, -1), probabilities, neighbours
    )


def _shares(votes: Float[Tensor, "query k"]) -> Float[Tensor, "query k"]:
    """Divide by the sum of the row; rows of zeros stay."""
    total = votes.sum(1, keepdim=True)
    return votes / or_one(total)


def _winner(probabilities: Tensor, sums: Tensor, candidates: Tensor) -> Int[Tensor, " query"]:
    """Return the winning class: most probable, then largest sum of similarities, then smallest number."""
    if candidates.shape[1] == 0:
        return candidates.new_full((len(candidates),), -1)
    best = probabilities.amax(1, keepdim=True)
    tied = (probabilities > 0) & (probabilities >= best * (1 - _TIE))
    sums = sums.masked_fill(~tied, -torch.inf)
    tied &= sums == sums.amax(1, keepdim=True)
    place = tied.to(torch.int8).argmax(1, keepdim=True)  # the first of them: candidates ascend
    return torch.where(tied.any(1), candidates.gather(1, place)[:, 0], -1)


def _ratios(caller: str, classes: np.ndarray, prior_ratio: Mapping[Any, float]) -> list[float]:
    """Return the prior ratio of each class, in their order."""
    missing = [label for label in classes.tolist() if label not in prior_ratio]
    if missing:
        raise fail(
            caller,
            f"prior_ratio has no value for {len(missing)} labels, {missing[0]!r} first",
            "one for each",
        )
    return [
        positive_number(caller, f"prior_ratio[{label!r}]", prior_ratio[label], zero=True)
        for label in classes.tolist()
    ]


FACTS = (voted(knn_accuracy, "right"), voted(knn_error, "wrong", higher_is_better=False))
