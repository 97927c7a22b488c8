"""Labels as codes: the one place where what a user calls a label becomes a class.

A label is a whole number or a text. Numbers are compared as whole numbers of any size and never pass through a
float: `1`, `1.0`, `True` and a 0-d tensor of 1 are one class. Texts are compared in Unicode's normal form C; bytes
are UTF-8. Nothing is a class that stands for a missing value, and a number is never the text that spells it: a set
of labels is of one kind.
"""

import math
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad.errors import InputError

__all__ = [
    "MISSING",
    "Labels",
    "NumberedLabels",
    "label_keys",
    "normal_texts",
    "number_labels",
    "whole_labels",
]


class Column(Protocol):
    """What numpy makes an array of: a column of pandas, of pyarrow."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __array__(self) -> np.ndarray:
        """Return them as an array."""
        ...


Labels = Tensor | np.ndarray | Sequence[Any] | Column
"""One label per item: whole numbers or texts; equality is all that counts."""

MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "NaT", "None", "n/a", "nan", "null",
})  # fmt: skip
"""Texts that stand for a missing value: what pandas reads as one, and what it and Python print."""

_LARGEST = 2**63
"""Where int64 ends: a float beyond it is no id that anyone wrote down."""

_ONE_EACH = "one whole number or string per item"


@dataclass(frozen=True)
class NumberedLabels:
    """Labels as numbers 0, 1, ... of their classes, over all sets that were given together.

    Attributes:
        codes: int64 [item] for each set, in their order; equal codes mean equal labels.
        distinct: the classes, ascending: of code 0, 1, ...
    """

    codes: tuple[Int[Tensor, " item"], ...]
    distinct: Tensor | list[Any]

    @property
    def classes(self) -> np.ndarray:
        """The classes as an array [class] of whole numbers or texts."""
        if isinstance(self.distinct, Tensor):
            return self.distinct.cpu().numpy()
        return np.array(self.distinct, dtype=str if isinstance(self.distinct[0], str) else object)


def number_labels(
    caller: str, label_sets: Mapping[str, Labels], *, device: torch.device | str | None = None
) -> NumberedLabels:
    """Number the classes of some sets of labels, ascending, so that equal labels get equal numbers in all of them.

    Args:
        caller: for messages.
        label_sets: each by the name that its argument has: a tensor, an array (masked ones too), a list of Python or
            numpy scalars, texts, bytes or 0-d tensors, a column of pandas.
        device: where the codes go; default: where the first tensor among the sets is, else the CPU.

    Returns:
        The numbers and the classes.

    Raises:
        InputError: not one-dimensional; a tensor of floats (values, no classes; whole floats in arrays and lists are
            taken); a missing label (None, NaN, NA, NaT, masked, an empty text or one of `MISSING`); a fraction, an
            infinity, a float beyond int64, bytes that are no UTF-8, another type; texts beside numbers. The message
            names the row, counted from 0.

    Warns:
        UserWarning: texts that are written in several Unicode forms became one class.

    Cost: of tensors and arrays of whole numbers one sort; of lists and texts a pass of Python.

    Example:
        >>> found = number_labels("example", {"labels": ["b", "a"], "reference_labels": np.array(["b"])})
        >>> [codes.tolist() for codes in found.codes], found.classes.tolist()
        ([[1, 0], [1]], ['a', 'b'])
    """
    values = {name: _values(caller, name, labels) for name, labels in label_sets.items()}
    if device is None:
        tensors = [labels for labels in label_sets.values() if isinstance(labels, Tensor)]
        device = tensors[0].device if tensors else "cpu"
    sizes = [len(part) for part in values.values()]
    if all(isinstance(part, Tensor) for part in values.values()):
        parts = [part.to(device, torch.long) for part in values.values() if isinstance(part, Tensor)]
        distinct, codes = torch.unique(torch.cat(parts), return_inverse=True)
        return NumberedLabels(codes.split(sizes), distinct)
    lists = {name: part.tolist() if isinstance(part, Tensor) else part for name, part in values.items()}
    kinds = {name: type(part[0]) for name, part in lists.items() if part}
    if len(set(kinds.values())) > 1:
        said = ", ".join(
            f"{name} are {'texts' if kind is str else 'numbers'}" for name, kind in kinds.items()
        )
        raise fail(
            caller, said, "labels of one type", "Turn the numbers into texts, or the texts into numbers."
        )
    if str in kinds.values():
        lists = _normal(caller, lists)
    found = sorted({label for part in lists.values() for label in part})
    code = {label: number for number, label in enumerate(found)}
    numbers = torch.tensor([code[label] for part in lists.values() for label in part], dtype=torch.long)
    return NumberedLabels(numbers.to(device).split(sizes), found)


def label_keys(
    caller: str, label_sets: Mapping[str, Labels], *, device: torch.device | str
) -> tuple[Int[Tensor, " item"], ...]:
    """Return an int64 tensor for each set, equal where labels are equal: whole numbers as they are, others numbered.

    Args:
        caller: as in `number_labels`.
        label_sets: as there.
        device: where they go.

    Raises:
        InputError: as there.

    Example:
        >>> label_keys("example", {"labels": torch.tensor([70, 9, 70])}, device="cpu")
        (tensor([70,  9, 70]),)
    """
    if not all(isinstance(part, Tensor) and part.dtype != torch.uint64 for part in label_sets.values()):
        return number_labels(caller, label_sets, device=device).codes
    return tuple(whole_labels(caller, name, labels).to(device) for name, labels in label_sets.items())


def whole_labels(caller: str, name: str, labels: Labels) -> Int[Tensor, " item"]:
    """Return labels that are whole numbers as they are, int64, for a place where numbers must keep their meaning.

    Raises:
        InputError: as `number_labels`; texts; numbers beyond int64.

    Example:
        >>> whole_labels("example", "labels", [True, 3.0, np.uint8(7)])
        tensor([1, 3, 7])
    """
    found = _values(caller, name, labels)
    if not isinstance(found, Tensor):
        raise fail(
            caller,
            f"{name} are {describe(labels)}",
            "whole numbers within int64",
            "Number the classes once for all batches.",
        )
    return found


def _is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN of any type, NA and NaT of pandas and numpy, a masked one."""
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating | Decimal) and math.isnan(value)


