"""The tables of the page: arms, gains, settings, tries, splits, as rows of plain values.

Pure functions of a folded record. They decide what is shown; the template decides how.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from metricgrad._records import Budget
from metricgrad.report.reading import Run, Stage
from metricgrad.report.wording import (
    arm_meaning,
    duration,
    interval,
    letters,
    number,
    opponents,
    per_seed,
    plural,
    proxy_name,
    resampling,
    sample_value,
    signed,
)

__all__ = [
    "arm_rows",
    "example_cards",
    "fact_rows",
    "gain_rows",
    "hit_rows",
    "provenance_rows",
    "setting_rows",
    "settings_alike",
    "split_table",
    "try_table",
]


_COLUMNS = 4
"""Of arms beside each other."""


class Table(NamedTuple):
    """Titles and rows of text."""

    titles: list[str]
    rows: list[list[str]]


def arm_rows(run: Run) -> list[dict[str, Any]]:
    """One row an arm: what it is, its test value with interval and values by seed, its select value."""
    rows = []
    returned = run.finished.returned if run.finished else None
    for arm in run.arms:
        numbers = run.verdict.arms.get(arm, {}) if run.verdict else {}
        seeds = sorted((seed, tested.value) for (name, seed), tested in run.tested.items() if name == arm)
        rows.append(
            {
                "arm": arm,
                "meaning": arm_meaning(run, arm),
                "value": number(numbers.get("value")),
                "interval": interval(numbers),
                "seeds": [(seed, number(value)) for seed, value in seeds] if len(seeds) > 1 else [],
                "select": number(run.select_of(arm)),
                "returned": arm == returned,
            }
        )
    return rows


def gain_rows(run: Run) -> list[dict[str, Any]]:
    """One row an opponent, the baseline of the verdict first: gain, interval, gain of each seed."""
    rows = []
    for arm in opponents(run):
        gain = run.verdict.gains[arm] if run.verdict else {}
        seeds = per_seed(gain, run.start.seeds)
        rows.append(
            {
                "arm": arm,
                "gain": signed(gain.get("gain")),
                "interval": interval(gain, sign=True),
                "seeds": [(seed, signed(value)) for seed, value in seeds],
                "baseline": bool(run.verdict) and arm == run.verdict.baseline,
            }
        )
    return rows


def fact_rows(run: Run) -> list[tuple[str, str]]:
    """What a sceptical reader asks of the comparison: control, budget, selection, test readings, optimism."""
    start, facts = run.start, []
    controls = run.named("control")
    control = "None: no proxy loss was given."
    if len(controls) == 1 and controls[0] in run.trained:
        control = f"Training goes on with the proxy loss ({proxy_name(run)})."
    elif controls:
        control = (
            "; ".join(f"{arm}: {arm_meaning(run, arm).removeprefix('control: ')}" for arm in controls) + "."
        )
    facts.append(("Control arms" if len(controls) > 1 else "Control arm", control))
    if budget := run.budget:
        tries = f"{budget.tries} {'try' if budget.tries == 1 else 'tries'}"
        facts.append(
            (
                "Budget of each arm",
                f"{_steps_of(budget)} and {tries} a seed; fixed before training.{_durations(run)}",
            )
        )
    facts.append(("Seeds", f"{len(start.seeds)} ({', '.join(map(str, start.seeds))})"))
    if not run.verdict:
        return facts
    calls = run.verdict.metric_calls
    total = ", ".join(f"{count:,} on {split}" for split, count in calls.items())
    facts.append(
        ("Evaluations of the metric", f"{total}. Choices were made on select alone." if total else "none")
    )
    if run.tested:
        units = max(tested.units for tested in run.tested.values())
        counted = "" if start.unit == "whole" else f"{units:,} {plural(start.unit, units)}; "
        facts.append(("Test split", f"{counted}read once, after everything was chosen."))
    if resampled := resampling(run):
        facts.append(("Resamples", resampled))
    if run.verdict.optimism is not None:
        facts.append(("Optimism", f"{signed(run.verdict.optimism)}: gain on select minus gain on test."))
    return facts


def _steps_of(budget: Budget) -> str:
    """The steps of the arms: one number, or one for each where they train for equal time."""
    if not budget.arm_steps:
        return f"{budget.steps:,} steps"
    return f"equal time: {', '.join(f'{steps:,} steps of {arm}' for arm, steps in budget.arm_steps.items())}"


def _durations(run: Run) -> str:
    """How long the arms trained: for equal steps a method may cost more than the proxy loss."""
    times = {arm: run.seconds_of(arm) for arm in run.trained}
    known = [f"{arm} {duration(seconds)}" for arm, seconds in times.items() if seconds is not None]
    equal = (
        "Equal time by steps that were timed before"
        if run.budget and run.budget.arm_steps
        else "Equal steps, not equal time"
    )
    told = (
        f"{', '.join(known)} in all"
        if len(known) <= _COLUMNS
        else "the table of costs says how long each took"
    )
    return f" {equal}: {told}." if len(known) > 1 else ""


def hit_rows(run: Run) -> Table:
    """The curves over k as a table: one row a cut-off."""
    arms = [arm for arm in run.arms if arm in run.curves]
    values = {arm: dict(zip(run.curves[arm].k, run.curves[arm].value, strict=True)) for arm in arms}
    ks = sorted({k for curve in values.values() for k in curve})
    return Table(["k", *arms], [[str(k), *(number(values[arm].get(k)) for arm in arms)] for k in ks])


def example_cards(examples: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The samples that changed, by `better` and `worse`: picture, target, and for each arm its reading and value.

    A reading is a list of pieces as `letters` gives them, marked where predictions and target are strings; None
    where there is no text to show.
    """
    return {
        change: [
            {
                "name": entry["name"],
                "png": entry["png"],
                "target": entry["target"],
                "sides": [
                    {
                        "arm": examples[side],
                        "pieces": _reading(entry[side]["text"], entry["target"], marked=examples["letters"]),
                        "value": sample_value(entry[side]["value"]),
                    }
                    for side in ("before", "after")
                ],
            }
            for entry in examples[change]
        ]
        for change in ("better", "worse")
    }


