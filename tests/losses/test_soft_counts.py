"""What is special to soft counts: hard decisions, relations of formulas, warnings, labels that do not fit."""

from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.losses import soft_counts_loss

FORMULAS = ("f_1", "f_2", "iou", "precision", "recall", "accuracy", "balanced_accuracy", "g_mean", "matthews")


def labels(generator: torch.Generator, labels: int = 3) -> tuple[Tensor, Tensor]:
    """Logits and targets 0 or 1 [sample, label], a positive of each label."""
    logits = 2 * torch.randn(30, labels, generator=generator, dtype=torch.float64)
    targets = (torch.rand(30, labels, generator=generator) < 0.3).long()
    targets[0] = 1
    return logits, targets


def test_sharp_decisions_give_the_exact_metric(generator: torch.Generator) -> None:
    """For one label: what `metrics` measures of the same decisions."""
    logits, targets = (part[:, 0] for part in labels(generator))
    decided = (logits > 0).long()
    exact = {
        "f_1": metrics.f_beta(decided, targets),
        "f_2": metrics.f_beta(decided, targets, beta=2),
        "iou": metrics.jaccard(decided, targets),
        "precision": metrics.precision(decided, targets),
        "recall": metrics.recall(decided, targets),
        "accuracy": metrics.accuracy(decided, targets),
        "balanced_accuracy": metrics.balanced_accuracy(decided, targets),
        "g_mean": metrics.g_mean(decided, targets),
        "matthews": metrics.matthews_corrcoef(decided, targets),
    }
    assert set(exact) == set(FORMULAS)
    for formula, value in exact.items():
        found = soft_counts_loss(logits, targets, formula=formula, temperature=1e-9)
        torch.testing.assert_close(1 - found, value, msg=formula)


def test_formulas_of_the_same_counts(generator: torch.Generator) -> None:
    """F1 = 2 IoU / (1 + IoU), per label; samples and labels in any order."""
    logits, targets = labels(generator, 1)
    f_1, iou = (1 - soft_counts_loss(logits, targets, formula=formula) for formula in ("f_1", "iou"))
    torch.testing.assert_close(f_1, 2 * iou / (1 + iou))
    logits, targets = labels(generator)
    rows, columns = torch.randperm(30, generator=generator), torch.tensor([2, 0, 1])
    for average in ("macro", "micro"):
        one = soft_counts_loss(logits, targets, average=average)
        other = soft_counts_loss(logits[rows][:, columns], targets[rows][:, columns], average=average)
        torch.testing.assert_close(one, other)


def test_a_function_of_the_counts(generator: torch.Generator) -> None:
    """It is given four counts per label; their sum is the samples."""
    logits, targets = labels(generator)

    def formula(tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
        torch.testing.assert_close(tp + fp + fn + tn, torch.full((3,), 30.0, dtype=torch.float64))
        return 2 * tp / (2 * tp + fp + fn)

    torch.testing.assert_close(
        soft_counts_loss(logits, targets, formula=formula), soft_counts_loss(logits, targets)
    )


def test_an_ignored_entry_is_not_there(generator: torch.Generator) -> None:
    """Of one label the sample is left out, whatever its logit; the other labels keep it."""
    logits, targets = labels(generator)
    targets[4, 1] = -100
    logits[4, 1] = torch.nan
    logits.requires_grad_()
    loss = soft_counts_loss(logits, targets)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(gradient[4, 1]) == 0 and bool(gradient.isfinite().all())
    rest = [place for place in range(30) if place != 4]
    each = [soft_counts_loss(logits[:, one], targets[:, one]) for one in (0, 2)]
    each.append(soft_counts_loss(logits[rest, 1], targets[rest, 1]))
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_too_flat_decisions_warn(generator: torch.Generator) -> None:
    """A sigmoid of a probability never decides: the one with a large scale does."""
    logits, targets = (part[:, 0] for part in labels(generator))
    with pytest.warns(
        UserWarning, match="scale 1 and threshold 0 the probability 0 counts as a positive of 0.50"
    ):
        soft_counts_loss(logits, targets, decision="probability", scale=1, threshold=0)
    steep = soft_counts_loss(logits, targets, decision="probability", threshold=0.5, scale=1e9)
    exact = soft_counts_loss(logits, targets, temperature=1e-9)
    torch.testing.assert_close(steep, exact)


def test_probabilities_warn(generator: torch.Generator) -> None:
    """They would be squashed twice."""
    logits, targets = labels(generator)
    with pytest.warns(UserWarning, match="may be probabilities passed where logits are expected"):
        soft_counts_loss(logits.sigmoid(), targets)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"formula": "f1"}, "formula is 'f1'; expected f_<beta>, iou"),
        ({"formula": "f_0"}, "beta of the formula is"),
        ({"average": "weighted"}, "average is 'weighted'"),
        ({"absent": "drop"}, "absent is 'drop'"),
        ({"decision": "hard"}, "decision is 'hard'"),
        ({"temperature": 0}, "temperature is 0"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"decision": "probability", "scale": 0}, "scale is 0"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], message: str, generator: torch.Generator) -> None:
    """One sentence says what came."""
    with pytest.raises(InputError, match=message):
        soft_counts_loss(*labels(generator), **settings)


def test_shapes_and_kinds_that_do_not_fit(generator: torch.Generator) -> None:
    """One class per sample has no threshold, and metrics of the whole table have a loss of their own."""
    logits, targets = labels(generator)
    with pytest.raises(InputError, match="a target is neither 0 nor 1"):
        soft_counts_loss(logits, targets + 1)
    with pytest.raises(InputError, match="one target per logit"):
        soft_counts_loss(logits, targets[:, :2])
    with pytest.raises(InputError, match="soft_confusion_loss takes metrics of the whole table"):
        soft_counts_loss(logits, targets[:, 0], formula="matthews")
    with pytest.raises(InputError, match="one class per sample with a threshold"):
        soft_counts_loss(logits, targets[:, 0], threshold=0.5)


@pytest.mark.parametrize("formula", FORMULAS)
def test_an_unknown_score_is_not_taken_for_nothing(formula: str, generator: torch.Generator) -> None:
    """NaN stays NaN: a finite loss would have a gradient of NaN, and the weights would take it."""
    logits, targets = labels(generator)
    logits[3, 1] = torch.nan
    assert soft_counts_loss(logits, targets, formula=formula).isnan()
