"""Figures of a run: gains with intervals, learning curves, hits over k.

Pure functions from a folded record (`condense(events)`) to a `Chart`, or to None where the record has nothing to
draw. An arm looks the same in every figure (`look_of`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad.report.chart import Axis, Chart, Level, Series
from metricgrad.report.look import look_of
from metricgrad.report.reading import Run, Stage
from metricgrad.report.wording import interval, opponents, per_seed, plural, signed

__all__ = [
    "contender_figure",
    "gain_figure",
    "hit_figure",
    "hit_gain_figure",
    "loss_figure",
    "mean",
    "select_figure",
    "to_steps",
]


def gain_figure(run: Run) -> Chart | None:
    """The gain of the contender over each opponent: interval, mean, and a small tick for each seed.

    Args:
        run: a folded record.

    Returns:
        the figure, or None before a verdict or where nothing could be compared.

    Edge cases:
        no interval: the marks stand alone. One seed: its tick would hide under the mean and is left out.
    """
    if not run.verdict:
        return None
    gains = {arm: run.verdict.gains[arm] for arm in opponents(run)}
    gains = {arm: gain for arm, gain in gains.items() if gain.get("gain") is not None}
    ink = look_of(run, run.contender).ink
    rows = [
        (f"over {arm}", f"{run.contender} over {arm}", ink, look_of(run, arm).ink, gain)
        for arm, gain in gains.items()
    ]
    return _gains(run, rows)


def contender_figure(run: Run) -> Chart | None:
    """The gain of every contender over the baseline, the best on top; None where there is one contender.

    Args:
        run: a folded record.
    """
    found = run.verdict.contenders if run.verdict and len(run.named("contender")) > 1 else {}
    known = [(arm, gain) for arm, gain in found.items() if gain.get("gain") is not None]
    known.sort(key=lambda one: -one[1]["gain"])
    rows = [(arm, arm, look_of(run, arm).ink, look_of(run, arm).ink, gain) for arm, gain in known]
    return _gains(run, rows)


def _gains(run: Run, rows: Sequence[tuple[str, str, str, str, Mapping[str, Any]]]) -> Chart | None:
    """Rows of name, what is told, ink of the gain, ink of the seeds, and figures."""
    series: list[Series] = []
    for row, (_, told, ink, ink_of_seeds, gain) in enumerate(rows):
        low, high = gain.get("low"), gain.get("high")
        bounds = f" {interval(gain, sign=True)}" if interval(gain) else ""
        text = f"{told}: {signed(gain['gain'])}{bounds}"
        if low is not None and high is not None:
            series.append(Series([low, high], [row, row], ink, width=5, opacity=0.55, told=(text,)))
        series.append(Series([gain["gain"]], [row], ink, mark="circle", size=14, told=(text,)))
        seeds = per_seed(gain, run.start.seeds)
        if len(seeds) > 1:
            told_of = [f"{told}, seed {seed}: {signed(value)}" for seed, value in seeds]
            values = [value for _, value in seeds]
            series.append(
                Series(values, [row] * len(seeds), ink_of_seeds, mark="tick", size=12, told=told_of)
            )
    if not series:
        return None
    axis = Axis(f"gain in test {run.start.metric}")
    return Chart(series, axis, rows=[row[0] for row in rows], levels=[Level(0.0, "start-1")], legend=False)


def select_figure(run: Run, *, start_stage: bool = False) -> Chart | None:
    """The exact metric on the select split over training steps: thin line a seed, thick line the mean.

    Args:
        run: a folded record.
        start_stage: draw the training of the start model instead of that of the other arms.

    Returns:
        the figure, or None where nothing was evaluated.

    Edge cases:
        attempts that were not chosen are faded; the best step of a chosen one has a mark; the mean is drawn over
        the steps that all seeds have. The start is a horizontal line.
    """
    series: list[Series] = []
    (start,) = run.named("start")
    arms = [start] if start_stage else run.trained
    level = run.select_of(start)
    shown = [stage for arm in arms for stage in run.of_arm(arm) if len(stage.select) > 1]
    if not shown:
        return None
    last = max(max(stage.select) for stage in shown)
    if level is not None and not start_stage:
        look = look_of(run, start)
        told = (f"{start}: {level:.4f}",)
        series.append(Series([0, last], [level] * 2, look.ink, start, width=2, dash=look.dash, told=told))
    for arm in arms:
        look = look_of(run, arm)
        series += _curves(arm, {key: stage.select for key, stage in _keyed(run, arm)}, run)
        for stage in run.of_arm(arm):
            if stage.chosen and stage.best_step is not None and stage.best_step in stage.select:
                told = (f"{arm}, seed {stage.seed}: best at step {stage.best_step:,}, {stage.best:.4f}",)
                series.append(
                    Series([stage.best_step], [stage.best], look.ink, mark=look.mark, size=10, told=told)
                )
    return Chart(series, to_steps(last), Axis(f"select {run.start.metric}"), height=320, half=start_stage)


def loss_figure(run: Run, arm: str) -> Chart | None:
    """The training loss of one arm over steps: thin line a seed, thick line the mean.

    Args:
        run: a folded record.
        arm: its name.

    Returns:
        the figure, or None where no loss was logged.

    Edge cases:
        the value named `loss`, or the first one logged where there is none of that name.
    """
    curves = {}
    for key, stage in _keyed(run, arm):
        curve = {
            step: values.get("loss", next(iter(values.values())))
            for step, values in stage.losses.items()
            if values
        }
        if curve:
            curves[key] = dict(sorted(curve.items()))
    if not curves:
        return None
    last = max(max(curve) for curve in curves.values())
    return Chart(_curves(arm, curves, run), to_steps(last), Axis("loss"), height=200, legend=False, half=True)


def hit_figure(run: Run) -> Chart | None:
    """The share of test queries with any relevant item among the k nearest, over k, for each arm.

    Args:
        run: a folded record.

    Returns:
        the figure, or None where the run has no such curves.
    """
    if not run.curves:
        return None
    series = []
    for arm in run.arms:
        if arm in run.curves:
            points = list(zip(run.curves[arm].k, run.curves[arm].value, strict=True))
            told = [f"{arm}, k = {k}: {value:.4f}" for k, value in points]
            series.append(_over_k(run, arm, points, told))
    return Chart(series, _ks(run), Axis(f"share of {plural(run.start.unit)}"), height=280, half=True)


def hit_gain_figure(run: Run) -> Chart | None:
    """The same curves as differences to the start, where small gains and losses at some k can be seen.

    Args:
        run: a folded record.

    Returns:
        the figure, or None where the start or any other arm has no curve.
    """
    (name,) = run.named("start")
    start = run.curves.get(name)
    others = [run.curves[arm] for arm in run.arms if arm in run.curves and arm != name]
    if start is None or not others:
        return None
    level = dict(zip(start.k, start.value, strict=True))
    series, look = [], look_of(run, name)
    for curve in others:
        points = [(k, value - level[k]) for k, value in zip(curve.k, curve.value, strict=True) if k in level]
        told = [f"{curve.arm} minus {name}, k = {k}: {value:+.4f}" for k, value in points]
        series.append(_over_k(run, curve.arm, points, told))
    zero = Level(0.0, look.ink, look.dash, across=True)
    return Chart(series, _ks(run), Axis("difference to start"), height=280, levels=[zero], half=True)


def _over_k(run: Run, arm: str, points: Sequence[tuple[int, float]], told: Sequence[str]) -> Series:
    """One curve over k."""
    look = look_of(run, arm)
    ks, values = [k for k, _ in points], [value for _, value in points]
    return Series(ks, values, look.ink, arm, width=2.5, dash=look.dash, mark=look.mark, told=told)


def _keyed(run: Run, arm: str) -> list[tuple[tuple[int, int], Stage]]:
    """The stages of an arm with the key (seed, attempt), rejected ones first."""
    return [((stage.seed, stage.attempt), stage) for stage in run.of_arm(arm)]


def _curves(arm: str, curves: Mapping[tuple[int, int], Mapping[int, float]], run: Run) -> list[Series]:
    """The curves of an arm: rejected attempts faded, chosen ones thin, their mean thick."""
    series, chosen, look = [], [], look_of(run, arm)
    for (seed, attempt), curve in curves.items():
        stage = run.stages[seed, arm, attempt]
        steps = sorted(curve)
        chosen += [curve] if stage.chosen else []
        tries = f", attempt {attempt}" if len(curves) > len(run.start.seeds) else ""
        note = tries if stage.chosen else f"{tries} (not chosen)"
        if not steps:  # begun, and nothing is known of it yet
            continue
        ends = f"{curve[steps[0]]:.4f} at step {steps[0]:,}, {curve[steps[-1]]:.4f} at step {steps[-1]:,}"
        series.append(
            Series(
                steps,
                [curve[step] for step in steps],
                look.ink,
                width=1.2,
                dash=look.dash if stage.chosen else "dot",
                opacity=0.6 if stage.chosen else 0.28,
                told=(f"{arm}, seed {seed}{note}: {ends}",),
            )
        )
    shared = sorted(set.intersection(*(set(curve) for curve in chosen))) if chosen else []
    name = f"{arm}, mean of {len(chosen)} seeds" if len(chosen) > 1 else arm
    values = [mean([curve[step] for curve in chosen]) for step in shared]
    told = [f"{name}: step {step:,}, {value:.4f}" for step, value in zip(shared, values, strict=True)]
    return [*series, Series(shared, values, look.ink, name, width=3.5, dash=look.dash, told=told)]


def mean(values: Sequence[float]) -> float:
    """The mean; infinite or NaN where the values are, which the library's own refuses."""
    return sum(values) / len(values)


def to_steps(last: int) -> Axis:
    """The axis of training steps: from 0 to a little beyond the last one."""
    return Axis("training step", (-0.01 * last, 1.02 * last) if last else None)


def _ks(run: Run) -> Axis:
    """The logarithmic axis of k: cut-offs are named that lie far enough apart to be read."""
    ticks: list[int] = []
    for k in sorted({k for curve in run.curves.values() for k in curve.k}):
        if not ticks or k >= 1.5 * ticks[-1]:
            ticks.append(k)
    return Axis("k nearest items", log=True, ticks=[(k, str(k)) for k in ticks])
