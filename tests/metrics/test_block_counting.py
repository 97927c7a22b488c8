"""Ranks by blocks of items equal those of tiles, bit for bit, whatever the rows are."""

import numpy as np
import pytest
import torch

from metricgrad import Qrels, metrics
from metricgrad.errors import InputError
from metricgrad.metrics import block_counting, block_nearest, nearest, rows
from metricgrad.metrics.block_products import Block
from metricgrad.metrics.count_kernel import split
from metricgrad.metrics.similarity import Similarities
from metricgrad.metrics.whole_rows import whole_of
from tests.metrics.test_embedded import KINDS, equal, spread

MORE = [
    "float16", "int8 codes", "one bit", "one bit of length 1", "three values", "words", "halves", "all equal",
    "zeros among them", "one dimension",
]  # fmt: skip


def embeddings(kind: str, generator: torch.Generator) -> torch.Tensor:
    """Rows of which float32 tells much, little or nothing."""
    if kind in KINDS:
        found = spread(kind, generator)
        return torch.cat([found, found[::2] + 1e-9 * found[1::2], found[:5]])
    found = torch.randn(70, 8, generator=generator)
    if kind == "float16":
        return found.half()
    if kind == "int8 codes":
        return (found * 40).round().clamp(-128, 127)
    if kind == "one bit":
        return found.sign()
    if kind == "one bit of length 1":
        return torch.nn.functional.normalize(found.sign())
    if kind == "three values":
        return (found * 0.8).round().clamp(-1, 1)  # rows of several lengths, one of zeros perhaps
    if kind == "words":
        return (found > 0.5) * torch.rand(
            70, 1, generator=generator
        )  # each row is of 0 and a number of its own
    if kind == "halves":
        return (found * 4).round() / 2
    if kind == "all equal":
        return found[:1].repeat(70, 1)
    if kind == "zeros among them":
        found[10:20] = 0
    return found[:, :1] if kind == "one dimension" else found


@pytest.fixture
def by_blocks(monkeypatch):
    """Every matrix is read in blocks of 30 rows; 20 queries per product, 45 per reading."""

    def switch() -> None:
        monkeypatch.setattr(rows, "_LARGE", 0)
        monkeypatch.setattr(rows, "BLOCK", 30)
        monkeypatch.setattr(block_counting, "_QUERIES", 20)
        monkeypatch.setattr(block_counting, "_GROUP", 45)

    return switch


@pytest.mark.parametrize("kind", [*KINDS, *MORE])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("sparse", "classes", "ties"), [(64, 25, "average"), (1, 25, "pessimistic"), (4, 3, "mid")]
)
def test_blocks_change_nothing(
    generator, by_blocks, monkeypatch, kind, normalize, sparse, classes, ties
) -> None:
    """Of the rows among themselves, whole queries and pair by pair, few relevant items and a third of all."""
    monkeypatch.setattr(block_counting, "_SPARSE", sparse)
    points = embeddings(kind, generator)
    labels = torch.randint(0, classes, (len(points),), generator=generator)
    wanted = metrics.retrieval_ranks(points, labels, normalize=normalize, ties=ties)
    by_blocks()
    equal(metrics.retrieval_ranks(points, labels, normalize=normalize, ties=ties), wanted)


@pytest.mark.parametrize("kind", [*KINDS, *MORE])
@pytest.mark.parametrize("normalize", [True, False])
def test_blocks_change_nothing_of_judged_documents(generator, by_blocks, kind, normalize) -> None:
    """Graded, some documents passed over, queries without a relevant document."""
    points = embeddings(kind, generator)
    queries, items = 20, len(points)
    grades = torch.randint(-1, 4, (queries, items), generator=generator).double()
    grades[torch.rand(queries, items, generator=generator) < 0.93] = 0
    query, document = grades.nonzero(as_tuple=True)
    qrels = Qrels.of_pairs(query, document, grades[query, document], queries=queries, items=items)
    exclude = torch.randint(-1, items, (queries,), generator=generator)
    given = {"exclude": exclude, "normalize": normalize}
    wanted = metrics.judged_ranks(points[:queries], points, qrels, **given)
    by_blocks()
    equal(metrics.judged_ranks(points[:queries], points, qrels, **given), wanted)
    mapped = metrics.judged_ranks(points[:queries].numpy(), points.numpy(), qrels, **given)
    equal(mapped, wanted)


