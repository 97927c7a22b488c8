"""Every case of classification_losses.json."""

import warnings
from functools import partial
from itertools import pairwise, permutations
from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad.averages import mean_valid
from metricgrad.losses import (
    RecallWeightedCrossEntropyLoss,
    domain_mixup_loss,
    expected_cost_loss,
    generalized_cross_entropy_loss,
    lovasz_hinge_loss,
    lovasz_softmax_loss,
    mean_absolute_error_loss,
    recall_weighted_cross_entropy_loss,
    soft_counts_loss,
    structural_similarity_loss,
)
from metricgrad.losses.class_scores import counted_samples
from metricgrad.losses.lovasz_extension import lovasz_extension
from metricgrad.losses.structural_similarity import structural_errors
from metricgrad.pairing import mixed_loss
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf, renamed


def generalized_cross_entropy(case: Case) -> dict[str, Any]:
    """The mean over the samples that are not ignored."""
    logits, targets = leaf(case["inputs"]["outputs"]), torch.tensor(case["inputs"]["targets"])
    losses = generalized_cross_entropy_loss(
        logits, targets, **renamed(case["params"], {"exponent": "exponent"})
    )
    loss = mean_valid(losses, counted_samples(targets))
    return {"loss": loss, "grad_outputs": gradient(loss, logits)}


def truncated(case: Case) -> dict[str, Any]:
    """The mean over all samples, and which of them have a gradient."""
    logits, targets = leaf(case["inputs"]["outputs"]), torch.tensor(case["inputs"]["targets"])
    names = {name: name for name in ("exponent", "cutoff", "subtract_constant")}
    loss = generalized_cross_entropy_loss(logits, targets, **renamed(case["params"], names)).mean()
    slopes = gradient(loss, logits)
    return {"loss": loss, "grad_outputs": slopes, "kept": slopes.any(1).long()}


def mean_absolute_error(case: Case) -> dict[str, Any]:
    """The mean over the samples that are not ignored; its value and identity where labels are exchanged."""
    logits, targets = leaf(case["inputs"]["outputs"]), torch.tensor(case["inputs"]["targets"])
    loss = mean_valid(mean_absolute_error_loss(logits, targets), counted_samples(targets))
    found = {"loss": loss, "grad_outputs": gradient(loss, logits)}
    if "noise_rate" not in case["params"]:
        return found
    params = renamed(case["params"], {"noise_rate": "rate", "classes": "classes"})
    rate, classes = params["rate"], params["classes"]
    labels = [torch.tensor([label]) for label in range(classes)]
    of_labels = [float(mean_absolute_error_loss(logits.detach(), label)) for label in labels]
    others = sum(of_labels) - float(loss.detach())
    return found | {
        "noisy_loss": (1 - rate) * loss + rate * others / (classes - 1),
        "identity": (1 - rate * classes / (classes - 1)) * loss + rate * sum(of_labels) / (classes - 1),
        "sum_over_labels": sum(of_labels),
        "generalized_cross_entropy_sum_over_labels": sum(
            float(generalized_cross_entropy_loss(logits.detach(), label)) for label in labels
        ),
        "bounds": [(classes - classes**0.3) / 0.7, (classes - 1) / 0.7],
    }


def recall_weighted(case: Case) -> dict[str, Any]:
    """The mean over the samples that are not ignored, and the weights: those of the batch, or after each of several."""
    names = {name: name for name in ("reduction", "floor", "counts", "false_positive_term", "momentum")}
    settings = renamed(case["params"], {**names, "metric": "per_class"})
    module = RecallWeightedCrossEntropyLoss(**settings)
    batches, targets = case["inputs"]["outputs"], case["inputs"]["targets"]
    if "momentum" in settings:
        after = []
        for batch, labels in zip(batches, targets, strict=True):
            module(leaf(batch), torch.tensor(labels))
            after.append(module.weights.tolist())
        return {"class_weight_after_each_batch": after}
    logits, labels = leaf(batches), torch.tensor(targets)
    counted = counted_samples(labels)
    losses = recall_weighted_cross_entropy_loss(logits, labels, **settings)
    assert torch.equal(module(logits, labels), losses)
    loss = mean_valid(losses, counted)
    present = labels[counted].bincount(minlength=logits.shape[1]) > 0
    return {
        "loss": loss,
        "grad_outputs": gradient(loss, logits),
        "class_weight": torch.where(present, module.weights, torch.nan),
        "false_positive_weight": false_positive_weights(logits, labels),
    }