def _reading(text: str | None, target: str | None, *, marked: bool) -> list[tuple[str, str]] | None:
    """A reading in pieces, marked against its target where both are strings of letters."""
    if text is None:
        return None
    return letters(text, target) if marked and target is not None else [(text, "same")]


def setting_rows(run: Run) -> Table:
    """The settings in which the chosen attempts differ; values that differ between seeds are all given.

    One column an arm or, of many arms, one row an arm, so that the table does not grow beyond a page.
    """
    chosen = _chosen(run)
    names = [name for name in _names(chosen) if not _alike(chosen, name)]
    if len(chosen) <= _COLUMNS:
        return Table(
            ["setting", *chosen], [[name, *(_setting(chosen[arm], name) for arm in chosen)] for name in names]
        )
    rows = [[arm, *(_setting(chosen[arm], name) for name in names)] for arm in chosen]
    return Table(["arm", *names], rows if names else [])


def settings_alike(run: Run) -> list[tuple[str, str]]:
    """The settings that are the same in all arms that trained, each with its value."""
    chosen = _chosen(run)
    return [
        (name, _setting(next(iter(chosen.values())), name)) for name in _names(chosen) if _alike(chosen, name)
    ]


def _chosen(run: Run) -> dict[str, list[Stage]]:
    """By arm the stages that stand for its seeds, of the arms that have settings."""
    arms = [arm for arm in run.arms if any(stage.settings for stage in run.of_arm(arm))]
    return {arm: sorted((s for s in run.of_arm(arm) if s.chosen), key=lambda s: s.seed) for arm in arms}


def _names(chosen: Mapping[str, list[Stage]]) -> list[str]:
    """The names of all settings, each once."""
    stages = [stage for stages in chosen.values() for stage in stages]
    return list(dict.fromkeys(name for stage in stages for name in _flat(stage.settings)))


