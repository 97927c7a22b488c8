"""Exact ranks and nearest items of a memory map of documents, beside faiss and beside the product alone.

    scripts/bench -k counting

Every contestant has a process of its own, one after the other, on all threads; the peak is that of the process, with
the pages of the map that it has read. Wanted of 1,000,000 x 384 and 10,000 queries: a peak under 4 GB.
"""

from pathlib import Path

import pytest

from benchmarks.results import keep
from metricgrad.bench.counting import CONTESTANTS, make, measured


def _contest(folder: Path, items: int, queries: int, dims: int = 384) -> dict[str, float]:
    """Print and return the figures of all contestants."""
    make(folder, items, queries, dims)
    figures, place = {}, f"items {items} queries {queries} dims {dims}"
    print()
    for name in CONTESTANTS:
        if name == "faiss":
            pytest.importorskip("faiss")
        found = measured(name, folder, queries)
        figures |= {f"{place} {name}_{unit}": found[unit] for unit in ("seconds", "peak_mb")}
        ratio = found["seconds"] / figures[f"{place} product_seconds"]
        print(
            f"  {place} {name:8} {found['seconds']:8.1f} s {found['peak_mb']:8,.0f} MB, to the product {ratio:.2f}"
        )
    keep("counting", figures)
    return figures


def test_counting(tmp_path: Path) -> None:
    """The small form: 100,000 documents, 1,000 queries."""
    _contest(tmp_path, 100_000, 1_000)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_counting_of_a_million(tmp_path: Path) -> None:
    """The large form; its peak is held."""
    figures = _contest(tmp_path, 1_000_000, 10_000)
    assert max(value for name, value in figures.items() if name.endswith("ranks_peak_mb")) < 4000
