"""What a split yields and what a network returns, in whatever it is packed: dicts, tuples, records, lists.

Networks take and return tensors, or structures of them: a dict (also `ModelOutput`), a tuple or named tuple, a
dataclass, a list. The parts of one batch are moved together, and the batches of a split are joined part by part.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from metricgrad._checks import describe, fail
from metricgrad.errors import InputError

__all__ = [
    "form",
    "items_of",
    "joined",
    "mapped",
    "moved",
    "no_tensor",
    "one_tensor",
    "pair",
    "part_named",
    "tensors_of",
]

Array = Tensor | np.ndarray


def pair(batch: Any) -> tuple[Any, Any]:
    """Return inputs and targets of a batch.

    Raises:
        InputError: the batch is not made of these two.
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    raise fail(
        "split",
        f"a batch is {form(batch)}",
        "two parts, (inputs, targets)",
        "Splits(..., unpack=function) takes a function batch -> (inputs, targets).",
    )


def form(value: Any) -> str:
    """What came, in a few words: the parts of a structure, shape and dtype of an array."""
    if isinstance(value, Mapping):
        kind = (
            "dict"
            if isinstance(value, dict) and type(value).__module__ in ("builtins", "collections")
            else ""
        )
        kind = kind or type(value).__name__
        return f"a {kind} of {', '.join(map(str, value))}" if value else f"an empty {kind}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"a {type(value).__name__} of {', '.join(field.name for field in dataclasses.fields(value))}"
    if isinstance(value, tuple | list):
        kinds = ", ".join(type(part).__name__ for part in value[:4]) + (", ..." if len(value) > 4 else "")
        return (
            f"a {type(value).__name__} of {len(value)} ({kinds})"
            if value
            else f"an empty {type(value).__name__}"
        )
    return describe(value)


def moved(value: Any, device: torch.device) -> Any:
    """Return a structure with its tensors on a device, in the form in which it came."""

    def there(leaf: Any) -> Any:
        if isinstance(leaf, list):
            return [moved(item, device) for item in leaf]
        movable = isinstance(leaf, Tensor) or (
            not isinstance(leaf, type) and callable(getattr(leaf, "to", None))
        )
        return leaf.to(device) if movable else leaf

    return mapped(value, there)


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return a structure of the same types with each part replaced that is none itself; lists are not entered."""
    if not _structured(value) or isinstance(value, list | PackedSequence):
        return function(value)
    return _rebuilt(value, {key: mapped(part, function) for key, part in _parts(value).items()})


def one_tensor(caller: str, outputs: Any) -> Tensor:
    """Return outputs that are one tensor; InputError where a network returns anything else to a loss of ours."""
    if not isinstance(outputs, Tensor):
        remedy = "Wrap it in a module whose forward returns that tensor alone."
        raise no_tensor(caller, outputs, "one tensor of embeddings or scores", remedy)
    return outputs


def no_tensor(caller: str, outputs: Any, expected: str, otherwise: str) -> InputError:
    """Build the message for outputs that are no tensor: what came, and how one part of several is taken.

    Example:
        >>> print(no_tensor("f1", {"logits": torch.ones(2, 3)}, "one tensor", "Return one."))
        f1: the network returns a dict of logits; expected one tensor. Take one part: \
metricgrad.integrations.transformers.OutputOf(network, 'logits').
    """
    return fail(caller, f"the network returns {form(outputs)}", expected, part_named(outputs, otherwise))


def part_named(outputs: Any, otherwise: str) -> str:
    """What to do about outputs that are no tensor; of a mapping it names the parts with a row per item."""
    named = outputs.items() if isinstance(outputs, Mapping) else ()
    parts = [repr(name) for name, part in named if isinstance(part, Tensor) and part.ndim]
    if not parts or outputs.keys() <= {"query", "document"}:  # of two towers both are wanted
        return otherwise
    last = "" if len(parts) == 1 else f", or {', '.join(parts[1:])}"
    return f"Take one part: metricgrad.integrations.transformers.OutputOf(network, {parts[0]}){last}."


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a structure."""
    if isinstance(value, Tensor):
        yield value
    elif _structured(value):
        for part in _parts(value).values():
            yield from tensors_of(part)


def items_of(*values: Any) -> int | None:
    """Return the number of items of a batch, by the first of the values that shows it; None where none does."""
    for value in values:
        if isinstance(value, np.ndarray) and value.ndim:
            return len(value)
        if isinstance(value, list) and not any(isinstance(part, Array) for part in value):
            return len(value)
        for tensor in tensors_of(value):
            if tensor.ndim:
                return len(tensor)
    return None


