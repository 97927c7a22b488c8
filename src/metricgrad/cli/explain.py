"""`metricgrad explain`: what a name means, from its docstring; every key of a recipe, from its model."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricgrad.cli.output import JsonOption, console, examples, print_json

if TYPE_CHECKING:
    from pydantic import BaseModel

    from metricgrad.cli.catalogue import Thing

__all__ = ["EXAMPLES", "explain"]

EXAMPLES = examples(
    "metricgrad explain recall@1",
    "metricgrad explain recall_at_k_loss",
    "metricgrad explain emoji",
    "metricgrad explain recipe",
)

_HEADING = re.compile(r"^([A-Z][\w' ]+):(.*)$")


def explain(
    name: Annotated[
        str,
        typer.Argument(help="A metric, loss, form, rule, method or task (see the list command), or: recipe."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Explain a metric, loss, form, rule, method or task, or every key of a recipe with type, default and meaning."""
    if name == "recipe":
        from metricgrad.cli.recipe import Recipe

        rows = _rows(Recipe)
        print_json(rows) if as_json else _draw_rows(
            "Keys of a recipe (YAML); all but task may be left out", rows
        )
        return
    from metricgrad.cli.finding import find

    found = find(name)
    if as_json:
        print_json([{**_facts(thing), "settings": _rows(thing.settings)} for thing in found])
        return
    for thing in found:
        _draw(thing)


def _facts(thing: "Thing") -> dict[str, Any]:
    return {"name": thing.name, "kind": thing.kind, "signature": thing.signature, "text": thing.text}


def _rows(model: "type[BaseModel] | None", prefix: str = "") -> list[dict[str, Any]]:
    """One row a key, those inside of it below it."""
    if model is None:
        return []
    from metricgrad.cli.recipe import meanings, models_inside

    texts, inside, rows = meanings(model), models_inside(model), []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        row = {
            "key": prefix + name,
            "type": "keys below" if name in inside else _type(field.annotation),
            "default": "needed" if field.is_required() else "" if name in inside else default,
            "meaning": texts.get(name, ""),
        }
        rows.append(row)
        rows += _rows(inside.get(name), f"{prefix}{name}.")
    return rows


def _type(annotation: Any) -> str:
    """An annotation in a reader's words."""
    text = (
        annotation.__name__
        if isinstance(annotation, type) and "[" not in str(annotation)
        else str(annotation)
    )
    text = re.sub(r"(?:typing\.)?Annotated\[(\w+), [^\]]*\]", r"\1", text)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text).replace("NoneType", "None")
    text = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace(", ", " or "), text)
    text = re.sub(r"Optional\[(\w+)\]", r"\1 | None", text)
    text = re.sub(r"^Union\[(.*)\]$", lambda found: found[1].replace(", ", " | "), text)
    return (
        text.replace(" | None", " or null")
        .replace(" | ", " or ")
        .replace("dict[str, Any]", "keys and values")
    )


def _draw(thing: "Thing") -> None:
    from rich.text import Text

    out = console()
    out.print(Text.assemble((thing.name, "bold"), f"  ({thing.kind})"))
    if thing.signature:
        out.print(Text(thing.signature, style="dim"), soft_wrap=True)
    out.print()
    for line in thing.text.splitlines():
        heading = _HEADING.match(line)
        if heading:
            out.print(Text.assemble((f"{heading[1]}:", "bold"), heading[2]), soft_wrap=True)
        else:
            out.print(Text(line), soft_wrap=True)
    out.print()
    if thing.settings is not None:
        where = "data" if thing.kind == "task" else "settings"
        _draw_rows(
            f"{where.capitalize()} of this {thing.kind} (key `{where}` of a recipe)", _rows(thing.settings)
        )


def _draw_rows(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    out, table = console(), Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("key", style="bold", no_wrap=True)
    table.add_column("type")
    table.add_column("default")
    table.add_column("meaning", ratio=1)
    for row in rows:
        default = "null" if row["default"] is None else str(row["default"])
        table.add_row(*(Text(cell) for cell in (row["key"], row["type"], default, row["meaning"])))
    out.print(Text(title), "", table)
