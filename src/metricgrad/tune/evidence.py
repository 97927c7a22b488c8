"""Read the test split once, for all arms and seeds, and say what may be claimed from it."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._records import Curve, Tested, Verdict
from metricgrad._types import Metric, Split
from metricgrad.interval import bootstrap, paired_bootstrap
from metricgrad.metrics import metric_calls, nearest_items, retrieval_ranks
from metricgrad.tune.checkpoint import save_weights, write_atomically
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.select import Evaluator, collect
from metricgrad.tune.splits import reference_of

__all__ = ["CONFIDENCE", "judge", "read_test", "write_gallery"]

CONFIDENCE = 0.95
CURVE_KS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 50)
GALLERY_ENTRIES, GALLERY_NEIGHBOURS = 8, 5

Statistics = Mapping[str, Sequence[Tensor]]
"""For each arm the test statistics [unit, stat] of every seed."""


def read_test(
    models: Mapping[tuple[int, str], nn.Module], test: Split, evaluator: Evaluator, folder: RunFolder
) -> dict[str, list[Tensor]]:
    """Measure every arm of every seed on the test split and keep the statistics in `test.safetensors`.

    Args:
        models: (seed, arm) -> network with the selected weights.
        test: the locked split.
        evaluator: measures and counts.
        folder: of the run.
    """
    statistics: dict[str, list[Tensor]] = {}
    for (seed, arm), model in models.items():
        measured = evaluator.statistics(model, test, "test")
        statistics.setdefault(arm, []).append(measured)
        undefined = int(torch.isnan(measured).any(1).sum())
        value = float(evaluator.metric.summarise(measured))
        folder.emit(Tested(seed, arm, value, units=len(measured), undefined=undefined))
    named = {f"{arm}/{index}": item for arm, items in statistics.items() for index, item in enumerate(items)}
    save_weights(folder.path / "test.safetensors", named)
    if evaluator.metric.unit == "query":
        _emit_curves(models, test, folder)
    return statistics


def _emit_curves(models: Mapping[tuple[int, str], nn.Module], test: Split, folder: RunFolder) -> None:
    curves: dict[str, list[list[float]]] = {}
    for (_, arm), model in models.items():
        best = _best_ranks(model, test)
        curves.setdefault(arm, []).append([float((best <= k).double().mean()) for k in CURVE_KS])
    for arm, values in curves.items():
        folder.emit(Curve(arm, list(CURVE_KS), [float(value) for value in np.mean(values, axis=0)]))


@dataclass(frozen=True)
class Selected:
    """What selection says, for the verdict's text and its optimism."""

    metric: Metric
    method: str
    values: Mapping[str, float]  # arm -> mean best select value over seeds
    metric_calls: Mapping[str, int]
    marks: Sequence[str]


def judge(selected: Selected, statistics: Statistics | None, seeds: Sequence[int]) -> Verdict:
    """Return the verdict: tuned against the better of the other arms on test, paired over units.

    Without test statistics, or with a metric whose units cannot be resampled, nothing is claimed.
    """
    metric, marks = selected.metric, list(selected.marks)
    opponents = [arm for arm in selected.values if arm != "tuned"]
    if "continued" not in opponents:
        marks.append(
            "no proxy loss was given: there is no control arm, a gain over more training is not shown"
        )
    if statistics is None:
        arms = {
            arm: {"value": None, "low": None, "high": None, "select": value}
            for arm, value in selected.values.items()
        }
        sentence = f"Nothing is claimed: the run has no test split. {metric.name} stands on select alone."
        calls = _calls(selected)
        return Verdict("nothing claimed", sentence, None, CONFIDENCE, arms, {}, None, calls, marks)
    arms = {
        arm: {**_figure(metric, items), "select": selected.values[arm]} for arm, items in statistics.items()
    }
    gains = {arm: _gain(metric, statistics["tuned"], statistics[arm]) for arm in opponents}
    baseline = min(opponents, key=lambda arm: gains[arm]["gain"])
    chosen = gains[baseline]
    name = _verdict_of(chosen)
    if chosen["low"] is None:
        why = (
            "gives one number for the whole set"
            if metric.unit == "whole"
            else "is defined for too few test units"
        )
        marks.append(f"the metric {why}: no interval can be given, so nothing is claimed")
    sign = 1.0 if metric.higher_is_better else -1.0
    select_gain = sign * (selected.values["tuned"] - selected.values[baseline])
    units = int((~torch.isnan(statistics["tuned"][0]).any(1)).sum())
    sentence = _sentence(name, selected, arms, baseline, chosen, units, len(seeds))
    optimism = select_gain - chosen["gain"]
    calls = _calls(selected)
    return Verdict(name, sentence, baseline, CONFIDENCE, arms, gains, optimism, calls, marks)


def _calls(selected: Selected) -> dict[str, int]:
    """Measurements by split and, for a function that is not ours, how often it was called in all (resamples too)."""
    function = metric_calls(selected.metric)
    return {**selected.metric_calls, **({"function": function} if function else {})}


def _figure(metric: Metric, statistics: Sequence[Tensor]) -> dict[str, Any]:
    """The value of an arm, mean over seeds, with its own interval where units can be resampled."""
    value = float(np.mean([float(metric.summarise(item)) for item in statistics]))
    if metric.unit == "whole":
        return {"value": value, "low": None, "high": None}
    interval = bootstrap(statistics, metric.summarise, confidence=CONFIDENCE)
    return {"value": value, "low": interval.low, "high": interval.high}


