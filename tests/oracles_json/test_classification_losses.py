"""Every case of classification_losses.json."""

from typing import Any

import pytest
import torch

from metricgrad.averages import mean_valid
from metricgrad.losses import generalized_cross_entropy_loss
from metricgrad.losses.class_scores import counted_samples
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf, renamed

NOT_BUILT = (
    "domain_mixup_loss",
    "expected_cost_loss",
    "lovasz_extension",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "mean_absolute_error_loss",
    "mixup_cross_entropy_loss",
    "recall_weighted_cross_entropy_loss",
    "soft_confusion_loss",
    "structural_similarity_loss",
    "truncated_generalized_cross_entropy_loss",
)


def generalized_cross_entropy(case: Case) -> dict[str, Any]:
    """The mean over the samples that are not ignored."""
    logits, targets = leaf(case["inputs"]["outputs"]), torch.tensor(case["inputs"]["targets"])
    losses = generalized_cross_entropy_loss(
        logits, targets, **renamed(case["params"], {"exponent": "exponent"})
    )
    loss = mean_valid(losses, counted_samples(targets))
    return {"loss": loss, "grad_outputs": gradient(loss, logits)}


@pytest.mark.parametrize("case", cases("classification_losses", NOT_BUILT))
def test_case(case: Case):
    """A case of the file."""
    hold(case, {"generalized_cross_entropy_loss": generalized_cross_entropy})