def joined(what: str, batches: Sequence[Any], rows: Sequence[int | None]) -> Any:
    """Join what the batches of a split hold into one structure, part by part.

    Args:
        what: for messages: `outputs` or `targets`.
        batches: one value per batch, all of one form.
        rows: items of every batch, None where they are not known.

    Returns:
        Tensors and arrays joined on axis 0; dicts, tuples and dataclasses of such, under the same names; a list with
        one entry per item where batches are lists with one entry per item, or where what follows axis 0 differs from
        batch to batch (batches padded to different lengths).

    Raises:
        InputError: the batches differ in form, or one has no axis of items; the message names the batch.

    Edge cases:
        a batch of one item without its axis (`squeeze`) gets it back where the other batches show it.
    """
    number = next((place for place, batch in enumerate(batches) if _kind(batch) != _kind(batches[0])), None)
    if number is not None:
        raise fail(
            what,
            f"batch 0 is {form(batches[0])} and batch {number} is {form(batches[number])}",
            "one form",
            "Return the same parts for every batch.",
        )
    sample = batches[0]
    if isinstance(sample, Array):
        return _joined_arrays(what, batches, rows)
    if sample is None:
        return None
    if type(sample) in (list, tuple) and _is_of_items(batches, rows):
        return [item for batch in batches for item in batch]
    if _structured(sample):
        names = [list(_parts(batch)) for batch in batches]
        for number, found in enumerate(names):
            if found != names[0]:
                raise fail(
                    what,
                    f"batch 0 is {form(sample)} and batch {number} is {form(batches[number])}",
                    "the same parts in every batch",
                )
        parts = {
            key: joined(f"{what}[{key!r}]", [_parts(batch)[key] for batch in batches], rows)
            for key in names[0]
        }
        return _rebuilt(sample, parts)
    if all(count == 1 for count in rows):
        return list(batches)
    raise fail(
        what,
        f"a batch is {form(sample)}",
        "a tensor with one row per item, or a dict, tuple or list of such",
        "Return one value for each item of the batch.",
    )


def _joined_arrays(what: str, batches: Sequence[Any], rows: Sequence[int | None]) -> Any:
    axes = max(batch.ndim for batch in batches)
    whole = [
        batch[None] if _lost_axis(batch, count, batches, axes) else batch
        for batch, count in zip(batches, rows, strict=True)
    ]
    axes = max(batch.ndim for batch in whole)
    for number, (batch, count) in enumerate(zip(whole, rows, strict=True)):
        if batch.ndim != axes or batch.ndim == 0:
            items = "" if count is None else f" for {count} item{'s' if count != 1 else ''}"
            raise fail(
                what,
                f"batch {number} is {describe(batch)}{items}, another one {describe(batches[0])}"
                if axes
                else f"a batch is one number{items}",
                "one row per item in every batch",
                "squeeze() without a dim also removes the axis of a batch of one item: say which one."
                if axes
                else "Return one value for each item of the batch.",
            )
    if len({tuple(batch.shape[1:]) for batch in whole}) > 1:
        return [row for batch in whole for row in batch]
    return torch.cat(list(whole)) if isinstance(whole[0], Tensor) else np.concatenate(whole)


def _lost_axis(batch: Any, count: int | None, batches: Sequence[Any], axes: int) -> bool:
    """Whether a batch of one item lost the axis that every larger batch has."""
    if count != 1:
        return False
    if batch.ndim == 0 and axes <= 1:
        return True
    others = {tuple(other.shape[1:]) for other in batches if other.ndim == axes}
    return batch.ndim == axes - 1 and tuple(batch.shape) in others


def _is_of_items(batches: Sequence[Sequence[Any]], rows: Sequence[int | None]) -> bool:
    """Whether lists or tuples hold one entry for each item, and not parts of a batch, such as (logits, features)."""
    if isinstance(batches[0], list) and all(
        len(batch) == count for batch, count in zip(batches, rows, strict=True)
    ):
        return True
    of_parts = all(
        (isinstance(part, Array) and part.ndim > 0 and len(part) == count)
        or _structured(part)
        or part is None
        for batch, count in zip(batches, rows, strict=True)
        for part in batch
    )
    return not of_parts


def _kind(value: Any) -> Any:
    if isinstance(value, Tensor):
        return Tensor
    return type(value)


def _structured(value: Any) -> bool:
    if isinstance(value, type):
        return False
    return isinstance(value, Mapping | tuple | list) or dataclasses.is_dataclass(value)


def _parts(value: Any) -> dict[Any, Any]:
    """Return the parts of a structure by name or place."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _rebuilt(value: Any, parts: Mapping[Any, Any]) -> Any:
    """Return a structure of the same type with other parts; a plain dict or tuple where the type makes none."""
    if isinstance(value, tuple | list):
        try:
            return type(value)(*parts.values()) if hasattr(value, "_fields") else type(value)(parts.values())
        except TypeError:  # a type of the user with another constructor
            return tuple(parts.values())
    if type(value) is dict or (isinstance(value, Mapping) and not isinstance(value, MutableMapping)):
        return dict(parts)
    whole = copy.copy(value)
    for name, part in parts.items():
        if isinstance(value, Mapping):
            whole[name] = part
        if dataclasses.is_dataclass(value):  # `ModelOutput` is both
            object.__setattr__(whole, name, part)  # as a frozen dataclass is made
    return whole