def _gain(metric: Metric, tuned: Sequence[Tensor], other: Sequence[Tensor]) -> dict[str, Any]:
    """Positive is better, whatever the direction of the metric."""
    sign = 1.0 if metric.higher_is_better else -1.0
    per_seed = [
        sign * (float(metric.summarise(a)) - float(metric.summarise(b)))
        for a, b in zip(tuned, other, strict=True)
    ]
    gain = {"gain": float(np.mean(per_seed)), "low": None, "high": None, "per_seed": per_seed}
    if metric.unit != "whole":
        interval = paired_bootstrap(tuned, other, metric.summarise, confidence=CONFIDENCE)
        if interval.low is not None and interval.high is not None:
            gain["low"], gain["high"] = sorted((sign * interval.low, sign * interval.high))
    return gain


def _verdict_of(gain: Mapping[str, Any]) -> str:
    if gain["low"] is None:
        return "nothing claimed"
    if gain["low"] > 0:
        return "gain"
    return "worse" if gain["high"] < 0 else "no evidence"


def _sentence(
    name: str,
    selected: Selected,
    arms: Mapping[str, Any],
    baseline: str,
    gain: Mapping[str, Any],
    units: int,
    seeds: int,
) -> str:
    metric = selected.metric
    against = {"start": "the start model", "continued": "continuing the proxy loss"}[baseline]
    values = f"{metric.name} {arms['tuned']['value']:.4f} against {arms[baseline]['value']:.4f}"
    if gain["low"] is None:
        return f"Nothing is claimed: {values} of {against}, without an interval."
    difference, low, high = (
        f"{round(gain[key], 4) + 0.0:+.4f}" for key in ("gain", "low", "high")
    )  # never "-0.0000"
    span = f"{low} to {high}"
    many = "queries" if metric.unit == "query" else f"{metric.unit}s"
    scope = f"{CONFIDENCE:.0%} interval {span} over {units:,} {many}, mean of {seeds} seed{'s' if seeds > 1 else ''}"
    words = {
        "gain": f"Gain: {selected.method} beats {against} on the test split",
        "no evidence": f"No evidence that {selected.method} beats {against} on the test split",
        "worse": f"Worse: {selected.method} loses to {against} on the test split",
    }[name]
    return f"{words}: {values}, {difference} ({scope})."


def _best_ranks(model: nn.Module, test: Split) -> Tensor:
    """Rank of the best relevant item of every query that has one [query]."""
    outputs, targets, reference_outputs, reference_targets = _both_sides(model, test)
    ranks = retrieval_ranks(
        outputs, targets, reference_embeddings=reference_outputs, reference_labels=reference_targets
    )
    best = ranks.among_all.masked_fill(~ranks.valid, torch.inf).amin(1)
    return best[torch.isfinite(best)]


def _both_sides(model: nn.Module, split: Split) -> tuple[Tensor, Any, Tensor | None, Any]:
    outputs, targets = collect(model, split)
    reference = reference_of(split)
    if reference is None:
        return outputs, targets, None, None
    return outputs, targets, *collect(model, reference)


def write_gallery(before: nn.Module, after: nn.Module, baseline: str, test: Split, folder: RunFolder) -> None:
    """Keep queries whose nearest neighbour became relevant, and others where it ceased to be, with pictures.

    The entries are drawn at random (seeded) from all such queries; the caption says how many there are. A split
    without pictures, or with a reference split of its own, leaves no gallery.
    """
    pictures: Any = getattr(test, "pictures", None)
    if pictures is None or reference_of(test) is not None:
        return
    found = {name: _neighbours(model, test) for name, model in (("before", before), ("after", after))}
    hits = {name: relevant[:, 0] for name, (_, _, relevant) in found.items()}
    lists = {"better": hits["after"] & ~hits["before"], "worse": hits["before"] & ~hits["after"]}
    rng = np.random.default_rng(0)
    document: dict[str, Any] = {"before": baseline, "after": "tuned"}
    for name, changed in lists.items():
        queries = np.flatnonzero(changed.numpy())
        drawn = np.sort(rng.choice(queries, min(GALLERY_ENTRIES, len(queries)), replace=False))
        document[name] = [_entry(int(query), found, test, pictures) for query in drawn]
    counts = {name: f"{int(changed.sum()):,}" for name, changed in lists.items()}
    document["caption"] = (
        f"With the first seed: of {len(hits['after']):,} test queries, {counts['better']} have a relevant nearest "
        f"neighbour only after tuning and {counts['worse']} only before. Drawn at random from both."
    )
    write_atomically(folder.path / "gallery.json", json.dumps(document).encode())


def _neighbours(model: nn.Module, test: Split) -> tuple[Tensor, Tensor, Tensor]:
    """Index, similarity and relevance of the nearest items of every query [query, neighbour]."""
    outputs, targets = collect(model, test)
    nearest = nearest_items(outputs, outputs, GALLERY_NEIGHBOURS, exclude=torch.arange(len(outputs)))
    targets = torch.as_tensor(targets)
    index, similarity = nearest
    return index, similarity, targets[index] == targets[:, None]


def _entry(
    query: int, found: Mapping[str, tuple[Tensor, Tensor, Tensor]], test: Split, pictures: Any
) -> dict[str, Any]:
    names: Sequence[str] = getattr(test, "names", None) or []

    def described(item: int) -> dict[str, Any]:
        name = names[item] if names else f"item {item}"
        return {"name": name, "png": base64.b64encode(pictures([item])[0]).decode()}

    entry: dict[str, Any] = {"query": described(query)}
    for side, (index, similarity, relevant) in found.items():
        entry[side] = [
            {**described(int(item)), "relevant": bool(right), "similarity": round(float(near), 4)}
            for item, near, right in zip(index[query], similarity[query], relevant[query], strict=True)
        ]
    return entry
