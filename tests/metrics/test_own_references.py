"""Queries among their own references are left out where they are the same rows, and told where they are copies."""

import pytest
import torch
from torch import nn

import metricgrad as mg
from metricgrad import metrics
from metricgrad.losses import recall_at_k_loss
from metricgrad.metrics.own_references import same_rows
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.splits import ArraySplit, reference_of

POINTS = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 8
NAMES = ("recall@1", "map", "ndcg@5", "knn_accuracy:k=1", "knn_error:k=3")

SAME = {
    "the tensor": lambda points: points,
    "detached": lambda points: points.detach(),
    "a view": lambda points: points.view(40, 4),
    "all of it": lambda points: points[:],
}


def value(name: str, points: torch.Tensor, labels: torch.Tensor, **references: torch.Tensor) -> float:
    """The figure of a named metric."""
    metric = metrics.adapt(name)
    return metric.summarise(metric.measure(points, labels, **references))


@pytest.mark.parametrize("same", SAME.values(), ids=SAME)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows_are_left_out(name: str, same) -> None:
    """Rows that lie in the same memory are the queries themselves."""
    alone = value(name, POINTS, LABELS)
    assert (
        value(name, POINTS, LABELS, reference_outputs=same(POINTS), reference_targets=LABELS.clone()) == alone
    )
    for other in (POINTS.clone(), POINTS[:20], POINTS.T, POINTS.double()):
        assert not same_rows(other, POINTS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["copy", "turned around", "with others", "double", "a part as queries"])
def test_copies_are_told(name: str, form: str) -> None:
    """Every query that stands among the references in whatever order finds itself: a warning says it."""
    points, labels, items, item_labels = POINTS, LABELS, POINTS.clone(), LABELS.clone()
    if form == "turned around":
        items, item_labels = items.flip(0), item_labels.flip(0)
    elif form == "with others":
        items, item_labels = torch.cat([items + 1, items]), torch.cat([item_labels, item_labels])
    elif form == "double":
        items = items.double()
    elif form == "a part as queries":
        points, labels = points[3:20:2], labels[3:20:2]
    with pytest.warns(UserWarning, match="each finds itself"):
        value(name, points, labels, reference_outputs=items, reference_targets=item_labels)


@pytest.mark.parametrize("name", NAMES)
def test_other_items_are_not_told(name: str, recwarn: pytest.WarningsRecorder) -> None:
    """Other numbers, copies under other labels, a few duplicates, and a model that gives one point for everything."""
    few = torch.cat([POINTS[:5], POINTS[5:] + 1])
    for items, item_labels in ((POINTS + 1, LABELS), (POINTS.clone(), LABELS.flip(0)), (few, LABELS)):
        value(name, POINTS, LABELS, reference_outputs=items, reference_targets=item_labels)
    flat = torch.ones(40, 4)
    value(name, flat, LABELS, reference_outputs=flat.clone(), reference_targets=LABELS)
    assert not recwarn.list


@pytest.mark.parametrize("own", ["itself", "same data", "copy", "other batches"])
def test_a_split_as_its_own_gallery(own: str) -> None:
    """A reference that is the split, or holds its data, is none: the figure is that without one."""
    split = ArraySplit(POINTS, LABELS, batch=7)
    alone = Evaluator(metrics.adapt("recall@1")).value(nn.Identity(), split, "select")
    if own == "itself":
        split.reference = split
    elif own == "copy":
        split.reference = ArraySplit(POINTS.clone(), LABELS.clone(), batch=7)
    else:
        split.reference = ArraySplit(POINTS, LABELS, batch=7 if own == "same data" else 16)
    assert reference_of(split) is None and len(split.digest) == 64
    assert Evaluator(metrics.adapt("recall@1")).value(nn.Identity(), split, "select") == alone
    other = ArraySplit(POINTS, LABELS.flip(0))
    assert reference_of(ArraySplit(POINTS, LABELS, reference=other)) is other


@pytest.mark.parametrize("preset", [None, "official"])
def test_losses_leave_out_the_same_rows(preset) -> None:
    """`ref_emb` detached is the batch without gradient to its items; a copy is another set."""
    criterion = mg.RankingLoss(recall_at_k_loss, temperature=0.1, preset=preset)
    alone = criterion(POINTS, LABELS)
    torch.testing.assert_close(criterion(POINTS, LABELS, ref_emb=POINTS.detach(), ref_labels=LABELS), alone)
    assert float(criterion(POINTS, LABELS, ref_emb=POINTS.clone(), ref_labels=LABELS)) < float(alone)
    ranks = mg.positive_ranks(POINTS, LABELS, temperature=0.1)
    same = mg.positive_ranks(
        POINTS, LABELS, reference_embeddings=POINTS[:], reference_labels=LABELS, temperature=0.1
    )
    torch.testing.assert_close(same.among_all[same.valid], ranks.among_all[ranks.valid])
