"""Which columns of a table a metric reads, and as what: classes, scores of a positive class, values, texts.

A metric gets what it reads (`Metric.reads`), ours and foreign ones alike. Which of two classes is the positive one is
never decided by the alphabet: 0/1, False/True, -1/1 and no/yes say it themselves, other names are asked for where the
figure depends on it.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, nearest
from metricgrad._types import Metric
from metricgrad.cli.cells import class_texts, is_number, is_whole, numbers, plain_texts, require_one_spelling
from metricgrad.cli.class_order import numbers_that_count, ordered_classes, require_places
from metricgrad.cli.one_score import cut
from metricgrad.cli.tables import Table
from metricgrad.errors import InputError
from metricgrad.metrics.foreign import ForeignFunction

__all__ = ["Measured", "Predictions"]

_NOT_OF_TABLES = {
    "boxes": "compares boxes",
    "labels": "reads several labels per sample",
    "pixels": "reads images",
}
"""What no columns of a table are read as."""

_THEMSELVES = (("0", "1"), ("false", "true"), ("-1", "1"), ("no", "yes"))
"""Pairs of classes whose second one is positive by its name."""


@dataclass(frozen=True)
class Measured:
    """What a metric is called with.

    Attributes:
        outputs: for its `measure`.
        targets: likewise.
        column: the name of the column, `score_<class>` for several.
        classes: number of each class by name; empty where values or texts are compared.
        positive: the class whose scores or predictions count, where there is one.
    """

    outputs: Any
    targets: Any
    column: str
    classes: dict[str, int] = field(default_factory=dict)
    positive: str | None = None


@dataclass(frozen=True)
class Predictions:
    """A table of predictions, its columns read as a metric wants them.

    Attributes:
        table: with the columns target and prediction, score or score_<class>.
        positive_class: what the user said.
    """

    table: Table
    positive_class: str | None = None

    def of(self, metric: Metric) -> Measured:
        """Return what a metric is called with.

        Raises:
            InputError: a column that it needs is missing; cells that do not fit; a positive class that is not told, or
                is told where there is none.
        """
        reads = metric.reads
        if reads is None and {"prediction", "score"} <= set(self.table.columns):
            warnings.warn(
                f"{metric.name} does not say what it reads: it gets the column prediction.", stacklevel=2
            )
        if reads in _NOT_OF_TABLES:
            raise InputError(
                f"{metric.name} {_NOT_OF_TABLES[reads]}; expected a metric of classes, scores or values."
            )
        if reads == "texts":
            return self._values(metric, "prediction", plain_texts)
        if reads == "values":
            return self._values(metric, self._first(metric, "prediction", "score"), numbers)
        if reads is None and self._are_values():
            return self._values(metric, self._first(metric, "prediction", "score"), numbers)
        if reads is None and "prediction" in self.table.columns:
            cells = {name: self.table.columns[name] for name in ("target", "prediction")}
            class_texts(self.table.path, cells)  # refuses missing ones
            return self._values(metric, "prediction", _text_array)
        if reads == "scores" or (reads in ("probabilities", None) and not self._scored):
            return self._of_scores(metric)
        return self._of_classes(metric)

    def decided_by_scores(self, metric: Metric) -> tuple[list[str], str | None]:
        """Return the classes by number for a metric of decided classes, and which is the positive one, if there is one.

        They are those of the columns score_<class>; beside one column score the two of the targets, the positive last.

        Raises:
            InputError: no column of scores; one score and more than two classes; a positive class that is not told, or
                is told where there is none.
        """
        classes, one = self._classes, "score" in self.table.columns
        if not one and len(self._scored) < 2:
            raise self._lacks(metric, "score", "score_<class> of each class")
        if one:
            self._require_two_classes()
        if self.positive_class is not None and len(classes) > 2:
            raise InputError(
                f"--positive-class is {self.positive_class!r}, but {self.table.path} has scores of {len(classes)} "
                "classes; expected it for two classes. A metric of many is their average, such as macro_f1."
            )
        if not self._says_itself and len(classes) == 2 and _turns(metric, self._as_they_stand()):
            raise self._asks(metric.name)
        require_places(metric, self.table.path, classes)
        return classes, classes[-1] if self._says_itself and len(classes) == 2 else None

    def _require_two_classes(self) -> None:
        """Refuse one column of scores unless there are two classes, one of which is known as the positive one."""
        if len(self._classes) != 2:
            raise InputError(
                f"{self.table.path} has one column of scores and {len(self._classes)} classes among its targets; "
                "expected score_<class> for each class, or two classes. An estimate of ordered classes is what "
                "`metricgrad decide --rule cuts` reads."
            )
        if not self._says_itself:
            raise self._asks("the column score")

    def levels(self, metric: Metric, rule: str | None) -> list[str]:
        """Return the ordered classes that one column of scores estimates; none where it is the score of class 1."""
        return ordered_classes(metric, rule, self.table, self._classes, self.positive_class)

    def _as_they_stand(self) -> Measured:
        """The class of the larger score of each sample."""
        found = self._matrix()
        return Measured(found.outputs.argmax(1), found.targets, found.column)

    @property
    def _scored(self) -> dict[str, str]:
        """Columns score_<class> by the class as it stands there."""
        return {name.removeprefix("score_"): name for name in self.table.columns if name.startswith("score_")}

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        """The classes of target, prediction and of the columns score_<class>, checked."""
        path, columns = self.table.path, self.table.columns
        named = {name: columns[name] for name in ("target", "prediction") if name in columns}
        texts = class_texts(path, named | {"score_<class>": list(self._scored)})
        if "prediction" in texts:
            self._check_predictions(set(texts["target"]), set(texts["prediction"]))
        if len(set(texts["score_<class>"])) < len(self._scored):
            raise InputError(f"{path} has two columns of scores for one class; expected one for each.")
        seen = {text for name in named for text in texts[name]}
        if self._scored and (strange := sorted(seen - set(texts["score_<class>"]))):
            raise InputError(
                f"{path} has the class {describe(strange[0])} but no column score_{strange[0][:60]}. A single score of "
                f"the positive class is said by --column score={next(iter(self._scored.values()))}."
            )
        return texts

    def _check_predictions(self, targets: set[str], predictions: set[str]) -> None:
        """Refuse predictions that are scores or spelt otherwise; warn where none of them is a target."""
        path = self.table.path
        fractions = sorted(text for text in predictions if is_number(text) and float(text) % 1 != 0)
        if fractions and all(map(is_whole, targets)):
            raise InputError(
                f"{path} has the prediction {describe(fractions[0])}, but its targets are whole numbers; expected "
                "classes. A score of the positive class goes in a column named score."
            )
        require_one_spelling(f"target of {path}", targets, f"prediction of {path}", predictions)
        if not targets & predictions:
            warnings.warn(f"{path}: no prediction occurs among the targets.", stacklevel=2)

    @cached_property
    def _classes(self) -> list[str]:
        """The classes by number: whole numbers by size, others by alphabet, a positive one that is known last."""
        texts = self._texts
        everything = set(texts["score_<class>"]) or {text for part in texts.values() for text in part}
        if self.positive_class is not None:
            (said,) = class_texts(self.table.path, {"--positive-class": [self.positive_class]})[
                "--positive-class"
            ]
            if said not in everything:
                raise InputError(
                    f"{self.table.path} has no class {describe(said)}; expected one of its classes. "
                    f"{nearest(said, everything)}"
                )
            others = sorted(everything - {said})
            return [*others, said]
        for negative, positive in _THEMSELVES:
            known = {text.casefold(): text for text in everything}
            if set(known) <= {negative, positive} and len(known) == len(everything):
                return [known.get(negative, negative), known.get(positive, positive)]
        if all(map(is_whole, everything)):
            return sorted(everything, key=int)
        return sorted(everything)

    @property
    def _says_itself(self) -> bool:
        """Whether the positive class is known: told, or one of a pair that says it."""
        known = tuple(name.casefold() for name in self._classes)
        return self.positive_class is not None or known in _THEMSELVES

    def _are_values(self) -> bool:
        """Whether target and the column beside it are numbers in all rows."""
        columns = [
            self.table.columns[name] for name in ("target", "prediction") if name in self.table.columns
        ]
        if self._scored and "prediction" not in self.table.columns:
            return False
        return all(
            is_number(cell.strip()) if isinstance(cell, str) else cell is not None
            for cells in columns
            for cell in cells
        )

    def _first(self, metric: Metric, *names: str) -> str:
        """The first of some columns that is there."""
        found = next((name for name in names if name in self.table.columns), None)
        if found is None:
            raise self._lacks(metric, *names)
        return found

    def _lacks(self, metric: Metric, *names: str) -> InputError:
        return InputError(
            f"{metric.name} of {self.table.path} needs a column {' or '.join(names)}, which is missing."
        )

    def _values(self, metric: Metric, column: str, read: Any) -> Measured:
        """Values or texts as they stand there."""
        if column not in self.table.columns:
            raise self._lacks(metric, column)
        if self.positive_class is not None:
            raise InputError(
                f"--positive-class is {self.positive_class!r}, but {metric.name} compares values; expected "
                "it for a metric of classes or scores."
            )
        cells = self.table.columns
        outputs, targets = (read(self.table.path, name, cells[name]) for name in (column, "target"))
        return Measured(outputs, targets, column)

    def _of_scores(self, metric: Metric) -> Measured:
        """One score for each sample, and whether it is of the positive class; of several classes their scores."""
        classes, scored = self._classes, self._scored
        foreign = isinstance(getattr(metric.summarise, "__self__", None), ForeignFunction)
        if "score" not in self.table.columns and len(scored) > 2 and self.positive_class is None and foreign:
            return self._matrix()
        if "score" not in self.table.columns and len(scored) < 2:
            raise self._lacks(metric, "score", "score_<class> of two classes")
        if not self._says_itself:
            raise self._asks(metric.name)
        column = "score" if "score" in self.table.columns else scored[self._column_of(classes[-1])]
        outputs = numbers(self.table.path, column, self.table.columns[column])
        targets = torch.tensor([int(text == classes[-1]) for text in self._texts["target"]])
        numbered = {name: int(name == classes[-1]) for name in classes}
        return Measured(outputs.double(), targets, column, numbered, classes[-1])

    def _of_classes(self, metric: Metric) -> Measured:
        """Predicted classes, a score of each class, or what one score of two classes decides."""
        classes, columns = self._classes, self.table.columns
        if self._scored and ("prediction" not in columns or metric.reads == "probabilities"):
            found = self._matrix()
        elif "prediction" not in columns:
            found = self._decided_by_one_score(metric)
        else:
            ids = {name: number for number, name in enumerate(classes)}
            outputs, targets = (
                torch.tensor([ids[text] for text in self._texts[name]]) for name in ("prediction", "target")
            )
            found = Measured(outputs, targets, "prediction", ids)
        if self.positive_class is not None and len(classes) > 2:
            return _against_the_rest(found, classes[-1])
        if (
            self.positive_class is None
            and not self._says_itself
            and len(classes) == 2
            and _turns(metric, found)
        ):
            raise self._asks(metric.name)
        named = numbers_that_count(metric, self.table.path, classes)
        if named is not None:
            return _renumbered(found, named)
        positive = classes[-1] if self._says_itself and len(classes) == 2 else None
        return Measured(found.outputs, found.targets, found.column, found.classes, positive)

    def _decided_by_one_score(self, metric: Metric) -> Measured:
        """The class that the one score of each sample decides for without a rule."""
        if "score" not in self.table.columns:
            raise self._lacks(metric, "prediction", "score", "score_<class>")
        self._require_two_classes()
        path, classes = self.table.path, self._classes
        outputs = cut(path, numbers(path, "score", self.table.columns["score"]).double(), classes[-1])
        targets = torch.tensor([int(text == classes[-1]) for text in self._texts["target"]])
        return Measured(outputs, targets, "score", {name: place for place, name in enumerate(classes)})

    def _matrix(self) -> Measured:
        """The scores of all classes [sample, class] and the class of each sample."""
        ids = {name: number for number, name in enumerate(self._classes)}
        order = [self._scored[self._column_of(name)] for name in ids]
        outputs = [numbers(self.table.path, name, self.table.columns[name]).double() for name in order]
        targets = torch.tensor([ids[text] for text in self._texts["target"]])
        return Measured(torch.stack(outputs, 1), targets, "score_<class>", ids)

    def _column_of(self, name: str) -> str:
        """The class as its column spells it."""
        return dict(zip(self._texts["score_<class>"], self._scored, strict=True))[name]

    def _asks(self, what: str) -> InputError:
        """The question for the positive class."""
        shown = self._classes[:6]
        more = ", ..." if len(self._classes) > 6 else ""
        return InputError(
            f"{what} of {self.table.path} is that of one class against the others, and "
            f"{', '.join(map(describe, shown))}{more} do not say which one; expected --positive-class with one of them."
        )


def _text_array(path: Path, name: str, cells: Sequence[Any]) -> np.ndarray:
    """Texts for a function of the user: an array, which compares with another and is gone through like a list."""
    return np.array(plain_texts(path, name, cells), dtype=object)


def _renumbered(found: Measured, named: dict[str, int]) -> Measured:
    """Predictions and targets by other numbers of their classes."""
    numbers = torch.tensor([named[name] for name in found.classes])
    outputs = found.outputs.argmax(1) if found.outputs.ndim == 2 else found.outputs
    return Measured(numbers[outputs], numbers[found.targets], found.column, named)


def _against_the_rest(found: Measured, positive: str) -> Measured:
    """One class of many against all the others."""
    number = found.classes[positive]
    outputs = found.outputs.argmax(1) if found.outputs.ndim == 2 else found.outputs
    numbered = {name: int(name == positive) for name in found.classes}
    outputs, targets = (outputs == number).long(), (found.targets == number).long()
    return Measured(outputs, targets, found.column, numbered, positive)


def _turns(metric: Metric, found: Measured) -> bool:
    """Whether a metric of two classes gives another value when they change places: for a few made samples, or these."""
    outputs: Tensor = found.outputs
    few = torch.tensor([1, 1, 0, 0, 0, 1, 0]), torch.tensor([1, 0, 0, 0, 1, 1, 0])
    made = torch.stack([0.7 - 0.3 * few[0], 0.3 + 0.3 * few[0]], 1) if outputs.ndim == 2 else few[0]
    for some, targets in ((made, few[1]), (outputs, found.targets), (outputs[::2], found.targets[::2])):
        one = _value(metric, some, targets)
        other = _value(metric, some.flip(1) if some.ndim == 2 else 1 - some, 1 - targets)
        undefined = math.isnan(one) and math.isnan(other)
        if not undefined and not math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12):
            return True
    return False


def _value(metric: Metric, outputs: Tensor, targets: Tensor) -> float:
    """The value; NaN where the metric refuses (it will say why itself when it is asked for the figure)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(metric.summarise(metric.measure(outputs, targets)))
        except InputError:
            return math.nan
