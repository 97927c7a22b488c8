"""A figure that was measured, with its interval: as a document and as a table."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.table import Table
from rich.text import Text
from torch import Tensor

from metricgrad._labels import Labels
from metricgrad._types import Metric
from metricgrad.cli.output import console
from metricgrad.interval import FEWEST_GROUPS, bootstrap
from metricgrad.metrics import metric_calls

__all__ = ["Figure", "Progress", "document", "draw", "told"]

Figure = tuple[Metric, Tensor, dict[str, Any], Labels | None]
"""A metric, its statistics, facts about what they are of, and which units share their fate: queries of one class do."""

Progress = Callable[[Mapping[str, Any]], None]
"""Draws events."""


def document(
    figure: Figure, progress: Progress, *, resamples: int, confidence: float, seed: int
) -> dict[str, Any]:
    """The figure, its interval and what they are of."""
    exact, statistics, facts, groups = figure
    interval = None
    if exact.unit != "whole":
        interval = bootstrap(
            [statistics],
            exact.summarise,
            groups=groups,
            resamples=resamples,
            confidence=confidence,
            seed=seed,
            watch=partial(told, progress, f"{exact.name} interval", "resample"),
        ).within(exact.bounds)
    return {
        "metric": exact.name,
        "means": exact.description,
        "value": float(exact.summarise(statistics)),
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "confidence": confidence,
        "resamples": 0 if interval is None else interval.resamples,
        "undefined_resamples": 0 if interval is None else interval.undefined,
        "groups": None if interval is None or groups is None else interval.groups,
        "higher_is_better": exact.higher_is_better,
        "unit": exact.unit,
        "units": len(statistics),
        "undefined": int(statistics.isnan().any(1).sum()),
        "calls": metric_calls(exact),
        **facts,
    }


def draw(found: Mapping[str, Any]) -> None:
    """Print the document of a figure as a table."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    many = "queries" if found["unit"] == "query" else f"{found['unit']}s"
    direction = "higher is better" if found["higher_is_better"] else "lower is better"
    table.add_row(found["metric"], Text(f"{found['value']:.4f}  ({direction})"))
    if found["low"] is None:
        table.add_row(
            "interval", Text("none can be given: one number stands for the whole set, or too few units")
        )
    else:
        of = many
        if found["groups"] is not None:
            of = f"{found['groups']:,} {'classes' if found['unit'] == 'query' else 'groups'}"
        how = f"{found['confidence']:.0%} bootstrap over {of}, {found['resamples']:,} resamples"
        if found["undefined_resamples"]:
            how += f", undefined on {found['undefined_resamples']:,} others"
        if (found["groups"] or found["units"] - found["undefined"]) < FEWEST_GROUPS:
            how += f"; of fewer than {FEWEST_GROUPS} it may be too narrow"
        table.add_row("interval", Text(f"{found['low']:.4f} to {found['high']:.4f}  ({how})"))
    if found["unit"] != "whole":
        undefined = f", {found['undefined']:,} of them undefined (no relevant item) and left out"
        others = f"; not judged and left out: {found['unjudged']:,}" if found.get("unjudged") else ""
        table.add_row(many, Text(f"{found['units']:,}{undefined if found['undefined'] else ''}{others}"))
    if "items" in found:
        table.add_row("items", Text(f"{found['items']:,} ranked, {found['dim']:,} dimensions"))
    for what, text in found.get("read", {}).items():
        table.add_row(what, Text(text))
    if found.get("classes"):
        renamed = [
            f"{_shown(name)} is class {index}"
            for name, index in found["classes"].items()
            if name != str(index)
        ]
        shown = f"from the column {found['column']}" + (f"; {', '.join(renamed[:6])}" if renamed else "")
        table.add_row("classes", Text(f"{len(found['classes'])}, {shown}"))
        if found["positive_class"] is not None:
            table.add_row("positive", Text(_shown(found["positive_class"])))
    elif "column" in found:
        table.add_row("values", Text(f"of the columns {found['column']} and target"))
    if found.get("delimiter") not in (None, "comma"):
        table.add_row("delimiter", Text(found["delimiter"]))
    if found["calls"]:
        table.add_row("calls", Text(f"{found['calls']:,} of {found['metric']}"))
    table.add_row("means", Text(found["means"] or "as the callable computes it"))
    console().print(table)


def _shown(name: str) -> str:
    """A class as a terminal may show it: what would steer it is spelt out."""
    return name if name.isprintable() else ascii(name)


def told(progress: Progress, name: str, unit: str, done: int, total: int) -> None:
    """Show how many queries are ranked, or resamples drawn."""
    progress({"event": "progress", "what": name, "done": done, "total": total, "unit": unit})
