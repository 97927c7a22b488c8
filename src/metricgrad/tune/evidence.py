"""Read the test split once, for all arms and seeds, and say what may be claimed from it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from metricgrad._records import CONTROL, Curve, Entrant, Progress, Role, Tested, Verdict
from metricgrad._resampling import Watch
from metricgrad._types import Metric
from metricgrad.differences import CONFIDENCE, Differences, Grouping
from metricgrad.interval import Interval
from metricgrad.metrics import metric_calls
from metricgrad.tune.checkpoint import save_weights
from metricgrad.tune.curve import CURVE_KS, shares_found
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.falls import Beside
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.outputs import Outputs

__all__ = ["Reading", "Selected", "calls_in_all", "favourite", "judge", "opponent", "read_test"]

Statistics = Mapping[str, Sequence[Tensor]]
"""For each arm the test statistics [unit, stat] of every seed."""


@dataclass(frozen=True)
class Reading:
    """What the models say of the test split.

    Attributes:
        statistics: of every arm and seed.
        outputs: of the models, by seed and arm, whose outputs were to be kept.
        argmax: where rules decide, the statistics of the same outputs without them; else empty.
    """

    statistics: Statistics
    outputs: Mapping[tuple[int, str], Outputs]
    argmax: Statistics = field(default_factory=dict)


def read_test(
    chosen: Sequence[tuple[int, str]],
    outputs_of: Callable[[int, str], Outputs],
    evaluator: Evaluator,
    folder: RunFolder,
    *,
    keep: Collection[tuple[int, str]] = (),
    beside: Beside | None = None,
) -> Reading:
    """Read the test split once with every model, and keep the statistics in `test.safetensors`.

    Where a rule decides, those of the same outputs without it stand beside them, under `ARM/NUMBER/argmax`.

    Args:
        chosen: (seed, arm) of every model, seed by seed.
        outputs_of: what the model of one of them gives for the test split, with the selected weights.
        evaluator: measures and counts.
        folder: of the run.
        keep: models whose outputs are kept: whatever shows single items reads them.
        beside: measures the side metrics on the same outputs.
    """
    statistics: dict[str, list[Tensor]] = {}
    argmax: dict[str, list[Tensor]] = {}
    shares: dict[str, list[list[float]]] = {}
    kept: dict[tuple[int, str], Outputs] = {}
    for number, (seed, arm) in enumerate(chosen):
        folder.emit(Progress("test", number, len(chosen), "model"))
        found = outputs_of(seed, arm)
        measured, without = evaluator.measured(found, "test"), None
        if found.decided is not None:
            argmax.setdefault(arm, []).append(evaluator.measured(found.undecided, "test"))
            without = evaluator.summarised(argmax[arm][-1])
        undefined = int(measured[:, 0].isnan().sum())
        value = float(evaluator.metric.summarise(measured))
        folder.emit(Tested(seed, arm, value, units=len(measured), undefined=undefined, argmax=without))
        statistics.setdefault(arm, []).append(measured)
        if beside is not None:
            beside.measured(found, seed, arm, "test")
        if evaluator.metric.unit == "query":
            shares.setdefault(arm, []).append(shares_found(evaluator.metric, found))
        if (seed, arm) in keep:
            kept[seed, arm] = found.on_cpu()
        del found  # before the next are there: an index may be large
    folder.emit(Progress("test", len(chosen), len(chosen), "model"))
    named = {
        f"{arm}/{index}{mark}": item
        for mark, tables in (("", statistics), ("/argmax", argmax))
        for arm, items in tables.items()
        for index, item in enumerate(items)
    }
    save_weights(folder.path / "test.safetensors", named)
    for arm, values in shares.items():
        folder.emit(Curve(arm, list(CURVE_KS), [float(value) for value in np.mean(values, axis=0)]))
    return Reading(statistics, kept, argmax)


@dataclass(frozen=True)
class Selected:
    """What selection says, for the verdict's text and its optimism."""

    metric: Metric
    method: str
    values: Mapping[str, float]  # arm -> mean best select value over seeds
    metric_calls: Mapping[str, int]
    marks: Sequence[str]
    arms: Sequence[Entrant]  # start, controls, contenders

    def named(self, role: Role) -> list[str]:
        """Names of the arms of a role."""
        return [arm.name for arm in self.arms if arm.role == role]

    @property
    def contender(self) -> str:
        """The contender of the verdict."""
        return favourite(self.metric, self.values, self.arms)

    @property
    def opponents(self) -> list[str]:
        """Controls, then the start."""
        return _opponents(self.arms)

    def words(self, arm: str) -> str:
        """What the contender is held against, in words."""
        if arm not in self.named("control"):
            return "the start model"
        if one := next((one for one in self.arms if one.name == arm and one.derived), None):
            return one.method
        return "continuing the proxy loss" if arm == CONTROL else f"the control {arm}"