def normal_texts(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return texts in Unicode's normal form C, and those of the result that stood there in several forms.

    Example:
        >>> texts, merged = normal_texts([chr(0xE9), "e" + chr(0x301), "tea"])
        >>> len(set(texts)), len(merged)
        (2, 1)
    """
    forms = {text: unicodedata.normalize("NFC", text) for text in set(texts)}
    seen, merged = set(), set()
    for form in forms.values():
        (merged if form in seen else seen).add(form)
    return [forms[text] for text in texts], sorted(merged)


def _normal(caller: str, lists: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """All texts in normal form C, with a warning where that made one class of several."""
    texts, merged = normal_texts([label for part in lists.values() for label in part])
    if merged:
        warnings.warn(
            f"{caller}: labels that are written in several Unicode forms count as one class each (normal form C): "
            f"{', '.join(map(repr, merged[:6]))}.",
            stacklevel=4,
        )
    rest = iter(texts)
    return {name: [next(rest) for _ in part] for name, part in lists.items()}


def _values(caller: str, name: str, labels: Labels) -> Tensor | list[Any]:
    """One set of labels: an int64 tensor, or a list of texts, or of ints where one is beyond int64."""
    if isinstance(labels, list | tuple) and _all_tensors(labels):
        labels = torch.stack(labels)  # pyright: ignore[reportArgumentType]
    if isinstance(labels, Tensor):
        if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
            raise fail(
                caller, f"{name} are {describe(labels)}", f"{_ONE_EACH} (a tensor of whole numbers, 1-D)"
            )
        if labels.dtype != torch.uint64:
            return labels.to(torch.long)
        labels = labels.cpu().numpy()
    if isinstance(labels, np.ma.MaskedArray):
        if labels.ndim == 1 and bool(np.ma.getmaskarray(labels).any()):
            raise _missing(caller, name, int(np.ma.getmaskarray(labels).argmax()), np.ma.masked)
        labels = labels.data
    if not isinstance(labels, np.ndarray | Sequence) and hasattr(labels, "__array__"):
        labels = np.asarray(labels)
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise fail(caller, f"{name} are {describe(labels)}", _ONE_EACH)
        if labels.dtype.kind in "iubf":
            return _numbers(caller, name, labels)
        labels = labels.tolist() if labels.dtype.kind in "OUST" else list(labels)
    if not isinstance(labels, Sequence) or isinstance(labels, str | bytes | bytearray):
        raise fail(caller, f"{name} are {describe(labels)}", f"a sequence with {_ONE_EACH}")
    return _of_list(caller, name, labels)


def _all_tensors(labels: Sequence[Any]) -> bool:
    """Whether a list holds 0-d tensors of one type and nothing else."""
    return len(labels) > 0 and all(
        isinstance(label, Tensor) and label.ndim == 0 and label.dtype == labels[0].dtype for label in labels
    )


def _numbers(caller: str, name: str, array: np.ndarray) -> Tensor | list[int]:
    """Whole numbers of an array, checked where they are floats."""
    if array.dtype.kind == "f":
        wide = array.astype(np.promote_types(array.dtype, np.float64))
        whole = (wide == np.floor(wide)) & (np.abs(wide) < _LARGEST)
        if not bool(whole.all()):
            row = int((~whole).argmax())
            _plain_or_refused(caller, name, row, array[row])
    if array.dtype.kind == "u" and len(array) and int(array.max()) >= _LARGEST:
        return array.tolist()
    return torch.from_numpy(array.astype(np.int64))


def _of_list(caller: str, name: str, labels: Sequence[Any]) -> Tensor | list[Any]:
    """Labels one by one: they are all numbers or all texts."""
    kinds = set(map(type, labels))
    plain: list[Any] = list(labels)
    if not kinds <= {int} and not kinds <= {str}:
        plain = [_plain_or_refused(caller, name, row, label) for row, label in enumerate(labels)]
        kinds = set(map(type, plain))
    if len(kinds) > 1:
        one, other = (
            next(row for row, label in enumerate(plain) if type(label) is kind) for kind in (int, str)
        )
        raise fail(
            caller,
            f"{name}[{one}] is the number {plain[one]!r} and {name}[{other}] the text {plain[other]!r}",
            "labels of one type",
            "Turn the numbers into texts, or the texts into numbers.",
        )
    if kinds == {str}:
        if absent := MISSING & set(plain):
            row = min(plain.index(text) for text in absent)
            raise _missing(caller, name, row, plain[row])
        return plain
    within = all(-_LARGEST <= number < _LARGEST for number in plain)
    return torch.tensor(plain, dtype=torch.long) if within else plain


def _plain_or_refused(caller: str, name: str, row: int, label: Any) -> int | str:
    """A label as int or str; InputError names the row."""
    scalar = isinstance(label, np.generic) or (isinstance(label, Tensor | np.ndarray) and label.ndim == 0)
    if scalar and label is not np.ma.masked:  # pyright: ignore[reportUnnecessaryComparison]
        label = label.item()
    if _is_missing(label):
        raise _missing(caller, name, row, label)
    try:
        if isinstance(label, bytes):
            return label.decode()
        if isinstance(label, str):
            return str(label)
        if isinstance(label, bool | np.bool_ | Integral):
            return int(label)
        if isinstance(label, float | np.floating | Decimal | Fraction):
            if label == int(label) and abs(label) < _LARGEST:
                return int(label)
    except (UnicodeDecodeError, OverflowError):  # no UTF-8; an infinity
        pass
    raise fail(
        caller,
        f"{name}[{row}] is {describe(label)}",
        _ONE_EACH,
        "Values are no classes: round or number them first. Labels of another type go as texts.",
    )


def _missing(caller: str, name: str, row: int, label: Any) -> InputError:
    """The refusal of a label that is missing: as a class, all such items would be alike."""
    return fail(
        caller,
        f"{name}[{row}] is {describe(label)}, which stands for a missing label",
        _ONE_EACH,
        "Leave items without a label out, or give their class another name.",
    )
