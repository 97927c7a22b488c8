"""The memory queue: what it holds, how it goes on after a restart, and a loss that ranks against it."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import recall_at_k_loss
from metricgrad.pairing import MemoryQueue, SiMix
from metricgrad.ranking import RankingLoss, positive_ranks


def rows(generator: torch.Generator, count: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Some rows with labels."""
    return torch.randn(count, 4, generator=generator, dtype=torch.float64), torch.arange(count) % classes


def criterion(queue: MemoryQueue | None, **settings) -> RankingLoss:
    """The criterion of these tests."""
    return RankingLoss(recall_at_k_loss, temperature=0.1, k=(1, 2), memory=queue, **settings)


@pytest.mark.parametrize("sizes", [[3], [3, 3], [5, 4, 1, 7], [20], [3, 20, 2], [7, 7], [0, 2]])
def test_holds_the_last_rows(sizes, generator):
    """The last `capacity` rows with their labels, whatever the sizes of the batches."""
    queue = MemoryQueue(7, 4, dtype=torch.float64)
    everything, labels = rows(generator, sum(sizes), 50)
    for part, part_labels in zip(everything.split(sizes), labels.split(sizes), strict=True):
        queue.push(part, part_labels)
    order = queue.labels.argsort()  # labels count upwards
    torch.testing.assert_close(queue.labels[order], labels[-7:])
    torch.testing.assert_close(queue.embeddings[order], everything[-7:])
    assert len(queue) == min(7, sum(sizes))


def test_labels_may_be_lists_and_arrays(generator):
    """Whole numbers of any kind; strings would have another number in another batch."""
    queue = MemoryQueue(6, 4)
    embeddings, labels = rows(generator, 2)
    for given in (labels, labels.tolist(), labels.numpy().astype(np.int16)):
        queue.push(embeddings, given)
    assert queue.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert queue.embeddings.dtype == torch.float32


