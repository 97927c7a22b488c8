"""Losses of pairs compare the pairs that are chosen and no others."""

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import circle_loss, hardest_triplet_loss, info_nce_loss, row_chunks

SETTINGS = {
    circle_loss: {"margin": 0.25, "scale": 8.0},
    hardest_triplet_loss: {"margin": 1.5},
    info_nce_loss: {"temperature": 0.2},
}
BY_LOSS = pytest.mark.parametrize("loss", SETTINGS)


def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Six queries, seven documents, what is relevant and which pairs are chosen."""
    generator = torch.Generator().manual_seed(0)
    queries, documents = (torch.randn(rows, 4, generator=generator, dtype=torch.float64) for rows in (6, 7))
    relevance, pairs = (torch.rand(6, 7, generator=generator) < share for share in (0.4, 0.6))
    return queries, documents, relevance, pairs


@BY_LOSS
def test_each_query_meets_its_own_documents(loss):
    """Query by query: the loss with the other documents left out."""
    queries, documents, relevance, pairs = drawn()
    found = loss(queries, relevance, documents=documents, pairs=pairs, **SETTINGS[loss])
    for row, chosen in enumerate(pairs):
        alone = loss(
            queries[row, None],
            relevance[row, None, chosen],
            documents=documents[chosen],
            **SETTINGS[loss],
        )
        torch.testing.assert_close(found[row], alone[0])


@BY_LOSS
def test_all_pairs_and_rows_under_labels(loss):
    """All pairs are no choice; rows under labels are documents of each other, and no row meets itself."""
    rows, labels = drawn()[0], torch.tensor([0, 0, 1, 1, 1, 2])
    every, apart = torch.ones(6, 6, dtype=torch.bool), ~torch.eye(6, dtype=torch.bool)
    plain = loss(rows, labels, **SETTINGS[loss])
    torch.testing.assert_close(loss(rows, labels, pairs=every, **SETTINGS[loss]), plain)
    same = labels[:, None] == labels
    torch.testing.assert_close(loss(rows, same, documents=rows, pairs=apart, **SETTINGS[loss]), plain)
    chosen = drawn()[3][:, :6]
    two_sided = loss(rows, same, documents=rows, pairs=chosen & apart, **SETTINGS[loss])
    torch.testing.assert_close(loss(rows, labels, pairs=chosen, **SETTINGS[loss]), two_sided)


@BY_LOSS
def test_both_directions(loss):
    """The other direction has the same pairs, turned."""
    queries, documents, relevance, pairs = drawn()
    settings = SETTINGS[loss]
    there = loss(queries, relevance, documents=documents, pairs=pairs, **settings)
    back = loss(documents, relevance.T, documents=queries, pairs=pairs.T, **settings)
    weights = (relevance & pairs).double()
    wanted = (there + weights @ back / weights.sum(1).clamp(min=1)) / 2
    found = loss(queries, relevance, documents=documents, pairs=pairs, symmetric=True, **settings)
    torch.testing.assert_close(found, wanted)


@BY_LOSS
def test_gradient_of_chunks(loss, monkeypatch):
    """One query at a time gives the gradient of all at once; documents in no pair have none."""
    queries, documents, relevance, pairs = drawn()
    pairs[:, 3] = False

    def slope() -> Tensor:
        leaf = documents.clone().requires_grad_()
        value = loss(queries, relevance, documents=leaf, pairs=pairs, **SETTINGS[loss])
        return torch.autograd.grad(value.sum(), leaf)[0]

    whole = slope()
    monkeypatch.setattr(row_chunks, "MEMORY_BUDGET", 1)
    torch.testing.assert_close(slope(), whole, rtol=1e-10, atol=1e-12)
    assert bool((whole[3] == 0).all() and (whole != 0).any())


@BY_LOSS
def test_no_pair(loss):
    """Nothing is compared: 0 with zero gradient."""
    queries, documents, relevance, pairs = drawn()
    leaf = queries.clone().requires_grad_()
    value = loss(leaf, relevance, documents=documents, pairs=torch.zeros_like(pairs), **SETTINGS[loss])
    value.sum().backward()
    assert bool((value == 0).all() and (leaf.grad == 0).all())


@BY_LOSS
def test_what_is_refused(loss):
    """Pairs of another shape or type."""
    queries, documents, relevance, pairs = drawn()
    for wrong in (pairs.T, pairs.double(), [0, 1]):
        with pytest.raises(InputError, match="which pairs are compared"):
            loss(queries, relevance, documents=documents, pairs=wrong)
    with pytest.raises(InputError, match="pooling='anchor', or no pairs"):
        circle_loss(queries, relevance, documents=documents, pairs=pairs, pooling="batch")