def _alike(chosen: Mapping[str, list[Stage]], name: str) -> bool:
    """Whether a setting is the same in several arms and all their seeds."""
    values = {_plain(_flat(stage.settings).get(name, "–")) for stages in chosen.values() for stage in stages}
    return len(chosen) > 1 and len(values) == 1


def try_table(run: Run) -> Table:
    """Every stage that was trained: what it reached on select, and which stand for their arm."""
    stages = sorted(run.stages.values(), key=lambda s: (s.seed, run.arms.index(s.arm), s.attempt))
    stages = [stage for stage in stages if stage.steps]
    varied = _varied(stages)
    rows = []
    for stage in stages:
        settings = ", ".join(
            f"{name} {_plain(stage.settings[name])}" for name in varied if name in stage.settings
        )
        best = "n/a" if stage.best_step is None else f"{stage.best_step:,} of {stage.steps:,}"
        best += f", diverged at {stage.diverged:,}" if stage.diverged else ""
        rows.append(
            [
                str(stage.seed),
                stage.arm,
                str(stage.attempt),
                settings,
                number(stage.best),
                best,
                duration(stage.seconds),
                "yes" if stage.chosen else "no",
            ]
        )
    titles = [
        "seed",
        "arm",
        "try",
        "what varied",
        f"best select {run.start.metric}",
        "at step",
        "time",
        "stands",
    ]
    if not varied:
        titles.pop(3)
        rows = [row[:3] + row[4:] for row in rows]
    return Table(titles, rows)


def split_table(run: Run) -> Table:
    """The splits, one row each, with every fact that the record has of them."""
    uses = {"fit": "gradients", "select": "choices", "test": "the verdict, once"}
    names = list(dict.fromkeys(name for facts in run.start.splits.values() for name in facts))
    rows = [
        [split, uses.get(split, ""), *(_plain(facts.get(name, "n/a")) for name in names)]
        for split, facts in run.start.splits.items()
    ]
    return Table(["split", "used for", *names], rows)


def provenance_rows(run: Run, lines: int) -> list[tuple[str, str]]:
    """Where the figures come from: method, task, time, interruptions."""
    start = run.start
    when = datetime.fromtimestamp(run.began, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    rows = [
        ("Method", start.method),
        ("Proxy loss", proxy_name(run) or "none"),
        ("Task", start.task or "none"),
    ]
    if budget := run.budget:
        given = f" (from {budget.minutes:g} minutes)" if budget.minutes else ""
        rows.append(("Steps of a stage", f"{budget.steps:,}{given}"))
        rows.append(
            ("Evaluated, saved", f"every {budget.evaluate_every:,} and {budget.checkpoint_every:,} steps")
        )
    rows.append(("Begun", when))
    if run.finished:
        rows.append(("Took", duration(run.finished.seconds)))
        rows.append(("Weights", f"{run.finished.weights} ({run.finished.returned})"))
    rows.append(("Interruptions", _times(len(run.resumed))))
    return [*rows, ("Record", f"{lines:,} lines of record.jsonl")]


def _times(count: int) -> str:
    """How often the run was taken up again."""
    return "none" if not count else "one, resumed" if count == 1 else f"{count}, each resumed"


def _setting(stages: Iterable[Stage], name: str) -> str:
    """The value of a setting over the seeds of an arm."""
    values = {stage.seed: _plain(_flat(stage.settings).get(name, "–")) for stage in stages}
    if len(set(values.values())) <= 1:
        return next(iter(values.values()), "")
    return ", ".join(f"{value} (seed {seed})" for seed, value in values.items())


def _varied(stages: list[Stage]) -> list[str]:
    """The settings in which the tries of some arm differ."""
    found: dict[str, None] = {}
    for arm in {stage.arm: None for stage in stages}:
        same = [_flat(stage.settings) for stage in stages if stage.arm == arm]
        for name in {name: None for settings in same for name in settings}:
            if len({_plain(settings.get(name)) for settings in same}) > 1:
                found[name] = None
    return list(found)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings with those of a part written as `part.name`; a part without any is left out."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat.update(
            _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
        )
    return flat


def _plain(value: Any) -> str:
    """A value of a setting or of a split as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
