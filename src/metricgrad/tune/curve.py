"""The curve of a retrieval test: how many queries have a relevant item among their first k, for every k."""

import torch

from metricgrad._types import Metric
from metricgrad.metrics import judged_ranks, retrieval_ranks
from metricgrad.metrics.among_others import beside, is_among_others
from metricgrad.metrics.embedded import rank_tiles
from metricgrad.metrics.judgements import qrels_of
from metricgrad.metrics.ranks import join
from metricgrad.tune.outputs import Outputs

__all__ = ["CURVE_KS", "shares_found"]

CURVE_KS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 50)


def shares_found(metric: Metric, found: Outputs) -> list[float]:
    """Share of the queries with a relevant item among their k nearest, of those that have one, for every k.

    Args:
        metric: of the run: it says whether items are relevant by their labels or by judgements.
        found: what a model gave for the split.
    """
    qrels = qrels_of(metric)
    if is_among_others(metric):
        index = beside(found.outputs, found.targets, found.reference_outputs, found.reference_targets)
        ranks = join(list(rank_tiles(found.outputs, found.targets, **index, first_alone=True)))
    elif qrels is None:
        ranks = retrieval_ranks(
            found.outputs,
            found.targets,
            reference_embeddings=found.reference_outputs,
            reference_labels=found.reference_targets,
        )
    else:
        here = qrels.relevant().taking(found.targets, found.reference_targets)
        ranks = judged_ranks(found.outputs, found.reference_outputs, here)
    best = ranks.among_all.masked_fill(~ranks.valid, torch.inf).amin(1)
    best = best[torch.isfinite(best)]
    return [float((best <= k).double().mean()) for k in CURVE_KS]
