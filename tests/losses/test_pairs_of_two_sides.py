"""InfoNCE and the hardest triplet of queries against documents, held to definitions written as loops."""

import math

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import hardest_triplet_loss, info_nce_loss, row_chunks

BOTH = pytest.mark.parametrize("loss", [info_nce_loss, hardest_triplet_loss], ids=["info_nce", "triplet"])


def two_sides() -> tuple[Tensor, Tensor, Tensor]:
    """Six queries, seven documents; a query without a relevant one and one to which all are relevant; grades."""
    generator = torch.Generator().manual_seed(0)
    queries, documents = (torch.randn(rows, 5, generator=generator, dtype=torch.float64) for rows in (6, 7))
    relevance = (torch.rand(6, 7, generator=generator) < 0.3) * torch.tensor(
        [1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0]
    )
    relevance[0], relevance[1], relevance[2, 3] = 0.0, 1.0, 1.0
    relevance[4, 6] = -1.0  # judged, not relevant
    return queries, relevance, documents


def cosine(a: Tensor, b: Tensor) -> float:
    """By the book."""
    return float(a @ b / (a.norm() * b.norm()))


def of_pair(name: str, positive: float, negatives: list[float]) -> float:
    """The loss of one relevant item, temperature 0.5 or margin 0.3."""
    if not negatives:
        return 0.0
    if name == "info_nce_loss":
        total = sum(math.exp(one / 0.5) for one in [positive, *negatives])
        return -math.log(math.exp(positive / 0.5) / total)
    return max(0.0, 0.3 + max(negatives) - positive)


def slow(name: str, queries: Tensor, relevance: Tensor, documents: Tensor) -> list[float]:
    """One direction, loop by loop."""
    found = []
    for query, row in zip(queries, relevance.tolist(), strict=True):
        scores = [cosine(query, document) for document in documents]
        negatives = [one for one, grade in zip(scores, row, strict=True) if grade <= 0]
        losses = [of_pair(name, one, negatives) for one, grade in zip(scores, row, strict=True) if grade > 0]
        found.append(sum(losses) / len(losses) if losses else 0.0)
    return found


SETTINGS = {info_nce_loss: {"temperature": 0.5}, hardest_triplet_loss: {"margin": 0.3}}


@BOTH
@pytest.mark.parametrize("symmetric", [False, True])
def test_equals_the_loops(loss, symmetric):
    """One direction, and the mean of both."""
    queries, relevance, documents = two_sides()
    wanted = slow(loss.__name__, queries, relevance, documents)
    if symmetric:
        back = slow(loss.__name__, documents, relevance.T, queries)
        for place, row in enumerate(relevance.tolist()):
            mine = [value for value, grade in zip(back, row, strict=True) if grade > 0]
            wanted[place] = (wanted[place] + (sum(mine) / len(mine) if mine else 0.0)) / 2
    found = loss(queries, relevance, documents=documents, symmetric=symmetric, **SETTINGS[loss])
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert found[0] == 0 and found[2] > 0


@BOTH
@pytest.mark.parametrize("symmetric", [False, True])
def test_gradient_of_both_sides(loss, symmetric):
    """float64 gradcheck by queries and documents."""
    queries, relevance, documents = two_sides()

    def value(one: Tensor, other: Tensor) -> Tensor:
        return loss(one, relevance, documents=other, symmetric=symmetric, **SETTINGS[loss])

    assert torch.autograd.gradcheck(value, (queries.requires_grad_(), documents.requires_grad_()))


@BOTH
def test_chunks_change_nothing(loss, monkeypatch):
    """One query at a time gives value and gradient of all at once."""
    queries, relevance, documents = two_sides()

    def slope() -> tuple[Tensor, Tensor]:
        leaf = documents.clone().requires_grad_()
        value = loss(queries, relevance, documents=leaf, symmetric=True, **SETTINGS[loss])
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    whole = slope()
    monkeypatch.setattr(row_chunks, "MEMORY_BUDGET", 1)
    for found, wanted in zip(slope(), whole, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_pairs_alone_are_cross_entropy():
    """One relevant document per query: cross-entropy over the batch, and the loss of CLIP with both directions."""
    queries, _, documents = two_sides()
    documents = documents[:6]
    logits = torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(documents).T / 0.07
    places = torch.arange(6)
    one = torch.nn.functional.cross_entropy(logits, places)
    other = torch.nn.functional.cross_entropy(logits.T, places)
    settings = {"documents": documents, "temperature": 0.07}
    torch.testing.assert_close(info_nce_loss(queries, torch.eye(6), **settings).mean(), one)
    both = info_nce_loss(queries, torch.eye(6), symmetric=True, **settings).mean()
    torch.testing.assert_close(both, (one + other) / 2)


@BOTH
def test_labels_are_relevance_without_oneself(loss):
    """Rows under labels: what two sides give with the row itself taken out of its documents."""
    rows = two_sides()[2]
    labels = torch.tensor([0, 0, 1, 1, 0, 2, 1])
    found = loss(rows, labels, **SETTINGS[loss])
    for place in range(7):
        others = torch.tensor([other for other in range(7) if other != place])
        relevance = (labels[others] == labels[place])[None]
        alone = loss(rows[place, None], relevance, documents=rows[others], **SETTINGS[loss])
        torch.testing.assert_close(found[place], alone[0])
    torch.testing.assert_close(loss(rows, labels, symmetric=True, **SETTINGS[loss]), found)


@BOTH
def test_all_opposite(loss):
    """Far negatives leave a loss of nothing, near ones a large one, without a number that is none."""
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    documents = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    small = {info_nce_loss: {"temperature": 1e-3}, hardest_triplet_loss: {"margin": 0.3}}[loss]
    leaf = queries.clone().requires_grad_()
    value = loss(leaf, torch.eye(2), documents=documents, **small)
    value.sum().backward()
    assert bool(value.isfinite().all() and leaf.grad.isfinite().all())
    assert value[1] < 1e-6 and value[0] > 2


@BOTH
def test_half_precision_and_autocast(loss):
    """float16 sides are computed in float32."""
    queries, relevance, documents = two_sides()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(queries.half(), relevance, documents=documents.half(), **SETTINGS[loss])
    assert found.dtype == torch.float32
    wanted = loss(queries.half().double(), relevance, documents=documents.half().double(), **SETTINGS[loss])
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


@BOTH
def test_refuses(loss):
    """Shapes that do not fit and settings out of range."""
    queries, relevance, documents = two_sides()
    with pytest.raises(InputError, match="the relevance of every pair"):
        loss(queries, relevance.T, documents=documents)
    with pytest.raises(InputError, match="same number of dimensions"):
        loss(queries, relevance, documents=documents[:, :3])
    with pytest.raises(InputError, match="one label per row"):
        loss(queries, [0, 1])
    name = next(iter(SETTINGS[loss]))
    with pytest.raises(InputError, match=f"{name} is 0"):
        loss(queries, relevance, documents=documents, **{name: 0})
