"""What `metricgrad decide` prints: the rule in words, both decisions side by side, and where the files are."""

from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad.cli.compare_verdict import ends
from metricgrad.cli.output import console
from metricgrad.cli.over_the_cut import shown_rows
from metricgrad.cli.two_decisions import (
    MOST_CLASSES,
    confusion_tables,
    figure,
    other_metrics,
    plain_table,
    say,
    shown,
    signed,
)
from metricgrad.differences import plural

__all__ = ["draw", "draw_applied"]


def draw(found: Mapping[str, Any]) -> None:
    """Print the document of a rule that was fitted."""
    screen = console()

    classes, pool = found["classes"], found["pool"]
    positive = "" if found["positive_class"] is None else f", positive {shown(found['positive_class'])}"
    say(
        f"{found['file']}: {len(classes)} classes ({_some(classes)}{positive}); scores are read as {found['scores']}",
        f"{pool['rows']:,} rows fit the rule, {found['rows']:,} others judge it: {found['parts']}",
        "",
        f"Rule: {found['rule']}, for {found['metric']}",
        *(f"  {line}" for line in found["words"].splitlines()),
        *([f"  {found['note']}"] if found["note"] and found["rule"] != found["without"] else []),
        f"  on the rows that fit it: {found['without']} {figure(pool['argmax'])}, rule {figure(pool['value'])} "
        f"(cross-fitted: {figure(pool['cross_fitted'])})",
        *_calls(found["calls"]),
        "",
    )
    say(_titled(found))
    screen.print(_figures(found))
    say(found["verdict"], *_scope(found), "", "Other metrics of the same rows (no claim)")
    screen.print(other_metrics(found["others"], found["without"], "rule"))
    if found["curve"] is not None:
        say("", _over_the_cut(found))
        screen.print(_curve(found))
        say(*_spread(found["curve"]))
    if len(classes) <= MOST_CLASSES:
        say("", f"True classes in rows; decided by {found['without']} on the left, by the rule on the right")
        screen.print(confusion_tables(classes, found["tables"]["before"], found["tables"]["after"]))
    say(
        "",
        f"rule: {found['written']['rule']}",
        f"decisions of the judging rows: {found['written']['decisions']}",
    )


def draw_applied(found: Mapping[str, Any]) -> None:
    """Print the document of a rule that was applied."""
    counts = ", ".join(f"{count:,} as {shown(name)}" for name, count in found["decided"].items())
    lines = (
        f"Rule: {found['rule']}, for {found['metric']}",
        *(f"  {line}" for line in found["words"].splitlines()),
        f"{found['file']}: {found['rows']:,} rows; {counts}",
        f"decisions: {found['written']['decisions']}",
    )
    say(*lines)


def _titled(found: Mapping[str, Any]) -> str:
    direction = "higher is better" if found["higher_is_better"] else "lower is better"
    return f"{found['metric']} ({direction}) of the judging rows"


def _figures(found: Mapping[str, Any]) -> Any:
    """The metric of both decisions."""
    table = plain_table("", "value", f"{found['confidence']:.0%} interval")
    for name, key in ((found["without"], "before"), ("rule", "after")):
        table.add_row(name, figure(found[key]["value"]), ends(found[key]["low"], found[key]["high"], ""))
    change = found["difference"]
    table.add_row("difference", signed(change["value"]), ends(change["low"], change["high"], "+"))
    return table


def _over_the_cut(found: Mapping[str, Any]) -> str:
    band = f" (band: 95% of {found['curve']['resamples']:,} resamples)" if found["curve"]["resamples"] else ""
    return f"{found['metric']} over the cut, on the rows that fit the rule{band}"


def _curve(found: Mapping[str, Any]) -> Any:
    """The metric at some cuts."""
    curve = found["curve"]
    table = plain_table("", "cut", f"decided {shown(found['classes'][1])}", found["metric"], "band")
    for place, mark in shown_rows(curve):
        value, low, high = (curve[key][place] for key in ("values", "low", "high"))
        band = ends(None if low != low else low, None if high != high else high, "")
        table.add_row(
            mark, f"{curve['cuts'][place]:.3f}", f"{curve['decided'][place]:.1%}", figure(value), band
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