def judge(
    selected: Selected,
    statistics: Statistics | None,
    seeds: Sequence[int],
    *,
    grouping: Grouping | None = None,
    resamples: int = 2000,
    watch: Watch | None = None,
) -> Verdict:
    """Return the verdict: the contender against the opponent that select prefers, on test, paired over units.

    Without test statistics, or with a metric whose units cannot be resampled, nothing is claimed; nor is it where
    groups are too few for an interval that holds, or the metric is undefined on too many resamples.

    Args:
        selected: what selection says; of opponents that are equal there, a control goes before the start.
        statistics: of every arm and seed; None without a test split.
        seeds: of the run. With three or more the claim is about the method, else about these models.
        grouping: which units are drawn together; None: every unit for itself.
        resamples: number of draws.
        watch: is told how far the draws are.
    """
    del seeds  # the statistics have as many
    metric, marks = selected.metric, list(selected.marks)
    measured = selected.values if statistics is None else statistics
    opponents, contender = [arm for arm in selected.opponents if arm in measured], selected.contender
    if not selected.named("control"):
        marks.append(
            "no proxy loss was given: there is no control arm, a gain over more training is not shown"
        )
    elif all(arm.derived for arm in selected.arms if arm.role == "control"):
        marks.append("no control trains on with a proxy loss: a gain over more training is not shown")
    if statistics is None:
        arms = {
            arm: {"value": None, "low": None, "high": None, "select": value}
            for arm, value in selected.values.items()
        }
        sentence = f"Nothing is claimed: the run has no test split. {metric.name} stands on select alone."
        calls = calls_in_all(metric, selected.metric_calls)
        return Verdict("nothing claimed", sentence, None, CONFIDENCE, arms, {}, None, calls, marks)
    grouping = grouping or Grouping(None, metric.unit)
    compared = Differences(metric, statistics, grouping, resamples, watch)
    sign = 1.0 if metric.higher_is_better else -1.0
    arms = {
        arm: {**_figure(compared.interval({arm: 1.0})), "select": selected.values[arm]} for arm in statistics
    }
    gains = {arm: _gain(compared.interval({contender: sign, arm: -sign})) for arm in opponents}
    on_select = {arm: sign * (selected.values[contender] - selected.values[arm]) for arm in opponents}
    baseline = opponent(metric, selected.values, selected.arms)
    doubt = compared.doubt
    marks += [text for text in (grouping.told, *compared.marks) if text]
    marks += [f"{doubt}: nothing is claimed"] if doubt else []
    contenders = _beside(compared, selected, baseline)
    name = contenders[contender]["claim"] if len(contenders) > 1 else _verdict_of(gains[baseline])
    name = "nothing claimed" if doubt else name
    if name == "gain":
        marks += [_doubt_of(selected, arm, gain) for arm, gain in gains.items() if not (gain["low"] or 0) > 0]
    sentence = _sentence(name, selected, arms, baseline, gains[baseline], compared)
    return Verdict(
        name,
        sentence,
        baseline,
        CONFIDENCE,
        arms,
        gains,
        on_select[baseline] - gains[baseline]["gain"],
        calls_in_all(metric, selected.metric_calls),
        marks,
        **compared.facts,
        contender=contender,
        contenders=contenders,
    )


