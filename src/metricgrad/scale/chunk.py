"""Cut the inputs of a model into chunks, and find out how many rows of them fit into memory.

Inputs are a tensor or array, a tuple, mapping or dataclass of parts that are cut alike (pictures and masks, token ids
and attention), or a list of items of any kind (ragged ones). What has no rows (None, a number, a text) goes whole to
every chunk. Chunks have the type of the inputs: a model reads a named tuple or a mapping of its own kind by name.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from metricgrad._checks import describe, fail, positive_number
from metricgrad._forward import forward
from metricgrad._structures import mapped, moved
from metricgrad.scale.random_state import devices_of, random_state, restore_random_state

__all__ = ["MEMORY", "bytes_per_row", "chunks", "device_of", "fitting_chunk", "leaves_of", "rows_of", "taken"]

MEMORY = 2**30
"""Default budget in bytes for the activations of one chunk. Fixed, not what is free just now: the size of the chunk
shows in the last digits of a gradient, and a repeated run should repeat them."""

_PROBE = 4
"""Rows of the smaller of the two probes."""


def fitting_chunk(model: nn.Module, inputs: Any, *, memory: float = MEMORY) -> int:
    """Return how many rows may be embedded at once, so that what autograd keeps fits (estimate).

    chunk = memory // bytes per row, where the bytes are those that the forward pass saves for the backward pass:
    measured on the first 8 rows less those of the first 4, each storage counted once, parameters left out.

    Args:
        model: in the mode in which it will be trained; called as `model(inputs)`.
        inputs: a batch: tensor, tuple, mapping or dataclass of parts, or list of items.
        memory: budget in bytes, > 0.

    Returns:
        A number of rows >= 1; all rows where nothing is saved.

    Raises:
        InputError: the budget is not positive; the inputs are of no known kind, differ in length or are empty.

    Edge cases:
        One row alone that exceeds the budget: 1. Items of unequal size: the first ones are taken for typical.

    Gradient:
        None; random states are left as they were.

    Cost:
        Two forward passes of at most 8 rows. Peak memory of training is more than the budget: the backward pass adds
        the gradients of a layer or two, the forward pass temporary results, and some libraries their work space.

    Reference:
        [gao2021gradcache]; the measurement is this project's own.

    Example:
        >>> mlp = nn.Sequential(nn.Linear(8, 1000), nn.ReLU(), nn.Linear(1000, 2))
        >>> fitting_chunk(mlp, torch.zeros(64, 8), memory=2**20)
        262
    """
    budget = positive_number("fitting_chunk", "memory", memory)
    per_row = bytes_per_row(model, inputs)
    return rows_of("fitting_chunk", inputs) if per_row <= 0 else max(1, int(budget // per_row))


def bytes_per_row(model: nn.Module, inputs: Any) -> float:
    """Return how many bytes of a row the forward pass keeps for the backward pass (estimate, see `fitting_chunk`)."""
    rows = rows_of("fitting_chunk", inputs)
    if rows == 0:
        raise fail("fitting_chunk", "the inputs are empty", "at least one row")
    small = min(_PROBE, rows // 2)
    large = max(1, 2 * small)
    before = random_state(devices_of([model]))
    try:
        saved = _saved_bytes(model, inputs, large)
        if small:
            saved -= _saved_bytes(model, inputs, small)
    finally:
        restore_random_state(before)
    return saved / (large - small)


def _saved_bytes(model: nn.Module, inputs: Any, rows: int) -> int:
    """Bytes that a forward pass of the first rows keeps for the backward pass."""
    own = {value.untyped_storage().data_ptr() for value in [*model.parameters(), *model.buffers()]}
    found: dict[int, int] = {}
    alive = []  # a freed storage's address would be given away again

    def note(value: Tensor) -> None:
        if value.layout == torch.strided and value.untyped_storage().data_ptr() not in own:
            alive.append(value)
            found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, _not_backward):
        alive.append(forward(model, moved(taken(inputs, 0, rows), device_of(model))))
    return sum(found.values())


def _not_backward(_: None) -> Tensor:
    raise RuntimeError("a probe has no backward pass")


def rows_of(caller: str, inputs: Any) -> int:
    """Return the number of rows; InputError where the parts differ in length or are of another kind."""
    leaves = leaves_of(inputs)
    lengths = {len(leaf) for leaf in leaves if _has_rows(leaf)}
    if any(isinstance(leaf, PackedSequence) for leaf in leaves):
        raise fail(caller, "inputs hold a PackedSequence", "padded sequences, which can be cut into rows")
    if len(lengths) == 1:
        return lengths.pop()
    if lengths:
        raise fail(caller, f"the parts of the inputs have {sorted(lengths)} rows", "the same number of rows")
    raise fail(
        caller,
        f"inputs are {describe(inputs)}",
        "a tensor with one row an item, a tuple, mapping or dataclass of such parts, or a list of items",
    )


def leaves_of(inputs: Any) -> list[Any]:
    """Return the parts of the inputs that are no structure themselves; a list of items is one of them."""
    found: list[Any] = []

    def note(leaf: Any) -> Any:
        found.append(leaf)
        return leaf

    mapped(inputs, note)
    return found


def taken(inputs: Any, start: int, stop: int, step: int = 1) -> Any:
    """Return some rows, in the form in which they came."""
    return mapped(inputs, lambda leaf: leaf[start:stop:step] if _has_rows(leaf) else leaf)


def chunks(rows: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield first row and end of every chunk; no rows are one empty chunk."""
    for start in range(0, max(rows, 1), chunk):
        yield start, min(start + chunk, rows)


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's first parameter lies."""
    return next((value.device for value in model.parameters()), torch.device("cpu"))


def _has_rows(leaf: Any) -> bool:
    return isinstance(leaf, list) or (isinstance(leaf, Tensor | np.ndarray) and leaf.ndim > 0)
