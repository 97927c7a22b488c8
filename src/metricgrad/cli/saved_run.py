"""`evaluate --save-run`: the ranking of vectors as a TREC run that gives the same figures."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from metricgrad._types import Metric
from metricgrad.cli.judged_input import JudgedVectors
from metricgrad.cli.trec_files import require_ids_of_runs, write_run
from metricgrad.errors import InputError
from metricgrad.metrics.pessimistic import pessimistic_lists

__all__ = ["require_a_run", "write_run_of"]


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


def write_run_of(path: Path, files: JudgedVectors, depth: int, *, normalize: bool) -> None:
    """Write the first documents of every query that has a relevant one, at the ranks of the figures."""
    qrels, ids = files.qrels, files.queries.row_ids
    asked = np.flatnonzero(qrels.relevant().offsets.diff().numpy())
    lists = pessimistic_lists(
        torch.from_numpy(files.queries.array[asked]),
        torch.from_numpy(files.corpus.array),
        depth,
        lambda row, items: qrels.grades_of(int(asked[row]), items),
        normalize=normalize,
    )
    write_run(path, [ids[row] for row in asked], files.corpus.row_ids, lists)
