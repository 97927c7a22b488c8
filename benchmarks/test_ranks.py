"""Soft ranks on the CPU, forward and backward, beside peers and beside what matrix products alone would take.

    scripts/bench -k test_ranks

The code is that of `metricgrad bench ranks`: contestants take turns, each in a process of its own. Wanted at batch
4,096: at most 2.0 times three products where classes overlap (noise 2.0), at most 1.3 times one product where they
are apart (noise 0.3); and at least 20 times as fast as SmoothAPLoss wherever that runs. At batch 65,536 with 128
dimensions: under 1 GB of extra memory, and time that grows as the product's does. Nothing of this is asserted: the
machine decides, and the figures are printed and kept.
"""

import itertools
from collections.abc import Iterable, Sequence

import pytest

from benchmarks.results import keep
from metricgrad.bench.measuring import Measurement, exponent, measure, ratios

NOISES = (2.0, 0.3)


def _measured(batches: Sequence[int], **settings) -> list[Measurement]:
    measured = list(itertools.chain.from_iterable(measure(batches, NOISES, **settings)))
    print()
    for one in measured:
        place = f"  batch {one.batch:6,} noise {one.noise} {one.contestant:13}"
        if one.seconds is None:
            print(f"{place} left out: {one.left_out}")
        else:
            shown = (
                f"{name} {value:.2f}" for name, value in ratios(one, measured).items() if value is not None
            )
            print(
                f"{place}{1e3 * one.seconds:11.1f} ms {(one.peak_bytes or 0) / 1e6:9.1f} MB  {', '.join(shown)}"
            )
    return measured


def _figures(measured: Iterable[Measurement]) -> dict[str, float]:
    figures = {}
    for one in measured:
        place = f"batch {one.batch} dims {one.dims} noise {one.noise} {one.contestant}"
        if one.seconds is not None:
            figures[f"{place}_ms"] = 1e3 * one.seconds
        if one.peak_bytes is not None:
            figures[f"{place}_peak_mb"] = one.peak_bytes / 1e6
    return figures


def _of_ours(measured: list[Measurement], batch: int, noise: float) -> dict[str, float]:
    one = next(one for one in measured if (one.contestant, one.batch, one.noise) == ("ours", batch, noise))
    return {name: value for name, value in ratios(one, measured).items() if value is not None}


@pytest.mark.timeout(3600)
def test_ranks() -> None:
    """Print times, memory and the ratios that are wanted, and keep them."""
    batches = (256, 1024, 4096)
    measured = _measured(batches)
    figures = _figures(measured)
    for batch, noise in itertools.product(batches, NOISES):
        for name, value in _of_ours(measured, batch, noise).items():
            figures[f"batch {batch} dims 512 noise {noise} ours {name}"] = value
    print(
        f"  overlapping, batch 4,096, to three products: {_of_ours(measured, 4096, 2.0)['to_products']:.2f} (2.0)"
    )
    print(
        f"  separated, batch 4,096, to one product: {_of_ours(measured, 4096, 0.3)['to_product']:.2f} (1.3)"
    )
    for batch, noise in itertools.product(batches, NOISES):
        faster = _of_ours(measured, batch, noise).get("smooth_ap_to_this")
        if faster is not None:
            print(f"  SmoothAPLoss, batch {batch:,}, noise {noise}: ours is {faster:.0f} times as fast (20)")
    keep("ranks", figures)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_ranks_of_a_large_batch() -> None:
    """Print time, extra memory and growth up to a batch of 65,536, and keep them."""
    batches = (4096, 16384, 65536)
    measured = _measured(batches, dims=128, repeats=2, limit=600, only=("ours", "product"))
    figures = _figures(measured)
    for name, noise in itertools.product(("ours", "product"), NOISES):
        grown = exponent(measured, name, noise)
        assert grown is not None
        print(f"  {name}, noise {noise}: time grows like batch ** {grown:.2f}")
        figures[f"dims 128 noise {noise} {name} exponent"] = grown
    keep("ranks", figures)
    peaks = [one.peak_bytes for one in measured if one.contestant == "ours" and one.peak_bytes is not None]
    assert len(peaks) == len(batches) * len(NOISES)
    assert max(peaks) < 1e9
