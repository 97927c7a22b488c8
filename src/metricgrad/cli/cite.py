"""`metricgrad cite`: BibTeX of what stands behind a name."""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Annotated

import typer

from metricgrad.cli.output import JsonOption, examples, print_json

__all__ = ["EXAMPLES", "bibliography", "cite", "keys_in"]

EXAMPLES = examples(
    "metricgrad cite recall_at_k_loss",
    "metricgrad cite patel2022recall",
    "metricgrad cite surrogate:average_precision >> paper.bib",
)

_KEY = re.compile(r"\[([a-z]+\d{4}[a-z0-9]*)\]")


def cite(
    name: Annotated[str, typer.Argument(help="A metric, loss, method, task (see list) or BibTeX key.")],
    as_json: JsonOption = False,
) -> None:
    """Print the BibTeX entries of the papers behind a metric, loss, form, rule, method or task."""
    known = bibliography()
    entries = {name: known[name]} if name in known else _entries_behind(name, known)
    if as_json:
        print_json([{"key": key, "bibtex": text} for key, text in entries.items()])
    else:
        typer.echo("\n\n".join(entries.values()))


def _entries_behind(name: str, known: Mapping[str, str]) -> dict[str, str]:
    from metricgrad.cli.finding import find
    from metricgrad.errors import InputError

    things = find(name, also=known)
    keys = dict.fromkeys(key for thing in things for key in keys_in(thing.text))
    if not keys:
        raise InputError(
            f"cite: {name} names no reference of its own; `metricgrad explain {name}` says what it is."
        )
    if missing := [key for key in keys if key not in known]:
        raise InputError(
            f"cite: {name} refers to {', '.join(missing)}, which references.bib lacks; please report it."
        )
    return {key: known[key] for key in keys}


def keys_in(text: str) -> list[str]:
    """Return the keys of references.bib that a docstring names, in order."""
    return list(dict.fromkeys(_KEY.findall(text)))


def bibliography() -> dict[str, str]:
    """Return the entries of references.bib by key."""
    text = (resources.files("metricgrad") / "references.bib").read_text(encoding="utf-8")
    return dict(_entries(text))


def _entries(text: str) -> list[tuple[str, str]]:
    """Cut a BibTeX file into (key, entry) by counting braces."""
    entries = []
    for start in re.finditer(r"^@(\w+)\s*\{\s*([^,\s]+)\s*,", text, re.MULTILINE):
        depth, end = 0, start.start()
        for end in range(text.index("{", start.start()), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                break
        entries.append((start[2], text[start.start() : end + 1]))
    return entries