@pytest.mark.parametrize("kind", [*KINDS, *MORE])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_blocks_change_nothing_of_the_nearest(generator, by_blocks, monkeypatch, kind, normalize, k) -> None:
    """Items, their order and their similarities, with some passed over."""
    points = embeddings(kind, generator)
    exclude = torch.randint(-1, len(points), (20,), generator=generator)
    given = {"exclude": exclude, "normalize": normalize, "engine": "torch"}
    wanted = metrics.nearest_items(points[:20], points, k, **given)
    by_blocks()
    monkeypatch.setattr(block_nearest, "_QUERIES", 7)
    for references in (points, points.numpy()):
        found = metrics.nearest_items(points[:20], references, k, **given)
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["float16", "float32", "Fortran", "reversed", "big-endian", "read-only map"])
@pytest.mark.parametrize("blocks", [True, False])
def test_arrays_of_every_kind(generator, by_blocks, tmp_path, kind: str, blocks: bool) -> None:
    """NumPy's arrays and memory maps say what a tensor of the same numbers says."""
    points = torch.randn(60, 8, generator=generator)
    points = (points.half() if kind == "float16" else points).numpy()
    labels = torch.randint(0, 9, (60,), generator=generator)
    wanted = metrics.retrieval_ranks(torch.from_numpy(points.copy()), labels)
    if kind == "Fortran":
        points = np.asfortranarray(points)
    if kind == "reversed":
        points = points[::-1].copy()[::-1]
    if kind == "big-endian":
        points = points.astype(">f4")
    if kind == "read-only map":
        np.save(tmp_path / "points.npy", points)
        points = np.load(tmp_path / "points.npy", mmap_mode="r")
    if blocks:
        by_blocks()
    equal(metrics.retrieval_ranks(points, labels), wanted)
    same = metrics.retrieval_ranks(points, labels, reference_embeddings=points, reference_labels=labels)
    equal(same, wanted)


def test_records_take_arrays(generator: torch.Generator) -> None:
    """Of labels and of judged documents, also where queries are copies of items."""
    points = torch.randn(40, 8, generator=generator)
    labels = torch.randint(0, 9, (40,), generator=generator)
    references = {"reference_outputs": points.numpy()[5:], "reference_targets": labels[5:]}
    record = metrics.adapt("map@r")
    wanted = record.measure(points[:5], labels[:5], **(references | {"reference_outputs": points[5:]}))
    torch.testing.assert_close(
        record.measure(points[:5].numpy(), labels[:5], **references), wanted, equal_nan=True
    )
    qrels = Qrels.of_pairs(torch.arange(5), torch.arange(5), queries=5, items=35)
    references = {"reference_outputs": points.numpy()[5:], "reference_targets": torch.arange(35)}
    judged = metrics.judged("mrr@10", qrels)
    found = judged.measure(points[:5].numpy(), torch.arange(5), **references)
    wanted = judged.measure(points[:5], torch.arange(5), **(references | {"reference_outputs": points[5:]}))
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(generator: torch.Generator, by_blocks, value: float) -> None:
    """Also in a later block; the row is named."""
    points = torch.randn(60, 8, generator=generator)
    points[41, 2] = value
    by_blocks()
    with pytest.raises(InputError, match="in 1 of 60 rows, first in row 41"):
        metrics.retrieval_ranks(
            points[:2], [0, 1], reference_embeddings=points, reference_labels=torch.arange(60)
        )


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4), np.int8), "an array .row, dim. of float16, float32 or float64"),
        (np.zeros(3, np.float32), "an array"),
        (np.zeros((3, 0), np.float32), "at least one dimension"),
    ],
)
def test_arrays_that_are_refused(array: np.ndarray, message: str) -> None:
    """Whole numbers, one axis, no dimension."""
    with pytest.raises(InputError, match=message):
        metrics.nearest_items(array, array, 1)


