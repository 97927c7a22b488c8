"""What the supporting systems bring, each against its controls, on scikit-learn's digits and synthetic data.

    python -m benchmarks.supporting orthogonal    what rotations alone, LoRA, biases and all weights gain and forget
    python -m benchmarks.supporting spline        F1 of calibrated scores beside the cut that was fitted for F1
    python -m benchmarks.supporting compression   recall@1 of large batches in equal time, with activations in few bits

Every command takes at most three minutes on one core and writes docs/supporting-NAME.csv. The data are parted anew for
every seed into fit, select and held-out; select chooses learning rates and steps, held-out is read once per arm and
seed. Figures are means over the seeds; the errors are standard errors of paired differences.
"""

import argparse
import copy
import csv
import itertools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.utils import parametrize

from metricgrad import losses, mean_valid, metrics, positive_ranks
from metricgrad.adapters import fit_calibrator, merged_state
from metricgrad.decision import fit_rule
from metricgrad.scale import StagedBackward, compress_activations
from metricgrad.tune import ClassBatchSplit
from metricgrad.tune.plan import trainable_parameters

DOCS = Path(__file__).parent.parent / "docs"
Part = tuple[Tensor, Tensor]


class Parts(NamedTuple):
    """One division of data: inputs and labels each."""

    fit: Part
    select: Part
    held_out: Part


def digits(seed: int, *, fit: int = 300, select: int = 300, rarest: float = 0.15) -> Parts:
    """Digits with frequencies that fall from 0 to 9, `rarest` of the last class left."""
    generator = torch.Generator().manual_seed(seed)
    pictures, classes = load_digits(return_X_y=True)
    inputs = torch.tensor(pictures, dtype=torch.float32) / 16
    labels = torch.tensor(classes)
    kept = torch.rand(len(labels), generator=generator) < rarest ** (labels / 9)
    order = torch.randperm(int(kept.sum()), generator=generator)
    inputs, labels = inputs[kept][order], labels[kept][order]
    bounds = (slice(0, fit), slice(fit, fit + select), slice(fit + select, None))
    return Parts(*((inputs[bound], labels[bound]) for bound in bounds))


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    middle = mean(values)
    return math.sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1) / len(values))


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error of paired differences."""
    values = [first - second for first, second in zip(one, other, strict=True)]
    return mean(values), error(values)


def write(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table and keep it as docs/supporting-NAME.csv."""
    rows = [
        {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    with (DOCS / f"supporting-{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def train(
    model: nn.Module,
    parameters: Sequence[Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    parts: Parts,
    measure: Callable[[Tensor, Tensor], Tensor],
    *,
    rate: float,
    steps: int,
    every: int = 10,
) -> tuple[float, dict[str, Tensor]]:
    """Adam on all of fit at once; the best value on select and the weights of that step."""
    optimiser = torch.optim.Adam(parameters, lr=rate)
    best, weights = -math.inf, {}
    for step in range(steps):
        optimiser.zero_grad()
        loss(model(parts.fit[0]), parts.fit[1]).mean().backward()
        optimiser.step()
        if (step + 1) % every == 0:
            with torch.no_grad():
                value = measure(model(parts.select[0]), parts.select[1]).item()
            if value > best:
                best, weights = value, {name: part.clone() for name, part in merged_state(model).items()}
    return best, weights


def macro_f1(logits: Tensor, labels: Tensor) -> Tensor:
    """The exact metric."""
    return metrics.f_beta(logits, labels, average="macro")


def soft_macro_f1(logits: Tensor, labels: Tensor) -> Tensor:
    """The surrogate of it."""
    return losses.soft_confusion_loss(logits, labels, metric="macro_f1")


# ------------------------------------------------------------------------------------------ orthogonal


class LowRank(nn.Module):
    """W + B A, from W on."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / rank**0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The sum."""
        return weight + self.up @ self.down


def network(units: int = 64) -> nn.Sequential:
    """Two layers."""
    return nn.Sequential(nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))


def moved(model: nn.Sequential, what: str) -> list[Tensor]:
    """The parameters of an arm."""
    if what == "LoRA":
        for place in (0, 2):
            layer: Any = model[place]
            layer.requires_grad_(False)
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, 10))
        return [value for value in model.parameters() if value.requires_grad]
    return list(trainable_parameters(model, what).values())


