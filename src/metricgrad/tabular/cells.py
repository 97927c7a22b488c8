"""What a cell of a table means: missing, a number, a date."""

import math
import re
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from metricgrad._labels import MISSING

__all__ = ["DATE_FORMS", "day_of", "is_code", "is_missing", "number_of", "text_of"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+),[0-9]+")
_CODE = re.compile(r"0[0-9]+")
_ABSENT = frozenset(text.casefold() for text in MISSING) | {"?", "none", "nat"}

DATE_FORMS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "iso")
"""Forms of dates that are known; `iso` is a date with a time of day, such as 2024-05-01T12:30."""


def text_of(cell: Any) -> str:
    """A cell as a text: 1, 1.0 and True are the same one, None is an empty text.

    Example:
        >>> [text_of(cell) for cell in (None, 1.0, True, " a ")]
        ['', '1', '1', 'a']
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**63 else repr(cell)
    return format(cell, "f") if isinstance(cell, Decimal) else str(int(cell))


def is_missing(cell: Any) -> bool:
    """Whether a cell says nothing: empty, NA, NaN, null, None or a question mark; of numbers NaN and infinity.

    Example:
        >>> [is_missing(cell) for cell in ("", "n/a", "?", None, float("inf"), "0", "no")]
        [True, True, True, True, True, False, False]
    """
    if isinstance(cell, float):
        return not math.isfinite(cell)
    return cell is None or (isinstance(cell, str) and cell.strip().casefold() in _ABSENT)


def number_of(cell: Any, *, comma: bool = False) -> float | None:
    """The number that a cell is; None where it is none.

    Args:
        cell: not missing.
        comma: whether `1.234,5` is a number, too.

    Example:
        >>> number_of("1e3"), number_of("2,5"), number_of("2,5", comma=True), number_of("1.234,5", comma=True)
        (1000.0, None, 2.5, 1234.5)
    """
    if not isinstance(cell, str):
        return float(cell)
    text = cell.strip()
    if _NUMBER.fullmatch(text):
        found = float(text)
    elif comma and _COMMA.fullmatch(text):
        found = float(text.replace(".", "").replace(",", "."))
    else:
        return None
    return found if math.isfinite(found) else None


def is_code(cell: Any) -> bool:
    """Whether a cell has the digits of a number, but a zero before them: `007` is a code."""
    return isinstance(cell, str) and _CODE.fullmatch(cell.strip()) is not None


def day_of(cell: Any, form: str) -> float | None:
    """Days since 1970 of a date in that form; None where the cell is none.

    Example:
        >>> (
        ...     day_of("1970-01-02", "%Y-%m-%d"),
        ...     day_of("02.01.1970", "%d.%m.%Y"),
        ...     day_of("1970-01-02T12:00", "iso"),
        ... )
        (1.0, 1.0, 1.5)
    """
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    try:
        if form == "iso":
            at = datetime.fromisoformat(text.replace("Z", "+00:00"))
            at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
            return at.timestamp() / 86_400
        return float((datetime.strptime(text, form).date() - date(1970, 1, 1)).days)
    except (ValueError, OverflowError):
        return None
