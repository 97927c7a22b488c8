"""From labels to relevance: integer codes, and the positives of every query as lists of item numbers."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from metricgrad._labels import Labels, number_labels

__all__ = ["has_positive", "label_codes", "positive_lists", "without_query"]


def label_codes(
    *label_sets: Labels, device: torch.device | str | None = None
) -> tuple[Int[Tensor, " item"], ...]:
    """Map labels to integer codes 0, 1, ... by equality, across all given sets.

    Args:
        *label_sets: each a 1-D tensor or array, or a sequence of scalars, texts or 0-d tensors.
        device: where the codes go; default: where the first tensor among the sets is, else the CPU.

    Returns:
        One int64 tensor per set; equal codes mean equal labels. Codes keep the order of numbers and of texts.

    Raises:
        InputError: a set is not one-dimensional; a label is missing, no whole number and no text; texts beside
            numbers.

    Example:
        >>> label_codes(["cat", "dog", "cat"], ["dog"])
        (tensor([0, 1, 0]), tensor([1]))
    """
    names = ("labels", *(f"the labels of set {number + 1}" for number in range(1, len(label_sets))))
    return number_labels("label_codes", dict(zip(names, label_sets, strict=True)), device=device).codes


def positive_lists(
    codes: Int[Tensor, " query"],
    item_codes: Int[Tensor, " item"],
    *,
    queries_are_items: bool,
    query_is_positive: bool = False,
) -> tuple[Int[Tensor, "query positive"], Int[Tensor, " query"]]:
    """List for every query the items with its code, without storing query x item.

    Args:
        codes: codes of the queries.
        item_codes: codes of the items.
        queries_are_items: whether query i is item i, which is then left out of its own list.
        query_is_positive: keep it in, for a query that has another positive.

    Returns:
        Item numbers in ascending order, padded with 0 to the longest list (at least one column), and the lengths.

    Cost:
        O((query + item) log item + query x positive).

    Example:
        >>> codes = torch.tensor([0, 1, 0])
        >>> positive_lists(codes, codes, queries_are_items=True)
        (tensor([[2],
                [0],
                [0]]), tensor([1, 0, 1]))
    """
    ordered, order = torch.sort(item_codes, stable=True)
    first = torch.searchsorted(ordered, codes)
    counts = torch.searchsorted(ordered, codes, right=True) - first
    skipped = None
    if queries_are_items:
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        skipped = place - first  # where in its own list the query stands
        counts = torch.where(counts > 1, counts, 0) if query_is_positive else counts - 1
    width = max(1, int(counts.max())) if len(counts) else 1
    columns = torch.arange(width, device=codes.device).expand(len(codes), -1)  # [query, positive]
    valid = columns < counts.unsqueeze(1)
    if skipped is not None and not query_is_positive:
        columns = columns + (columns >= skipped.unsqueeze(1))
    places = torch.where(valid, first.unsqueeze(1) + columns, 0)
    lists = order[places] if len(order) else places
    return lists.masked_fill_(~valid, 0), counts


def without_query(
    positives: Int[Tensor, "query positive"],
    counts: Int[Tensor, " query"],
    query_item: Int[Tensor, " query"],
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """Take each query out of the list of its positives, or (`keep`) leave it beside another one only.

    Args:
        positives: lists as `positive_lists` makes them.
        counts: their lengths.
        query_item: which item each query is, -1 for none.
        keep: whether a query stays in the list of one that has another positive.
    """
    columns = torch.arange(positives.shape[1], device=positives.device)
    own = (positives == query_item.unsqueeze(1)) & (columns < counts.unsqueeze(1))  # [query, positive]
    found = own.any(1)
    if keep:
        return positives, torch.where(found & (counts == 1), 0, counts)
    counts = counts - found.long()
    width = max(1, int(counts.max())) if len(counts) else 1
    # From the query's own place on the next one moves up.
    columns = columns[:width] + (own.cumsum(1)[:, :width] > 0).long()  # [query, positive]
    moved = positives.gather(1, columns.clamp(max=positives.shape[1] - 1))
    valid = torch.arange(width, device=positives.device) < counts.unsqueeze(1)
    return moved.masked_fill_(~valid, 0), counts


def has_positive(labels: Labels) -> Bool[Tensor, " query"]:
    """Return for every row whether another row has its label: whether a loss or metric is defined for it.

    Args:
        labels: integers or strings, one per row.

    Returns:
        A mask; with it, `mean_valid(loss, mask)` averages over the rows that count.

    Raises:
        InputError: labels that are not one-dimensional.

    Example:
        >>> has_positive(["cat", "dog", "cat"])
        tensor([ True, False,  True])
    """
    (codes,) = label_codes(labels)
    return torch.bincount(codes)[codes] > 1 if len(codes) else codes > 1
