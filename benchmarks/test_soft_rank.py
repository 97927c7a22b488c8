"""Soft ranks of one long list by Laplace steps, forward and backward, against one `torch.sort` of the same tensor.

    scripts/bench -k soft_rank

1,000,000 float32 scores, N(0, 1), temperature 0.01 (some 8,000 scores lie within one temperature of the middle) and a
random gradient from above. What is timed takes turns, so that a machine that slows down slows all; figures are
medians of 5. The error is that against the sum over all pairs in float64: of 20,000 scores for all items, of 1,000,000
for 200 of them. Where torchsort can be imported its `soft_rank` runs beside; it computes another soft rank, by
isotonic regression, at the same price of a sort and two passes.
"""

import importlib
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.results import keep
from metricgrad.relax import soft_ranks

ITEMS, TEMPERATURE, ROUNDS = 1_000_000, 0.01, 5


def _problem(items: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(items, generator=generator).requires_grad_()
    return scores, torch.randn(items, generator=generator)


def _both_ways(ranks_of: Callable[[Tensor], Tensor], scores: Tensor, upstream: Tensor) -> Callable[[], None]:
    def run() -> None:
        scores.grad = None
        ranks_of(scores).backward(upstream)

    return run


def _ours(scores: Tensor) -> Tensor:
    return soft_ranks(scores, temperature=TEMPERATURE, step="laplace")


def _milliseconds(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(ROUNDS + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn:  # the first turn warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {f"{name}_ms": statistics.median(values) for name, values in times.items()}


def _errors(items: int, looked_at: int) -> tuple[float, float]:
    """Return the largest relative error of a rank, and of a gradient against the largest one."""
    scores, upstream = _problem(items)
    ranks = _ours(scores)
    ranks.backward(upstream)
    z, weights = scores.detach().double() / TEMPERATURE, upstream.double()
    picked = torch.linspace(0, items - 1, looked_at).long()
    rank_errors, gradient_errors, largest = [], [], 0.0
    for part in picked.split(20):
        u = z - z[part].unsqueeze(1)  # [picked, item]
        low = torch.exp(-u.abs()) / 2
        expected = torch.where(u > 0, 1 - low, low).sum(1) + 0.5
        rank_errors.append(((ranks[part] - expected) / expected).abs().max().item())
        slope = (low * (weights - weights[part].unsqueeze(1))).sum(1) / TEMPERATURE
        assert scores.grad is not None
        gradient_errors.append((scores.grad[part] - slope).abs().max().item())
        largest = max(largest, slope.abs().max().item())
    return max(rank_errors), max(gradient_errors) / largest


def test_soft_rank() -> None:
    """Print the ratio to one sort, the errors, and the peer."""
    scores, upstream = _problem(ITEMS)
    contestants: dict[str, Callable[[], object]] = {
        "sort": lambda: torch.sort(scores.detach()),
        "laplace": _both_ways(_ours, scores, upstream),
    }
    try:
        peer = importlib.import_module("torchsort").soft_rank
        contestants["torchsort"] = _both_ways(lambda x: peer(x.unsqueeze(0)).squeeze(0), scores, upstream)
    except ImportError:
        print("\ntorchsort is not installed: no peer beside")
    figures = _milliseconds(contestants)
    figures["ratio"] = figures["laplace_ms"] / figures["sort_ms"]
    for name, items, looked_at in (("20k", 20_000, 20_000), ("1m", ITEMS, 200)):
        of_ranks, of_gradient = _errors(items, looked_at)
        figures |= {f"rank_error_{name}": of_ranks, f"gradient_error_{name}": of_gradient}
    print("\n" + "\n".join(f"{figure:>20} {value:.4g}" for figure, value in figures.items()))
    print(f"{torch.get_num_threads():>20} threads")
    assert figures["ratio"] < 4
    assert max(value for figure, value in figures.items() if "error" in figure) < 1e-6
    keep("soft_rank", figures)
