"""Where only the first relevant item counts: the best rank is that of all ranks, whatever the ties are."""

import pytest
import torch
from torch import Tensor

from metricgrad.metrics import first_positive, rows
from metricgrad.metrics.embedded import rank_tiles
from metricgrad.metrics.of_ranks import hit_at_k, reciprocal_rank


def points(kind: str) -> Tensor:
    """300 rows: ordinary ones, of whole numbers with many ties, or with copies."""
    draw = torch.Generator().manual_seed(0)
    if kind == "ties":
        return torch.randint(-2, 3, (300, 2), generator=draw).float()
    x = torch.randn(300, 3 if kind == "copies" else 8, generator=draw)
    if kind == "copies":
        x[100:200] = x[:100]
    return x


@pytest.mark.parametrize("kind", ["ordinary", "ties", "copies"])
@pytest.mark.parametrize("ties", ["pessimistic", "optimistic", "mid"])
@pytest.mark.parametrize("tile", [4_000_000, 2_000])
@pytest.mark.parametrize("later", [False, True], ids=["in memory", "read later"])
def test_best_ranks_are_those_of_all(kind, ties, tile, later, monkeypatch) -> None:
    """Hits and reciprocal ranks are equal to the bit, by blocks of items too; a class of one item stays undefined."""
    if later:
        monkeypatch.setattr(rows, "_LARGE", 1)
    monkeypatch.setattr(first_positive, "_FEWEST_ITEMS", 64 if later else 1_024)
    monkeypatch.setattr(first_positive, "_TILE", 64)
    x, y = points(kind), torch.randint(0, 5, (300,), generator=torch.Generator().manual_seed(1))
    y[7] = 99
    asked = {"reference_embeddings": x, "reference_labels": y, "exclude": torch.arange(200), "ties": ties}
    every, first = (
        list(rank_tiles(x[:200], y[:200], **asked, tile=tile, first_alone=alone)) for alone in (False, True)
    )
    for read in (lambda part: hit_at_k(part, k=1), lambda part: hit_at_k(part, k=5), reciprocal_rank):
        ours, theirs = (torch.cat([read(part) for part in parts]) for parts in (first, every))
        assert torch.equal(ours.isnan(), theirs.isnan()) and bool(ours[7].isnan())
        assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())
    if kind != "ties":  # a row of zeros is equally near to all
        assert max(part.valid.shape[1] for part in first) < max(part.valid.shape[1] for part in every)
