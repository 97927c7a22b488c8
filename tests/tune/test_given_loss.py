"""A loss of the user is trained beside the network and resumed; what it returns is checked, what it raises is told."""

import copy
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss, CrossBatchMemory, NTXentLoss, ProxyAnchorLoss
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from metricgrad.errors import InputError, Interrupted
from metricgrad.losses import recall_at_k_loss
from metricgrad.pairing import MemoryQueue
from metricgrad.ranking import RankingLoss
from metricgrad.tune import ArraySplit, Plan, Splits
from tests.tune.small_run import same_weights, small_run
from tests.tune.test_resume import Raiser

SHORT: dict[str, Any] = {"plan": Plan(steps=8, evaluate_every=4, checkpoint_every=3), "seed": 0}
QUICK: dict[str, Any] = {**SHORT, "plan": Plan(steps=2), "start_plan": None}


class CentreLoss(nn.Module):
    """Centres that are trained, and a moving mean of the loss in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(20, 8, generator=torch.manual_seed(0)))
        self.register_buffer("mean", torch.zeros(()))
        self.calls = 0

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return one value per item."""
        values = (outputs - self.centres[targets]).square().sum(1)
        self.mean += 0.1 * (values.mean().detach() - self.mean)
        self.calls += 1
        return values


PROXIES = {
    "arcface": lambda: ArcFaceLoss(num_classes=20, embedding_size=8),
    "proxy anchor": lambda: ProxyAnchorLoss(num_classes=20, embedding_size=8),
    "centre": CentreLoss,
    "memory in members": lambda: CrossBatchMemory(NTXentLoss(), 8, memory_size=48),
    "memory in buffers": lambda: RankingLoss(
        recall_at_k_loss, temperature=0.05, k=1, memory=MemoryQueue(48, 8)
    ),
}


@pytest.mark.parametrize(
    "name", ["centre", *(pytest.param(name, marks=pytest.mark.slow) for name in PROXIES if name != "centre")]
)
def test_a_loss_with_state_is_trained_and_resumed(name: str, tmp_path: Path) -> None:
    """The user's object stays as it was; a run that was cut ends with the same bytes, those of the loss among them."""
    torch.manual_seed(0)
    proxy = PROXIES[name]()
    before = copy.deepcopy(proxy.state_dict())
    small_run(tmp_path / "whole", proxy=proxy, **SHORT)
    with pytest.raises(Interrupted):
        small_run(tmp_path / "cut", proxy=proxy, observer=Raiser("progress", 13, signal.SIGTERM), **SHORT)
    small_run(tmp_path / "cut", proxy=proxy, **SHORT)
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []
    assert list(tmp_path.glob("whole/arms/*start*-loss.safetensors"))
    assert repr(proxy.state_dict()) == repr(before)


def test_the_arms_go_on_from_the_loss_that_the_start_trained(tmp_path: Path) -> None:
    """Both the control arm and a tuned arm that holds a share of it; each trains its own copy."""
    settings = {"proxy_weight": 0.5}
    seen = []

    class Watched(CentreLoss):
        """Notes its centres when they are copied for a stage and called first."""

        def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            """Note, then return the loss."""
            seen.append(self.centres.detach().clone())
            return super().forward(outputs, targets)

    result = small_run(tmp_path / "run", proxy=Watched(), settings=settings, **SHORT)
    arms = {path.name: load_file(path) for path in (result.folder / "arms").glob("*-loss.safetensors")}
    start = arms["seed0-start-try0-loss.safetensors"]["state/centres"]
    assert not torch.equal(start, CentreLoss().centres)
    for first in (8, 16):  # the first steps of the two arms
        torch.testing.assert_close(seen[first], start, rtol=0, atol=0)
    ends = [arms[f"seed0-{arm}-try0-loss.safetensors"]["state/centres"] for arm in ("continued", "tuned")]
    assert not torch.equal(ends[0], ends[1])


@pytest.mark.parametrize("method", ["direct:multiclass", "surrogate:recall_at_k"])
def test_constants_of_a_loss_are_no_obstacle(method: str) -> None:
    """Class weights are buffers; a share of the proxy within another method takes them, too."""
    generator = torch.manual_seed(0)
    inputs, labels = torch.randn(64, 12, generator=generator), torch.arange(64) % 8
    part = ArraySplit(inputs, labels, batch=32)
    proxy = nn.CrossEntropyLoss(weight=torch.arange(1.0, 9.0))
    metric = "accuracy" if method.startswith("direct") else "recall@1"
    splits = Splits(part, ArraySplit(inputs + 1, labels + 8 * (metric != "accuracy")))
    result = small_run(
        None,
        splits=splits,
        proxy=proxy,
        metric=metric,
        method=method,
        settings={"proxy_weight": 0.1},
        **QUICK,
    )
    assert result.verdict == "nothing claimed"


def _hidden() -> Any:
    hidden = ArcFaceLoss(num_classes=20, embedding_size=8)
    return lambda outputs, targets: hidden(outputs, targets)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        (_hidden(), r"\(8, 20\).*neither the network's nor its own.*torch.nn.Module"),
        (lambda outputs, targets: 0.5, "returned 0.5; expected a tensor"),
        (lambda outputs, targets: None, "returned None"),
        (lambda outputs, targets: (outputs.sum(), {}), "returned a tuple of 2"),
        (lambda outputs, targets: {"loss": outputs.sum()}, "returned a dict of loss"),
        (lambda outputs, targets: outputs.argmax(1).float().mean(), "without gradient.*argmax"),
        (lambda outputs, targets: outputs.detach().sum(), "without gradient"),
        (lambda outputs: outputs.sum(), "TypeError.*takes 1 positional argument"),
        (lambda outputs, targets: cross_entropy(outputs, targets.float()), "RuntimeError.*it was given"),
        (lambda outputs, targets: cross_entropy(outputs[:3], targets), "ValueError.*batch_size"),
        (lambda outputs, targets: outputs["logits"].sum(), "IndexError|TypeError"),
    ],
)
def test_a_loss_of_another_kind_is_one_sentence(proxy: Any, message: str) -> None:
    """What it returned or raised, and what it was given."""
    with pytest.raises(InputError, match=message) as raised:
        small_run(None, proxy=proxy, **QUICK)
    assert "\n" not in str(raised.value)


def test_a_last_batch_of_one_names_the_reason() -> None:
    """BatchNorm has no statistics of one item."""
    split = ArraySplit(torch.randn(33, 12), torch.arange(33) % 20, batch=32)
    with pytest.raises(InputError, match=r"Expected more than 1 value.*drop_last"):
        small_run(
            None, splits=Splits(split, ArraySplit(torch.randn(8, 12), torch.arange(8) % 4 + 20)), **QUICK
        )


def test_a_network_without_gradient_is_named() -> None:
    """A detach in forward is no fault of the loss."""

    class Detached(nn.Linear):
        """Returns what nothing can train."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """Return the output without its graph."""
            return super().forward(inputs).detach()

    with pytest.raises(InputError, match="outputs of the network have no gradient"):
        small_run(None, model=Detached(12, 8), **QUICK)
