"""Decodes of direct losses beside the row programme and the table of counts in plain torch.

    scripts/bench -k direct

`metricgrad bench direct` runs the same code: one ranking of 2,000 positives and 10,000 negatives, one thread, sorting
included, both sides returning the same value; then average precision by the positive sign at 20,000 x 1,000,000.
"""

from benchmarks.results import keep
from metricgrad.bench.decodes import measured_decodes


def test_direct() -> None:
    """Print and keep the times; hold the ratios that are asked for."""
    rows = measured_decodes(2000, 10_000)
    large = measured_decodes(20_000, 1_000_000, repeats=1, peers=False, only=("average precision", 1))
    figures = {}
    for row in rows:
        name = f"{row['decode']} {row['sign']:+d}"
        print(
            f"\n  {name}: {row['ours_ms']:.1f} ms, {row['times_as_fast']:.0f} times as fast as {row['peer']}",
            end="",
        )
        figures |= {f"{name} ours_ms": row["ours_ms"], f"{name} {row['peer']}_ms": row["peer_ms"]}
        figures[f"{name} times_as_fast"] = row["times_as_fast"]
    figures["average precision +1, 20,000 x 1,000,000, ms"] = large[0]["ours_ms"]
    print(f"\n  20,000 x 1,000,000: {large[0]['ours_ms']:.0f} ms")
    keep("direct", figures)
    assert figures["average precision +1 times_as_fast"] >= 30
    assert figures["average precision -1 times_as_fast"] >= 10
    assert max(figures["F1 +1 ours_ms"], figures["F1 -1 ours_ms"]) <= 20
    assert figures["average precision +1, 20,000 x 1,000,000, ms"] <= 3000
