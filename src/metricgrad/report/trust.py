"""Can a learned surrogate be trusted? One sentence and one table from the events `fitted` of a run.

Pure functions of a folded record. They look at the stages of the contender that stand for their seeds. The numbers
come from pairs that the surrogate was not trained on: local ones (outputs of the model) and generated ones (made
without data).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metricgrad._records import Fitted
from metricgrad.report.reading import Run, Stage
from metricgrad.report.wording import MISSING, duration, number, signed

__all__ = [
    "AGREEMENT",
    "TAU",
    "Reading",
    "TrustRow",
    "TrustTable",
    "fitted_stages",
    "shown_events",
    "trust_reading",
    "trust_table",
]

TAU, AGREEMENT = 0.7, 0.5
"""Below these the surrogate is not to be trusted: order of local pairs (Kendall tau, concordance), sign agreement."""


class _Number(NamedTuple):
    """How one of `Fitted.values` is called, what it says, and what it means where it is undefined."""

    title: str
    meaning: str
    undefined: str = "it could not be computed"


_NUMBERS = {
    "kendall_tau": _Number(
        "Kendall tau",
        "order of the local pairs: 1 is the metric's own, 0 unrelated; ties of the metric keep it below 1",
        "all local pairs have one metric value or one estimate",
    ),
    "concordance": _Number(
        "concordance", "the same over pairs with different metric alone: 1 is a perfect order, whatever the ties",
        "all local pairs have one metric value",
    ),
    "concordance_generated": _Number(
        "concordance, generated", "the same on pairs made without data", "all generated pairs have one metric value"
    ),
    "sign_agreement": _Number(
        "sign agreement", "share of the changed samples whose estimate moved the way of their metric",
        "no sample's metric changed since the evaluation before",
    ),
    "changed_pairs": _Number("changed samples", "samples whose metric changed since the evaluation before"),
    "mae_local": _Number(
        "mean absolute error, local", "between estimate and metric, on outputs of the model", "there is no such pair"
    ),
    "mae_generated": _Number(
        "mean absolute error, generated", "the same on pairs made without data", "no pairs are made without data"
    ),
    "mae_of_mean": _Number(
        "error of the mean, local", "of always saying the mean metric: an estimate has to beat it",
        "there is no such pair",
    ),
    "best_decile_bias": _Number(
        "bias on the best tenth",
        "estimate minus metric on the tenth with the lowest estimates; below 0 it praises what is not good",
        "there are too few pairs",
    ),
    "mean_gradient_norm": _Number("gradient norm", "mean length of the estimate's gradient; the penalty asks for 1"),
    "fit": _Number("fit", "objective of the surrogate: mean squared error of the estimate"),
    "penalty": _Number("penalty", "objective of the surrogate: mean squared distance of gradient norms from 1"),
    "kept_fraction": _Number(
        "kept fraction", "share of the samples that the filter let the model learn from, since the evaluation before",
        "no step was taken since then",
    ),
    "skipped_steps": _Number("skipped steps", "model steps not taken, for the filter kept no sample"),
    "pauses": _Number("pauses", "times the model waited while the surrogate was taught more"),
    "surrogate_steps": _Number("surrogate steps", "training steps of the surrogate, warm-up included"),
    "sample_metric_calls": _Number("metric calls", "samples that the metric was computed of, to train the surrogate"),
    "dropped_samples": _Number("dropped samples", "their metric failed or was not finite"),
    "seconds": _Number("time", "spent on the surrogate"),
}  # fmt: skip
_COUNTS = {
    "changed_pairs",
    "skipped_steps",
    "pauses",
    "surrogate_steps",
    "sample_metric_calls",
    "dropped_samples",
}


_ORDER = "the estimate orders outputs otherwise than the metric does"
_LEAST = {
    "concordance": (TAU, _ORDER),
    "kendall_tau": (TAU, _ORDER),
    "sign_agreement": (AGREEMENT, "more often than not the estimate moved against the metric"),
}


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
        the sentence. It is a warning where some seed has a Kendall tau below `TAU`, a sign agreement below
        `AGREEMENT`, or a local error that is not below that of predicting the mean, and where nothing is known of
        order and sign agreement.

    Edge cases:
        a single number that is undefined or absent warns of nothing. Where the concordance is known it stands for
        Kendall tau, which ties of the metric (many samples without any error) keep low however good the order is. A
        sign agreement within two standard errors of one half, for its number of changed samples, warns of nothing.
    """
    last = {stage.seed: _judged(shown_events(stage)[-1].values) for stage in fitted_stages(run)}
    found = [*_too_low(last), *_no_better_than_the_mean(last)]
    if found:
        return Reading(f"Warning: at the last evaluation {'; '.join(found)}.", True)
    known = []
    for name, (least, _) in _LEAST.items():
        values = [value for numbers in last.values() if (value := numbers.get(name)) is not None]
        if values:
            known.append(f"{_NUMBERS[name].title} is {min(values):.2f} (asked for: {least:g} or more)")
    if not known:
        return Reading(
            "Neither the order of the pairs nor sign agreement is defined: nothing says how far to trust it.",
            True,
        )
    worst = f", at the worst of {len(last)} seeds" if len(last) > 1 else ""
    return Reading(
        f"At the last evaluation the estimate follows the metric: {' and '.join(known)}{worst}.", False
    )


