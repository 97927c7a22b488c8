"""How well each class is decided: recall, precision and F1 from the confusion tables of the returned arm.

Pure functions of tables [true][decided].
"""

from collections.abc import Sequence

from metricgrad.report.sections import Table
from metricgrad.report.wording import number, signed

__all__ = ["MOST_CLASSES", "class_table"]

MOST_CLASSES = 1000
"""Of a table of classes: a longer one helps nobody and makes the page heavy."""

Counts = Sequence[Sequence[int]]


def class_table(names: Sequence[str], before: Counts, after: Counts, *, was: str, now: str) -> Table:
    """A row for each class: how many there are, recall and precision before and after, F1 and its change.

    Args:
        names: of the classes.
        before: confusion table [true][decided].
        after: the same items, decided otherwise.
        was: what the first is called.
        now: what the second is called.

    Returns:
        the table; without rows for more classes than `MOST_CLASSES`. Equal tables are shown once.

    Edge cases:
        recall of a class without items and precision of one that is never decided are undefined: `n/a`. F1 is
        undefined only where both are.

    Example:
        >>> class_table(["a", "b"], [[3, 1], [0, 4]], [[4, 0], [0, 4]], was="argmax", now="rule").rows[0]
        ['a', '4', '0.7500', '1.0000', '+0.2500', '1.0000', '1.0000', '0.8571', '1.0000', '+0.1429']
    """
    if len(names) > MOST_CLASSES:
        return Table(["class"], [])
    same = before == after
    titles = ["class", "items"]
    for what in ("recall", "precision", "F1"):
        titles += [what] if same else [f"{what}, {was}", f"{what}, {now}"]
        titles += [] if same or what == "precision" else [f"change of {what}"]
    old, new = _figures(before), _figures(after)
    rows = []
    for place, name in enumerate(names):
        row = [name, f"{sum(before[place]):,}"]
        for what in range(3):
            first, second = old[place][what], new[place][what]
            row += [number(first)] if same else [number(first), number(second)]
            row += (
                []
                if same or what == 1
                else [signed(None if first is None or second is None else second - first)]
            )
        rows.append(row)
    return Table(titles, rows)


def _figures(table: Counts) -> list[tuple[float | None, float | None, float | None]]:
    """Recall, precision and F1 of every class."""
    decided = [sum(column) for column in zip(*table, strict=True)]
    return [
        (
            _share(row[place], sum(row)),
            _share(row[place], decided[place]),
            _share(2 * row[place], sum(row) + decided[place]),
        )
        for place, row in enumerate(table)
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
