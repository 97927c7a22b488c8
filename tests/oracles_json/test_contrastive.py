"""Every case of contrastive.json."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from metricgrad.averages import mean_by_class, mean_valid
from metricgrad.losses import (
    ExtendedSupConLoss,
    circle_class_loss,
    circle_loss,
    extended_supcon_loss,
    supcon_loss,
)
from metricgrad.losses.extended_supcon import have_positives
from metricgrad.pairing import has_positive
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf, renamed

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


def circle_class(case: Case) -> dict[str, Any]:
    """The circle loss of classes, of rows of any length."""
    inputs = case["inputs"]
    losses = circle_class_loss(
        leaf(inputs["embeddings"]),
        inputs["labels"],
        leaf(inputs["class_weights"]),
        **renamed(case["params"], CIRCLE),
    )
    return {"loss": losses.mean(), "per_sample": losses}


def extended_supcon(case: Case) -> dict[str, Any]:
    """The loss with prototypes; anchors without a positive are left out. Also the cross-entropy of the prediction."""
    embeddings, prototypes = leaf(case["inputs"]["embeddings"]), leaf(case["inputs"]["prototypes"])
    labels = torch.tensor(case["inputs"]["labels"])
    names = {name: name for name in ("temperature", "anchors", "prototype_negatives")}
    settings = renamed(case["params"], names, ["reduction"])
    losses = extended_supcon_loss(embeddings, labels, prototypes, normalize=False, **settings)
    valid = have_positives(labels, len(prototypes), settings["anchors"])
    of_classes = torch.cat([labels, torch.arange(len(prototypes))])[: len(losses)]
    if case["params"]["reduction"] == "mean":
        loss = mean_valid(losses, valid)
    else:
        loss = mean_by_class(losses, of_classes, valid)
    module = ExtendedSupConLoss(prototypes, reduction=case["params"]["reduction"], **settings)
    torch.testing.assert_close(module(embeddings, labels), loss)  # rows of these files are unit rows
    return {
        "loss": loss,
        "per_anchor": torch.where(valid, losses, torch.nan),
        "prototype_cross_entropy": cross_entropy(module.logits(embeddings), labels),
        "grad_embeddings": gradient(loss, embeddings),
        "grad_prototypes": gradient(loss, prototypes),
    }


@pytest.mark.parametrize("case", cases("contrastive"))
def test_case(case: Case):
    """A case of the file."""
    hold(
        case,
        {
            "supcon_loss": supcon,
            "circle_loss": circle,
            "circle_row": circle_row,
            "circle_class_loss": circle_class,
            "extended_supcon_loss": extended_supcon,
        },
    )