def false_positive_weights(logits: Tensor, labels: Tensor) -> list[float]:
    """One minus the precision of every class, by loops; a class that is never predicted has precision 0."""
    decided, found = logits.argmax(1).tolist(), []
    for one in range(logits.shape[1]):
        predicted = [label for label, other in zip(labels.tolist(), decided, strict=True) if other == one]
        found.append(1 - predicted.count(one) / len(predicted) if predicted else 1.0)
    return found


def expected_cost(case: Case) -> dict[str, Any]:
    """The mean over samples, and the exact mean cost of the largest score."""
    inputs, logits = case["inputs"], leaf(case["inputs"]["outputs"])
    targets = torch.tensor(inputs["targets"]) if "targets" in inputs else None
    given = {name: torch.tensor(inputs[name]).double() for name in ("cost_matrix", "costs") if name in inputs}
    names = {"temperature": "temperature", "entropy_weight": "entropy_weight"}
    loss = expected_cost_loss(logits, targets, **given, **renamed(case["params"], names)).mean()
    costs = given.get("costs")
    if costs is None and targets is not None and "cost_matrix" in given:
        costs = given["cost_matrix"][targets]
    assert costs is not None
    exact = costs.gather(1, logits.argmax(1, keepdim=True)).mean()
    return {
        "loss": loss,
        "grad_outputs": gradient(loss, logits),
        "exact_mean_cost_of_argmax": exact,
    }


