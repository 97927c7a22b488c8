"""Nearest items: equal to a full stable sort, for every tile and engine."""

import sys
import types

import numpy as np
import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import InputError, MissingExtraError
from metricgrad.metrics import nearest
from metricgrad.metrics.rows import read_rows
from metricgrad.metrics.similarity import Similarities


class FlatIndex:
    """A stand-in for faiss.IndexFlatIP: float32 inner products, ties broken from the last item on."""

    searches = 0

    def __init__(self, dim: int) -> None:
        self.rows = np.zeros((0, dim), np.float32)

    def add(self, rows: np.ndarray) -> None:
        """Take items."""
        assert rows.dtype == np.float32
        self.rows = np.concatenate([self.rows, rows])

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best of every query."""
        assert queries.dtype == np.float32
        FlatIndex.searches += 1
        scores = queries @ self.rows.T
        order = np.argsort(-scores[:, ::-1], axis=1, kind="stable")[:, :k]
        items = len(self.rows) - 1 - order
        return np.take_along_axis(scores, items, 1), items


def stand_in() -> types.ModuleType:
    """A module `faiss` that holds the stand-in."""
    module = types.ModuleType("faiss")
    module.IndexFlatIP = FlatIndex
    return module


@pytest.fixture(params=["torch", "stand-in", "faiss"])
def engine(request, monkeypatch):
    """Our search, faiss where it is installed, and a stand-in that keeps its promises everywhere."""
    if request.param == "torch":
        return "torch"
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "faiss", stand_in())
    elif not nearest._has_faiss():
        pytest.skip("faiss is not installed; the stand-in covers what is ours")
    return "faiss"


def by_sorting(queries, references, k: int, exclude, normalize: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The definition: all similarities, a stable sort, the first k."""
    sides = [read_rows("test", "rows", rows, normalize=normalize) for rows in (queries, references)]
    similarities = Similarities(*sides)
    scores = similarities.value(similarities.exact_tile(slice(None), slice(None)))
    rows = (exclude >= 0).nonzero()[:, 0]
    scores[rows, exclude[rows]] = -torch.inf
    best = scores.sort(dim=1, descending=True, stable=True)
    item = torch.where(best.values > -torch.inf, best.indices, -1)
    return item[:, :k], best.values[:, :k]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("k", [1, 5, 80, 200])
@pytest.mark.parametrize("tile", [300, 10**6])
def test_equals_a_full_sort(generator: torch.Generator, engine, normalize: bool, k: int, tile: int) -> None:
    """Similarity, then index; copies tie; a left-out item does not come back; k beyond the items."""
    references = torch.randn(80, 12, generator=generator)
    references[20:50] = references[torch.randint(0, 20, (30,), generator=generator)]  # many copies
    references[50:60] = references[60]  # more copies of one than are asked for
    queries = torch.cat([references[::5], torch.randn(9, 12, generator=generator)])
    exclude = torch.randint(-1, 80, (len(queries),), generator=generator)
    found = metrics.nearest_items(
        queries, references, k, exclude=exclude, normalize=normalize, tile=tile, engine=engine
    )
    item, similarity = by_sorting(queries, references, k, exclude, normalize)
    torch.testing.assert_close(found.item, item, rtol=0, atol=0)
    torch.testing.assert_close(found.similarity, similarity, rtol=0, atol=0)


def test_proposals_are_trusted_only_where_they_are_complete(generator: torch.Generator, monkeypatch) -> None:
    """Where all items are nearly the same, float32 scores cannot tell them apart; the result is exact all the same."""
    monkeypatch.setitem(sys.modules, "faiss", stand_in())
    centre = torch.randn(1, 16, generator=generator, dtype=torch.float64)
    points = centre + 1e-5 * torch.randn(300, 16, generator=generator, dtype=torch.float64)
    FlatIndex.searches = 0
    found = metrics.nearest_items(points, points, 3, exclude=torch.arange(300), engine="faiss")
    assert FlatIndex.searches == 1
    wanted = metrics.nearest_items(points, points, 3, exclude=torch.arange(300), engine="torch")
    torch.testing.assert_close(found.item, wanted.item, rtol=0, atol=0)
    torch.testing.assert_close(found.similarity, wanted.similarity, rtol=0, atol=0)


def test_similarity_is_the_cosine_or_the_dot_product(generator: torch.Generator) -> None:
    """To the last digits of float64."""
    points = 3 * torch.randn(20, 6, generator=generator, dtype=torch.float64)
    unit = torch.nn.functional.normalize(points)
    for normalize, scores in ((True, unit @ unit.T), (False, points @ points.T)):
        found = metrics.nearest_items(points, points, 4, normalize=normalize)
        torch.testing.assert_close(found.similarity, scores.gather(1, found.item), rtol=1e-14, atol=1e-14)


def test_empty_sets() -> None:
    """No query or no item: nothing found."""
    assert metrics.nearest_items(torch.zeros(0, 3), torch.eye(3), 2).item.shape == (0, 2)
    assert metrics.nearest_items(torch.eye(3), torch.zeros(0, 3), 2).item.shape == (3, 0)


def test_a_missing_engine_is_named(monkeypatch) -> None:
    """Without faiss the message ends with the line that installs it, and `auto` goes on without."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"metricgrad\[faiss\]"):
        metrics.nearest_items(torch.eye(3), torch.eye(3), 1, engine="faiss")
    assert metrics.nearest_items(torch.eye(3), torch.eye(3), 1).item.tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is"),
        ({"references": torch.eye(4)}, "one number of dimensions"),
        ({"queries": torch.full((2, 3), torch.nan)}, "NaN or infinite"),
        ({"exclude": torch.tensor([3, 0, 0])}, "out of range"),
        ({"exclude": torch.tensor([0])}, "3 whole numbers"),
        ({"exclude": [0, 1, 2]}, "a tensor of 3 whole numbers"),
        ({"engine": "annoy"}, "'auto', 'torch' or 'faiss'"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict, message: str) -> None:
    """Messages say what came and what was expected."""
    given = {"queries": torch.eye(3), "references": torch.eye(3), "k": 1} | settings
    with pytest.raises(InputError, match=message):
        metrics.nearest_items(**given)
