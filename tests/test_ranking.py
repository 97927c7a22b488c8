"""Ranks from embeddings, and the criterion with the call of pytorch-metric-learning."""

import functools
import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from metricgrad.averages import mean_by_class, mean_valid
from metricgrad.errors import InputError
from metricgrad.losses import average_precision_loss, recall_at_k_loss, reciprocal_rank_loss
from metricgrad.metrics import hit_at_k
from metricgrad.pairing import ClassBatchSampler, unit_rows
from metricgrad.ranking import RankingLoss, positive_ranks
from metricgrad.relax import PositiveRanks, kernels, plain, positive_ranks_from_scores


def batch(generator: torch.Generator, rows: int = 12, dims: int = 4) -> tuple[Tensor, Tensor]:
    """Unit rows of classes of unequal sizes, shuffled, one of them a singleton."""
    labels = torch.tensor([0] * 5 + [1] * 2 + [2] + [3] * (rows - 8))[
        torch.randperm(rows, generator=generator)
    ]
    return unit_rows(torch.randn(rows, dims, generator=generator, dtype=torch.float64)), labels


def weighted(ranks: PositiveRanks) -> Tensor:
    """A linear function of both kinds of valid ranks."""
    weights = torch.linspace(-1, 2, ranks.valid.numel(), dtype=torch.float64).reshape(ranks.valid.shape)
    return (ranks.valid * (weights * ranks.among_all + weights.flip(0) * ranks.among_positives)).sum()


