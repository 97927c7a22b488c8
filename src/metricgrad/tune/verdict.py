"""The verdict of a run, with the figures without rules beside those with them where rules decide."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from metricgrad._decision_records import plain_name
from metricgrad._records import Chosen, GroupFigures, Verdict
from metricgrad._resampling import Watch
from metricgrad._types import Metric
from metricgrad.differences import Differences, Grouping
from metricgrad.interval import Interval
from metricgrad.tune.by_group import compared_arms, figures_by_group
from metricgrad.tune.choice import chosen_method, means_of
from metricgrad.tune.evidence import Reading, Selected, calls_in_all, favourite, judge, opponent
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.setup import Setup

__all__ = ["Judged", "judged", "spoken_of"]


class Judged(NamedTuple):
    """What test says: the verdict, and the metric by group, where units have groups."""

    verdict: Verdict
    by_group: GroupFigures | None


def judged(
    setup: Setup,
    chosen: Chosen,
    read: Reading | None,
    *,
    calls: Mapping[str, int],
    marks: Sequence[str],
    rules: Collection[str],
    resamples: int,
    watch: Watch,
) -> Judged:
    """Judge the contender on test, say what the rules brought, and then how the groups of test are served.

    Args:
        setup: of the run.
        chosen: what select says.
        read: what the models say of test; None without a test split.
        calls: measurements by split.
        marks: what a reader must know.
        rules: names of the rules that decide; empty where none does.
        resamples: number of draws.
        watch: is told how far they are.
    """
    metric, values = setup.metric, means_of(chosen.select)
    contender = setup.arm(favourite(metric, values, setup.entrants))
    selected = Selected(metric, chosen_method(chosen, contender), values, calls, marks, setup.entrants)
    grouping = grouping_of("test", setup.splits, metric)
    verdict = judge(
        selected,
        None if read is None else read.statistics,
        setup.seeds,
        grouping=grouping,
        resamples=resamples,
        watch=watch,
    )
    if rules:
        verdict = _with_rules(verdict, metric, chosen, read, grouping, rules, resamples)
    by_group = None
    if read is not None and verdict.baseline is not None:
        arms = compared_arms(chosen.returned[str(chosen.best_seed)], verdict.contender, verdict.baseline)
        by_group = figures_by_group(metric, read.statistics, grouping, arms, setup.splits, resamples)
    return Judged(replace(verdict, metric_calls=calls_in_all(metric, calls)), by_group)


def _with_rules(
    verdict: Verdict,
    metric: Metric,
    chosen: Chosen,
    read: Reading | None,
    grouping: Grouping,
    rules: Collection[str],
    resamples: int,
) -> Verdict:
    """The verdict with the figures of the same weights without rules, and with what the rules brought."""
    beside = {} if read is None else _without_rules(metric, read, grouping, resamples)
    arms = {arm: {**figures, **beside.get(arm, {})} for arm, figures in verdict.arms.items()}
    for arm, value in means_of(chosen.argmax).items():
        arms[arm]["argmax"] = {"select": value, **arms[arm].get("argmax", {})}
    return replace(verdict, arms=arms, sentence=f"{verdict.sentence} {_sentence(verdict, arms, rules)}")


def spoken_of(setup: Setup, chosen: Chosen) -> tuple[str, str]:
    """The opponent and the contender of the verdict."""
    cast = setup.metric, means_of(chosen.select), setup.entrants
    return opponent(*cast), favourite(*cast)


def _without_rules(
    metric: Metric, read: Reading, grouping: Grouping, resamples: int
) -> dict[str, dict[str, dict[str, float | None]]]:
    """For each arm its value with argmax and what its rule gains over that, both with intervals, paired over units."""
    tables: dict[tuple[str, bool], Sequence[Tensor]] = {}
    for arm in read.argmax:
        tables |= {(arm, True): read.statistics[arm], (arm, False): read.argmax[arm]}
    named = {f"{arm}/{decided}": table for (arm, decided), table in tables.items()}
    compared = Differences(metric, named, grouping, resamples)
    sign = 1.0 if metric.higher_is_better else -1.0
    return {
        arm: {
            "argmax": _figures("value", compared.interval({f"{arm}/False": 1.0})),
            "rule": _figures("gain", compared.interval({f"{arm}/True": sign, f"{arm}/False": -sign})),
        }
        for arm in read.argmax
    }


def _figures(name: str, found: Interval) -> dict[str, float | None]:
    return {name: found.value, "low": found.low, "high": found.high}


def _sentence(verdict: Verdict, arms: Mapping[str, Mapping[str, Any]], rules: Collection[str]) -> str:
    """By which rule the decisions were made, and what stands without it."""
    plain = plain_name(rules)
    if set(rules) == {plain}:
        return f"Every arm decides by {plain}: on select no rule was kept."
    named = " or ".join(sorted(rules))
    told = f"Every arm decides by the rule that select fits for its weights ({named})"
    if verdict.baseline is None:
        return f"{told}."
    before, after = (arms[arm]["argmax"]["value"] for arm in (verdict.contender, verdict.baseline))
    return f"{told}; with {plain} {before:.4f} against {after:.4f} on test."
