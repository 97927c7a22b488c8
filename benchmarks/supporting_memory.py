"""Large batches with activations in few bits, beside staged and plain steps."""

import copy
import itertools
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.supporting_parts import (
    Part,
    Parts,
    difference,
    mean,
    write,
)
from metricgrad import losses, mean_valid, metrics, positive_ranks
from metricgrad.scale import StagedBackward, compress_activations
from metricgrad.tune import ClassBatchSplit


def clusters(seed: int) -> Parts:
    """Made classes: 400 to fit, 100 to select, 200 held out, eight items each; half of each class is far from it."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(700).repeat_interleave(8)
    hidden = torch.randn(700, 12, generator=generator)[labels]
    hidden = hidden + 0.5 * torch.randn(len(labels), 12, generator=generator)
    mixed = torch.tanh(hidden @ torch.randn(12, 48, generator=generator) / 3)
    inputs = torch.cat([mixed, torch.randn(len(labels), 16, generator=generator)], 1)
    bounds = (labels < 400, (labels >= 400) & (labels < 500), labels >= 500)
    return Parts(*((inputs[bound], labels[bound]) for bound in bounds))


RECALL = metrics.adapt("recall@1")


@torch.no_grad()
def recall(model: nn.Module, part: Part) -> float:
    """recall@1 of the exact ranks."""
    return float(RECALL.summarise(RECALL.measure(model(part[0]), part[1])))


def recall_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """The surrogate of recall@1."""
    ranks = positive_ranks(embeddings, labels, temperature=0.05)
    return mean_valid(losses.recall_at_k_loss(ranks, k=1), ranks)


def proxy_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """The proxy."""
    return losses.supcon_loss(embeddings, labels).mean()


class Arm(NamedTuple):
    """How an arm takes its steps."""

    loss: Callable[[Tensor, Tensor], Tensor]
    classes: int
    way: str = "whole"


ARMS = {
    "proxy, 256": Arm(proxy_loss, 64),
    "proxy, 1024": Arm(proxy_loss, 256),
    "recall, 256": Arm(recall_loss, 64),
    "recall, 1024, whole": Arm(recall_loss, 256),
    "recall, 1024, staged": Arm(recall_loss, 256, "staged"),
    "recall, 1024, 4 bits": Arm(recall_loss, 256, "4 bits"),
    "recall, 1024, 2 bits": Arm(recall_loss, 256, "2 bits"),
}


def embedding_network() -> nn.Sequential:
    """Three hidden layers."""
    widths = (64, 256, 256, 256, 32)
    layers = [
        layer for one, other in itertools.pairwise(widths) for layer in (nn.Linear(one, other), nn.ReLU())
    ]
    return nn.Sequential(*layers[:-1])


def steps_for(arm: Arm, model: nn.Module, parts: Parts, seconds: float) -> tuple[int, float]:
    """Train for seconds of processor time; how many steps, and the best recall on select of ten looks."""
    inputs, labels = parts.fit
    split = ClassBatchSplit(inputs, labels, classes_per_batch=arm.classes, samples_per_class=4)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3 if arm.classes < 100 else 2e-3)
    staged = StagedBackward(model, arm.loss, chunk=256)
    best, weights, count, spent, looks = recall(model, parts.select), model.state_dict(), 0, 0.0, 0
    weights = {name: value.clone() for name, value in weights.items()}
    while spent < seconds:
        for x, y in split:
            began = time.process_time()
            optimiser.zero_grad()
            if arm.way == "staged":
                staged(x, y)
            else:
                bits: Any = int(arm.way[0]) if "bits" in arm.way else 4
                with compress_activations(model, bits, seed=count) if "bits" in arm.way else nullcontext():
                    embeddings = model(x)
                arm.loss(embeddings, y).backward()
            optimiser.step()
            spent, count = spent + time.process_time() - began, count + 1
            if spent >= (looks + 1) * seconds / 10:
                looks += 1
                if (value := recall(model, parts.select)) > best:
                    best, weights = value, {name: part.clone() for name, part in model.state_dict().items()}
            if spent >= seconds:
                break
    model.load_state_dict(weights)
    return count, best


def compression(seeds: int = 3, seconds: float = 3.0) -> None:
    """recall@1 of classes that were never trained on, for equal processor time; bytes saved for the backward pass."""
    model = embedding_network()
    with compress_activations(model, 4, seed=0) as four, torch.enable_grad():
        model(torch.randn(1024, 64))
    with compress_activations(model, 2, seed=0) as two:
        model(torch.randn(1024, 64))
    bytes_of = {"whole": four.plain, "4 bits": four.stored, "2 bits": two.stored, "staged": four.plain // 4}
    held: dict[str, list[float]] = {}
    steps: dict[str, list[float]] = {}
    for seed in range(seeds):
        parts = clusters(seed)
        torch.manual_seed(seed)
        start = embedding_network()
        steps_for(ARMS["proxy, 256"], start, parts, seconds / 4)
        for name, arm in ARMS.items():
            model = copy.deepcopy(start)
            count, _ = steps_for(arm, model, parts, seconds)
            held.setdefault(name, []).append(recall(model, parts.held_out))
            steps.setdefault(name, []).append(count)
        held.setdefault("start", []).append(recall(start, parts.held_out))
    rows = []
    for name, values in held.items():
        gain, spread = difference(values, held["recall, 1024, staged"])
        arm = ARMS.get(name)
        whole = 0 if arm is None else bytes_of[arm.way] * (arm.classes if arm.way == "whole" else 256) // 256
        rows.append(
            {
                "arm": name,
                "steps": mean(steps.get(name, [0.0])),
                "kilobytes": whole / 1000,
                "recall_at_1": mean(values),
                "over_staged": gain,
                "error": spread,
            }
        )
    write("compression", rows)