def test_goes_on_from_its_state(generator):
    """A queue that is restored in the middle of its ring holds the same and goes on the same."""
    queue, other = (MemoryQueue(5, 4, dtype=torch.float64) for _ in range(2))
    queue.push(*rows(generator, 8))
    other.load_state_dict(copy.deepcopy(queue.state_dict()))
    more = rows(generator, 3)
    for one in (queue, other):
        one.push(*more)
    torch.testing.assert_close(other.embeddings, queue.embeddings, rtol=0, atol=0)
    torch.testing.assert_close(other.labels, queue.labels, rtol=0, atol=0)
    again = criterion(MemoryQueue(5, 4, dtype=torch.float64))
    again.load_state_dict(criterion(queue).state_dict())
    assert again.memory is not None
    assert again.memory.pushed == 11


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_ranks_among_batch_and_queue(preset, generator):
    """Each row of the batch against all others and the queue, itself left out as without a queue."""
    queue = MemoryQueue(9, 4, dtype=torch.float64)
    past, past_labels = rows(generator, 9)
    queue.push(past, past_labels)
    embeddings, labels = rows(generator, 5, 4)
    loss, valid = criterion(queue, preset=preset).per_query(embeddings, labels)
    scores = (
        torch.nn.functional.normalize(torch.cat([embeddings, past]))
        @ torch.nn.functional.normalize(torch.cat([embeddings, past])).T
    )
    everything = torch.cat([labels, past_labels])
    wanted, wanted_valid = [], []
    for query in range(5):
        kept = [item for item in range(14) if item != query or preset == "official"]
        alone = RankingLoss(
            recall_at_k_loss, temperature=0.1, k=(1, 2), normalize=False, clamp_k=preset == "official"
        )
        # one query with its similarities as one-dimensional items: the definition without any list of ours
        first = torch.ones(1, 1, dtype=torch.float64)
        relevant = [int(everything[item] == labels[query] and item != query) for item in kept]
        each, defined = alone.per_query(first, [1], scores[query, kept].unsqueeze(1), relevant)
        wanted.append(each)
        wanted_valid.append(defined)
    torch.testing.assert_close(loss, torch.cat(wanted), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(valid, torch.cat(wanted_valid))


def test_pushes_after_ranking_in_train_mode_only(generator):
    """A batch never meets its own copies; in eval mode the queue stays as it is."""
    queue = MemoryQueue(20, 4, dtype=torch.float64)
    batch = rows(generator, 6)
    ours = criterion(queue)
    torch.testing.assert_close(ours(*batch), criterion(None)(*batch))
    torch.testing.assert_close(queue.embeddings, batch[0])
    second = ours(*rows(generator, 6))
    assert len(queue) == 12
    ours.eval()(*batch)
    assert len(queue) == 12
    assert bool(second.isfinite())


def test_gradient_reaches_the_batch_alone(generator):
    """Passes gradcheck with a filled queue, which takes nothing; a push harms no backward pass."""
    queue = MemoryQueue(8, 4, dtype=torch.float64)
    queue.push(rows(generator, 8)[0].requires_grad_(), torch.arange(8) % 3)
    assert not queue.embeddings.requires_grad
    embeddings, labels = rows(generator, 5)
    ours = criterion(queue).eval()
    assert torch.autograd.gradcheck(lambda leaf: ours(leaf, labels), (embeddings.clone().requires_grad_(),))
    wanted = torch.autograd.grad(ours(leaf := embeddings.clone().requires_grad_(), labels), leaf)[0]
    ours.train()(
        leaf := embeddings.clone().requires_grad_(), labels
    ).backward()  # pushes before the backward pass
    torch.testing.assert_close(leaf.grad, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("virtual_queries", [True, False])
def test_together_with_simix(virtual_queries, generator):
    """Virtual rows are ranked against the queue too and are not pushed into it."""
    queue = MemoryQueue(8, 4, dtype=torch.float64)
    queue.push(*rows(generator, 8))
    batch = rows(generator, 6)
    state = generator.get_state()
    simix = SiMix(virtual_queries=virtual_queries, generator=generator)
    loss, _ = criterion(queue, simix=simix).eval().per_query(*batch)
    generator.set_state(state)
    alone, _ = criterion(None, simix=simix).per_query(*batch)
    assert loss.shape == alone.shape == ((9,) if virtual_queries else (6,))
    assert not torch.equal(loss, alone)
    criterion(queue, simix=simix)(*batch)
    assert queue.pushed == 14


@pytest.mark.parametrize("include_query", [False, True, "positive"])
def test_query_item_is_a_query_among_its_items(include_query, generator):
    """References that hold the queries anywhere give the ranks of the batch itself; -1 is a query from outside."""
    embeddings, labels = rows(generator, 9)
    order = torch.randperm(9, generator=generator)
    place = torch.argsort(order)
    settings = {"temperature": 0.3, "include_query": include_query}
    alone = positive_ranks(embeddings, labels, **settings)
    among = positive_ranks(
        embeddings,
        labels,
        reference_embeddings=embeddings[order],
        reference_labels=labels[order],
        query_item=place,
        **settings,
    )
    torch.testing.assert_close(among.competitors, alone.competitors)
    for one, other in zip(among[:2], alone[:2], strict=True):  # positives stand in the order of the items
        torch.testing.assert_close(
            one.masked_fill(~among.valid, 0).sort(1).values, other.masked_fill(~alone.valid, 0).sort(1).values
        )
    place[4] = -1
    mixed = positive_ranks(
        embeddings,
        labels,
        reference_embeddings=embeddings[order],
        reference_labels=labels[order],
        query_item=place,
        **settings,
    )
    outside = positive_ranks(
        embeddings[4:5],
        labels[4:5],
        reference_embeddings=embeddings[order],
        reference_labels=labels[order],
        **settings,
    )
    torch.testing.assert_close(mixed.among_all[4, mixed.valid[4]], outside.among_all[0, outside.valid[0]])


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.ones(2, 3), torch.tensor([0, 1]), "rows of 4 dimensions"),
        (torch.ones(4), torch.tensor([0, 1]), "floating-point tensor"),
        (torch.ones(2, 4, dtype=torch.long), [0, 1], "floating-point tensor"),
        (torch.ones(2, 4).to_sparse(), [0, 1], "to_dense"),
        (torch.tensor([[1.0, 2, 3, 4], [1.0, torch.nan, 3, 4]]), [0, 1], "in 1 of 2 rows, first in row 1"),
        (torch.full((2, 4), 1e300, dtype=torch.float64), [0, 1], r"in torch.float32 has NaN or infinite"),
        (torch.ones(2, 4), torch.tensor([0]), "whole numbers, one per row"),
        (torch.ones(2, 4), torch.tensor([0.0, 1.0]), "whole numbers"),
        (torch.ones(2, 4), ["cat", "dog"], "Number the classes once"),
    ],
)
def test_what_does_not_fit_is_refused(embeddings, labels, message):
    """A message says what came and what was expected."""
    with pytest.raises(InputError, match=message):
        MemoryQueue(3, 4).push(embeddings, labels)


def test_further_refusals(generator):
    """No capacity; references beside a memory; item numbers that are not there or number nothing."""
    embeddings, labels = rows(generator, 4)
    with pytest.raises(InputError, match="MemoryQueue"):
        MemoryQueue(0, 4)
    with pytest.raises(InputError, match="a memory was set"):
        criterion(MemoryQueue(3, 4))(embeddings, labels, ref_emb=embeddings, ref_labels=labels)
    own = torch.arange(4)
    with pytest.raises(InputError, match="query_item came without"):
        positive_ranks(embeddings, labels, query_item=own, temperature=0.1)
    for wrong in (own + 1, own - 2, own[:3]):
        with pytest.raises(InputError, match="one item number below 4"):
            positive_ranks(
                embeddings,
                labels,
                reference_embeddings=embeddings,
                reference_labels=labels,
                query_item=wrong,
                temperature=0.1,
            )