def soft_counts(case: Case) -> dict[str, Any]:
    """The loss; the counts by functions that return one of them, and the metric of decisions at logit 0."""
    params, targets = dict(case["params"]), torch.tensor(case["inputs"]["targets"])
    logits = torch.tensor(case["inputs"]["outputs"], dtype=torch.float64).requires_grad_()
    names = {"metric": "formula", "average": "average", "absent": "absent", "temperature": "temperature"}
    names |= {"threshold": "threshold", "decision": "decision", "scale": "scale"}
    settings = renamed(params, names, ["task"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "soft_counts_loss: with scale")
        loss = soft_counts_loss(logits, targets, **settings)
        counts = {
            name: 1 - soft_counts_loss(logits, targets, **{**settings, "formula": one_count(place)})
            for place, name in enumerate(("tp", "fp", "fn", "tn"))
        }
    sharp = {**settings, "temperature": 1e-9, "threshold": 0.0, "decision": "logit"}
    exact = None if logits.ndim == 2 else 1 - soft_counts_loss(logits.detach(), targets, **sharp)
    return {
        "loss": loss,
        "grad_outputs": gradient(loss, logits),
        "soft_counts": {name: count.item() for name, count in counts.items()},
        "exact_metric": exact,
    }


def one_count(place: int) -> Any:
    """The formula that is one of the four counts."""
    return lambda *counts: counts[place]


def lovasz_softmax(case: Case) -> dict[str, Any]:
    """The loss of all pixels."""
    logits, targets = leaf(case["inputs"]["outputs"]), torch.tensor(case["inputs"]["targets"])
    loss = lovasz_softmax_loss(logits, targets, **renamed(case["params"], {"classes": "classes"}))
    return {"loss": loss, "grad_outputs": gradient(loss, logits)}


def lovasz_hinge(case: Case) -> dict[str, Any]:
    """The loss of all pixels."""
    renamed(case["params"], {})
    scores = torch.tensor(case["inputs"]["outputs"], dtype=torch.float64).requires_grad_()
    loss = lovasz_hinge_loss(scores, torch.tensor(case["inputs"]["targets"], dtype=torch.int64))
    return {"loss": loss, "grad_outputs": gradient(loss, scores)}


def extension(case: Case) -> dict[str, Any]:
    """The value, and by loops the largest one that the steps of any order of the errors give."""
    errors = torch.tensor(case["inputs"]["errors"], dtype=torch.float64)
    positives = torch.tensor(case["inputs"]["positives"]).bool()

    def of_order(order: tuple[int, ...]) -> Tensor:
        wrong = [positives.clone().fill_(False)]
        for place in order:
            wrong.append(wrong[-1].clone())
            wrong[-1][place] = True
        losses = [one.sum() / (one | positives).sum().double() for one in wrong]
        steps = [after - before for before, after in pairwise(losses)]
        return torch.stack([errors[place] * step for place, step in zip(order, steps, strict=True)]).sum()

    largest = max(float(of_order(order)) for order in permutations(range(len(errors))))
    return {"value": lovasz_extension(errors, positives), "max_over_greedy_orders": largest}


def domain_mixup(case: Case) -> dict[str, Any]:
    """The mean over samples."""
    scores = torch.tensor(case["inputs"]["outputs"], dtype=torch.float64).requires_grad_()
    renamed(case["params"], {})
    losses = domain_mixup_loss(scores, torch.tensor(case["inputs"]["mix"], dtype=torch.float64))
    loss = losses.mean() if len(losses) else losses.sum()
    return {"loss": loss, "grad_outputs": gradient(loss, scores)}


def mixup(case: Case) -> dict[str, Any]:
    """Cross-entropy in the form of two terms, each the mean over the samples that it has."""
    inputs, logits = case["inputs"], leaf(case["inputs"]["outputs"])
    labels = (torch.tensor(inputs[name]) for name in ("targets", "targets_other"))
    plain = partial(generalized_cross_entropy_loss, exponent=0.0)
    loss = mixed_loss(plain, logits, *labels, **renamed(case["params"], {"mix": "mix"}))
    return {"loss": loss, "grad_outputs": gradient(loss, logits)}


def structural_similarity(case: Case) -> dict[str, Any]:
    """The loss, the errors of every pixel (NaN where ignored) and how many of them count."""
    inputs, logits = case["inputs"], leaf(case["inputs"]["outputs"])
    targets = torch.tensor(inputs.get("targets_per_class", inputs.get("targets")))
    names = ("window", "window_std", "constant", "fraction", "cutoff", "detach_errors")
    settings = renamed(case["params"], {name: name for name in names})
    loss = structural_similarity_loss(logits, targets, **settings)
    of_pixels = targets.unsqueeze(1).expand_as(logits) if targets.ndim == 3 else targets
    counted, numbers = of_pixels != -100, torch.arange(logits.shape[1]).view(1, -1, 1, 1)
    truth = (of_pixels == numbers) if targets.ndim == 3 else of_pixels == 1
    of_errors = {name: settings[name] for name in ("window", "window_std", "constant")}
    errors = structural_errors(logits.detach(), truth.double(), counted, **of_errors)
    cutoff = settings["cutoff"]
    bound = max(settings["fraction"] * float(errors.max()) if cutoff is None else cutoff, 1e-6)
    return {
        "loss": loss,
        "errors": errors.where(counted, torch.nan),
        "selected": int((errors > bound).sum()),
        "grad_outputs": gradient(loss, logits),
    }


@pytest.mark.parametrize("case", cases("classification_losses"))
def test_case(case: Case):
    """A case of the file."""
    hold(
        case,
        {
            "domain_mixup_loss": domain_mixup,
            "expected_cost_loss": expected_cost,
            "generalized_cross_entropy_loss": generalized_cross_entropy,
            "recall_weighted_cross_entropy_loss": recall_weighted,
            "truncated_generalized_cross_entropy_loss": truncated,
            "mean_absolute_error_loss": mean_absolute_error,
            "lovasz_extension": extension,
            "lovasz_hinge_loss": lovasz_hinge,
            "lovasz_softmax_loss": lovasz_softmax,
            "mixup_cross_entropy_loss": mixup,
            "soft_confusion_loss": soft_counts,
            "structural_similarity_loss": structural_similarity,
        },
    )
