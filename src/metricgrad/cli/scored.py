"""Scores of classes from a table: which column is which class, and what else a rule of decision needs of each row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe
from metricgrad._types import Metric
from metricgrad.cli.cells import class_texts, numbers
from metricgrad.cli.columns import Predictions
from metricgrad.cli.naming import Said, assigned
from metricgrad.cli.reading import read_predictions
from metricgrad.cli.tables import Table
from metricgrad.errors import InputError

__all__ = ["Names", "Scored", "read_scored", "said_of", "scored_as"]


@dataclass(frozen=True)
class Names:
    """What the classes are called.

    Attributes:
        classes: their names by number.
        positive: the one that counts as positive; None where there is none.
        ordered: whether they are consecutive whole numbers and one column of scores estimates these.
    """

    classes: list[str]
    positive: str | None = None
    ordered: bool = False

    @property
    def first(self) -> int:
        """The number of the first class where they are ordered, else 0."""
        return int(self.classes[0]) if self.ordered else 0


@dataclass(frozen=True)
class Scored:
    """Rows of a table of scores.

    Attributes:
        path: of the table.
        names: of the classes.
        numbers: of the rows in the table, from 1.
        scores: [row, class], or one of the second class [row].
        targets: class numbers [row]; None where the table has none.
        ids: what names the rows; None where no column does.
        groups: of each row, which of them go together; None where no column says it.
    """

    path: Path
    names: Names
    numbers: Tensor
    scores: Tensor
    targets: Tensor | None
    ids: list[Any] | None
    groups: list[Any] | None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.scores)

    def of(self, rows: Tensor) -> "Scored":
        """Some of the rows."""

        def some(cells: list[Any] | None) -> list[Any] | None:
            return None if cells is None else [cells[row] for row in rows.tolist()]

        return replace(
            self,
            numbers=self.numbers[rows],
            scores=self.scores[rows],
            targets=None if self.targets is None else self.targets[rows],
            ids=some(self.ids),
            groups=some(self.groups),
        )


def read_scored(
    path: Path,
    said: Said,
    metric: Metric,
    *,
    positive_class: str | None,
    groups: str | None,
    ids: str | None,
    rule: str | None = None,
) -> Scored:
    """Read a table with targets, and find out what its classes are.

    Args:
        path: of the table.
        said: what the user said of it.
        metric: of decided classes: whether it needs a positive class.
        positive_class: what the user said.
        groups: the column of rows that go together.
        ids: the column that names the rows; None: `id` where there is one.
        rule: what the user asked for; cut points read one column of scores as an estimate of ordered classes.

    Raises:
        InputError: as `read_predictions` and `Predictions.decided_by_scores`.
    """
    table = _table(path, said, groups, ids, target=True)
    found = Predictions(table, positive_class)
    levels = found.levels(metric, rule)
    return _scored(table, Names(levels, ordered=True) if levels else Names(*found.decided_by_scores(metric)))


def scored_as(
    path: Path, said: Said, names: Names, *, groups: str | None, ids: str | None, target: bool
) -> Scored:
    """Read a table whose classes are known from elsewhere.

    Args:
        path: of the table.
        said: what the user said of it.
        names: the classes.
        groups: the column of rows that go together.
        ids: the column that names the rows.
        target: whether there must be one.

    Raises:
        InputError: scores of a class that are missing, of one that is not known, a target that is not known.
    """
    return _scored(_table(path, said, groups, ids, target=target, classes=names.classes), names)


def _table(
    path: Path,
    said: Said,
    groups: str | None,
    ids: str | None,
    *,
    target: bool,
    classes: list[str] | None = None,
) -> Table:
    """The table without predictions: its scores are read, those of each class where there is not one for both."""
    kept = {"--groups": groups, "--id": ids}
    maybe = {} if ids is not None or (groups or "").lower() == "id" else {"--id": "id"}
    kept = {option: name for option, name in kept.items() if name is not None}
    table = read_predictions(path, said, kept, maybe, target=target, classes=classes)
    one = "score" in table.columns
    left = [name for name in table.columns if name == "prediction" or (one and name.startswith("score_"))]
    return replace(table, columns={name: c for name, c in table.columns.items() if name not in left})


def _scored(table: Table, names: Names) -> Scored:
    columns, path = table.columns, table.path
    written = {name.removeprefix("score_"): name for name in columns if name.startswith("score_")}
    cells = {"target": columns["target"]} if "target" in columns else {}
    texts = class_texts(path, {**cells, "score_<class>": list(written)})
    if "score" in columns:
        if len(names.classes) != 2 and not names.ordered:
            raise InputError(
                f"{path} has one column of scores; expected score_<class> for each of {len(names.classes)} classes."
            )
        scores = numbers(path, "score", columns["score"]).double()
    else:
        by_class = dict(zip(texts["score_<class>"], written.values(), strict=True))
        _require_all(path, names.classes, by_class)
        found = [numbers(path, by_class[name], columns[by_class[name]]).double() for name in names.classes]
        scores = torch.stack(found, 1)
    targets = _numbered(path, texts["target"], names.classes) if "target" in columns else None
    numbered = torch.arange(1, len(scores) + 1)
    return Scored(path, names, numbered, scores, targets, columns.get("--id"), columns.get("--groups"))


def _require_all(path: Path, classes: list[str], found: dict[str, str]) -> None:
    """Refuse a table without the scores of a class, or with those of another one."""
    if lacking := [name for name in classes if name not in found]:
        shown = describe(", ".join(found.values()) or "none")
        raise InputError(
            f"{path} has no column {describe('score_' + lacking[0])} (its columns of scores: {shown}); expected one "
            f"for each of the {len(classes)} classes that the rule decides between."
        )
    if more := [column for name, column in found.items() if name not in classes]:
        raise InputError(
            f"{path} has the column {describe(more[0])}, a class that the rule does not know; expected those of "
            f"{describe(', '.join(classes))} and no other."
        )


def _numbered(path: Path, texts: list[str], classes: list[str]) -> Tensor:
    """Class numbers of targets."""
    ids = {name: number for number, name in enumerate(classes)}
    for row, text in enumerate(texts, start=1):
        if text not in ids:
            raise InputError(
                f"{path} row {row}: the target is {describe(text)}; expected one of {describe(', '.join(classes))}."
            )
    return torch.tensor([ids[text] for text in texts])


def said_of(given: Mapping[str, Any]) -> Said:
    """What the user said of the files by the options of the command; InputError for a column that is not read."""
    columns = assigned(given["column"] or ())
    for role in columns:
        if role not in ("target", "score"):
            raise InputError(f"decide: --column {role} is not read; expected target=NAME or score=NAME.")
    return Said(given["delimiter"], columns, None, given["decimal_comma"])
