"""Ranks of embeddings by tiles equal those of the whole similarity matrix, bit for bit."""

import math

import numpy as np
import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.metrics import ranks
from metricgrad.metrics.similarity import on_grid


def clustered(
    generator: torch.Generator, items: int = 60, dim: int = 24
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of 8 overlapping classes of unequal sizes, a third of the rows being copies, one class single."""
    labels = torch.randint(0, 7, (items,), generator=generator)
    labels[5] = 99
    points = torch.randn(8, dim, generator=generator)[labels.clamp(max=7)]
    points = points + 1.5 * torch.randn(items, dim, generator=generator)
    points[: items // 3] = points[torch.randint(items // 3, items, (items // 3,), generator=generator)]
    return points, labels


def whole(queries: torch.Tensor, references: torch.Tensor, *, normalize: bool, alone: bool) -> torch.Tensor:
    """The whole similarity matrix, from rows on the grid."""
    left = on_grid("test", "queries", queries, normalize=normalize, shared=alone).rows
    return left @ on_grid("test", "references", references, normalize=normalize, shared=True).rows.T


def equal(found: metrics.ExactRanks, wanted: metrics.ExactRanks) -> None:
    """The same ranks, bit for bit."""
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("tile", [101, 400, 10**6])
def test_tiles_change_nothing(generator: torch.Generator, ties, normalize: bool, tile: int) -> None:
    """Every tile gives the ranks of the whole matrix, copies and singletons included."""
    points, labels = clustered(generator)
    scores = whole(points, points, normalize=normalize, alone=True)
    relevance = labels[:, None] == labels
    own = torch.arange(len(labels))
    wanted = metrics.ranks_from_scores(scores, relevance, ties=ties, query_item=own)
    equal(metrics.retrieval_ranks(points, labels, ties=ties, normalize=normalize, tile=tile), wanted)


@pytest.mark.parametrize("tile", [1, 90, 10**6])
def test_tiles_change_nothing_with_references(generator: torch.Generator, monkeypatch, tile: int) -> None:
    """The same for queries against a set of references, among them copies of queries, and by sorting."""
    points, labels = clustered(generator)
    queries, references = points[:12], points[4:34]
    scores = whole(queries, references, normalize=True, alone=False)
    relevance = labels[:12, None] == labels[4:34]
    wanted = metrics.ranks_from_scores(scores, relevance)
    monkeypatch.setattr(ranks, "_FEW_POSITIVES", 2)
    found = metrics.retrieval_ranks(
        queries, labels[:12], reference_embeddings=references, reference_labels=labels[4:34], tile=tile
    )
    equal(found, wanted)


def test_the_similarities_are_exact(generator: torch.Generator) -> None:
    """On the grid, sums do not round: the product of any part and of Python integers is the same."""
    points, _ = clustered(generator)
    rows = on_grid("test", "points", points, normalize=True, shared=True).rows
    product = rows @ rows.T
    torch.testing.assert_close(rows[7:9] @ rows[:, :].T, product[7:9], rtol=0, atol=0)
    torch.testing.assert_close((rows[3] * rows).sum(1), product[3], rtol=0, atol=0)
    flipped = rows.flip(1)
    torch.testing.assert_close(flipped @ flipped.T, product, rtol=0, atol=0)
    whole_numbers = [[int(value * 2**26) for value in row] for row in rows[:4].tolist()]
    exact = [
        [sum(a * b for a, b in zip(x, y, strict=True)) / 2**52 for y in whole_numbers] for x in whole_numbers
    ]
    assert product[:4, :4].tolist() == exact


def test_the_grid_is_finer_than_float32(generator: torch.Generator) -> None:
    """Rounding to the grid moves a cosine by less than a float32 product does."""
    points = torch.nn.functional.normalize(torch.randn(200, 256, generator=generator, dtype=torch.float64))
    truth = points @ points.T
    rows = on_grid("test", "points", points, normalize=True, shared=True).rows
    by_grid = (rows @ rows.T - truth).abs().max()
    by_float32 = ((points.float() @ points.float().T).double() - truth).abs().max()
    assert by_grid < 4e-8
    assert by_grid < by_float32


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1.0, 1e30])
def test_scale_of_embeddings_does_not_matter(generator: torch.Generator, factor: float) -> None:
    """Cosine ranks ignore the length of rows, dot-product ranks a common factor, within float32's range."""
    points, labels = clustered(generator)
    lengths = torch.rand(len(points), 1, generator=generator) + 0.5
    cosine = metrics.retrieval_ranks(points, labels)
    equal(metrics.retrieval_ranks(points.double() * lengths * factor, labels), cosine)
    factor = 2.0 ** math.floor(math.log2(factor))
    dot = metrics.retrieval_ranks(points, labels, normalize=False)
    equal(metrics.retrieval_ranks(points * factor, labels, normalize=False), dot)


def test_dot_product_is_not_cosine() -> None:
    """A long row wins by dot product and not by cosine."""
    points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [5.0, 5.0]])
    labels = torch.tensor([0, 0, 1])
    assert metrics.retrieval_ranks(points, labels).among_all[0].tolist() == [1.0]
    assert metrics.retrieval_ranks(points, labels, normalize=False).among_all[0].tolist() == [2.0]


