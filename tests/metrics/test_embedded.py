"""Ranks of embeddings by tiles equal those of the whole similarity matrix, bit for bit."""

import math
import operator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.metrics import ranks
from metricgrad.metrics.rows import read_rows
from metricgrad.metrics.similarity import Similarities
from metricgrad.metrics.split import limbs


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


def compared(queries: torch.Tensor, references: torch.Tensor, *, normalize: bool) -> Similarities:
    """Similarities of queries and references."""
    sides = [read_rows("test", "rows", rows, normalize=normalize) for rows in (queries, references)]
    return Similarities(*sides)


def whole(queries: torch.Tensor, references: torch.Tensor, *, normalize: bool) -> torch.Tensor:
    """The whole matrix of exact similarities."""
    return compared(queries, references, normalize=normalize).exact_tile(slice(None), slice(None))


def equal(found: metrics.ExactRanks, wanted: metrics.ExactRanks) -> None:
    """The same ranks, bit for bit."""
    for one, other in zip(found[:5], wanted[:5], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert (found.blocks is None) == (wanted.blocks is None)
    assert all(map(torch.equal, found.blocks or (), wanted.blocks or ()))


@pytest.mark.parametrize("ties", ["pessimistic", "mid", "optimistic", "average"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("tile", [101, 400, 10**6])
def test_tiles_change_nothing(generator: torch.Generator, ties, normalize: bool, tile: int) -> None:
    """Every tile gives the ranks of the whole matrix, copies and singletons included."""
    points, labels = clustered(generator)
    scores = whole(points, points, normalize=normalize)
    relevance = labels[:, None] == labels
    own = torch.arange(len(labels))
    wanted = metrics.ranks_from_scores(scores, relevance, ties=ties, query_item=own)
    equal(metrics.retrieval_ranks(points, labels, ties=ties, normalize=normalize, tile=tile), wanted)


@pytest.mark.parametrize("tile", [1, 90, 10**6])
def test_tiles_change_nothing_with_references(generator: torch.Generator, monkeypatch, tile: int) -> None:
    """The same for queries against a set of references, among them copies of queries, and by sorting."""
    points, labels = clustered(generator)
    queries, references = points[:12], points[4:34]
    scores = whole(queries, references, normalize=True)
    relevance = labels[:12, None] == labels[4:34]
    wanted = metrics.ranks_from_scores(scores, relevance)
    monkeypatch.setattr(ranks, "_FEW_POSITIVES", 2)
    found = metrics.retrieval_ranks(
        queries, labels[:12], reference_embeddings=references, reference_labels=labels[4:34], tile=tile
    )
    equal(found, wanted)


@pytest.mark.parametrize("normalize", [True, False])
def test_exact_similarities_do_not_depend_on_how_they_are_computed(
    generator: torch.Generator, normalize: bool
) -> None:
    """Tiles, single pairs and another order of the dimensions give the same bits."""
    points, _ = clustered(generator)
    points = points * torch.logspace(-9, 9, len(points))[:, None]
    similarities = compared(points, points, normalize=normalize)
    wanted = similarities.exact_tile(slice(None), slice(None))
    same = {"rtol": 0, "atol": 0}
    torch.testing.assert_close(similarities.exact_tile(slice(7, 9), slice(3, 50)), wanted[7:9, 3:50], **same)
    index = torch.randint(0, len(points), (4, 30), generator=generator)
    rows = torch.tensor([3, 8, 3, 59])
    found = similarities.exact_at(rows, index, tile=50)
    torch.testing.assert_close(found, wanted[rows].gather(1, index), **same)
    torch.testing.assert_close(whole(points.flip(1), points.flip(1), normalize=normalize), wanted, **same)


def fractions(queries: torch.Tensor, references: torch.Tensor) -> list[list[Fraction]]:
    """Dot products of whole fractions."""
    left, right = (
        [[Fraction(value) for value in row] for row in side.tolist()] for side in (queries, references)
    )
    return [[sum((a * b for a, b in zip(x, y, strict=True)), Fraction(0)) for y in right] for x in left]


def cosine_keys(queries: torch.Tensor, references: torch.Tensor) -> list[list[Fraction]]:
    """What orders the items of a query as their cosines do: the signed square of the cosine, but for the query."""
    lengths = [sum(Fraction(value) ** 2 for value in row) for row in references.tolist()]
    products = fractions(queries, references)
    return [
        [product * abs(product) / (n or 1) for product, n in zip(row, lengths, strict=True)]
        for row in products
    ]


def spread(kind: str, generator: torch.Generator) -> torch.Tensor:
    """Rows of which float32, or a product in float64, tells little."""
    rows = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    if kind == "one long row":
        rows[3] *= 1e25
    if kind == "lengths of every size":
        rows *= torch.logspace(-30, 30, 40, dtype=torch.float64)[:, None]
    if kind in ("1e-5 apart", "1e-7 apart"):
        rows = rows[0] + float(kind.split()[0]) * rows
    if kind == "small whole numbers":
        rows = torch.randint(-2, 3, (40, 6), generator=generator).double()
    if kind == "copies and multiples":
        rows[10:20], rows[20:30] = rows[:10], 4 * rows[:10]
        rows[30:] = 3 * rows[:10].float().double()
        rows[:10] = rows[:10].float().double()
    return rows


KINDS = [
    "ordinary",
    "one long row",
    "lengths of every size",
    "1e-5 apart",
    "1e-7 apart",
    "small whole numbers",
    "copies and multiples",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("ties", ["pessimistic", "mid"])
def test_ranks_are_those_of_fractions(generator: torch.Generator, kind: str, normalize: bool, ties) -> None:
    """The order of whole fractions, whatever the lengths and the distances of the rows; equal ones tie."""
    rows = spread(kind, generator)
    labels = torch.randint(0, 8, (len(rows),), generator=generator)
    keys = (cosine_keys if normalize else fractions)(rows, rows)
    if not normalize:  # equal means: equal when rounded once
        keys = [[Fraction(float(key)) for key in row] for row in keys]
    places = [[sorted(set(row)).index(key) for key in row] for row in keys]
    own = torch.arange(len(rows))
    wanted = metrics.ranks_from_scores(
        torch.tensor(places), labels[:, None] == labels, ties=ties, query_item=own
    )
    equal(metrics.retrieval_ranks(rows, labels, normalize=normalize, ties=ties), wanted)
    found = metrics.nearest_items(rows, rows, 7, normalize=normalize).item
    order = [sorted(range(len(row)), key=lambda item: (-row[item], item))[:7] for row in places]
    assert found.tolist() == order


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [True, False])
def test_rounded_similarities_are_within_their_slack(
    generator: torch.Generator, kind: str, normalize: bool
) -> None:
    """What the bound promises, and by what the fast product is trusted."""
    similarities = compared(*[spread(kind, generator)] * 2, normalize=normalize)
    exact = similarities.rounded(similarities.exact_tile(slice(None), slice(None)))
    error = (similarities.tile(slice(None), slice(None)) - exact).abs()
    assert bool((error <= similarities.slack).all())


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 17, 64, 130]), st.integers(-60, 0))
def test_parts_of_rows_add_up_without_rounding(seed: int, dim: int, spread: int) -> None:
    """Sums of products of parts are whole numbers below 2^53 of their unit, and the parts add up to the row."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(3, dim, generator=generator, dtype=torch.float64)
    rows *= 2.0 ** (spread * torch.rand(3, dim, generator=generator, dtype=torch.float64))
    parts = limbs(rows / rows.abs().amax(1, keepdim=True), normalize=True)
    for one in parts:
        for other in parts[: 3 if one is parts.high else 1] if one is not parts.middle else parts[:2]:
            exact = [
                [sum(map(operator.mul, map(Fraction, x), map(Fraction, y))) for y in other.tolist()]
                for x in one.tolist()
            ]
            assert (one @ other.T).tolist() == [[float(value) for value in row] for row in exact]
            assert all(Fraction(float(value)) == value for row in exact for value in row)
    length = [
        sum(
            sum(map(Fraction, values)) ** 2
            for values in zip(*(part[row].tolist() for part in parts), strict=True)
        )
        for row in range(3)
    ]
    assert all(abs(value - 1) < Fraction(1, 2**60) for value in length)


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1.0, 1e30])
def test_scale_of_embeddings_does_not_matter(generator: torch.Generator, factor: float) -> None:
    """Cosine ranks ignore the length of rows, dot-product ranks a common factor, within float32's range."""
    points, labels = clustered(generator)
    lengths = torch.rand(len(points), 1, generator=generator) + 0.5
    cosine = metrics.retrieval_ranks(points, labels)
    factor = 2.0 ** math.floor(
        math.log2(factor)
    )  # a rounded multiple is another row, not quite in its direction
    equal(metrics.retrieval_ranks(points.double() * lengths * factor, labels), cosine)
    dot = metrics.retrieval_ranks(points, labels, normalize=False)
    equal(metrics.retrieval_ranks(points * factor, labels, normalize=False), dot)


@pytest.mark.parametrize("largest", [1.75 * 2.0**1023, 1.25 * 2.0**1023, 2.0**1023, 2.0**-1020, 2.0**-1060])
@pytest.mark.parametrize("normalize", [True, False])
def test_the_ends_of_float64_are_ordered_too(
    generator: torch.Generator, largest: float, normalize: bool
) -> None:
    """Rows whose lengths or squares leave the range: the ranks are those of the same small whole numbers.

    Dot products can be ordered up to the length 2^1023; beyond it a row is refused.
    """
    codes = torch.randint(-2, 3, (30, 5), generator=generator).double()
    codes[0, 0] = 2
    labels = torch.randint(0, 6, (30,), generator=generator)
    rows = codes * (largest / 2)
    wanted = metrics.retrieval_ranks(codes, labels, normalize=normalize)
    if normalize or largest < 1:
        equal(metrics.retrieval_ranks(rows, labels, normalize=normalize), wanted)
        return
    with pytest.raises(InputError, match=r"row \d+ of embeddings is longer than 2\^1023"):
        metrics.retrieval_ranks(rows, labels, normalize=False)
    equal(metrics.retrieval_ranks(rows / 16, labels, normalize=False), wanted)


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
