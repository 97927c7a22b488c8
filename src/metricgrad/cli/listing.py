"""`metricgrad list`: everything that has a name, with one line each."""

from typing import Annotated

import typer

from metricgrad.cli.output import JsonOption, console, examples, print_json
from metricgrad.errors import InputError

__all__ = ["EXAMPLES", "list_names"]

EXAMPLES = examples("metricgrad list", "metricgrad list metrics", "metricgrad list --json")

_PLURALS = {
    "metrics": "metric",
    "losses": "loss",
    "structures": "structure",
    "forms": "form",
    "rules": "rule",
    "methods": "method",
    "tasks": "task",
}


def list_names(
    kind: Annotated[
        str | None, typer.Argument(help="Only metrics, losses, structures, forms, rules, methods or tasks.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List metrics, losses, structures, forms, rules, methods and tasks, one line each; explain NAME tells more."""
    if kind is not None and kind not in _PLURALS and kind not in _PLURALS.values():
        raise InputError(f"list: there is no kind {kind!r}; expected one of {', '.join(_PLURALS)}.")
    from metricgrad.cli.catalogue import things

    wanted = (
        things() if kind is None else [thing for thing in things() if thing.kind == _PLURALS.get(kind, kind)]
    )
    if as_json:
        print_json([{"name": thing.name, "kind": thing.kind, "line": thing.line} for thing in wanted])
        return
    from rich.table import Table
    from rich.text import Text

    for plural, singular in _PLURALS.items():
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        rows = [thing for thing in wanted if thing.kind == singular]
        for thing in rows:
            table.add_row(Text(thing.name), Text(thing.line))
        if rows:
            console().print(Text(plural, style="bold underline"), table)
