"""Where the numbers of classes count (weighted kappa, costs), they are those that the file says, or it is refused."""

from collections.abc import Iterable
from pathlib import Path

import torch

from metricgrad._checks import describe
from metricgrad._types import Metric
from metricgrad.cli.cells import is_whole
from metricgrad.errors import InputError

__all__ = ["numbers_that_count"]


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


def _numbers_count(metric: Metric, classes: int) -> bool:
    """Whether it names a class by its number, or its value of several classes changes when these change places."""
    if metric.settings.get("positive_class") is not None:
        return True
    if metric.of_table is None or classes < 3:
        return False
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(classes, classes, generator=generator, dtype=torch.float64) + torch.eye(classes)
    places = torch.arange(classes).roll(1)
    try:
        one, other = metric.of_table(table), metric.of_table(table[places][:, places])
    except InputError:  # it says why itself when it is asked for the figure
        return False
    return not bool(torch.isclose(one, other, rtol=1e-9, atol=1e-12))
