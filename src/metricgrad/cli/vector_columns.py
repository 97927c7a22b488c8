"""Which columns of a table hold the coordinates of vectors, where each dimension has one."""

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from metricgrad._checks import describe
from metricgrad.cli.naming import NAMES
from metricgrad.errors import InputError

__all__ = ["coordinate_columns"]

_NUMBERED = re.compile(r"(.*?)([0-9]{1,6})", re.DOTALL)


def coordinate_columns(
    path: Path, numeric: Collection[str], others: Collection[str], said: str | None
) -> list[str]:
    """The columns of the dimensions, in their order.

    Args:
        path: of the table.
        numeric: columns of numbers, without that of the ids.
        others: the columns that hold anything else.
        said: the pattern of the user, such as `dim_*`; None to see it from the names.

    Raises:
        InputError: no column fits, or more than one set of columns does.

    Example:
        >>> coordinate_columns(Path("x.csv"), ["year", "d10", "d9", "d11"], ["text"], None)
        ['d9', 'd10', 'd11']
    """
    shown = describe(", ".join([*others, *numeric]))
    if said is not None:
        found = [name for name in numeric if fnmatchcase(name, said)]
        if not found:
            raise InputError(
                f"{path} has the columns {shown}; expected {describe(said)}, a column of lists of numbers or a "
                "pattern of columns of numbers such as 'dim_*', among them."
            )
        return _in_order(found)
    families: dict[str, list[str]] = {}
    for name in numeric:
        if numbered := _NUMBERED.fullmatch(name):
            families.setdefault(numbered[1], []).append(name)
    fits = [_in_order(family) for family in families.values() if _consecutive(family)]
    if not fits and not others and not any(name.strip().lower() in NAMES["label"] for name in numeric):
        fits = [list(numeric)]
    if len(fits) != 1:
        raise InputError(
            f"{path} has the columns {shown}; expected one column of lists of numbers, or one column per dimension "
            "with names such as dim_0, dim_1, ... Say --vector-column NAME, or --vector-column 'dim_*'."
        )
    return fits[0]


def _number(name: str) -> int:
    numbered = _NUMBERED.fullmatch(name)
    return int(numbered[2]) if numbered else -1


def _consecutive(family: Sequence[str]) -> bool:
    numbers = sorted(map(_number, family))
    return len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _in_order(names: Sequence[str]) -> list[str]:
    """By number, those without one as they came."""
    return sorted(names, key=_number)
