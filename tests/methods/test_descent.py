"""A loss or a gradient that is no number ends a method before its weights or its optimiser have moved."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metricgrad._types import Method, MethodRun, Metric
from metricgrad.errors import Diverged
from metricgrad.learned import vectors
from metricgrad.methods.alternating_method import Alternating, AlternatingSettings
from metricgrad.methods.decodes import named_direct
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.direct_method import Direct
from metricgrad.methods.families import FAMILIES
from metricgrad.methods.learned_method import Learned
from metricgrad.methods.learned_settings import LearnedSettings
from metricgrad.methods.objectives import named_objective
from metricgrad.methods.surrogate import Surrogate
from metricgrad.metrics import adapt, per_sample

INPUTS = torch.randn(12, 4, generator=torch.manual_seed(0))
CLASSES, POINTS = torch.arange(12) % 2, INPUTS[:, :2] * 2


class Failing:
    """A loss that is well until it is told how to fail."""

    def __init__(self) -> None:
        self.how: Callable[[Tensor], Tensor] = lambda loss: loss

    def __call__(self, outputs: Tensor, targets: Any) -> Tensor:
        """Return the mean square of the outputs, spoilt."""
        return self.how(outputs.square().mean())

    def beside(self, objective: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
        """Add it to another loss."""
        return lambda outputs, targets: objective(outputs, targets).mean() + self(outputs, targets)


HOW: dict[str, Callable[[Tensor], Tensor]] = {
    "the loss is NaN": lambda loss: loss * torch.nan,
    "the loss is infinite": lambda loss: loss * torch.inf,
    "the gradient is NaN": lambda loss: (loss * 0).sqrt(),
    "the gradient is infinite": lambda loss: (loss - loss.detach()).sqrt(),
}


def surrogate(failing: Failing, clip: float | None) -> tuple[Method, Metric, Tensor]:
    """The loss alone."""
    return Surrogate(failing, DescentSettings(gradient_clip=clip)), adapt("accuracy"), CLASSES


def direct(failing: Failing, clip: float | None) -> tuple[Method, Metric, Tensor]:
    """The loss beside a difference of two decodes."""
    own = named_direct("f_beta", adapt("f1"), {})
    return Direct(failing.beside(own), DescentSettings(gradient_clip=clip), own.loss), adapt("f1"), CLASSES


def learned(failing: Failing, clip: float | None) -> tuple[Method, Metric, Tensor]:
    """The loss as the proxy beside a learned surrogate."""
    metric = per_sample(_distance, higher_is_better=False, kind=vectors([0.0, 0.0], [2.0, 2.0]))
    settings = LearnedSettings(
        gradient_clip=clip, surrogate_warmup=3, surrogate_batch=8, proxy_weight=1.0, trust=-1
    )
    return Learned(settings, proxy=failing), metric, POINTS


def alternating(failing: Failing, clip: float | None) -> tuple[Method, Metric, Tensor]:
    """The loss as the proxy, whose step comes first."""
    second = named_objective("focal", {}, of_scores=True)
    settings = AlternatingSettings(gradient_clip=clip)
    return Alternating("alternating:focal", failing, second, settings), adapt("accuracy"), CLASSES


def _distance(output: Any, target: Any) -> float:
    return float(abs(output - target).sum())


MAKERS = {"surrogate": surrogate, "direct": direct, "learned": learned, "alternating": alternating}


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("family", MAKERS)
def test_diverged_before_the_weights_move(family: str, how: str, clip: float | None) -> None:
    """Weights and state of the optimiser are the same bits as before, and a good batch goes on from there."""
    failing = Failing()
    method, metric, targets = MAKERS[family](failing, clip)
    model, split = nn.Linear(4, 2), [(INPUTS, targets)]
    method.begin(MethodRun(model, dict(model.named_parameters()), metric, 10, 0, fit=split, select=split))
    method.step((INPUTS, targets))  # fills the momentum
    descent = method.descent  # pyright: ignore[reportAttributeAccessIssue]
    before = copy.deepcopy((model.state_dict(), descent.optimiser.state_dict(), descent.taken))
    failing.how = HOW[how]
    with pytest.raises(Diverged, match="at step 2"):
        method.step((INPUTS, targets))
    torch.testing.assert_close(
        (model.state_dict(), descent.optimiser.state_dict(), descent.taken), before, rtol=0, atol=0
    )
    failing.how = lambda loss: loss
    method.step((INPUTS, targets))
    assert descent.taken == 2 and not torch.equal(model.weight, before[0]["weight"])


def test_every_family_is_tested() -> None:
    """A family that is added must say here how it fails; methods hold a descent and are not inherited from.

    Searches of a black box hold none: `test_blackbox.py` says how they fail.
    """
    assert {*MAKERS, "blackbox"} == {family.name for family in FAMILIES}
    for kind in (Surrogate, Direct, Learned, Alternating):
        assert getattr(kind, "__final__", False) and kind.__bases__ == (object,)
