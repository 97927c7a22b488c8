"""Labels of any kind that a collate function may give: the loss and the gradient of a tensor of them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from metricgrad.averages import mean_by_class, mean_valid
from metricgrad.errors import InputError
from metricgrad.losses import average_precision_loss, recall_at_k_loss, supcon_loss
from metricgrad.pairing import ClassBatchSampler, MemoryQueue, SiMix, has_positive
from metricgrad.ranking import RankingLoss, positive_ranks

WHOLE = torch.arange(16) % 4
KINDS = {
    "0-d tensors": list(WHOLE),
    "0-d tensors in a tuple": tuple(WHOLE.to(torch.uint8)),
    "0-d tensors of int32": list(WHOLE.int()),
    "0-d arrays": [np.array(one) for one in WHOLE.tolist()],
    "numpy scalars": list(WHOLE.numpy().astype(np.int16)),
    "both": [one if place % 2 else np.array(int(one)) for place, one in enumerate(WHOLE)],
    "texts": [f"class {one}" for one in WHOLE.tolist()],
    "array of texts": np.array([f"class {one}" for one in WHOLE.tolist()]),
    "array of objects": np.array(WHOLE.tolist(), dtype=object),
    "unsigned": WHOLE.to(torch.uint8),
}


def with_gradient(criterion, rows: Tensor, labels) -> tuple[Tensor, Tensor]:
    """The loss and its gradient."""
    rows = rows.detach().clone().requires_grad_()
    value = criterion(rows, labels)
    value.backward()
    assert rows.grad is not None
    return value.detach(), rows.grad


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_labels_of_any_kind(kind, generator):
    """Value and gradient are those of whole numbers, and not 0."""
    rows, labels = torch.randn(16, 4, generator=generator), KINDS[kind]

    def by_class(given, names):
        losses = recall_at_k_loss(positive_ranks(given, names, temperature=0.1))
        return mean_by_class(losses, names, has_positive(names))

    mixed = RankingLoss(recall_at_k_loss, temperature=0.05, simix=SiMix(virtual_queries=False))
    for name, criterion in {
        "ranking": RankingLoss(average_precision_loss, temperature=0.05),
        "mixed": lambda given, names: torch.manual_seed(0) and mixed(given, names),
        "supcon": lambda given, names: mean_valid(supcon_loss(given, names), has_positive(names)),
        "references": lambda given, names: RankingLoss(recall_at_k_loss, temperature=0.05)(
            given,
            names,
            ref_emb=given.flip(0),
            ref_labels=WHOLE.flip(0) if "text" not in kind else names[::-1],
        ),
        "by class": by_class,
    }.items():
        value, gradient = with_gradient(criterion, rows, labels)
        expected, right = with_gradient(
            criterion, rows, WHOLE if name != "references" or "text" not in kind else labels
        )
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(gradient, right)
        assert value > 0 and gradient.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_of_labels_of_any_kind(kind):
    """The batches of whole numbers."""
    settings = {"classes_per_batch": 2, "samples_per_class": 2}
    assert list(ClassBatchSampler(KINDS[kind], **settings)) == list(ClassBatchSampler(WHOLE, **settings))


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if "text" not in kind and kind != "array of objects"]
)
def test_queues_of_labels_of_any_kind(kind):
    """The numbers themselves are kept."""
    queue = MemoryQueue(16, 2)
    queue.push(torch.ones(16, 2), KINDS[kind])
    assert queue.labels.tolist() == WHOLE.tolist()


@pytest.mark.parametrize(
    "labels",
    [
        [torch.tensor([1, 2])] * 16,
        [torch.tensor(0.5)] * 16,
        [None] * 16,
        WHOLE[:, None],
        list(WHOLE)[1:],
        [[0]] * 16,
    ],
    ids=["1-d tensors", "fractions", "none", "a column", "too few", "lists"],
)
def test_what_names_no_class_is_refused(labels):
    """Never every label a class of its own, a loss of 0 and no gradient."""
    rows = torch.randn(16, 4, requires_grad=True)
    for criterion in (RankingLoss(recall_at_k_loss, temperature=0.05), supcon_loss):
        with pytest.raises(InputError):
            criterion(rows, labels)
