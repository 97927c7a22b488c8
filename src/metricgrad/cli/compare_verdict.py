"""How files stand beside one of them: figures, differences, a verdict; as a document and as a table."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from metricgrad._types import Metric
from metricgrad.cli.aligned_files import Rows
from metricgrad.cli.figure_document import told
from metricgrad.cli.output import console
from metricgrad.differences import Difference, Differences, plural

__all__ = ["document", "draw", "ends"]

Progress = Callable[[Mapping[str, Any]], None]
"""Draws events."""


def document(
    metric: Metric,
    arms: Sequence[str],
    rows: Rows,
    baseline: str,
    progress: Progress,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """Every file's figure and its difference to the baseline, with a verdict.

    Args:
        metric: that was measured.
        arms: a name for each file.
        rows: what was measured.
        baseline: one of the names.
        progress: is told how far the draws are.
        resamples: number of draws.
        confidence: of the intervals.
        seed: of the draws.
    """
    compared = Differences(
        metric,
        {arm: [one] for arm, one in zip(arms, rows.statistics, strict=True)},
        rows.grouping,
        resamples,
        partial(told, progress, f"{metric.name} interval", "resample"),
        confidence=confidence,
        seed=seed,
    )
    differences = {one.arm: one for one in compared.against(baseline)}
    files = []
    for arm, left_out in zip(arms, rows.facts["rows_left_out"], strict=True):
        own, other = compared.interval({arm: 1.0}), differences.get(arm)
        if math.isnan(own.value):
            metric.summarise(rows.statistics[arms.index(arm)])  # one that fails on all rows says why
        figure = {
            "file": arm,
            "value": own.value,
            "low": own.low,
            "high": own.high,
            "rows_left_out": left_out,
        }
        files.append({**figure, **_beside(other)})
    counted = {"units": 1, "left_out": 0, "groups": None, "resamples": 0, "undefined": 0} | compared.facts
    own = rows.statistics[arms.index(baseline)]
    alike = [arm for arm in differences if _equal(rows.statistics[arms.index(arm)], own)]
    return {
        "metric": metric.name,
        "means": metric.description,
        "higher_is_better": metric.higher_is_better,
        "baseline": baseline,
        "files": files,
        "verdict": _sentence(metric, compared, baseline, list(differences.values()), alike),
        "confidence": confidence,
        "unit": metric.unit,
        "units": counted["units"],
        "undefined": counted["left_out"],
        "groups": counted["groups"] if rows.grouping.labels is not None else None,
        "group": rows.grouping.noun,
        "resamples": counted["resamples"],
        "undefined_resamples": counted["undefined"],
        **{key: value for key, value in rows.facts.items() if key != "rows_left_out"},
    }


def _beside(other: Difference | None) -> dict[str, Any]:
    """The fields of a file that say how it stands to the baseline; None for the baseline itself."""
    keys = ("difference", "difference_low", "difference_high", "p_value", "adjusted_p_value", "verdict")
    if other is None:
        return dict.fromkeys(keys)
    found = other.interval
    values = (found.value, found.low, found.high, other.p_value, other.adjusted, other.claim)
    return dict(zip(keys, values, strict=True))


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tables of statistics are the same, undefined units included."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _sentence(
    metric: Metric, compared: Differences, baseline: str, others: Sequence[Difference], alike: Sequence[str]
) -> str:
    """The verdict in words."""
    if compared.doubt is not None:
        return f"Nothing is claimed: {compared.doubt}."
    words = {
        "gain": "Gain: {} better than {}",
        "worse": "Worse: {} worse than {}",
        "no evidence": "No evidence that {} better or worse than {}",
        "nothing claimed": "Nothing is claimed of {} beside {}",
    }
    parts = []
    for claim, text in words.items():
        names = [one.arm for one in others if one.claim == claim]
        verb = "" if claim == "nothing claimed" else " is" if len(names) == 1 else " are"
        if names:
            parts.append(text.format(f"{' and '.join(names)}{verb}", baseline))
    if len(others) == 1:
        ((arm, found),) = ((one.arm, one.interval) for one in others)
        values = (compared.interval({name: 1.0}).value for name in (arm, baseline))
        parts[0] += ": {} {:.4f} against {:.4f}, {:+.4f} ({:.0%} interval {})".format(
            metric.name, *values, found.value + 0.0, found.confidence, ends(found.low, found.high, "+")
        )
    else:
        level = f"{1 - compared.confidence:.3g}"
        parts.append(
            f"Holm's adjustment for {len(others)} comparisons keeps the chance of any false claim at {level}"
        )
    if alike:
        parts.append(f"{' and '.join(alike)} and {baseline} agree in all {plural(metric.unit)}")
    return ". ".join(parts) + "."


def draw(found: Mapping[str, Any]) -> None:
    """Print the document as a table, its verdict and what was compared."""
    from rich.table import Table
    from rich.text import Text

    direction = "higher is better" if found["higher_is_better"] else "lower is better"
    level = f"{found['confidence']:.0%} interval"
    table = Table(
        box=None, padding=(0, 2, 0, 0), title=f"{found['metric']} ({direction})", title_justify="left"
    )
    table.add_column("file", overflow="fold")
    adjusted = ["p (Holm)"] if len(found["files"]) > 2 else []
    for title in (found["metric"], level, "difference", level, "p", *adjusted, "verdict"):
        table.add_column(title, no_wrap=True)
    for one in found["files"]:
        baseline = one["verdict"] is None
        keys = ["p_value", *(["adjusted_p_value"] if adjusted else [])]
        table.add_row(
            Text(one["file"]),
            f"{one['value']:.4f}",
            ends(one["low"], one["high"], ""),
            "" if baseline else f"{one['difference'] + 0.0:+.4f}",
            "" if baseline else ends(one["difference_low"], one["difference_high"], "+"),
            *("" if baseline or one[key] is None else f"{one[key]:.3g}" for key in keys),
            "baseline" if baseline else one["verdict"],
        )
    screen = console()
    screen.print(table)
    screen.print(Text(found["verdict"]), soft_wrap=True)
    for line in _facts(found):
        screen.print(Text(line), soft_wrap=True)


def ends(low: float | None, high: float | None, sign: str) -> str:
    """Both ends; a dash where there is no interval."""
    return "-" if low is None or high is None else f"{low + 0.0:{sign}.4f} to {high + 0.0:{sign}.4f}"


def _facts(found: Mapping[str, Any]) -> list[str]:
    """What was compared, and what was left out."""
    units = plural(found["unit"])
    lines = [f"{found['rows']:,} rows, aligned by {found['aligned_by']}"]
    if found["groups"] is not None:
        lines[0] += f"; {found['units']:,} {units} in {found['groups']:,} {plural(found['group'])}"
    if found.get("positive_class") is not None:
        name = found["positive_class"]
        lines[0] += f"; positive class {name if name.isprintable() else ascii(name)}"
    lines += [
        f"{one['file']}: {one['rows_left_out']:,} rows are left out, as not all files have them"
        for one in found["files"]
        if one["rows_left_out"]
    ]
    if found["undefined"]:
        total = found["units"] + found["undefined"]
        lines.append(
            f"{found['undefined']:,} of {total:,} {units} are undefined in some file and left out of all"
        )
    if found["undefined_resamples"]:
        lines.append(
            f"{found['undefined_resamples']:,} resamples are left out: the metric is undefined on them"
        )
    lines.append(f"means: {found['means'] or 'as the callable computes it'}")
    return lines
