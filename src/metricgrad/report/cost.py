"""What the arms cost and where: trainings, steps, time, calls of the metric, versions and machine.

Pure functions of a folded record, and of what config.yaml says was found on the machine.
"""

from collections.abc import Mapping
from typing import Any

from metricgrad.report.reading import Run
from metricgrad.report.sections import Table
from metricgrad.report.wording import duration

__all__ = ["cost_table", "environment_rows"]

_MACHINE = {"device": "Device", "kernel": "Kernels", "processes": "Processes"}
"""What config.yaml calls it, and what the page does."""


def cost_table(run: Run) -> Table:
    """Every arm that trained: trainings, steps, time, evaluations on select and calls of the metric; then the sum.

    Args:
        run: a folded record.

    Edge cases:
        a column that is empty for all arms goes. Calls are those that a method asked for itself: on the pool, of
        single samples to teach a learned surrogate, and to fit a rule.
    """
    titles = ["arm", "trainings", "steps", "time", "time per step", "evaluations on select"]
    titles += ["metric calls on the pool", "metric calls per sample", "metric calls for rules"]
    counted = {arm: counts for arm in run.arms if any(counts := _counts(run, arm))}
    if not counted:
        return Table(titles[:1], [])
    every = {**counted, "all": [sum(column) for column in zip(*counted.values(), strict=True)]}
    rows = [[arm, *_cells(counts)] for arm, counts in (every if len(counted) > 1 else counted).items()]
    keep = [place for place in range(len(titles)) if any(row[place] for row in rows)]
    return Table([titles[place] for place in keep], [[row[place] for place in keep] for row in rows])


def _counts(run: Run, arm: str) -> list[float]:
    """Trainings, steps, seconds, evaluations, and calls on the pool, of samples, for rules."""
    stages = [stage for stage in run.of_arm(arm) if stage.steps]
    fits = [[fit.values.get("sample_metric_calls") or 0 for fit in stage.fits.values()] for stage in stages]
    samples = [max(calls, default=0) for calls in fits]
    rules = [rule.calls for (name, _), rule in run.rules.items() if name == arm]
    return [
        len(stages),
        sum(stage.reached for stage in stages),
        sum(stage.seconds or 0.0 for stage in stages),
        sum(len(stage.select) for stage in stages),
        sum(stage.pool_calls for stage in stages),
        sum(samples),
        sum(rules),
    ]


def _cells(counts: list[float]) -> list[str]:
    trainings, steps, seconds, *calls = counts
    each = f"{1000 * seconds / steps:,.1f} ms" if steps and seconds else ""
    time = duration(seconds) if seconds else ""
    return [_count(trainings), _count(steps), time, each, *map(_count, calls)]


def _count(value: float) -> str:
    return f"{int(value):,}" if value else ""


def environment_rows(run: Run, settings: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Versions, threads, device, kernels and processes of a run.

    Args:
        run: a folded record.
        settings: what config.yaml holds; None where there is none that can be read.
    """
    rows = [(name, version) for name, version in run.start.versions.items()]
    found = settings.get("found") if settings is not None else None
    machine = found if isinstance(found, Mapping) else {}
    rows += [(title, str(machine[name])) for name, title in _MACHINE.items() if name in machine]
    return [*rows, ("Threads", str(run.start.threads))]
