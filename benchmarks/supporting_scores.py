"""Calibrators of scores beside a fitted cut, and scores of untrained heads."""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from scipy.stats import kendalltau
from sklearn.datasets import make_classification
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from benchmarks.supporting_parts import (
    Parts,
    both,
    difference,
    digits,
    error,
    mean,
    started,
    train,
    write,
)
from metricgrad import losses, metrics
from metricgrad.adapters import (
    fit_calibrator,
    rank_untrained,
)
from metricgrad.decision import fit_rule


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


def heads(count: int = 30) -> dict[str, Callable[[], nn.Module]]:
    """Networks of one to four hidden layers of drawn widths, 96 to 384 ReLU units each in all."""
    draws = random.Random(0)
    found: dict[str, Callable[[], nn.Module]] = {}
    for number in range(count):
        depth, units = draws.randint(1, 4), draws.randint(96, 384)
        shares = [draws.uniform(0.3, 1.0) for _ in range(depth)]
        widths = [max(4, round(units * share / sum(shares))) for share in shares]
        found[f"{number}: {'-'.join(map(str, widths))}"] = partial(head, (64, *widths))
    return found


def head(widths: Sequence[int]) -> nn.Sequential:
    """Hidden layers of these widths, and ten classes."""
    layers = [
        part for one, other in itertools.pairwise(widths) for part in (nn.Linear(one, other), nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def untrained(divisions: int = 6) -> None:
    """Kendall's tau between what is known of a head before training and its held-out macro F1 after it."""
    candidates = heads()
    tau: dict[str, list[float]] = {}
    chosen: dict[str, list[float]] = {}
    for seed in range(divisions):
        parts = digits(seed)
        scored = {one.name: one for one in rank_untrained(candidates, parts.fit[0][:128], len(candidates))}
        held = []
        for make in candidates.values():
            model = started(make, parts, seed)
            held.append(both(model, parts)[1])
        known = {
            "score": [scored[name].score for name in candidates],
            "ReLU units": [float(scored[name].units) for name in candidates],
            "parameters": [
                float(sum(value.numel() for value in make().parameters())) for make in candidates.values()
            ],
            "fewest layers": [-float(name.count("-")) for name in candidates],
        }
        for name, values in known.items():
            finite = [value if math.isfinite(value) else -1e9 for value in values]
            tau.setdefault(name, []).append(
                float(kendalltau(finite, held)[0])  # pyright: ignore[reportArgumentType]
            )
            best = sorted(range(len(held)), key=lambda place: -finite[place])[:5]
            chosen.setdefault(name, []).append(mean([held[place] for place in best]))
        tau.setdefault("chance", []).append(0.0)
        chosen.setdefault("chance", []).append(mean(held))
    write(
        "untrained",
        [
            {
                "by": name,
                "tau": mean(values),
                "error": error(values),
                "macro_f1_of_best_5": mean(chosen[name]),
            }
            for name, values in tau.items()
        ],
    )
