"""Small mistakes in a call end in one sentence that names the argument, what came and what was expected."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from metricgrad.errors import MetricgradError
from metricgrad.losses import recall_at_k_loss
from metricgrad.ranking import RankingLoss
from metricgrad.tune import ArraySplit, Plan, Splits, tune


class Returns(nn.Module):
    """A network whose output a function changes."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.linear, self.change = nn.Linear(6, 3), change

    def forward(self, inputs: torch.Tensor) -> Any:
        """Return the changed output."""
        return self.change(self.linear(inputs))


def _split(seed: int, change: Any = lambda targets: targets) -> ArraySplit:
    generator = torch.Generator().manual_seed(seed)
    return ArraySplit(torch.randn(24, 6, generator=generator), change(torch.arange(24) % 3), batch=8)


def _tune(model: Any = None, targets: Any = lambda targets: targets, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "metric": "accuracy",
        "proxy": cross_entropy,
        "method": "direct:multiclass",
        "plan": Plan(steps=2),
        "observer": lambda event: None,
    }
    splits = changes.pop("splits", None) or Splits(_split(0, targets), _split(1, targets))
    return tune(model if model is not None else nn.Linear(6, 3), splits, **(arguments | changes))


MISTAKES: dict[str, tuple[Any, str]] = {
    "a function without seed": (lambda: _tune(lambda: nn.Linear(6, 3)), "model: it raised TypeError.*seed -> network"),
    "a function that fails": (lambda: _tune(lambda seed: [][0]), "model: it raised IndexError"),
    "another width": (lambda: _tune(nn.Linear(5, 3)), "network Linear: it raised RuntimeError: mat1 and mat2"),
    "another width in chunks": (lambda: _tune(nn.Linear(5, 3), plan=Plan(steps=2, chunk=4)), "network Linear"),
    "too few classes": (lambda: _tune(nn.Linear(6, 2)), "loss cross_entropy: it raised IndexError: Target 2"),
    "no parameters": (lambda: _tune(nn.Identity()), "Identity has no parameters"),
    "all frozen": (lambda: _tune(nn.Linear(6, 3).requires_grad_(False)), r"frozen \(requires_grad is False\)"),
    "a dict of outputs": (lambda: _tune(Returns(lambda y: {"logits": y})), "network returns a dict of logits"),
    "a tuple of outputs": (lambda: _tune(Returns(lambda y: (y, y))), "network returns a tuple of 2"),
    "no outputs": (lambda: _tune(Returns(lambda y: None)), "network returns None"),
    "a sum of outputs": (lambda: _tune(Returns(lambda y: y.sum())), "one number for 8 items"),
    "sparse outputs": (lambda: _tune(Returns(lambda y: y.to_sparse())), "one dense tensor"),
    "complex outputs": (lambda: _tune(Returns(lambda y: torch.complex(y, y))), "of real numbers"),
    "a dict of targets": (
        lambda: _tune(splits=Splits(*([(torch.randn(9, 6), {"label": torch.arange(9) % 3})] * 1 for _ in range(2)))),
        "targets are a dict of label.*unpack",
    ),
    "class names without order": (
        lambda: _tune(targets=lambda y: list(map(str, y.tolist())), metric=lambda o, t: 0.5, higher_is_better=True),
        r"list of 8 \(str.*classes=\[\.\.\.\]",
    ),
    "targets of another type": (
        lambda: _tune(Returns(lambda y: y[:, 0]), proxy=binary_cross_entropy_with_logits, metric=lambda o, t: 0.5,
                      higher_is_better=True),
        "it raised RuntimeError: result type Float.*torch.int64",
    ),
    "a loss that is a class": (lambda: _tune(proxy=nn.CrossEntropyLoss), r"Call it: CrossEntropyLoss\(\.\.\.\)"),
    "a loss that is a number": (lambda: _tune(proxy=3), "proxy is 3"),
    "a loss of nothing": (
        lambda: _tune(proxy=lambda o, t: torch.zeros((), requires_grad=True)), "neither the network's nor its own",
    ),
    "backward within the loss": (
        lambda: _tune(proxy=lambda o, t: [one := cross_entropy(o, t), one.backward()][0]),
        "the backward pass.*second time",
    ),
    "a plan of another type": (lambda: _tune(plan=3), "plan is 3"),
    "a field of the plan": (lambda: Plan(stepz=2), "no field 'stepz'.*'steps'"),
    "a value of the plan": (lambda: Plan(steps=0), "Plan: steps is 0; expected greater than or equal to 1"),
    "settings of another type": (lambda: _tune(settings=[1]), r"settings are \[1\]"),
    "no method": (lambda: _tune(method=None), "method is None"),
    "an observer of another type": (lambda: _tune(observer=3), "observer is 3"),
    "a folder of another type": (lambda: _tune(folder=3), "folder is 3"),
    "a name too few": (lambda: ArraySplit(torch.ones(2, 3), [1, 2], names=["a"]), "1 names for 2 items"),
    "a loss of ranks by name": (lambda: RankingLoss("recall_at_k", temperature=0.1), "loss is 'recall_at_k'"),
    "a setting of a loss": (lambda: RankingLoss(recall_at_k_loss, temperature=0.1, kk=1), "no setting 'kk'.*'k'"),
    "embeddings in a dict": (
        lambda: RankingLoss(recall_at_k_loss, temperature=0.1, k=1)({"e": torch.ones(4, 2)}, torch.arange(4)),
        "RankingLoss: embeddings is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_small_mistake_is_one_sentence(name: str) -> None:
    """Nothing of Python, numpy or torch alone."""
    call, message = MISTAKES[name]
    with pytest.raises(MetricgradError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_a_plan_may_be_a_dict() -> None:
    """Its fields by name, as in a recipe."""
    result = _tune(plan={"steps": 2}, start_plan={"steps": 2})
    assert [event["steps"] for event in result.events if event["event"] == "stage_started"] == [2, 2, 2]