def favourite(metric: Metric, values: Mapping[str, float], arms: Sequence[Entrant]) -> str:
    """Return the contender that the verdict speaks of: the one that select prefers, the first of equals.

    Args:
        metric: says which way is better.
        values: arm -> mean best select value over seeds.
        arms: all of them.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    contenders = [arm.name for arm in arms if arm.role == "contender"]
    return max(contenders, key=lambda arm: np.nan_to_num(sign * values[arm], nan=-np.inf))


def _beside(compared: Differences, selected: Selected, baseline: str) -> dict[str, dict[str, Any]]:
    """Every contender beside the baseline: its gain, p-value, the same adjusted for all of them, and claim."""
    sign = 1.0 if selected.metric.higher_is_better else -1.0
    return {
        one.arm: {
            **_gain(compared.interval({one.arm: sign, baseline: -sign})),
            "p_value": one.p_value,
            "adjusted": one.adjusted,
            "claim": one.claim,
        }
        for one in compared.against(baseline, selected.named("contender"))
    }


def opponent(metric: Metric, values: Mapping[str, float], arms: Sequence[Entrant]) -> str:
    """Return the arm that the verdict stands against: the one that select prefers, a control of equals.

    Args:
        metric: says which way is better.
        values: arm -> mean best select value over seeds.
        arms: all of them.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    contender = favourite(metric, values, arms)
    gains = {arm: sign * (values[contender] - values[arm]) for arm in _opponents(arms) if arm in values}
    return min(gains, key=lambda arm: np.nan_to_num(gains[arm], nan=np.inf))


def _opponents(arms: Sequence[Entrant]) -> list[str]:
    """Controls, then the start."""
    return [arm.name for role in ("control", "start") for arm in arms if arm.role == role]


def _doubt_of(selected: Selected, arm: str, gain: Mapping[str, Any]) -> str:
    """What a gain over one arm does not show of another."""
    against = selected.words(arm)
    if gain["low"] is None:
        return f"no gain is shown over {against}: it has no interval"
    if gain["high"] < 0:
        return f"on test {against} is better than the {selected.contender} arm: gain {gain['gain']:+.4f}"
    return f"no gain is shown over {against}: {gain['gain']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"


def calls_in_all(metric: Metric, measured: Mapping[str, int]) -> dict[str, int]:
    """Return how often a function that is not ours was called so far (resamples too), beside the measurements.

    Args:
        metric: that was measured; one of ours adds nothing.
        measured: number of measurements by split.
    """
    function = metric_calls(metric)
    return {**measured, **({"function": function} if function else {})}


def _figure(interval: Interval) -> dict[str, Any]:
    """The value of an arm, mean over seeds, with its own interval where units can be resampled."""
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _gain(interval: Interval) -> dict[str, Any]:
    """Positive is better, whatever the direction of the metric."""
    return {
        "gain": interval.value,
        "low": interval.low,
        "high": interval.high,
        "per_seed": list(interval.per_seed),
        "unit_error": interval.unit_error,
        "seed_error": interval.seed_error,
    }


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
    compared: Differences,
) -> str:
    """The verdict in words. It names the method where seeds vary in the interval, else the models that were made."""
    against = selected.words(baseline)
    values = f"{selected.metric.name} {arms[selected.contender]['value']:.4f} against {arms[baseline]['value']:.4f}"
    if name == "nothing claimed":
        doubt = compared.doubt or "there is no interval"
        return f"Nothing is claimed of {selected.method}: {doubt}. {values} of {against}."
    difference, low, high = (
        f"{round(gain[key], 4) + 0.0:+.4f}" for key in ("gain", "low", "high")
    )  # never "-0.0000"
    several = compared.seeds > 1 and not compared.of_method
    who, several_arms = selected.method, len(selected.named("contender")) > 1
    if several_arms:
        who = f"{selected.contender} ({who})" if who != selected.contender else who
    if not compared.of_method:
        who = f"{'these models' if several else 'this model'}, tuned with {selected.method},"
    beats, loses = ("beat", "lose") if several else ("beats", "loses")
    words = {
        "gain": f"Gain: {who} {beats} {against} on the test split",
        "no evidence": f"No evidence that {who} {beats} {against} on the test split",
        "worse": f"Worse: {who} {loses} to {against} on the test split",
    }[name]
    holm = f"; claimed by Holm over {len(selected.named('contender'))} contenders" if several_arms else ""
    return (
        f"{words}: {values}, {difference} ({CONFIDENCE:.0%} interval {low} to {high} {compared.scope}{holm})."
    )
