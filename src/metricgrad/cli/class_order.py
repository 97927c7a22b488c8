"""Where the numbers of classes count (weighted kappa, costs), they are those that the file says, or it is refused."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from metricgrad._checks import describe
from metricgrad._types import Metric
from metricgrad.cli.cells import is_whole
from metricgrad.cli.tables import Table
from metricgrad.decision.suited import is_ordered, reads_one_number
from metricgrad.errors import InputError

__all__ = ["numbers_that_count", "ordered_classes", "require_places"]


_MOST_NUMBERS = 1_000
"""Of a table that is made to look whether they count."""


def numbers_that_count(metric: Metric, path: Path, classes: Iterable[str]) -> dict[str, int] | None:
    """Return the number that each class is named by, where the metric depends on it; None where it does not.

    Raises:
        InputError: it does, and a class is named by a text: texts have no order and no row in a table of costs.
    """
    names = list(classes)
    if not _numbers_count(metric, len(names)):
        return None
    texts = [name for name in names if not is_whole(name)]
    if texts:
        remedy = " --positive-class names one by its text." if "positive_class" in metric.settings else ""
        raise InputError(
            f"{metric.name} depends on the numbers of the classes, and {path} has the class {describe(texts[0])}; "
            f"expected classes that are whole numbers, such as 0, 1, 2 in their order.{remedy}"
        )
    return {name: int(name) for name in names}


def require_places(metric: Metric, path: Path, classes: Sequence[str]) -> None:
    """Refuse classes whose numbers count, where they are other ones than their places: 1, 3, 4 are not 0, 1, 2.

    Numbers that only begin elsewhere are fine where the metric does not depend on that: 1, 2, 3 for a weighted kappa.

    Args:
        metric: called with tables whose rows are the places.
        path: for the message.
        classes: in their order.

    Raises:
        InputError: as `numbers_that_count`; the metric of a table would be another one by their numbers.
    """
    named = numbers_that_count(metric, path, classes)
    if named is None or metric.of_table is None or list(named.values()) == list(range(len(classes))):
        return
    places = torch.tensor(list(named.values()))
    most = int(places.max()) + 1
    if int(places.min()) >= 0 and most <= _MOST_NUMBERS:
        table = _some_table(len(classes))
        wide = torch.zeros(most, most, dtype=table.dtype)
        wide[places[:, None], places] = table
        if bool(torch.isclose(metric.of_table(table), metric.of_table(wide), rtol=1e-9, atol=1e-12)):
            return
    raise InputError(
        f"{metric.name} depends on the numbers of the classes, and those of {path} are {describe(', '.join(classes))}; "
        f"expected 0 to {len(classes) - 1}, none left out."
    )


def ordered_classes(
    metric: Metric, rule: str | None, table: Table, classes: list[str], positive_class: str | None
) -> list[str]:
    """Return the ordered classes that one column of scores estimates; none where it is the score of class 1.

    They are asked for by the name of a rule, or, without one, by a metric of ordered classes and more than two of them.

    Args:
        metric: that the rule is fitted for.
        rule: what the user asked for.
        table: of the scores.
        classes: of the table, in their order.
        positive_class: what the user said.

    Raises:
        InputError: no such column, classes that are no consecutive whole numbers, a positive class.
    """
    path, one = table.path, "score" in table.columns
    whole = [int(name) for name in classes] if all(map(is_whole, classes)) else []
    if not reads_one_number(rule) and not (
        rule in (None, "auto") and one and len(whole) > 2 and is_ordered(metric)
    ):
        return []
    if not one:
        raise InputError(f"a rule of ordered classes of {path} needs a column score, which is missing.")
    if positive_class is not None:
        raise InputError(f"--positive-class is {positive_class!r}; expected none: classes are ordered.")
    if len(whole) < 2 or whole != list(range(whole[0], whole[0] + len(whole))):
        raise InputError(
            f"cut points decide between ordered classes, and those of {path} are {describe(', '.join(classes))}; "
            "expected two or more consecutive whole numbers, none left out."
        )
    require_places(metric, path, classes)
    return classes


def _some_table(classes: int) -> Tensor:
    """Of random counts, most of them right."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(classes, classes, generator=generator, dtype=torch.float64) + torch.eye(classes)


def _numbers_count(metric: Metric, classes: int) -> bool:
    """Whether it names a class by its number, or its value of several classes changes when these change places."""
    if metric.settings.get("positive_class") is not None:
        return True
    if metric.of_table is None or classes < 3:
        return False
    table = _some_table(classes)
    places = torch.arange(classes).roll(1)
    try:
        one, other = metric.of_table(table), metric.of_table(table[places][:, places])
    except InputError:  # it says why itself when it is asked for the figure
        return False
    return not bool(torch.isclose(one, other, rtol=1e-9, atol=1e-12))