def test_a_row_of_zeros_is_similar_to_nothing() -> None:
    """It ties with everything at 0."""
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert metrics.retrieval_ranks(points, [1, 1, 2]).among_all[0].tolist() == [2.0]


def test_labels_of_every_kind(generator: torch.Generator) -> None:
    """Strings, lists, numpy arrays and tensors of any integer type say the same."""
    points, labels = clustered(generator)
    wanted = metrics.retrieval_ranks(points, labels)
    words = [f"class {label}" for label in labels.tolist()]
    for same in (
        labels.tolist(),
        labels.numpy(),
        labels.int(),
        words,
        tuple(words),
        np.array(words, dtype=object),
    ):
        equal(metrics.retrieval_ranks(points, same), wanted)


def test_references_that_are_the_queries() -> None:
    """The very tensor of the queries as references: each query is left out; a copy of it is not."""
    points, labels = torch.eye(3), torch.tensor([0, 0, 1])
    alone = metrics.retrieval_ranks(points, labels)
    equal(
        metrics.retrieval_ranks(points, labels, reference_embeddings=points, reference_labels=labels), alone
    )
    copied = metrics.retrieval_ranks(
        points, labels, reference_embeddings=points.clone(), reference_labels=labels
    )
    assert copied.competitors.tolist() == [3, 3, 3]
    assert alone.competitors.tolist() == [2, 2, 2]


def test_nothing_to_rank() -> None:
    """No query, or no reference: empty or undefined, not an error."""
    empty = metrics.retrieval_ranks(torch.zeros(0, 3), [])
    assert empty.among_all.shape == (0, 0)
    alone = metrics.retrieval_ranks(torch.ones(1, 3), ["a"])
    assert not alone.valid.any()
    none = metrics.retrieval_ranks(
        torch.ones(2, 3), ["a", "b"], reference_embeddings=torch.zeros(0, 3), reference_labels=[]
    )
    assert not none.valid.any() and none.competitors.tolist() == [0, 0]


POINTS = torch.eye(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.retrieval_ranks(POINTS, [0, 1, 2]), "3 labels for 4 embeddings"),
        (lambda: metrics.retrieval_ranks(POINTS, torch.rand(4)), "one whole number or string per item"),
        (lambda: metrics.retrieval_ranks(POINTS, torch.zeros(4, 2).long()), "one whole number or string"),
        (lambda: metrics.retrieval_ranks(POINTS.long(), [0] * 4), "floating-point"),
        (lambda: metrics.retrieval_ranks(POINTS / 0.0, [0] * 4), "NaN or infinite values in 4 of 4 rows"),
        (lambda: metrics.retrieval_ranks(POINTS, [0] * 4, tile=0), "tile is 0"),
        (lambda: metrics.retrieval_ranks(POINTS[:, :0], [0] * 4), "at least one dimension"),
        (
            lambda: metrics.retrieval_ranks(POINTS, [0] * 4, reference_labels=[1]),
            "without reference_embeddings",
        ),
        (
            lambda: metrics.retrieval_ranks(POINTS, [0] * 4, reference_embeddings=POINTS[:2]),
            "without reference_labels",
        ),
        (
            lambda: metrics.retrieval_ranks(
                POINTS, [0] * 4, reference_embeddings=POINTS[:, :2], reference_labels=[0] * 4
            ),
            "one number of dimensions",
        ),
        (
            lambda: metrics.retrieval_ranks(
                POINTS, [0] * 4, reference_embeddings=POINTS[:2], reference_labels=[0] * 4
            ),
            "4 reference_labels for 2 items",
        ),
        (
            lambda: metrics.retrieval_ranks(
                POINTS, [0] * 4, reference_embeddings=POINTS[:2], reference_labels=["a", "b"]
            ),
            "labels of one type",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message: str) -> None:
    """Messages say what came and what was expected."""
    with pytest.raises(InputError, match=message):
        call()
