"""The curve over the size of fit: on select, in facts, record and summary; smaller parts within larger ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from metricgrad.adapting import Training
from metricgrad.adapting.sampled_index import sampled_share
from tests.adapting.small_vectors import of_labels, of_pairs, pairs

CURVE = Training(steps=4, grid=1, batch=32, evaluate_every=2, curve=True)


@pytest.mark.slow
def test_a_curve_of_pairs(tmp_path: Path) -> None:
    """Three points: the last is that of the contest; where there are too few queries nothing is trained."""
    queries, documents, qrels = pairs(400)
    found = of_pairs(tmp_path / "run", queries=queries, documents=documents, qrels=qrels, training=CURVE)
    assert found.curve is not None and found.comparison is not None
    assert [point.many for point in found.curve.points] == [24, 72, 240]
    assert found.curve.points[0].why == "24 queries of fit are fewer than 50"
    assert found.curve.points[1].trained is not None
    chosen = found.comparison.result.event("chosen")
    assert chosen is not None
    assert found.curve.points[2].trained == chosen["select"]["0"][found.curve.method]
    assert found.curve.points[2].value == found.forms.value
    assert found.curve.raw == found.forms.tried[0].value
    lines = [json.loads(line) for line in (tmp_path / "run" / "record.jsonl").read_text().splitlines()]
    assert [line["many"] for line in lines[-1]["points"]] == [24, 72, 240]
    assert "ndcg@10 on select by size of fit" in found.summary()
    assert json.loads((tmp_path / "run" / "adapted.json").read_text())["curve"]["unit"] == "queries"


def test_a_curve_without_training(tmp_path: Path) -> None:
    """Closed forms alone have a curve, too."""
    found = of_labels(tmp_path / "run", training=Training(methods=[], curve=True))
    assert found.curve is not None and found.curve.unit == "classes"
    assert [point.many for point in found.curve.points] == [7, 22, 72]
    assert all(point.trained is None and point.why for point in found.curve.points)
    assert found.curve.points[-1].value >= found.curve.points[0].value


def test_smaller_shares_are_within_larger_ones() -> None:
    """Whole units, drawn by the seed."""
    units = np.repeat(np.arange(40), 3)
    small, large = (sampled_share(np.arange(120), units, share, seed=1) for share in (0.1, 0.3))
    assert len(small) == 12 and len(large) == 36 and set(small.tolist()) <= set(large.tolist())
    assert len(sampled_share(np.arange(120), units, 1.0)) == 120
