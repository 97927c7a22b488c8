"""What a cell means: a class, a number, a text. Nothing is guessed from how many cells there are.

Classes are whole numbers only where all of them are spelt as one: `7`, `-3`, `1.0`. `007`, `+7`, `1_23`, `1e3` and
digits of other scripts are texts, and then so are all beside them. Texts are compared in Unicode's normal form C.
"""

import re
import unicodedata
import warnings
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe
from metricgrad._labels import MISSING, normal_texts
from metricgrad.errors import InputError

__all__ = [
    "class_texts",
    "id_key",
    "is_number",
    "is_whole",
    "label_array",
    "numbers",
    "plain_texts",
    "require_one_spelling",
    "spelt",
    "value_key",
]

_WHOLE = re.compile(r"(0|-?[1-9][0-9]{0,39})(?:\.0{1,40})?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r"[+-]?[0-9]{0,40}\.?[0-9]{1,40}(?:[eE][+-]?[0-9]{1,3})?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_ASIDE = "Leave such rows out, or give their class another name."


def is_number(text: str) -> bool:
    """Whether a text is spelt as a number, whole or not.

    Example:
        >>> is_number("-1.5e3"), is_number("1_23"), is_number("nan")
        (True, False, False)
    """
    return _NUMBER.fullmatch(text) is not None


def is_whole(text: str) -> bool:
    """Whether a text is spelt as a whole number of at most 40 digits.

    Example:
        >>> [is_whole(text) for text in ("-7", "1.0", "007", "+7", "1e3")]
        [True, True, False, False, False]
    """
    return _WHOLE.fullmatch(text) is not None


def class_texts(path: Path, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """The classes of some columns as texts, whole numbers in one spelling where all of them are such.

    Raises:
        InputError: a missing class, with its row, counted from 1 after the header.

    Warns:
        UserWarning: classes that are written in several Unicode forms became one.
    """
    written = {}
    for name, cells in columns.items():
        known = {cell: spelt(cell) for cell in set(cells)}
        if absent := {cell for cell, text in known.items() if text in MISSING}:
            row = next(row for row, cell in enumerate(cells, start=1) if cell in absent)
            raise _missing(path, row, name, known[cells[row - 1]])
        written[name] = [known[cell] for cell in cells]
    texts, merged = normal_texts([text for part in written.values() for text in part])
    if merged:
        warnings.warn(
            f"{path}: classes that are written in several Unicode forms count as one each (normal form C): "
            f"{', '.join(map(describe, merged[:6]))}.",
            stacklevel=2,
        )
    matches = {text: _WHOLE.fullmatch(text) for text in set(texts)}
    plain = {text: match[1] for text, match in matches.items() if match}
    if len(plain) == len(matches):
        texts = [plain[text] for text in texts]
    rest = iter(texts)
    return {name: [next(rest) for _ in part] for name, part in written.items()}


def require_one_spelling(first: str, one: Collection[str], second: str, other: Collection[str]) -> None:
    """Refuse two columns that seem to spell one class in two ways: none of them would ever be right.

    A class that stands in one column only is compared with those that stand in the other only: `1` and `1.0`, `True`
    and `1`, `yes` and `Yes`, `007` and `7`.
    """
    keys = {_loose(text): text for text in sorted(set(one) - set(other))}
    for text in sorted(set(other) - set(one)):
        if (alike := keys.get(_loose(text))) is not None:
            raise InputError(
                f"the class {describe(alike)} stands in {first} only and {describe(text)} in {second} only, and they "
                "look like one class; expected one spelling for each class. Write both alike."
            )


def label_array(path: Path, cells: Sequence[Any]) -> np.ndarray:
    """Labels of a file as an array: whole numbers within 64 bits where all are spelt as such, else texts."""
    (texts,) = class_texts(path, {"the label": cells}).values()
    if all(map(is_whole, set(texts))):
        whole = [int(text) for text in texts]
        for dtype, low, high in ((np.int64, -(2**63), 2**63), (np.uint64, 0, 2**64)):
            if all(low <= number < high for number in whole):
                return np.array(whole, dtype=dtype)
    return np.array(texts)


def numbers(path: Path, name: str, cells: Sequence[Any]) -> Tensor:
    """A column of numbers: int64 where all are whole and spelt without a point, else float64.

    Raises:
        InputError: a cell that is no number (with its row, counted from 1), NaN, infinity, a whole number beyond int64.
    """
    values = [_number(path, row, name, cell) for row, cell in enumerate(cells, start=1)]
    if all(isinstance(value, int) for value in values):
        if beyond := [row for row, value in enumerate(values, start=1) if not -(2**63) <= value < 2**63]:
            raise InputError(
                f"{path} row {beyond[0]}: {name} is {describe(cells[beyond[0] - 1])}; expected a number in int64."
            )
        return torch.tensor(values, dtype=torch.long)
    found = torch.tensor([float(value) for value in values], dtype=torch.float64)
    if not bool(torch.isfinite(found).all()):
        wrong = (~torch.isfinite(found)).nonzero()[:, 0]
        raise InputError(
            f"{path}: {name} has NaN or infinite values in {len(wrong)} of {len(found)} rows, first in row "
            f"{int(wrong[0])} counted from 0; expected finite numbers."
        )
    return found


def plain_texts(path: Path, name: str, cells: Sequence[Any]) -> list[str]:
    """A column of texts, spaces and empty ones as they are; a missing cell of Parquet is refused."""
    if None in cells:
        raise _missing(path, list(cells).index(None) + 1, name, "")
    return [cell if isinstance(cell, str) else spelt(cell) for cell in cells]


def _number(path: Path, row: int, name: str, cell: Any) -> int | float:
    """One cell as a number."""
    if isinstance(cell, bool | int):
        return int(cell)
    if isinstance(cell, float | Decimal):
        return float(cell)
    text = "" if cell is None else cell.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        return int(text)
    if is_number(text) or _NOT_FINITE.fullmatch(text):
        return float(text)
    point = " with a decimal point, or --decimal-comma" if is_number(text.replace(",", ".")) else ""
    raise InputError(f"{path} row {row}: {name} is {describe(text)}; expected a number{point}.")


def value_key(cell: Any) -> str:
    """What all spellings of one value in two files have in common: `1`, `1.0` and True; a text in both normal forms.

    Example:
        >>> [value_key(cell) for cell in (1.0, "1", True, "true", "0.10", "Cat")]
        ['1', '1', '1', '1', '0.1', 'Cat']
    """
    text = unicodedata.normalize("NFC", spelt(cell))
    text = {"true": "1", "false": "0"}.get(text.casefold(), text)
    return format(Decimal(text).normalize(), "f") if _PLAIN.fullmatch(text) else text


def id_key(cell: Any) -> str:
    """What all spellings of one id have in common: whole numbers may have a point, `007` is another id than `7`.

    Example:
        >>> [id_key(cell) for cell in (7, 7.0, "7.0", "007", " a-7 ")]
        ['7', '7', '7', '007', 'a-7']
    """
    text = unicodedata.normalize("NFC", spelt(cell))
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def spelt(cell: Any) -> str:
    """A cell as the text of its class: 1, 1.0, True and "1" are the same one, None is an empty text."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**63 else repr(cell)
    if isinstance(cell, Decimal):
        return format(cell, "f")
    return cell.strip() if isinstance(cell, str) else str(int(cell))


def _loose(text: str) -> str:
    """What the spellings of one class have in common."""
    text = unicodedata.normalize("NFKC", text).casefold().strip()
    text = {"true": "1", "false": "0"}.get(text, text)
    return str(Decimal(text).normalize()) if _PLAIN.fullmatch(text) else text


def _missing(path: Path, row: int, name: str, text: str) -> InputError:
    """The refusal of a class that is not there."""
    came = f"is {text!r}, which stands for a missing one" if text else "is an empty cell"
    return InputError(f"{path} row {row}: {name} {came}; expected a class. {_ASIDE}")
