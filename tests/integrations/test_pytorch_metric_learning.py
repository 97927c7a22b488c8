"""Our losses in pytorch-metric-learning: its miners choose pairs, its memory keeps batches, its calculator agrees."""

from functools import partial
from pathlib import Path

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers, trainers
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor, nn

import metricgrad as mg
from metricgrad.errors import InputError
from metricgrad.integrations.pytorch_metric_learning import CrossBatchMemory, PairLoss
from metricgrad.losses import circle_loss, hardest_triplet_loss, info_nce_loss, supcon_loss
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("pytorch-metric-learning")

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])  # classes of unequal size, the last row alone
OURS = {
    "circle": partial(PairLoss, circle_loss, margin=0.25, scale=8.0),
    "info_nce": partial(PairLoss, info_nce_loss, temperature=0.1),
    "triplet": partial(PairLoss, hardest_triplet_loss, margin=1.5),
}
BY_LOSS = pytest.mark.parametrize("make", OURS.values(), ids=OURS)


def rows(seed: int = 0) -> Tensor:
    """Ten embeddings, of no particular length."""
    return torch.randn(10, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slope(criterion: nn.Module, *given) -> tuple[Tensor, Tensor]:
    """Value and gradient at the embeddings."""
    embeddings = rows().requires_grad_()
    value = criterion(embeddings, LABELS, *given)
    value.backward()
    assert embeddings.grad is not None
    return value.detach(), embeddings.grad


@pytest.mark.parametrize("miner", [None, miners.MultiSimilarityMiner(0.1), miners.TripletMarginMiner(0.1)])
def test_circle_is_theirs(miner):
    """Value and gradient of their CircleLoss, on all pairs and on those that their miners choose."""
    chosen = () if miner is None else (miner(rows(), LABELS),)
    ours = slope(PairLoss(circle_loss, reducer=reducers.AvgNonZeroReducer(), margin=0.25, scale=8.0), *chosen)
    torch.testing.assert_close(ours, slope(losses.CircleLoss(m=0.25, gamma=8), *chosen))


@BY_LOSS
def test_all_pairs_are_no_choice(make):
    """Without a miner, and with one that chooses every pair, the loss is the function under labels."""
    same = LABELS[:, None] == LABELS
    apart = ~torch.eye(10, dtype=torch.bool)
    chosen = (*torch.where(same & apart), *torch.where(~same))
    criterion = make()
    torch.testing.assert_close(slope(criterion, chosen), slope(criterion))
    alone = criterion.loss(rows(), LABELS, **criterion.settings)
    torch.testing.assert_close(criterion(rows(), LABELS), alone[:9].mean())


@BY_LOSS
def test_what_was_not_chosen_does_not_matter(make):
    """Rows of which no pair was chosen can be anywhere: value and gradient do not see them."""
    chosen = tuple(
        torch.tensor(one) for one in ([0, 0, 3], [1, 2, 4], [5, 6, 5])
    )  # rows 7, 8 and 9 are in none
    found = slope(make(), chosen)
    moved = rows()
    moved[7:] *= -5.0
    torch.testing.assert_close(make()(moved, LABELS, chosen), found[0])
    assert float(found[1][7:].abs().max()) == 0.0
    assert float(found[1][:5].abs().max()) > 0.0


@BY_LOSS
def test_references(make):
    """Other rows as references: those of a batch that is twice as long, without the pairs within its halves."""
    more, labels = rows(1), LABELS.roll(3)
    found = make()(rows(), LABELS, None, more, labels)
    criterion = make()
    alone = criterion.loss(rows(), LABELS[:, None] == labels, documents=more, **criterion.settings)
    torch.testing.assert_close(found, alone.mean())


@BY_LOSS
def test_memory(make):
    """Two batches: the second is compared with itself and the first, and no row with itself."""
    memory = CrossBatchMemory(make(), embedding_size=4, memory_size=32)
    memory(rows(1), LABELS)
    kept, labels = torch.cat([rows(1), rows()]), LABELS.repeat(2)
    met = torch.ones(10, 20, dtype=torch.bool)
    met[torch.arange(10), torch.arange(10, 20)] = False
    criterion = make()
    relevance = LABELS[:, None] == labels
    wanted = criterion.loss(rows(), relevance, documents=kept, pairs=met, **criterion.settings).mean()
    torch.testing.assert_close(memory(rows(), LABELS), wanted)


def test_nothing_to_learn():
    """A miner that chooses nothing gives 0 with zero gradient."""
    none = tuple(torch.zeros(0, dtype=torch.long) for _ in range(3))
    value, gradient = slope(PairLoss(circle_loss), none)
    assert value == 0
    assert float(gradient.abs().max()) == 0


def test_what_is_refused():
    """A miner before a loss of ranks, a loss of ranks in the memory, a loss that takes no pairs, a setting."""
    criterion = mg.RankingLoss(mg.losses.recall_at_k_loss, temperature=0.1)
    with pytest.raises(InputError, match="uses every item of the batch"):
        criterion(rows(), LABELS, miners.MultiSimilarityMiner()(rows(), LABELS))
    with pytest.raises(InputError, match="MemoryQueue"):
        CrossBatchMemory(criterion, 4)
    with pytest.raises(InputError, match="SupConLoss of this package"):
        PairLoss(supcon_loss)
    with pytest.raises(InputError, match="there is no setting 'scale'"):
        PairLoss(info_nce_loss, scale=3.0)


def test_supcon_is_theirs():
    """The function equals SupConLoss, which is therefore the one to use with a miner."""
    criterion = losses.SupConLoss(temperature=0.1, reducer=reducers.DoNothingReducer())
    found = criterion(rows(), LABELS)["loss"]["losses"]
    torch.testing.assert_close(supcon_loss(rows(), LABELS, temperature=0.1), found)


@pytest.mark.parametrize("name", ["circle", "ranks"])
def test_trainer(name: str):
    """A trainer of the package trains with both kinds of criterion, the pairs with a miner."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 8
    inputs = torch.randn(64, 16) + 3 * torch.eye(8, 16)[labels]
    data = torch.utils.data.TensorDataset(inputs, labels)
    ranks = mg.RankingLoss(mg.losses.recall_at_k_loss, temperature=0.1)
    criterion = {"circle": OURS["circle"](), "ranks": ranks}[name]
    models = {"trunk": nn.Linear(16, 8), "embedder": nn.Linear(8, 4)}
    before = criterion(models["embedder"](models["trunk"](inputs)), labels)
    trainer = trainers.MetricLossOnly(
        models=models,
        optimizers={
            f"{part}_optimizer": torch.optim.Adam(models[part].parameters(), lr=0.02) for part in models
        },
        batch_size=32,
        loss_funcs={"metric_loss": criterion},
        dataset=data,
        mining_funcs={"tuple_miner": miners.MultiSimilarityMiner()} if name == "circle" else {},
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
    )
    trainer.train(num_epochs=5)
    assert criterion(models["embedder"](models["trunk"](inputs)), labels) < 0.8 * before


def test_calculator_agrees():
    """Their precision at 1 is our recall@1, their MAP@R and R-precision are ours, on classes of unequal size."""
    embeddings, labels = rows().float()[:9], LABELS[:9]
    theirs = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r", "r_precision"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=_nearest,
    ).get_accuracy(nn.functional.normalize(embeddings), labels, ref_includes_query=False)
    for name, key in (("recall@1", "precision_at_1"), ("map@r", "mean_average_precision_at_r")):
        metric = mg.metrics.metric_by_name(name)
        torch.testing.assert_close(metric.summarise(metric.measure(embeddings, labels)), theirs[key])


def _nearest(queries: Tensor, k: int, references: Tensor, ref_includes_query: bool) -> tuple[Tensor, Tensor]:
    """Neighbours by plain torch; the package would need faiss."""
    found = distances.CosineSimilarity()(queries, references)
    if ref_includes_query:
        found.fill_diagonal_(-torch.inf)
    values, places = found.topk(k, 1)
    return values, places


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/pytorch-metric-learning.md is a program; its loss falls."""
    page = run_page("pytorch-metric-learning.md", tmp_path, monkeypatch)
    assert page.after < page.before
