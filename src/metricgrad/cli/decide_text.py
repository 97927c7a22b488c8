"""What `metricgrad decide` prints: the rule in words, both decisions side by side, and where the files are."""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad.cli.compare_verdict import ends
from metricgrad.cli.output import console
from metricgrad.cli.over_the_cut import shown_rows
from metricgrad.differences import plural

__all__ = ["draw", "draw_applied"]

_MOST_CLASSES = 8
"""Of a table that a terminal shows."""


def draw(found: Mapping[str, Any]) -> None:
    """Print the document of a rule that was fitted."""
    from rich.text import Text

    screen = console()

    def say(*lines: str) -> None:
        for line in lines:
            screen.print(Text(line), soft_wrap=True)

    classes, pool = found["classes"], found["pool"]
    positive = "" if found["positive_class"] is None else f", positive {shown(found['positive_class'])}"
    say(
        f"{found['file']}: {len(classes)} classes ({_some(classes)}{positive}); scores are read as {found['scores']}",
        f"{pool['rows']:,} rows fit the rule, {found['rows']:,} others judge it: {found['parts']}",
        "",
        f"Rule: {found['rule']}, for {found['metric']}",
        *(f"  {line}" for line in found["words"].splitlines()),
        *([f"  {found['note']}"] if found["note"] and found["rule"] != found["without"] else []),
        f"  on the rows that fit it: {found['without']} {_figure(pool['argmax'])}, rule {_figure(pool['value'])} "
        f"(cross-fitted: {_figure(pool['cross_fitted'])})",
        *_calls(found["calls"]),
        "",
    )
    say(_titled(found))
    screen.print(_figures(found))
    say(found["verdict"], *_scope(found), "", "Other metrics of the same rows (no claim)")
    screen.print(_others(found))
    if found["curve"] is not None:
        say("", _over_the_cut(found))
        screen.print(_curve(found))
        say(*_spread(found["curve"]))
    if len(classes) <= _MOST_CLASSES:
        say("", f"True classes in rows; decided by {found['without']} on the left, by the rule on the right")
        screen.print(_confusion(classes, found["tables"]))
    say(
        "",
        f"rule: {found['written']['rule']}",
        f"decisions of the judging rows: {found['written']['decisions']}",
    )


def draw_applied(found: Mapping[str, Any]) -> None:
    """Print the document of a rule that was applied."""
    from rich.text import Text

    counts = ", ".join(f"{count:,} as {shown(name)}" for name, count in found["decided"].items())
    lines = (
        f"Rule: {found['rule']}, for {found['metric']}",
        *(f"  {line}" for line in found["words"].splitlines()),
        f"{found['file']}: {found['rows']:,} rows; {counts}",
        f"decisions: {found['written']['decisions']}",
    )
    for line in lines:
        console().print(Text(line), soft_wrap=True)


def _titled(found: Mapping[str, Any]) -> str:
    direction = "higher is better" if found["higher_is_better"] else "lower is better"
    return f"{found['metric']} ({direction}) of the judging rows"


def _figures(found: Mapping[str, Any]) -> Any:
    """The metric of both decisions."""
    table = _table("", "value", f"{found['confidence']:.0%} interval")
    for name, key in ((found["without"], "before"), ("rule", "after")):
        table.add_row(name, _figure(found[key]["value"]), ends(found[key]["low"], found[key]["high"], ""))
    change = found["difference"]
    table.add_row("difference", _signed(change["value"]), ends(change["low"], change["high"], "+"))
    return table


def _others(found: Mapping[str, Any]) -> Any:
    """The usual metrics of both decisions."""
    table = _table("", found["without"], "rule", "difference")
    for one in found["others"]:
        cells = (one["before"], one["after"])
        table.add_row(one["metric"], *map(_figure, cells), _signed(cells[1] - cells[0]))
    return table


def _over_the_cut(found: Mapping[str, Any]) -> str:
    band = f" (band: 95% of {found['curve']['resamples']:,} resamples)" if found["curve"]["resamples"] else ""
    return f"{found['metric']} over the cut, on the rows that fit the rule{band}"


def _curve(found: Mapping[str, Any]) -> Any:
    """The metric at some cuts."""
    curve = found["curve"]
    table = _table("", "cut", f"decided {shown(found['classes'][1])}", found["metric"], "band")
    for place, mark in shown_rows(curve):
        value, low, high = (curve[key][place] for key in ("values", "low", "high"))
        band = ends(None if low != low else low, None if high != high else high, "")
        table.add_row(
            mark, f"{curve['cuts'][place]:.3f}", f"{curve['decided'][place]:.1%}", _figure(value), band
        )
    return table


def _spread(curve: Mapping[str, Any]) -> list[str]:
    """How much the best cut changes from resample to resample."""
    if curve["best_cut"] is None:
        return []
    low, high = curve["best_cut"]
    return [f"The best cut of 90% of the resamples lies within {low:.3f} to {high:.3f}."]


def _calls(calls: Mapping[str, int]) -> list[str]:
    if not calls["all"]:
        return []
    return [f"  {calls['fit']:,} calls of the metric to fit the rule, {calls['all']:,} in all"]


def _confusion(classes: Sequence[str], tables: Mapping[str, Sequence[Sequence[int]]]) -> Any:
    """Both confusion tables side by side."""
    names = [shown(name) for name in classes]
    table = _table("", *names, "", *names)
    for name, before, after in zip(names, tables["before"], tables["after"], strict=True):
        table.add_row(name, *(f"{count:,}" for count in before), "", *(f"{count:,}" for count in after))
    return table


def _table(first: str, *columns: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def _scope(found: Mapping[str, Any]) -> list[str]:
    """What the interval is over."""
    lines, units = [], plural(found["unit"])
    if found["groups"] is not None:
        lines.append(f"{found['units']:,} {units} in {found['groups']:,} {plural(found['group'])}")
    if found["undefined_resamples"]:
        lines.append(
            f"{found['undefined_resamples']:,} resamples are left out: the metric is undefined on them"
        )
    return lines


def _some(classes: Sequence[str]) -> str:
    names = [shown(name) for name in classes[:6]]
    return ", ".join(names) + (", ..." if len(classes) > len(names) else "")


def _figure(value: float) -> str:
    return "undefined" if value != value else f"{value:.4f}"


def _signed(value: float) -> str:
    return "-" if value != value else f"{value + 0.0:+.4f}"


def shown(name: str) -> str:
    """A class as a terminal may show it: what would steer it is spelt out."""
    return name if name.isprintable() else ascii(name)
