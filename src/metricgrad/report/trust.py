"""Can a learned surrogate be trusted? One sentence and one table from the events `fitted` of a run.

Pure functions of a folded record. They look at the stages of the contender that stand for their seeds. The numbers
come from pairs that the surrogate was not trained on: local ones (outputs of the model) and generated ones (made
without data).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metricgrad._records import Fitted, Gauge
from metricgrad.methods.gauges import GAUGES
from metricgrad.report.reading import Run, Stage
from metricgrad.report.wording import MISSING, duration, number, signed

__all__ = [
    "Reading",
    "TrustRow",
    "TrustTable",
    "fitted_stages",
    "gauges_of",
    "shown_events",
    "trust_reading",
    "trust_table",
]


class TrustRow(NamedTuple):
    """One number: its name, what it says, and its value with each seed."""

    title: str
    meaning: str
    cells: list[str]


class TrustTable(NamedTuple):
    """The seeds with the step of their last numbers, and the rows."""

    seeds: list[str]
    rows: list[TrustRow]


class Reading(NamedTuple):
    """One sentence that says whether the surrogate can be trusted; `warning` where it cannot."""

    text: str
    warning: bool


def fitted_stages(run: Run) -> list[Stage]:
    """The stages of the contender that stand for their seeds and have a learned surrogate, by seed.

    Args:
        run: a folded record.

    Returns:
        the stages; none for a run of another road.
    """
    stages = [stage for stage in run.of_arm(run.contender) if stage.chosen and stage.fits]
    return sorted(stages, key=lambda stage: stage.seed)


def shown_events(stage: Stage) -> list[Fitted]:
    """The first and the last event of a stage, by step; one where there is only one."""
    steps = sorted(stage.fits)
    return [stage.fits[step] for step in dict.fromkeys((steps[0], steps[-1]))]


def trust_reading(run: Run) -> Reading:
    """What the last trust numbers of all seeds say, in one sentence.

    Args:
        run: a folded record with at least one fitted stage.

    Returns:
        the sentence. It is a warning where some seed has a number below the least that its run asked for (Kendall
        tau, sign agreement), or a local error that is not below that of predicting the mean, and where nothing is
        known of order and sign agreement.

    Edge cases:
        a single number that is undefined or absent warns of nothing. Where the concordance is known it stands for
        Kendall tau, which ties of the metric (many samples without any error) keep low however good the order is. A
        sign agreement within two standard errors of one half, for its number of changed samples, warns of nothing.
    """
    gauges = gauges_of(run)
    last = {stage.seed: _judged(shown_events(stage)[-1].values, gauges) for stage in fitted_stages(run)}
    found = [*_too_low(last, gauges), *_not_below(last, gauges)]
    if found:
        return Reading(f"Warning: at the last evaluation {'; '.join(found)}.", True)
    known = []
    for name, gauge in gauges.items():
        values = _with(name, last).values()
        if gauge.least is not None and values:
            known.append(f"{gauge.title} is {min(values):.2f} (asked for: {gauge.least:g} or more)")
    if not known:
        return Reading(
            "Neither the order of the pairs nor sign agreement is defined: nothing says how far to trust it.",
            True,
        )
    worst = f", at the worst of {len(last)} seeds" if len(last) > 1 else ""
    return Reading(
        f"At the last evaluation the estimate follows the metric: {' and '.join(known)}{worst}.", False
    )


def gauges_of(run: Run) -> Mapping[str, Gauge]:
    """What the numbers of a run mean, as the run itself says it; an older record does not, and had the defaults."""
    events = (event for stage in fitted_stages(run) for event in shown_events(stage))
    return next((event.gauges for event in events if event.gauges), GAUGES)


def _judged(values: Mapping[str, float | None], gauges: Mapping[str, Gauge]) -> dict[str, float | None]:
    """The numbers that a surrogate is judged by.

    One gives way to another (Kendall tau to the concordance). A share that so few samples show by chance (within two
    standard errors of one half) judges nothing.
    """
    judged = dict(values)
    for name, gauge in gauges.items():
        value, count = values.get(name), values.get(gauge.counted)
        if values.get(gauge.unless) is not None:
            judged.pop(name, None)
        elif value is not None and gauge.least is not None and count:
            if gauge.least - count**-0.5 <= value < gauge.least:
                judged.pop(name)
    return judged


def _with(name: str, last: Mapping[int, Mapping[str, float | None]]) -> dict[int, float]:
    """The values of one gauge, of the seeds that have one."""
    return {seed: value for seed, numbers in last.items() if (value := numbers.get(name)) is not None}


def _too_low(last: Mapping[int, Mapping[str, float | None]], gauges: Mapping[str, Gauge]) -> list[str]:
    """Which numbers are lower than asked for, with which seeds, and what that means."""
    found = []
    for name, gauge in gauges.items():
        least = gauge.least
        if least is None:
            continue
        low = [
            f"{value:.2f} (seed {seed})" for seed, value in _with(name, last).items() if not value >= least
        ]
        if low:
            found.append(f"{gauge.title} is {_and(low)}, below {least:g}: {gauge.warning}")
    return found


def _not_below(last: Mapping[int, Mapping[str, float | None]], gauges: Mapping[str, Gauge]) -> list[str]:
    """Which numbers are no smaller than the one that they must beat."""
    found = []
    for name, gauge in gauges.items():
        beaten = _with(gauge.below, last)
        bad = [
            f"{number(value)} against {number(beaten[seed])} (seed {seed})"
            for seed, value in _with(name, last).items()
            if seed in beaten and not value < beaten[seed]
        ]
        if bad:
            found.append(f"{gauge.warning}, {_and(bad)}")
    return found


def _and(parts: Sequence[str]) -> str:
    """Parts joined by commas and a last `and`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def trust_table(run: Run) -> TrustTable:
    """The numbers of the last event of each seed, one row a number, with what it says.

    Args:
        run: a folded record.

    Returns:
        the table; None is shown as `undefined` with the reason, what a seed has not as `n/a`.

    Edge cases:
        a number that no seed has makes no row; one of an unknown name stands last, under that name.
    """
    last = [shown_events(stage)[-1] for stage in fitted_stages(run)]
    found = dict.fromkeys(name for event in last for name in event.values)
    gauges = gauges_of(run)
    names = [name for name in gauges if name in found] + [name for name in found if name not in gauges]
    rows = []
    for name in names:
        described = gauges.get(name, Gauge(name, ""))
        cells = [_cell(name, event.values, described.form) for event in last]
        reason = f"undefined: {described.undefined}" if "undefined" in cells else ""
        meaning = "; ".join(part for part in (described.meaning, reason) if part)
        rows.append(TrustRow(described.title, meaning, cells))
    return TrustTable([f"seed {event.seed}, step {event.step:,}" for event in last], rows)


def _cell(name: str, values: Mapping[str, float | None], form: str) -> str:
    """One number of a seed as text."""
    if name not in values:
        return MISSING
    value = values[name]
    if value is None:
        return "undefined"
    if form == "seconds":
        return duration(value)
    if form == "count" and float(value).is_integer():
        return f"{int(value):,}"
    return signed(value) if form == "signed" else number(value)
