"""The decodes of direct loss minimisation beside their forms in plain torch."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricgrad.bench.contestant import Contestant
from metricgrad.bench.timer import medians
from metricgrad.direct import Contingency, Interleaving

__all__ = ["measured_decodes"]


def measured_decodes(
    positives: int,
    negatives: int,
    *,
    epsilon: float = 1.0,
    threads: int = 1,
    repeats: int = 5,
    peers: bool = True,
    only: tuple[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Return a row for every decode, or for one by name and sign: milliseconds of ours and of the peer, if it ran.

    Args:
        positives: relevant items of the one ranking.
        negatives: other items.
        epsilon: how far a decode is perturbed.
        threads: of torch.
        repeats: turns of each; one more before them is not counted.
        peers: run the plain torch forms beside, which are O(positives x negatives).
        only: name and sign of the only decode.

    Raises:
        AssertionError: ours and its peer return other values.
    """
    scores, targets = _ranking(positives, negatives)
    found = []
    for name, (ours, plain, form) in _structures(positives).items():
        for sign in (1, -1):
            if only not in (None, (name, sign)):
                continue
            step = epsilon * positives if form == "table" else epsilon  # F1's scores are sums
            settings = {"epsilon": step, "sign": sign}
            contestants = [Contestant("ours", name, partial(_decode, ours, settings), threads=threads)]
            if peers:
                plain_torch = {"kernel": "torch", "threads": threads}
                contestants.append(Contestant(form, name, partial(_decode, plain, settings), **plain_torch))
            calls = {one.name: one.call((scores, targets)) for one in contestants}
            values = [call() for call in calls.values()]  # warms up
            for value in values[1:]:
                torch.testing.assert_close(value, values[0], atol=1e-9, rtol=1e-9)
            taken = medians(calls, repeats)
            theirs = taken.get(form)
            found.append(
                {
                    "decode": name,
                    "sign": sign,
                    "ours_ms": 1e3 * taken["ours"],
                    "peer": form,
                    "peer_ms": 1e3 * theirs if theirs else None,
                    "times_as_fast": theirs / taken["ours"] if theirs else None,
                }
            )
    return found


def _ranking(positives: int, negatives: int) -> tuple[Tensor, Tensor]:
    """Scores N(0, 1) [1, item], those of the positives 0.5 higher, in random order, and which are positive."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, positives + negatives, generator=generator, dtype=torch.float64)
    targets = (torch.arange(scores.shape[1]) < positives).long()[None]
    scores += 0.5 * targets
    order = torch.randperm(scores.shape[1], generator=generator)
    return scores[:, order], targets[:, order]


def _structures(positives: int) -> dict[str, tuple[Any, Any, str]]:
    """Ours, its plain form, and what that form is, by the name of the metric."""
    rows = Interleaving("average_precision")
    rows.concave = False  # row after row, whatever the sign
    cut = Interleaving("precision_at_k", k=max(1, positives // 10))
    table = Contingency("f_beta")
    table.monotone = False
    return {
        "average precision": (Interleaving("average_precision"), rows, "rows"),
        f"precision@{int(cut.k)}": (cut, cut, "rows"),
        "F1": (Contingency("f_beta"), table, "table"),
    }


def _decode(structure: Any, settings: dict[str, Any], problem: tuple[Tensor, Tensor]) -> Any:
    return lambda: structure.augment(*problem, **settings)[1]
