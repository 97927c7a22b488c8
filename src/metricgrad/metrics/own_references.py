"""Queries among their own references: each finds itself, and the figure says nothing.

Where the references are the queries in memory, each query is left out of its own items. A copy of a tensor is another
set of items, as far as a function can know; the records of metrics say it when every query stands in it.
"""

import warnings

import torch
from torch import Tensor

from metricgrad._labels import Labels, number_labels

__all__ = ["same_rows", "warn_of_queries_among"]


def same_rows(first: object, second: object) -> bool:
    """Whether two tensors are the same rows in memory: one tensor, or a view or a detached form of all of it.

    Example:
        >>> points = torch.eye(2)
        >>> same_rows(points, points.detach()), same_rows(points, points.clone()), same_rows(points, points.T)
        (True, False, False)
    """
    if first is second:
        return True
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return False
    facts = [(one.device, one.dtype, one.shape, one.stride(), one.data_ptr()) for one in (first, second)]
    return facts[0] == facts[1] and first.numel() > 0


def warn_of_queries_among(
    caller: str, queries: Tensor, labels: Labels, references: Tensor, reference_labels: Labels
) -> None:
    """Warn where every query stands among the references, number by number, with its own label.

    Queries that are mostly equal to each other (a collapsed model) say nothing of that kind.

    Cost: a comparison of one column; the rows themselves are compared only where that one agrees.
    """
    first, theirs_first = (one[:, 0].detach().cpu().double() for one in (queries, references))
    if not len(first) or not bool(torch.isin(first, theirs_first).all()):
        return
    codes, item_codes = number_labels(caller, {"labels": labels, "reference_labels": reference_labels}).codes
    rows = [row.tobytes() for row in queries.detach().cpu().double().numpy()]
    if len(set(rows)) <= len(rows) / 2:
        return
    alike = torch.isin(theirs_first, first).nonzero()[:, 0]  # of a large index, few
    theirs = references.detach()[alike.to(references.device)].cpu().double().numpy()
    found = set(zip(item_codes.cpu()[alike].tolist(), (row.tobytes() for row in theirs), strict=True))
    if all(pair in found for pair in zip(codes.tolist(), rows, strict=True)):
        warnings.warn(
            f"{caller}: every query is among the references with its own embedding and label, so each finds itself. "
            "Leave the references out, or leave the queries out of them.",
            stacklevel=3,
        )
