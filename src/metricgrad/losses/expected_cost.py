"""Expected cost: what a sample costs on average if the action is drawn from the softmax of its scores.

For known costs: asymmetric errors, an option to reject, costs that differ from sample to sample. The softmax is read as
a policy, and the loss is the risk of that policy. Start from a model trained with cross-entropy: where the policy is
sure of a wrong action there is no gradient.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from metricgrad._checks import (
    Number,
    describe,
    fail,
    finite_number,
    positive_number,
    require_finite,
    require_matrix,
    tensor_of,
)
from metricgrad.losses.class_scores import checked_targets, counted_samples, widened
from metricgrad.metrics.costs import cost_matrix as square_costs

__all__ = ["expected_cost_loss"]

STANDS_FOR = ("expected_cost",)
"""Metrics that it is a surrogate of."""

SPACE = {"temperature": (0.5, 1.0, 2.0), "entropy_weight": (0.0, 0.03, 0.1)}
"""Values that tries draw from."""

Costs = Float[Tensor, "row action"] | Sequence[Sequence[float]]
"""One row per class or per sample."""


def expected_cost_loss(
    logits: Float[Tensor, "sample action"],
    targets: Integer[Tensor, " sample"] | None = None,
    *,
    cost_matrix: Costs | str | None = None,
    costs: Costs | None = None,
    temperature: Number = 1.0,
    entropy_weight: Number = 0.0,
) -> Float[Tensor, " sample"]:
    """Return sum_k pi_k c_k - entropy_weight * H(pi) per sample, pi = softmax(logits / temperature) (surrogate).

    Args:
        logits: unnormalised scores of the actions. -inf forbids an action.
        targets: class numbers from 0, which choose the row of `cost_matrix`; -100 for a sample to ignore. None where
            `costs` are given and no sample is ignored.
        cost_matrix: [class, action], what each action costs a sample of each class. There may be more actions than
            classes, such as rejecting. A text is read as that of the metric `expected_cost`; `tune` gives its costs.
        costs: [sample, action], the same for each sample by itself. One of the two is given.
        temperature: > 0; above 1 wrong actions of which the model is sure get a gradient.
        entropy_weight: reward for an undecided policy.

    Returns:
        One value per sample, lower is better; without the entropy between the smallest and the largest cost. With the
        cost 1 of every error it is 1 - p of the target.

    Raises:
        InputError: both or neither of `cost_matrix` and `costs`; costs that are not finite or of another shape;
            temperature <= 0; a target that is no class.

    Edge cases:
        Costs may be negative; a constant added to all costs of a sample changes the loss, not its gradient. An ignored
        sample has 0 and zero gradient: average with `mean_valid(loss, targets != -100)`. NaN stays NaN.

    Gradient:
        Exact: pi_k (c_k - sum_j pi_j c_j) / temperature. It vanishes where the policy is sure. float32 for half
        precision.

    Cost:
        O(sample action).

    Differs from the paper:
        Its text could not be had; this is the objective that its title and abstract name.

    Reference:
        [policy2018cost]

    Example:
        >>> logits = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
        >>> expected_cost_loss(logits, torch.tensor([0, 1]), cost_matrix=[[0.0, 1.0], [5.0, 0.0]])
        tensor([0.5000, 0.5960])
    """
    caller = "expected_cost_loss"
    warmth = positive_number(caller, "temperature", temperature)
    reward = finite_number(caller, "entropy_weight", entropy_weight)
    require_matrix(caller, "logits", logits, "sample, action")
    of_samples, targets = _costs(caller, logits, targets, cost_matrix, costs)
    counted = counted_samples(targets).unsqueeze(1)
    wide = widened(logits).masked_fill(~counted, 0)  # what is ignored may hold anything, NaN included
    log_policy = (wide / warmth).log_softmax(1)
    policy = log_policy.exp()
    each = policy * of_samples.to(wide)
    if reward:
        each = each + reward * policy * log_policy.masked_fill(policy == 0, 0)
    return each.masked_fill(~counted, 0).sum(1)


def _costs(
    caller: str, logits: Tensor, targets: Tensor | None, cost_matrix: Costs | str | None, costs: Costs | None
) -> tuple[Tensor, Tensor]:
    """Return the costs of every sample [sample, action] and the targets; 0 each where there are none."""
    if (cost_matrix is None) == (costs is None):
        raise fail(
            caller, f"{'neither' if costs is None else 'both'} of cost_matrix and costs came", "one of them"
        )
    given = cost_matrix if costs is None else costs
    name = "costs" if cost_matrix is None else "cost_matrix"
    rows = len(logits) if cost_matrix is None else "class"
    expected = f"[{rows}, {logits.shape[1]}]: what each action costs"
    numbers = square_costs(given) if isinstance(given, str) else given
    table = tensor_of(caller, name, numbers, expected).to(logits.device, torch.float64)
    if table.ndim != 2 or table.shape[1] != logits.shape[1] or rows not in ("class", len(table)):
        came = f"{name} is {tuple(table.shape)} for logits {describe(logits)}"
        raise fail(caller, came, expected)
    require_finite(caller, name, table)
    if targets is None and cost_matrix is not None:
        raise fail(caller, "targets are None for a cost_matrix", "a class number per sample")
    if targets is None:
        targets = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    if cost_matrix is None:
        return table, checked_targets(caller, logits, targets)
    targets = checked_targets(caller, logits, targets, classes=len(table))
    return table[targets.where(counted_samples(targets), 0)], targets
