"""What a user holds, as the tensors that a split yields: arrays of any byte order and stride, lists, columns.

numpy makes float64 of every literal, so a float64 array becomes PyTorch's default type, as a network expects it; a
tensor is never touched, except that whole numbers of the types in which PyTorch cannot compute (uint16, uint32,
uint64) become wider ones. Texts stay a list.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._structures import form

__all__ = ["inputs_as_tensor", "not_half", "targets_as_given"]

_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64}


def inputs_as_tensor(caller: str, inputs: Any) -> Tensor:
    """Return inputs as one tensor [item, ...].

    Raises:
        InputError: no array of numbers: texts, items of several shapes, missing or masked values, whole numbers
            beyond int64, a sparse matrix, a dict.
    """
    if isinstance(inputs, Tensor):
        return _tensor(caller, "inputs", inputs)
    found = _array(caller, "inputs", inputs)
    if isinstance(found, list):
        raise fail(
            caller,
            f"inputs are {_shown(found)}",
            "an array or tensor of numbers [item, ...]",
            "Items of several sizes, texts and dicts come from a DataLoader with a collate_fn.",
        )
    return _tensor(caller, "inputs", _from_numpy(caller, "inputs", found))


def not_half(inputs: Tensor) -> Tensor:
    """Return inputs with half-precision numbers in PyTorch's default type: they were stored so to save room."""
    half = inputs.is_floating_point() and inputs.element_size() < 4
    return inputs.to(torch.get_default_dtype()) if half else inputs


def targets_as_given(caller: str, targets: Any) -> Tensor | list[Any]:
    """Return targets as one tensor [item, ...], or as a list where they are texts.

    Raises:
        InputError: as for inputs; a missing value among texts.
    """
    if isinstance(targets, Tensor):
        return _tensor(caller, "targets", targets)
    found = _array(caller, "targets", targets)
    if isinstance(found, list):
        texts = [item.decode() if isinstance(item, bytes) else item for item in found]
        for row, item in enumerate(texts):
            if not isinstance(item, str):
                raise fail(
                    caller,
                    f"targets[{row}] is {describe(item)}",
                    "one number, or one text, for every item",
                    "Leave out items without a target.",
                )
        return [str(item) for item in texts]
    if found.dtype.kind == "f" and found.dtype.itemsize > 4 and bool((found == np.floor(found)).all()):
        return torch.from_numpy(found.astype(np.float64))  # whole numbers stay exact
    if (
        found.dtype.kind in "iu"
        and found.dtype.itemsize < 8
        and found.dtype.kind + str(found.dtype.itemsize) != "u1"
    ):
        found = found.astype(np.int64)  # the losses of PyTorch take class numbers as int64 (masks as uint8)
    return _tensor(caller, "targets", _from_numpy(caller, "targets", found))


def _array(caller: str, name: str, value: Any) -> np.ndarray | list[Any]:
    """Return an array of numbers in this machine's byte order, or a list of what is none."""
    if (
        isinstance(value, Mapping)
        or isinstance(value, str | bytes)
        or callable(getattr(value, "toarray", None))
    ):
        what = "a sparse matrix" if hasattr(value, "toarray") else form(value)
        remedy = "Call toarray() on it." if hasattr(value, "toarray") else ""
        raise fail(caller, f"{name} are {what}", "an array, tensor or list with one entry per item", remedy)
    if isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value):
        shapes = {tuple(item.shape) if isinstance(item, Tensor) else None for item in value}
        if len(shapes) > 1:
            return list(value)
        return _array(caller, name, torch.stack(list(value)).detach().cpu().numpy())
    if not isinstance(value, np.ndarray | Sequence) and not hasattr(value, "__array__"):
        raise fail(
            caller, f"{name} are {describe(value)}", "an array, tensor or list with one entry per item"
        )
    if isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any()):
        row = int(np.ma.getmaskarray(value).reshape(len(value), -1).any(1).argmax())
        raise fail(
            caller, f"{name}[{row}] is masked", "a value for every item", "Leave out items without one."
        )
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        return list(value)
    if array.dtype.kind in "biufc":
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        return array.copy() if any(stride < 0 for stride in array.strides) else array
    if (
        array.dtype.kind == "O"
        and array.size
        and all(isinstance(item, int | float | np.number) for item in array.flat)
    ):
        return _array(caller, name, array.tolist())
    return list(value) if isinstance(value, list | tuple) else array.tolist()


def _from_numpy(caller: str, name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        if array.size and int(array.max()) > torch.iinfo(torch.int64).max:
            raise fail(
                caller, f"{name} reach {array.max()}", "whole numbers within int64", "Number them first."
            )
        return torch.from_numpy(array.astype(np.int64))
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        return torch.from_numpy(array.astype(np.float64)).to(torch.get_default_dtype())
    if array.dtype.kind == "c" and array.dtype.itemsize > 16:
        array = array.astype(np.complex128)
    with warnings.catch_warnings():  # a memory map may be read-only: nobody writes into inputs and targets
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def _tensor(caller: str, name: str, value: Tensor) -> Tensor:
    """Return a tensor in a type and layout in which rows can be taken; InputError where it cannot be."""
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        raise fail(
            caller,
            f"{name} are a {value.layout} tensor on {value.device}",
            "a dense tensor with numbers",
            f"Pass {name}.to_dense().",
        )
    if value.ndim == 0:
        raise fail(caller, f"{name} are {describe(value)}", "one entry per item [item, ...]")
    if value.dtype in _WIDER:
        if value.dtype == torch.uint64 and value.numel() and int(value.view(torch.int64).min()) < 0:
            raise fail(caller, f"{name} are beyond int64", "whole numbers within int64", "Number them first.")
        return value.to(_WIDER[value.dtype])
    return value


def _shown(items: list[Any]) -> str:
    kinds = sorted({type(item).__name__ for item in items})
    return f"a list of {len(items)} ({', '.join(kinds)})"
