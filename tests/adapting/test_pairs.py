"""Queries and documents with judgements: a map for each side, or for the queries alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from metricgrad import Qrels
from metricgrad.adapting.sampled_index import sampled_index, sampled_units
from metricgrad.errors import InputError
from metricgrad.metrics import judged
from metricgrad.projection import PairProjection, load_projection
from tests.adapting.small_vectors import NO_TRAINING, of_pairs, pairs


@pytest.mark.parametrize("side", ["both", "query"])
def test_figures_are_those_of_the_file(tmp_path: Path, side) -> None:
    """The maps of the file give the printed figure over all documents; with `query` documents stay as they are."""
    queries, documents, qrels = pairs()
    found = of_pairs(tmp_path / "run", side=side)
    form = load_projection(tmp_path / "run" / "adapter.safetensors")
    assert isinstance(form, PairProjection)
    metric = judged("ndcg@10", qrels)
    mapped, index = form.query.transform(queries[found.parts.test]), form.document.transform(documents)
    rows = metric.measure(
        torch.from_numpy(mapped),
        torch.from_numpy(found.parts.test),
        reference_outputs=torch.from_numpy(index),
        reference_targets=torch.arange(len(documents)),
    )
    assert found.gain.adapted == pytest.approx(metric.summarise(rows), abs=1e-12)
    assert found.rebuild.startswith("index: no" if side == "query" else "index: yes")
    if side == "query":
        lengths = np.linalg.norm(documents, axis=1, keepdims=True)
        np.testing.assert_allclose(index, documents / lengths, atol=1e-6)
    assert found.gain.outcome == "gain"
    assert found.summary().startswith("question: new queries and new documents")


def test_other_dimensions_have_no_raw_figure(tmp_path: Path) -> None:
    """Sides of different dimensions: no figure of the vectors as they came, and no claim over them."""
    queries, _, _ = pairs()
    found = of_pairs(tmp_path / "run", queries=queries[:, :9], training=NO_TRAINING)
    assert found.gain.raw is None and found.gain.outcome == "nothing claimed"
    assert "have no figure" in found.sentence
    with pytest.raises(InputError, match="9 dimensions and documents 12"):
        of_pairs(tmp_path / "other", queries=queries[:, :9], side="query")


def test_few_queries_have_closed_forms_alone(tmp_path: Path) -> None:
    """Fewer than 50 queries of fit: no training, and the summary says so."""
    queries, documents, qrels = pairs(60)
    found = of_pairs(tmp_path / "run", queries=queries, documents=documents, qrels=qrels)
    assert found.comparison is None
    assert "closed forms only: 36 queries of fit are fewer than 50" in found.summary()


def test_select_index_holds_every_relevant_document() -> None:
    """What is required stays whole; the rest is drawn, the same every time."""
    required = np.array([5, 99, 3])
    found = sampled_index(required, np.arange(100), most=10, seed=1)
    assert len(found) == 10 and set(required.tolist()) <= set(found.tolist())
    assert np.array_equal(found, sampled_index(required, np.arange(100), most=10, seed=1))
    assert len(sampled_index(np.arange(50), np.arange(100), most=10)) == 50
    sizes = np.repeat(np.arange(3), [1000, 100, 10])
    thinned = sampled_units(np.arange(1110), sizes, most=200)
    assert np.bincount(sizes[thinned]).tolist() == [180, 20, 10]
    units = np.repeat(np.arange(10), 3)
    drawn = sampled_units(np.arange(30), units, most=10)
    assert len(drawn) == 12 and all((units[drawn] == unit).sum() == 3 for unit in np.unique(units[drawn]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qrels": [(0, 1)]}, "metricgrad.Qrels"),
        ({"qrels": Qrels.of_pairs([0], [0], queries=3, items=150)}, "qrels of 3 and 150"),
        ({"side": "document"}, "'both' or 'query'"),
        ({"split": "class"}, "'query', 'document' or 'both'"),
        ({"metric": "f1"}, "f1|f_beta"),
    ],
)
def test_refused(tmp_path: Path, changes, message) -> None:
    """One sentence each."""
    with pytest.raises(InputError, match=message):
        of_pairs(tmp_path / "run", **changes)
