"""Every case of contrastive.json."""

from typing import Any

import pytest
import torch

from metricgrad.averages import mean_by_class, mean_valid
from metricgrad.losses import circle_loss, supcon_loss
from metricgrad.pairing import has_positive
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf, renamed

NOT_BUILT = ("extended_supcon_loss", "circle_class_loss")

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


CIRCLE = {name: name for name in ("margin", "scale")}


def circle(case: Case) -> dict[str, Any]:
    """The circle loss of every anchor that has a positive and a negative."""
    embeddings, labels = leaf(case["inputs"]["embeddings"]), case["inputs"]["labels"]
    losses = circle_loss(embeddings, labels, normalize=False, **renamed(case["params"], CIRCLE))
    valid = has_positive(labels) & (len(set(labels)) > 1)
    loss = mean_valid(losses, valid)
    return {
        "loss": loss,
        "per_anchor": torch.where(valid, losses, torch.nan),
        "valid_anchors": int(valid.sum()),
        "grad_embeddings": gradient(loss, embeddings),
    }


def circle_row(case: Case) -> dict[str, Any]:
    """One anchor, whose similarities are the products with items of one dimension."""
    positives, negatives = (case["inputs"][f"{name}_similarities"] for name in ("positive", "negative"))
    items = leaf([[value] for value in (*positives, *negatives)])
    relevance = torch.tensor([[1] * len(positives) + [0] * len(negatives)])
    anchor = torch.ones(1, 1, dtype=torch.float64)
    settings = renamed(case["params"], CIRCLE)
    (loss,) = circle_loss(anchor, relevance, documents=items, normalize=False, **settings)
    slopes = gradient(loss, items).squeeze(1)
    return {
        "loss": loss,
        "grad_positive": slopes[: len(positives)],
        "grad_negative": slopes[len(positives) :],
    }


@pytest.mark.parametrize("case", cases("contrastive", NOT_BUILT))
def test_case(case: Case):
    """A case of the file."""
    hold(case, {"supcon_loss": supcon, "circle_loss": circle, "circle_row": circle_row})
