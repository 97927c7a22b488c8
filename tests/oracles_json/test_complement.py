"""Every case of complement.json."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad.averages import mean_valid
from metricgrad.losses import (
    ClassTree,
    complement_cross_entropy_loss,
    complement_entropy_loss,
    guided_complement_entropy_loss,
    hierarchical_complement_entropy_loss,
)
from metricgrad.losses.class_scores import counted_samples
from metricgrad.methods.complement_training import ComplementObjectiveTraining
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf, renamed

pytestmark = pytest.mark.filterwarnings("ignore:.*two classes", "ignore:.*balance is -1")


def given(case: Case) -> tuple[Tensor, Tensor]:
    """Logits and targets."""
    return leaf(case["inputs"]["outputs"]), torch.tensor(case["inputs"]["targets"], dtype=torch.int64)


def complement_entropy(case: Case) -> dict[str, Any]:
    """The mean, and the exact entropy of every sample that is not ignored."""
    logits, targets = given(case)
    settings = renamed(case["params"], {"normalizer": "normalizer"})
    mask = case["inputs"].get("class_mask")
    counted = counted_samples(targets)
    loss = mean_valid(complement_entropy_loss(logits, targets, class_mask=mask, **settings), counted)
    entropy = -complement_entropy_loss(logits, targets, class_mask=mask, normalizer="none")
    return {"loss": loss, "entropy": entropy[counted], "grad_outputs": gradient(loss, logits)}


def complement_cross_entropy(case: Case) -> dict[str, Any]:
    """The mean, and plain cross-entropy."""
    logits, targets = given(case)
    settings = renamed(case["params"], {"balance": "balance", "normalizer": "normalizer"})
    loss = complement_cross_entropy_loss(logits, targets, **settings).mean()
    plain = cross_entropy(logits, targets)
    return {"loss": loss, "grad_outputs": gradient(loss, logits), "cross_entropy": plain}


def hierarchical(case: Case) -> dict[str, Any]:
    """The mean, each level by itself, and the rings of the targets."""
    logits, targets = given(case)
    tree, counted = ClassTree.from_paths(case["inputs"]["paths"]), counted_samples(targets)
    settings = renamed(case["params"], {"normalizer": "normalizer", "level_weights": "level_weights"})

    def mean(**settings: Any) -> Tensor:
        return mean_valid(
            hierarchical_complement_entropy_loss(logits, targets, tree=tree, **settings), counted
        )

    loss = mean(**settings)
    alone = torch.eye(tree.levels).tolist()
    return {
        "loss": loss,
        "levels": [mean(**{**settings, "level_weights": weights}).item() for weights in alone],
        "grad_outputs": gradient(loss, logits),
        "rings": [tree.rings(target) for target in targets[counted].tolist()],
    }


def guided(case: Case) -> dict[str, Any]:
    """The mean."""
    logits, targets = given(case)
    names = {"guide_exponent": "guide_exponent", "normalizer": "normalizer"}
    loss = guided_complement_entropy_loss(logits, targets, **renamed(case["params"], names)).mean()
    return {"loss": loss, "grad_outputs": gradient(loss, logits)}


def training(case: Case) -> dict[str, Any]:
    """A linear network on the whole batch, both steps with weight decay as in the published code."""
    params, rows = dict(case["params"]), torch.tensor(case["inputs"]["inputs"], dtype=torch.float64)
    weight = torch.tensor(case["inputs"]["weight"], dtype=torch.float64)
    model = torch.nn.Linear(*reversed(weight.shape), bias=False, dtype=torch.float64)
    model.weight.data.copy_(weight)
    steps = params.pop("steps")
    rates = params.pop("lr"), params.pop("complement_lr")
    shared = renamed(params, {"momentum": "momentum", "weight_decay": "weight_decay"}, ("normalizer",))
    both = ComplementObjectiveTraining(
        *(torch.optim.SGD(model.parameters(), lr=rate, **shared) for rate in rates),
        complement_loss=partial(complement_entropy_loss, normalizer=params["normalizer"]),
        decay_once=False,
    )
    targets = torch.tensor(case["inputs"]["targets"])
    values = [both.step(model, rows, targets) for _ in range(steps)]
    losses = [[value["loss"], value["second_loss"]] for value in values]
    return {"weight": model.weight.detach(), "losses_per_step": losses}


@pytest.mark.parametrize("case", cases("complement"))
def test_case(case: Case):
    """A case of the file."""
    hold(
        case,
        {
            "complement_cross_entropy_loss": complement_cross_entropy,
            "complement_entropy_loss": complement_entropy,
            "complement_objective_training": training,
            "guided_complement_entropy_loss": guided,
            "hierarchical_complement_entropy_loss": hierarchical,
        },
    )