@pytest.mark.parametrize("include_query", [False, True, "positive"])
@pytest.mark.parametrize("step", ["logistic", "laplace"])
@pytest.mark.parametrize("kernel", ["torch", "numba"])
def test_equals_ranks_of_the_similarity_matrix(kernel, step, include_query, generator, monkeypatch):
    """Value and gradient equal those through E Eᵀ, also in tiles of two queries."""
    rows, labels = batch(generator)
    monkeypatch.setenv("METRICGRAD_KERNEL", kernel)
    monkeypatch.setattr(plain, "TILE_ROWS", 2)
    settings = {"include_query": include_query, "temperature": 0.2, "step": step}
    found = []
    for matrix in (False, True):
        leaf = rows.clone().requires_grad_()
        if matrix:
            same, own = labels == labels.unsqueeze(1), torch.arange(len(rows))
            ranks = positive_ranks_from_scores(leaf @ leaf.T, same, query_item=own, **settings)
        else:
            ranks = positive_ranks(leaf, labels, **settings)
        found.append((*ranks, torch.autograd.grad(weighted(ranks), leaf)[0]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_references(wanted, generator):
    """Queries against other items: value, and the gradient to whichever side takes one."""
    (rows, labels), (items, item_labels) = batch(generator), batch(generator, rows=15)
    rows, items = (
        side.clone().requires_grad_(want) for side, want in zip((rows, items), wanted, strict=True)
    )
    ranks = positive_ranks(
        rows, labels, reference_embeddings=items, reference_labels=item_labels, temperature=0.2
    )
    other = positive_ranks_from_scores(rows @ items.T, labels.unsqueeze(1) == item_labels, temperature=0.2)
    torch.testing.assert_close(ranks.among_all, other.among_all)
    assert ranks.competitors.tolist() == [15] * 12
    leaves = [side for side in (rows, items) if side.requires_grad]
    for one, two in zip(
        torch.autograd.grad(weighted(ranks), leaves),
        torch.autograd.grad(weighted(other), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_references_that_are_the_queries(generator):
    """The very same tensor as reference is the batch itself, without the query; a copy is not."""
    rows, labels = batch(generator)
    alone = positive_ranks(rows, labels, temperature=0.1)
    same = positive_ranks(rows, labels, reference_embeddings=rows, reference_labels=labels, temperature=0.1)
    copy = positive_ranks(
        rows, labels, reference_embeddings=rows.clone(), reference_labels=labels, temperature=0.1
    )
    torch.testing.assert_close(same.among_all, alone.among_all)
    assert copy.valid.sum() > alone.valid.sum()


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation and look at what it made."""
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


@pytest.mark.parametrize("kernel", ["torch", "numba"])
def test_query_by_item_is_never_made(kernel, generator, monkeypatch):
    """Forward and backward make no tensor larger than the embeddings or one tile."""
    count, dims, tile_rows = 300, 8, 16
    rows = torch.randn(count, dims, generator=generator).requires_grad_()
    labels = torch.randint(0, 60, (count,), generator=generator)
    monkeypatch.setattr(plain, "TILE_ROWS", tile_rows)
    monkeypatch.setenv("METRICGRAD_KERNEL", kernel)
    noted = (
        2 * count * count // kernels.NOTED_SHARE if kernel == "numba" else 0
    )  # room, most of it never touched
    with Largest() as largest:
        ranks = positive_ranks(rows, labels, temperature=0.1)
        (ranks.valid * ranks.among_all).sum().backward()
    widest = ranks.valid.shape[1]
    assert largest.numel <= max(count * dims, tile_rows * count * widest, noted)
    assert largest.numel < count * count
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (sizes.append(x.numel()), x)[1], lambda x: x):
        positive_ranks(rows, labels, temperature=0.1)
    assert max(sizes) <= max(count * dims, count * widest, noted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast(dtype, generator):
    """Half embeddings are multiplied in float32, and autocast changes nothing."""
    rows, labels = batch(generator)
    half = rows.to(dtype).requires_grad_()
    ranks = positive_ranks(half, labels, temperature=0.1)
    wide = positive_ranks(half.detach().double(), labels, temperature=0.1)
    torch.testing.assert_close(ranks.among_all.double(), wide.among_all, rtol=1e-5, atol=1e-5)
    weighted(ranks).backward()
    assert half.grad is not None and half.grad.dtype == dtype
    single = rows.float().requires_grad_()
    plain = positive_ranks(single, labels, temperature=0.1)
    (wanted,) = torch.autograd.grad(weighted(plain), single)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = positive_ranks(single, labels, temperature=0.1)
        (found,) = torch.autograd.grad(weighted(under), single)
    torch.testing.assert_close(under.among_all, plain.among_all)
    torch.testing.assert_close(found, wanted)


def test_order_of_rows_changes_nothing(generator):
    """Permuted rows give permuted ranks; labels may have any names."""
    rows, labels = batch(generator)
    order = torch.randperm(len(rows), generator=generator)
    loss = recall_at_k_loss(positive_ranks(rows, labels, temperature=0.1))
    names = [f"class {label}" for label in labels[order].tolist()]
    torch.testing.assert_close(
        recall_at_k_loss(positive_ranks(rows[order], names, temperature=0.1)), loss[order]
    )


def test_collapsed_embeddings():
    """All rows equal: 14 ties put every positive at rank 8, and nothing is NaN."""
    rows = torch.ones(16, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(16) // 4
    ranks = positive_ranks(rows, labels, temperature=0.01)
    torch.testing.assert_close(ranks.among_all, torch.full((16, 3), 8.0).double())
    loss = RankingLoss(recall_at_k_loss, temperature=0.01)(rows, labels)
    loss.backward()
    reached = [min(3 / (1 + math.exp(8 - k)), k) / min(k, 3) for k in (1, 2, 4, 8, 16)]
    torch.testing.assert_close(loss.item(), 1 - sum(reached) / 5)
    assert rows.grad is not None and bool(rows.grad.isfinite().all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1]}, "labels has 2 entries"),
        (
            {"reference_embeddings": torch.zeros(2, 3), "reference_labels": [0]},
            "reference_labels has 1 entries",
        ),
        ({"reference_embeddings": torch.zeros(2, 3)}, "without reference_labels"),
        ({"reference_labels": [0, 1]}, "without reference_embeddings"),
        (
            {"reference_embeddings": torch.zeros(2, 4), "reference_labels": [0, 1]},
            "same number of dimensions",
        ),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"step": "linear"}, "step is 'linear'"),
        ({"embeddings": torch.zeros(3)}, "embeddings is"),
        (
            {"embeddings": torch.full((3, 3), torch.nan), "temperature": 0},
            "embeddings has NaN in 3 of 3 rows",
        ),
    ],
)
def test_positive_ranks_refuses(change, message):
    """What does not fit is refused in one sentence."""
    arguments = {"embeddings": torch.zeros(3, 3), "labels": [0, 0, 1], "temperature": 0.1} | change
    with pytest.raises(InputError, match=message):
        positive_ranks(arguments.pop("embeddings"), arguments.pop("labels"), **arguments)


def test_mean_valid(generator):
    """The mean over queries with a positive; 0 attached to the graph where there is none."""
    rows, labels = batch(generator)
    ranks = positive_ranks(rows, labels, temperature=0.1)
    loss = recall_at_k_loss(ranks)
    valid = ranks.valid.any(1)
    assert not bool(valid.all())
    torch.testing.assert_close(mean_valid(loss, ranks), loss[valid].mean())
    torch.testing.assert_close(mean_valid(loss, valid), loss[valid].mean())
    leaf = rows.clone().requires_grad_()
    nothing = RankingLoss(recall_at_k_loss, temperature=0.1)(leaf, torch.arange(len(rows)))
    nothing.backward()
    assert nothing.item() == 0 and leaf.grad is not None and not bool(leaf.grad.any())
    with pytest.raises(InputError, match="mean_valid"):
        mean_valid(loss[:3], ranks)


def test_mean_by_class():
    """The mean of class means over valid units; a class without valid unit does not count."""
    loss = torch.tensor([1.0, 3.0, 10.0, 50.0, 7.0])
    valid = torch.tensor([True, True, True, False, False])
    assert mean_by_class(loss, ["a", "a", "b", "b", "c"], valid).item() == 6.0
    assert mean_by_class(loss, [0, 0, 1, 1, 2], torch.zeros(5, dtype=torch.bool)).item() == 0
    with pytest.raises(InputError, match="mean_by_class"):
        mean_by_class(loss, [0, 0, 1, 1, 2], valid[:3])


def test_the_criterion_is_its_parts(generator):
    """Normalisation, ranks, loss and mean by hand give the same number."""
    rows, labels = batch(generator)
    criterion = RankingLoss(recall_at_k_loss, temperature=0.1, k=(1, 2))
    ranks = positive_ranks(rows, labels, temperature=0.1)
    wanted = mean_valid(recall_at_k_loss(ranks, k=(1, 2)), ranks)
    torch.testing.assert_close(criterion(rows * 3, labels), wanted)
    loss, valid = criterion.per_query(rows, labels)
    torch.testing.assert_close(loss[valid].mean(), wanted)
    assert "recall_at_k_loss, temperature=0.1" in repr(criterion)


def test_presets(generator):
    """`official` differs from `paper` for the two losses with published code, and is refused for others."""
    rows, labels = batch(generator)
    cases: list[tuple[Any, Any]] = [(recall_at_k_loss, True), (average_precision_loss, "positive")]
    for loss, include_query in cases:
        official = RankingLoss(loss, temperature=0.1, preset="official")
        assert official.include_query == include_query
        ranks = positive_ranks(rows, labels, temperature=0.1, include_query=include_query)
        settings: dict[str, Any] = {"clamp_k": True} if loss is recall_at_k_loss else {}
        torch.testing.assert_close(official(rows, labels), mean_valid(loss(ranks, **settings), ranks))
        paper = RankingLoss(loss, temperature=0.1, preset="paper")(rows, labels)
        torch.testing.assert_close(paper, RankingLoss(loss, temperature=0.1)(rows, labels))
        assert official(rows, labels) != paper
    partial = functools.partial(recall_at_k_loss, k=(1, 2))
    assert RankingLoss(partial, temperature=0.1, preset="official").settings == {"clamp_k": True}
    with pytest.raises(InputError, match="preset is 'official' for reciprocal_rank_loss"):
        RankingLoss(reciprocal_rank_loss, temperature=0.1, preset="official")
    with pytest.raises(InputError, match="preset is 'new'"):
        RankingLoss(recall_at_k_loss, temperature=0.1, preset="new")  # pyright: ignore[reportArgumentType]


def test_criterion_refuses(generator):
    """Temperature 0, a miner's output, and references without labels."""
    rows, labels = batch(generator)
    with pytest.raises(InputError, match="temperature is 0"):
        RankingLoss(recall_at_k_loss, temperature=0)
    criterion = RankingLoss(recall_at_k_loss, temperature=0.1)
    with pytest.raises(InputError, match="ClassBatchSampler"):
        criterion(rows, labels, (labels, labels, labels))
    with pytest.raises(InputError, match="without reference_labels"):
        criterion(rows, labels, ref_emb=rows.clone())


def test_the_call_is_that_of_pytorch_metric_learning(generator):
    """The five arguments by position and by name; references that are the batch leave the query out."""
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    ours = list(inspect.signature(RankingLoss.forward).parameters)
    assert ours == list(inspect.signature(losses.TripletMarginLoss.forward).parameters)
    rows, labels = batch(generator)
    items, item_labels = batch(generator, rows=15)
    criterion = RankingLoss(recall_at_k_loss, temperature=0.1)
    torch.testing.assert_close(criterion(rows, labels, None, rows, labels), criterion(rows, labels))
    ranks = positive_ranks(
        rows, labels, reference_embeddings=items, reference_labels=item_labels, temperature=0.1
    )
    wanted = mean_valid(recall_at_k_loss(ranks), ranks)
    torch.testing.assert_close(criterion(rows, labels, None, items, item_labels), wanted)


# its trainer reads the loss for the progress bar without detaching it
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning")
def test_inside_a_trainer_of_pytorch_metric_learning(generator):
    """`MetricLossOnly` trains a projection with our criterion and sampler; the exact metric rises."""
    trainers = pytest.importorskip("pytorch_metric_learning.trainers")
    labels = torch.arange(120) // 6
    centres = torch.randn(20, 4, generator=generator)[labels]
    inputs = torch.cat(
        [centres, 3 * torch.randn(120, 12, generator=generator)], 1
    )  # signal, then louder noise
    trunk = torch.nn.Linear(16, 8, bias=False)
    torch.nn.init.normal_(trunk.weight, generator=generator)
    sampler = ClassBatchSampler(labels, classes_per_batch=10, samples_per_class=6)

    def exact() -> float:
        rows = unit_rows(trunk(inputs).detach())
        own = torch.arange(len(rows))
        return hit_at_k(rows @ rows.T, labels == labels.unsqueeze(1), k=1, query_item=own).mean().item()

    before = exact()
    trainer = trainers.MetricLossOnly(
        models={"trunk": trunk},
        optimizers={"trunk_optimizer": torch.optim.Adam(trunk.parameters(), lr=0.03)},
        batch_size=60,
        loss_funcs={"metric_loss": RankingLoss(recall_at_k_loss, temperature=0.1, k=(1, 2, 4))},
        dataset=torch.utils.data.TensorDataset(inputs, labels),
        sampler=[item for chosen in sampler for item in chosen],
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
    )
    trainer.train(num_epochs=30)
    assert exact() > before + 0.2
