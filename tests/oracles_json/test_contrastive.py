"""Every case of contrastive.json."""

from typing import Any

import pytest
import torch

from metricgrad.averages import mean_by_class, mean_valid
from metricgrad.losses import supcon_loss
from metricgrad.pairing import has_positive
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf, renamed

NOT_BUILT = ("extended_supcon_loss", "circle_row", "circle_loss", "circle_class_loss")

SETTINGS = {name: name for name in ("temperature", "positives", "base_temperature")}


def supcon(case: Case) -> dict[str, Any]:
    """The supervised contrastive loss under either reduction."""
    embeddings, labels = leaf(case["inputs"]["embeddings"]), case["inputs"]["labels"]
    losses = supcon_loss(
        embeddings, labels, normalize=False, **renamed(case["params"], SETTINGS, ("reduction",))
    )
    valid = has_positive(labels)
    reductions = {
        "mean": lambda: mean_valid(losses, valid),
        "class_balanced": lambda: mean_by_class(losses, labels, valid),
    }
    loss = reductions[case["params"].get("reduction", "mean")]()
    return {
        "loss": loss,
        "per_anchor": torch.where(valid, losses, torch.nan),
        "valid_anchors": int(valid.sum()),
        "grad_embeddings": gradient(loss, embeddings),
    }


@pytest.mark.parametrize("case", cases("contrastive", NOT_BUILT))
def test_case(case: Case):
    """A case of the file."""
    hold(case, {"supcon_loss": supcon})
