"""`evaluate --save-run`: the ranking of vectors as a TREC run that gives the same figures."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from metricgrad._qrels import Qrels
from metricgrad._types import Metric
from metricgrad.cli.judged_input import JudgedVectors
from metricgrad.cli.judged_ranks import RankedQueries
from metricgrad.cli.trec_files import require_ids_of_runs, write_run
from metricgrad.errors import InputError
from metricgrad.metrics import nearest_items

__all__ = ["order_of", "require_a_run", "write_run_of"]


def require_a_run(metrics: Sequence[Metric], files: JudgedVectors, depth: int) -> None:
    """Refuse what no run can show, and warn of metrics that look beyond it."""
    if (ties := metrics[0].settings["ties"]) != "pessimistic":
        raise InputError(
            f"evaluate: --save-run came with ties={ties}; expected pessimistic ties, which are an order."
        )
    for vectors in (files.queries, files.corpus):
        require_ids_of_runs(str(vectors.path), vectors.row_ids)
    items = files.qrels.items
    beyond = [metric.name for metric in metrics if (metric.settings.get("k") or items) > depth]
    if beyond and depth < items:
        warnings.warn(
            f"--save-run holds the first {depth:,} documents per query, and {', '.join(beyond)} may read more of them: "
            "of the run alone the figure may be lower. --depth sets how many.",
            stacklevel=2,
        )


def write_run_of(
    path: Path, files: JudgedVectors, found: Sequence[RankedQueries], depth: int, *, normalize: bool
) -> None:
    """Write the first documents of every query that was ranked."""
    order = order_of(files.queries.array, files.corpus.array, files.qrels, found, depth, normalize=normalize)
    ranked, ids = sorted(order), files.queries.row_ids
    write_run(path, [ids[row] for row in ranked], files.corpus.row_ids, map(order.__getitem__, ranked))


def order_of(
    queries: np.ndarray,
    documents: np.ndarray,
    qrels: Qrels,
    found: Sequence[RankedQueries],
    depth: int,
    *,
    normalize: bool,
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The first documents of every query that was ranked, with their similarities.

    Relevant documents are at the ranks that were found (ties `pessimistic`); the most similar others fill the places
    between them.
    """
    references, order = torch.from_numpy(documents), {}
    for rows, ranks in found:
        # Of equals, nearest_items may take all relevant ones first: so many more are asked for.
        k = depth + int(ranks.valid.sum(1).max())
        nearest = nearest_items(torch.from_numpy(queries[rows]), references, k, normalize=normalize)
        for place, row in enumerate(rows.tolist()):
            items, scores = nearest.item[place].numpy(), nearest.similarity[place].numpy()
            relevant = qrels.positives(row).numpy()
            at = ranks.among_all[place][ranks.valid[place]].numpy()
            others = items[~np.isin(items, relevant)]
            order[row] = (
                _interleaved(others, relevant, at, min(depth, qrels.items)),
                scores[: min(depth, qrels.items)],
            )
    return order


def _interleaved(others: np.ndarray, relevant: np.ndarray, ranks: np.ndarray, depth: int) -> np.ndarray:
    """Documents by place: the relevant ones at their ranks, the others in between in their order."""
    within = ranks <= depth
    found = np.full(depth, -1)
    found[ranks[within].astype(np.int64) - 1] = relevant[within]
    found[found < 0] = others[: int((found < 0).sum())]
    return found