def orthogonal(seeds: int = 10) -> None:
    """Macro F1 after more training of a network: what may move, by the surrogate and by the proxy."""
    objectives = {"surrogate": soft_macro_f1, "proxy": nn.functional.cross_entropy}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    counts: dict[str, int] = {}
    for seed in range(seeds):
        parts = digits(seed)
        torch.manual_seed(seed)
        start = network()
        _, weights = train(
            start,
            list(start.parameters()),
            nn.functional.cross_entropy,
            parts,
            macro_f1,
            rate=0.003,
            steps=150,
        )
        start.load_state_dict(weights)
        found.setdefault(("start", "-"), []).append(both(start, parts))
        for what in ("all", "LoRA", "orthogonal", "bias"):
            for name, loss in objectives.items():
                tries = []
                for rate in (0.001, 0.003, 0.01, 0.03):
                    torch.manual_seed(seed)
                    model = network()
                    model.load_state_dict(weights)
                    parameters = moved(model, what)
                    counts[what] = sum(value.numel() for value in parameters)
                    tries.append(train(model, parameters, loss, parts, macro_f1, rate=rate, steps=150))
                    if what == "LoRA":
                        tries[-1] = (tries[-1][0], plain(tries[-1][1]))
                model = network()
                model.load_state_dict(max(tries, key=lambda one: one[0])[1])
                found.setdefault((what, name), []).append(both(model, parts))
    rows, control = [], [held for _, held in found["all", "proxy"]]
    for (what, name), values in found.items():
        held = [one for _, one in values]
        same, lora = (
            difference(held, [one for _, one in found[other]]) if other in found else (0.0, 0.0)
            for other in ((what, "proxy"), ("LoRA", name))
        )
        rows.append(
            {
                "moves": what,
                "loss": name,
                "parameters": counts.get(what, 0),
                "held_out": mean(held),
                "gap": mean([fit - one for fit, one in values]),
                "over_same_by_proxy": same[0],
                "error": same[1],
                "over_lora": lora[0],
                "error_over_lora": lora[1],
                "over_all_by_proxy": difference(held, control)[0],
                "error_over_all": difference(held, control)[1],
            }
        )
    write("orthogonal", rows)


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the network with LoRA added to its weights."""
    own = {name: value for name, value in state.items() if "parametrizations" not in name}
    for place in (0, 2):
        kept = f"{place}.parametrizations.weight."
        own[f"{place}.weight"] = state[f"{kept}original"] + state[f"{kept}0.up"] @ state[f"{kept}0.down"]
    return own


@torch.no_grad()
def both(model: nn.Module, parts: Parts) -> tuple[float, float]:
    """The metric on fit and held-out."""
    return macro_f1(model(parts.fit[0]), parts.fit[1]).item(), macro_f1(
        model(parts.held_out[0]), parts.held_out[1]
    ).item()


# -------------------------------------------------------------------------------------------- spline


def imbalanced(seed: int) -> Parts:
    """Made data of two classes, 7 % of class 1, some labels wrong."""
    inputs, labels = make_classification(
        6000, 20, n_informative=8, weights=[0.93], class_sep=0.8, flip_y=0.03, random_state=seed
    )
    x, y = torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels)
    bounds = (slice(0, 1500), slice(1500, 2300), slice(2300, None))
    return Parts(*((x[bound], y[bound]) for bound in bounds))


def log_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of one score of class 1."""
    return nn.functional.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype))


def f1(scores: Tensor, labels: Tensor) -> float:
    """F1 of the classes that scores above 0 are."""
    return metrics.f_beta((scores > 0).long(), labels).item()


def soft_f1(scores: Tensor, labels: Tensor) -> Tensor:
    """The surrogate of it."""
    return losses.soft_counts_loss(scores, labels.long())


def as_scores(probabilities: Any) -> Tensor:
    """Log odds."""
    return torch.tensor(probabilities, dtype=torch.float64).logit(eps=1e-6)


def maps(scores: Tensor, labels: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is fitted on the pool: functions of scores, of which those above 0 are class 1."""
    rule = fit_rule(scores, labels, "f1", "threshold", inputs="logits").rule
    platt = LogisticRegression(C=1e6).fit(scores[:, None].numpy(), labels.numpy())
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(scores.numpy(), labels.numpy())
    scale, shift = scaled(scores, labels)
    calibrated, moved_over = fit_calibrator(scores, labels), fit_calibrator(scores, labels, loss=soft_f1)
    return {
        "as trained": lambda new: new,
        "threshold": lambda new: rule.decide(new) - 0.5,
        "Platt": lambda new: as_scores(platt.predict_proba(new[:, None].numpy())[:, 1]),
        "isotonic": lambda new: as_scores(isotonic.predict(new.numpy())),
        "spline by cross-entropy": calibrated,
        "scale and shift by soft F1": lambda new: scale * new + shift,
        "spline by soft F1": moved_over,
        "spline and threshold": lambda new: (
            fit_rule(calibrated(scores), labels, "f1", "threshold", inputs="logits").rule.decide(
                calibrated(new)
            )
            - 0.5
        ),
    }


def scaled(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift by soft F1: what two numbers do of it."""
    scale, shift = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (1.0, 0.0))
    optimiser = torch.optim.Adam([scale, shift], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        soft_f1(scale * scores + shift, labels).backward()
        optimiser.step()
    return scale.detach(), shift.detach()


def spline(seeds: int = 40) -> None:
    """F1 on imbalanced data: calibrators and the fitted cut, after training with cross-entropy."""
    found: dict[str, list[float]] = {}
    sure: dict[str, list[float]] = {}
    for seed in range(seeds):
        parts = imbalanced(seed)
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
        _, weights = train(
            model,
            list(model.parameters()),
            log_loss,
            parts,
            lambda *given: -log_loss(*given),
            rate=0.003,
            steps=300,
        )
        model.load_state_dict(weights)
        with torch.no_grad():
            pool, held_out = (model(part[0]).double() for part in (parts.select, parts.held_out))
        for name, mapped in maps(pool, parts.select[1]).items():
            scores = mapped(held_out)
            found.setdefault(name, []).append(f1(scores, parts.held_out[1]))
            if "threshold" not in name:
                sure.setdefault(name, []).append(log_loss(scores, parts.held_out[1]).item())
    rows = []
    for name, values in found.items():
        gain, spread = difference(values, found["threshold"])
        rows.append(
            {
                "scores": name,
                "f1": mean(values),
                "over_threshold": gain,
                "error": spread,
                "log_loss": mean(sure[name]) if name in sure else "-",
            }
        )
    write("spline", rows)


# --------------------------------------------------------------------------------------- compression


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


COMMANDS: Mapping[str, Callable[[], None]] = {
    "compression": compression,
    "orthogonal": orthogonal,
    "spline": spline,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=sorted(COMMANDS))
    torch.set_num_threads(1)
    COMMANDS[parser.parse_args().system]()
