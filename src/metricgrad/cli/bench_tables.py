"""The tables of `metricgrad bench`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from metricgrad.cli.output import console

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["draw_blackbox", "draw_decodes", "draw_learned", "draw_losses", "draw_ranks"]

_Rows = Iterable[Mapping[str, Any]]


def draw_ranks(facts: Mapping[str, Any]) -> None:
    """Print a table for each embedding, the exponents, and what the names mean."""
    from metricgrad.bench.ranks import CONTESTANTS

    columns = {
        "batch": "{batch:,}",
        "contestant": "{contestant}",
        "ms": "{ms:,.1f}",
        "peak MB": "{peak_mb:,.1f}",
        "/ product": "{to_product:,.2f}",
        "/ products": "{to_products:,.2f}",
        "SmoothAP /": "{smooth_ap_to_this:,.2f}",
        "left out": "{left_out}",
    }
    for noise in dict.fromkeys(row["noise"] for row in facts["rows"]):
        rows = [
            {**row, "ms": _times(1e3, row["seconds"]), "peak_mb": _times(1e-6, row["peak_bytes"])}
            for row in facts["rows"]
            if row["noise"] == noise
        ]
        title = f"Forward + backward, noise {noise}, {rows[0]['dims']} dimensions"
        console().print(_table(title, columns, rows, section="batch"))
    for row in facts["exponents"]:
        grown = [f"{name} {row[name]:.2f}" for name in ("ours", "product") if row[name] is not None]
        if grown:
            _say(f"Time grows like batch to the power of: {', '.join(grown)} (noise {row['noise']}).")
    seen = {row["contestant"] for row in facts["rows"]}
    for one in CONTESTANTS:
        if one.name in seen:
            _say(f"{one.name}: {one.line}.")
    if "threads" in facts:
        _say(f"{_conditions(facts)}, kernel {facts['kernel'] or 'not measured'}.")


def draw_decodes(facts: Mapping[str, Any]) -> None:
    """Print the times of each decode and of its peer."""
    columns = {
        "decode": "{decode}",
        "sign": "{sign:+d}",
        "ours ms": "{ours_ms:,.1f}",
        "peer": "{peer}",
        "peer ms": "{peer_ms:,.1f}",
        "times as fast": "{times_as_fast:,.1f}",
    }
    title = f"One decode: {facts['positives']:,} positives, {facts['negatives']:,} negatives"
    console().print(_table(title, columns, facts["rows"]))
    _say(f"{_conditions(facts)}. Both of a row returned the same value.")


def draw_losses(facts: Mapping[str, Any]) -> None:
    """Print the time of every loss and of cross-entropy, and their ratio."""
    columns = {
        "loss": "{loss}",
        "takes": "{takes}",
        "outputs": "{outputs}",
        "ms": "{ms:,.2f}",
        "cross-entropy ms": "{cross_entropy_ms:,.2f}",
        "/ cross-entropy": "{to_cross_entropy:,.1f}",
    }
    rows = [{**row, "outputs": " x ".join(map(str, row["shape"]))} for row in facts["rows"]]
    console().print(_table("Forward + backward, float32", columns, rows))
    _say(
        f"{_conditions(facts)}. Cross-entropy is that of torch on outputs of the same shape, in the same minutes."
    )


def draw_blackbox(facts: Mapping[str, Any]) -> None:
    """Print the time of a step of every black-box method and of a plain one, and their ratio."""
    columns = {
        "method": "{method}",
        "ms": "{ms:,.2f}",
        "plain step ms": "{plain_ms:,.2f}",
        "/ plain step": "{to_plain:,.1f}",
    }
    title = f"One step, {facts['items']:,} items of the pool, {facts['metric']}"
    console().print(_table(title, columns, facts["rows"]))
    _say(f"{_conditions(facts)}. A plain step is cross-entropy of a batch and AdamW, in the same minutes.")


def draw_learned(facts: Mapping[str, Any], found: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print a table for each part, and what its figures are."""
    steps = {"task": "{task}", "step": "{step}", "ms": "{ms:,.1f}", "/ proxy step": "{to_proxy:.2f}"}
    pairs = {"contestant": "{contestant}", "threads": "{threads:d}", "pairs / s": "{pairs_per_second:,.0f}"}
    titles = {"texts": "Edit distances", "boxes": "Rotated IoU"}
    for part, rows in found.items():
        if part == "steps":
            table = _table(f"One step, {facts['batch']:,} samples", steps, rows, section="task")
        else:
            peers = any(row["times_as_fast"] is not None for row in rows)
            columns = {**pairs, "times as fast": "{times_as_fast:,.2f}"} if peers else pairs
            table = _table(f"{titles[part]}, {rows[0]['pairs']:,} pairs", columns, rows)
        console().print(table)
    lines = (
        f"{row['task']}: the network of that task with random weights on random pictures, {row['parameters']:,} "
        f"parameters; the surrogate has {row['surrogate_parameters']:,}."
        for row in found.get("steps", [])
    )
    for line in dict.fromkeys(lines):
        _say(line)
    _say(f"{_conditions(facts)} where none are named. What is compared returned the same values.")


def _table(title: str, columns: Mapping[str, str], rows: _Rows, *, section: str = "") -> "Table":
    """A row of the table per row; a column per format, which is left empty where its value is None.

    Args:
        title: above the table.
        columns: the format of a cell, with one field, by the head of its column; a number, with a colon, stands right.
        rows: the fields.
        section: where this field changes, a line is drawn.
    """
    from rich.table import Table

    table, before = Table(title=title), None
    for name, form in columns.items():
        wraps = name == "left out"
        table.add_column(name, justify="right" if ":" in form else "left", no_wrap=not wraps, overflow="fold")
    for row in rows:
        if before not in (None, row.get(section)):
            table.add_section()
        before = row.get(section)
        table.add_row(*("" if row[_field(form)] is None else form.format(**row) for form in columns.values()))
    return table


def _field(form: str) -> str:
    """The field of a format: "ms" of "{ms:,.1f}"."""
    return form.strip("{}").partition(":")[0]


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _say(line: str) -> None:
    from rich.text import Text

    console().print(Text(line))


def _conditions(facts: Mapping[str, Any]) -> str:
    return f"Medians of {facts['repeats']} turns, torch {facts['torch']}, {facts['threads']} threads"