def test_lower_precision_of_products_is_not_used(generator: torch.Generator, by_blocks, monkeypatch) -> None:
    """Where torch may round float32 products, they settle nothing."""
    points = torch.randn(60, 8, generator=generator)
    labels = torch.randint(0, 9, (60,), generator=generator)
    wanted = metrics.retrieval_ranks(points, labels)
    by_blocks()
    monkeypatch.setattr(Block, "float32", None)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    equal(metrics.retrieval_ranks(points, labels), wanted)
    monkeypatch.setattr(nearest, "best_by_blocks", None)
    assert metrics.nearest_items(points, points, 3).item[:, 0].tolist() == list(range(60))


@pytest.mark.parametrize("kind", ["one bit", "one bit of length 1", "three values", "words", "halves"])
def test_rows_of_few_values_need_one_product(generator, by_blocks, monkeypatch, kind: str) -> None:
    """Nothing is left to float64, however much is tied; rows of many values have no units."""
    points = embeddings(kind, generator)
    labels = torch.randint(0, 9, (70,), generator=generator)
    wanted = metrics.retrieval_ranks(points, labels)
    by_blocks()
    monkeypatch.setattr(Block, "float64", None)
    monkeypatch.setattr(Similarities, "exact_tile", None)
    monkeypatch.setattr(Similarities, "exact_at", None)
    equal(metrics.retrieval_ranks(points, labels), wanted)


@pytest.mark.parametrize(
    ("row", "normalize", "unit"),
    [
        ([0.75, -0.5, 0.0], True, 0.25),
        ([0.0, 0.0, 0.0], False, 1.0),
        ([0.3, 0.0, -0.3], True, 0.3),
        ([0.3, 0.0, -0.3], False, None),
        ([1.0, 1 / 3, 0.5], True, None),
        ([1.0, 1.0 + 2**-20, 0.5], True, None),
    ],
)
def test_units_of_rows(row: list[float], normalize: bool, unit: float | None) -> None:
    """The largest one; a power of two where lengths count."""
    found = whole_of(torch.tensor([row], dtype=torch.float64), normalize=normalize)
    assert (found is None) == (unit is None)
    if found is not None:
        assert found.unit.tolist() == [unit]


def test_rows_that_are_too_long_are_of_many_values() -> None:
    """300 times the unit: products of two such rows need more than 16 bits."""
    rows = torch.full((3, 300), 200.0, dtype=torch.float64)
    rows[1, 0] = 3.0
    assert whole_of(rows[:1], normalize=True) is not None  # 1 times 200
    assert whole_of(rows, normalize=True) is None


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("positives", [0, 1, 3, 30, 90])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_windows_part_the_scores(generator: torch.Generator, threads: int, positives: int, dtype) -> None:
    """Counts and places of the kernel against comparisons of the whole tile."""
    scores = torch.randint(-9, 10, (11, 150), generator=generator).to(dtype)
    if positives > 64:
        scores *= 9
    low = torch.randint(-90, 90, (11, positives), generator=generator).sort(dim=1).values.to(dtype)
    low = low if positives > 64 else torch.div(low, 9, rounding_mode="floor")
    high = low + 2
    low[2], high[2] = 999, 999
    low[3, 2:], high[3, 2:] = 999, 999
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = split(scores, low, high, 10**6)
        some = split(scores, low, high, 30)
    finally:
        torch.set_num_threads(before)
    above = scores[:, None] > high[..., None]
    within = (scores[:, None] >= low[..., None]) & ~above
    assert torch.equal(found.above, above.sum(2)) and torch.equal(some.above, found.above)
    assert torch.equal(found.within, within.sum(2)) and torch.equal(some.within, found.within)
    wanted = within.nonzero()
    assert torch.equal(torch.stack(found.near, 1), wanted)
    crowded = within.sum((1, 2)) > 30
    assert torch.equal(some.crowded, crowded) and not found.crowded.any()
    assert torch.equal(torch.stack(some.near, 1), wanted[~crowded[wanted[:, 0]]])