def _judged(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The numbers that a surrogate is judged by.

    Kendall tau gives way to the concordance. A sign agreement that so few changed samples show by chance (within two
    standard errors of one half) judges nothing.
    """
    judged = dict(values)
    if values.get("concordance") is not None:
        judged.pop("kendall_tau", None)
    agreement, changed = values.get("sign_agreement"), values.get("changed_pairs")
    if agreement is not None and changed and AGREEMENT - changed**-0.5 <= agreement < AGREEMENT:
        judged.pop("sign_agreement")
    return judged


def _too_low(last: Mapping[int, Mapping[str, float | None]]) -> list[str]:
    """Which numbers are lower than asked for, with which seeds, and what that means."""
    found = []
    for name, (least, meaning) in _LEAST.items():
        low = {seed: value for seed, numbers in last.items() if (value := numbers.get(name)) is not None}
        low = {seed: value for seed, value in low.items() if not value >= least}
        if low:
            which = _and([f"{value:.2f} (seed {seed})" for seed, value in low.items()])
            found.append(f"{_NUMBERS[name].title} is {which}, below {least:g}: {meaning}")
    return found


def _no_better_than_the_mean(last: Mapping[int, Mapping[str, float | None]]) -> list[str]:
    """The seeds whose estimate errs as much as predicting the mean would."""
    pairs = {seed: (numbers.get("mae_local"), numbers.get("mae_of_mean")) for seed, numbers in last.items()}
    bad = [
        f"{number(error)} against {number(mean)} (seed {seed})"
        for seed, (error, mean) in pairs.items()
        if error is not None and mean is not None and not error < mean
    ]
    return [f"the local error is no better than that of always saying the mean, {_and(bad)}"] if bad else []


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
    names = [name for name in _NUMBERS if name in found] + [name for name in found if name not in _NUMBERS]
    rows = []
    for name in names:
        described = _NUMBERS.get(name, _Number(name, ""))
        cells = [_cell(name, event.values) for event in last]
        reason = f"undefined: {described.undefined}" if "undefined" in cells else ""
        meaning = "; ".join(part for part in (described.meaning, reason) if part)
        rows.append(TrustRow(described.title, meaning, cells))
    return TrustTable([f"seed {event.seed}, step {event.step:,}" for event in last], rows)


def _cell(name: str, values: Mapping[str, float | None]) -> str:
    """One number of a seed as text."""
    if name not in values:
        return MISSING
    value = values[name]
    if value is None:
        return "undefined"
    if name == "seconds":
        return duration(value)
    if name in _COUNTS and float(value).is_integer():
        return f"{int(value):,}"
    return signed(value) if name == "best_decile_bias" else number(value)
