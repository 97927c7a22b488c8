"""The compiled lists of positives are those of plain torch."""

import pytest
import torch

from metricgrad import positive_ranks
from metricgrad.pairing import positive_lists
from metricgrad.relax.kernels.lists import lists_by_label

SETS = {
    "uneven": torch.tensor([3, -7, 3, 2**62, 3, -7, 0]),
    "one of each": torch.arange(5),
    "all of one": torch.zeros(6, dtype=torch.long),
    "one": torch.tensor([4]),
    "none": torch.zeros(0, dtype=torch.long),
    "many": torch.randint(0, 40, (300,), generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_of_rows_that_are_their_own_items(name: str, keep: bool) -> None:
    """Whatever the classes, with the query among its positives or not."""
    labels = SETS[name]
    found = lists_by_label(labels.numpy(), labels.numpy(), True, keep)
    wanted = positive_lists(labels, labels, queries_are_items=True, query_is_positive=keep)
    assert [one.tolist() for one in found] == [one.tolist() for one in wanted]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("other", SETS)
def test_of_other_items(name: str, other: str) -> None:
    """Labels that no item has included, and no items at all."""
    labels, items = SETS[name], SETS[other]
    found = lists_by_label(labels.numpy(), items.numpy(), False, False)
    wanted = positive_lists(labels, items, queries_are_items=False)
    assert [one.tolist() for one in found] == [one.tolist() for one in wanted]


def test_ranks_are_those_of_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """By labels that are no numbers from 0 on, as a tensor and as texts."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(-3, 9, (60,), generator=generator) * 10**15
    texts = [str(label) for label in labels.tolist()]
    found = [positive_ranks(rows, given, temperature=0.1) for given in (labels, texts)]
    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    wanted = positive_ranks(rows, labels, temperature=0.1)
    for ranks in found:
        torch.testing.assert_close(ranks.among_all, wanted.among_all)
        assert ranks.valid.equal(wanted.valid)
        assert ranks.competitors.equal(wanted.competitors)
