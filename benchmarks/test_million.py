"""`evaluate` and `adapt` of 1,000,000 x 384 vectors from the command line, beside faiss in the same run.

    scripts/bench -k million

10,000 queries are ranked against all documents; faiss and the bare product rank for 1,000 of them, and the ratio is per
query. Every peak is held under 4 GB, the pages of the mapped file included.
"""

import importlib.util
from pathlib import Path

import pytest

from benchmarks.million import Figure, figures
from benchmarks.million_data import make
from benchmarks.results import keep

MOST_BYTES = 4e9


def _contest(folder: Path, items: int, queries: int) -> list[Figure]:
    """Print, keep and return the figures of all contestants."""
    make(folder, items, queries)
    found, kept, place = list[Figure](), dict[str, float](), f"items {items}"
    print()
    for one in figures(folder, queries, peer=importlib.util.find_spec("faiss") is not None):
        found.append(one)
        own = "" if one.own_bytes is None else f", of its own {one.own_bytes / 1e6:6,.0f} MB"
        print(
            f"  {place} {one.name:21} {one.seconds:7.1f} s, peak {one.peak_bytes / 1e6:6,.0f} MB{own}", end=""
        )
        name = f"{place} {one.name}"
        kept |= {f"{name} seconds": one.seconds, f"{name} peak_mb": one.peak_bytes / 1e6}
        kept |= {} if one.own_bytes is None else {f"{name} own_mb": one.own_bytes / 1e6}
        if one.queries:
            each = one.seconds / one.queries
            kept[f"{name} ratio"] = each / (found[0].seconds / found[0].queries)
            print(
                f"; {one.queries:,} queries, {each * 1e3:.1f} ms each, to the product {kept[f'{name} ratio']:.2f}"
            )
        else:
            print()
    keep("million", kept)
    return found


@pytest.mark.slow
def test_million_small(tmp_path: Path) -> None:
    """The small form: 100,000 documents, 1,000 queries."""
    _contest(tmp_path, 100_000, 1_000)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(7200)
def test_million(tmp_path: Path) -> None:
    """The large form; its peaks are held."""
    found = _contest(tmp_path, 1_000_000, 10_000)
    assert max(one.peak_bytes for one in found if one.own_bytes is not None) < MOST_BYTES
