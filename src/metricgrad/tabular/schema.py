"""The schema of a table: what each column holds, which ones are left out, and what looks wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from metricgrad._checks import fail
from metricgrad.tabular.cells import is_missing, text_of
from metricgrad.tabular.kinds import Column, Dropped, column_of

__all__ = ["Schema", "schema_of", "schema_of_document"]

Cells = Mapping[str, Sequence[Any]]
"""Columns of a table by name."""


@dataclass(frozen=True)
class Schema:
    """What a model reads of a table.

    Attributes:
        columns: that are read.
        dropped: that are not, and why.
        warnings: columns that seem to say the target by another name, as sentences.
    """

    columns: tuple[Column, ...]
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...] = ()

    def of_kind(self, *kinds: str) -> tuple[Column, ...]:
        """Columns of some kinds, in the order of the table."""
        return tuple(column for column in self.columns if column.kind in kinds)

    def words(self) -> list[str]:
        """One line per kind, per column that is left out, per note and per warning."""
        lines = []
        for kind, many in (("number", "numbers"), ("date", "dates"), ("category", "categories")):
            if found := self.of_kind(kind):
                lines.append(f"{many}: {_listed([_with_gaps(column) for column in found])}")
        lines += [f"note: {column.name}: {column.note}" for column in self.columns if column.note]
        lines += [f"left out: {one.name}: {one.why}" for one in self.dropped]
        return [*lines, *(f"warning: {warning}" for warning in self.warnings)]

    def document(self) -> dict[str, Any]:
        """The schema as JSON writes it."""
        return {
            "columns": [asdict(column) for column in self.columns],
            "dropped": [asdict(one) for one in self.dropped],
            "warnings": list(self.warnings),
        }


def schema_of(
    table: Cells, targets: Sequence[str], target: str, aside: Mapping[str, str] | None = None
) -> Schema:
    """Infer the schema of a table from its training rows.

    Args:
        table: cells by column, without the target.
        targets: the class of each row, as a text.
        target: the name of its column, for warnings.
        aside: why columns that have another use (groups, time, ids, weights) are left out, by name.

    Returns:
        The schema.

    Raises:
        InputError: no column is left to learn from.

    Edge cases:
        A column whose values each go with one class is read, with a warning: it may be the target by another name.

    Cost: O(cells).

    Example:
        >>> table = {"x": ["1", "2", "?"] * 20, "colour": ["red", "blue", "red"] * 20}
        >>> schema_of(table, ["a", "b"] * 30, "y").words()
        ['numbers: x (20 missing)', 'categories: colour (2 levels)']
    """
    columns, dropped, warnings = [], [], []
    for name, cells in table.items():
        found = Dropped(name, aside[name]) if aside and name in aside else column_of(name, cells)
        if isinstance(found, Dropped):
            dropped.append(found)
            continue
        columns.append(found)
        if _tells(cells, targets):
            warnings.append(
                f"{name} tells {target} in every row: if it is the target by another name, or known only afterwards, "
                "take it out of the table"
            )
    if not columns:
        why = "; ".join(f"{one.name}: {one.why}" for one in dropped) or "there is none beside the target"
        raise fail(
            "adapt --table", f"no column is left to learn from ({why})", "one column with two values at least"
        )
    return Schema(tuple(columns), tuple(dropped), tuple(warnings))


def _tells(cells: Sequence[Any], targets: Sequence[str]) -> bool:
    """Whether each value goes with one class, and values are few enough that this is no chance."""
    seen: dict[str, str] = {}
    most = max(len(set(targets)), len(targets) // 10)
    for cell, target in zip(cells, targets, strict=True):
        text = "" if is_missing(cell) else text_of(cell)
        if seen.setdefault(text, target) != target or len(seen) > most:
            return False
    return len(set(seen.values())) > 1


def _with_gaps(column: Column) -> str:
    """A name, its levels and how many cells are missing."""
    facts = [f"{column.distinct:,} levels"] if column.kind == "category" else []
    facts += [f"{column.missing:,} missing"] if column.missing else []
    return f"{column.name} ({', '.join(facts)})" if facts else column.name


def _listed(names: Sequence[str], most: int = 20) -> str:
    """Names, the first ones of many."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


class _Document(BaseModel):
    """A schema in a file."""

    model_config = ConfigDict(extra="forbid")
    columns: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    warnings: list[str]


def schema_of_document(document: Any) -> Schema:
    """Make a schema of what `Schema.document` returned; InputError for anything else."""
    try:
        read = _Document.model_validate(document)
        columns = TypeAdapter(tuple[Column, ...]).validate_python(read.columns)
        dropped = TypeAdapter(tuple[Dropped, ...]).validate_python(read.dropped)
    except ValidationError as error:
        first = error.errors()[0]
        raise fail(
            "a schema file", f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "a written schema"
        ) from error
    return Schema(columns, dropped, tuple(read.warnings))
