"""Write the generated parts of docs/methods anew: scripts/method_pages.py, with the project's Python.

These are the table of settings of each page, from signatures and docstrings, and the table of pages in index.md. The
paragraph of a page that begins with `Names:` says what the page is about.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from metricgrad import losses, projection
from metricgrad.cli.adapt import adapt
from metricgrad.cli.adapt_table import OWN
from metricgrad.cli.recipe import meanings
from metricgrad.decision.known import RULES
from metricgrad.direct import Contingency, DirectLoss, Interleaving, Multiclass
from metricgrad.learned import FilteredSurrogate, LearnedSurrogate
from metricgrad.methods.asking import ASKED
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.families import FAMILIES
from metricgrad.methods.objectives import loss_named, trained_as
from metricgrad.ranking import RankingLoss

FOLDER = Path(__file__).parent.parent / "docs" / "methods"
BEGIN, END = "<!-- written by scripts/method_pages.py -->", "<!-- end -->"
HEAD = "| setting | default | meaning |\n|---|---|---|"
FURTHER: Mapping[str, tuple[Callable[..., Any], ...]] = {
    "direct": (DirectLoss, Interleaving, Contingency, Multiclass),
    "learned": (LearnedSurrogate, FilteredSurrogate),
    "interpolated": (losses.relaxed, losses.interpolated),
    "decision-rules": tuple(
        rule for name, rule in RULES.items() if name not in ("argmax", "rounding", "midpoint")
    ),
    "closed-forms": tuple(
        one
        for one in (getattr(projection, name) for name in projection.__all__)
        if inspect.isclass(one) and one not in (projection.Projection, projection.PairProjection)
    ),
}
"""Functions and classes whose keywords are settings, too, by page."""


class Row(NamedTuple):
    """A setting.

    Attributes:
        name: as it is written.
        default: in words.
        meaning: from the docstring.
    """

    name: str
    default: str
    meaning: str


def pages() -> list[Path]:
    """Every page but the index."""
    return sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")


def names(page: Path) -> list[str]:
    """What a page is about."""
    (told,) = re.findall(r"^Names: (.*?)\n\n", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", told)


def settings(page: Path) -> str:
    """The tables of settings of a page."""
    tables = list(_tables(page))
    return "\n\n".join(tables) if tables else "None of its own."


def index() -> str:
    """The table of all pages."""
    rows = ["| method | names | what it optimises |", "|---|---|---|"]
    for page in pages():
        text = page.read_text(encoding="utf-8")
        title = text.partition("\n")[0].removeprefix("# ")
        first = " ".join(text.partition("## What it optimises\n")[2].strip().partition("\n\n")[0].split())
        sentence = re.split(r"(?<=\.) ", first)[0]
        told = ", ".join(f"`{name}`" for name in names(page))
        rows.append(f"| [{title}]({page.name}) | {told} | {sentence} |")
    return "\n".join(rows)


def rows_of(target: Any) -> list[Row]:
    """The settings of a model, or the keywords of a function or class."""
    if inspect.isclass(target) and issubclass(target, BaseModel):
        told = meanings(target)
        return [
            Row(name, _word(field.get_default(call_default_factory=True)), told.get(name, ""))
            for name, field in target.model_fields.items()
        ]
    homes = reversed(target.__mro__) if inspect.isclass(target) else [target]
    told = {name: text for home in homes for name, text in _arguments(inspect.getdoc(home) or "").items()}
    parameters = inspect.signature(target).parameters.values()
    return [
        Row(one.name, _default(one), told.get(one.name, ""))
        for one in parameters
        if one.kind is one.KEYWORD_ONLY or (inspect.isclass(target) and one.kind is one.POSITIONAL_OR_KEYWORD)
        if one.name not in ("encoder", "structure")
    ]


def written(rows: list[Row], column: str = "setting") -> str:
    """Rows as a table."""
    lines = [f"| `{row.name}` | {row.default} | {row.meaning.replace('|', chr(92) + '|')} |" for row in rows]
    return "\n".join([HEAD.replace("setting", column, 1), *lines])


def put(text: str, inside: str) -> str:
    """A page with another text between the two marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{inside}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write all of them."""
    for page in pages():
        page.write_text(put(page.read_text(encoding="utf-8"), settings(page)), encoding="utf-8")
    path = FOLDER / "index.md"
    path.write_text(put(path.read_text(encoding="utf-8"), index()), encoding="utf-8")


def _tables(page: Path) -> Iterator[str]:
    about = names(page)
    models = {one for one in map(_model, about) if one is not None}
    for model in sorted(models, key=lambda one: one.__name__):
        yield from _of_model(model, page)
    roads = [name.partition(":")[2] for name in about if name.startswith("surrogate:")]
    if any(_takes(name) == "ranks" for name in roads):
        keep = ("temperature", "preset", "normalize", "step", "simix")
        yield "Of every loss of ranks, in `objective`:"
        yield written([row for row in rows_of(RankingLoss) if row.name in keep])
    for name in roads:
        rows = _rows_of_loss(name)
        yield f"Of `{name}`, in `objective`:" if rows else f"`{name}` has none of its own."
        if rows:
            yield written(rows)
    for target in FURTHER.get(page.stem, ()):
        if rows := rows_of(target):
            yield f"Of `{target.__name__}`:"
            yield written(rows)
    if page.stem == "table-portfolio":
        yield "Of `metricgrad adapt --table`:"
        yield written(_options(), "option")


def _model(name: str) -> type[BaseModel] | None:
    """The model of the settings of a method, None for what is no method."""
    if name == "proxy":
        return DescentSettings
    for family in FAMILIES:
        if name in family.roads() or name == family.name:
            return family.settings_of.get(name, family.settings)
    return None


def _of_model(model: type[BaseModel], page: Path) -> Iterator[str]:
    """All settings on the page of every descent; elsewhere those that are not the same there."""
    rows = rows_of(model)
    if issubclass(model, DescentSettings) and page.stem != "proxy":
        yield "Those of [every descent](proxy.md#settings-that-matter), in `settings`."
        rows = [row for row in rows if row not in rows_of(DescentSettings)]
    if rows:
        yield "In `settings`:"
        yield written(rows)


def _rows_of_loss(name: str) -> list[Row]:
    """The settings of a loss of ours; a class that remembers says "see" where its function says what is meant."""
    made, told = trained_as(name), _arguments(inspect.getdoc(loss_named(name)) or "")
    return [
        row._replace(meaning=told[row.name]) if row.meaning.startswith("see `") and row.name in told else row
        for row in rows_of(made)
    ]


def _takes(loss: str) -> str:
    return next(iter(inspect.signature(loss_named(loss)).parameters))


def _arguments(text: str) -> dict[str, str]:
    """What each argument means, from the `Args` of a docstring, or from the `Attributes` of a record."""
    heading = "Args" if "\nArgs:\n" in text else "Attributes"
    part = re.split(r"\n\n(?=\S)", text.partition(f"\n{heading}:\n")[2], maxsplit=1)[0]
    found = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |^ {4}\*|\Z)", part, re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()).removeprefix("see above. ") for name, meaning in found}


def _default(one: inspect.Parameter) -> str:
    if one.default is not one.empty:
        return _word(one.default)
    return "asked of the run" if one.name in ASKED else "needed"


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return ", ".join(map(_word, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return str(value) if value != {} else "none"


def _options() -> list[Row]:
    """The options of the command that say something where a table is learned."""
    found = []
    for one in inspect.signature(adapt).parameters.values():
        if one.name in OWN:
            (info,) = [
                part for part in getattr(one.annotation, "__metadata__", ()) if hasattr(part, "param_decls")
            ]
            shown = next((word for word in info.param_decls or () if word.startswith("--")), None)
            name = shown or f"--{one.name.replace('_', '-')}"
            found.append(Row(name.partition("/")[0], _default(one), " ".join((info.help or "").split())))
    return found


if __name__ == "__main__":
    main()
