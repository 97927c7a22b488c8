"""Tensors and values that safetensors does not hold as they are, as ones that it does.

A tensor of a dtype that the format lacks (complex128) is kept as its bytes, a sparse one as its dense parts. Anything
else that a state dict may hold (the extra state of a module) is a tree of dicts, lists, tuples, numbers and strings,
kept as JSON. Everything comes back as it was, to the bit.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import save as save_bytes
from torch import Tensor

from metricgrad.errors import CheckpointError, InputError

__all__ = ["packed", "plain", "unpacked"]

_TENSOR, _TUPLE, _DICT, _SPARSE, _BYTES = "__tensor__", "__tuple__", "__dict__", "__sparse__", "__bytes__"

_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices"),
    torch.sparse_bsr: ("crow_indices", "col_indices"),
    torch.sparse_csc: ("ccol_indices", "row_indices"),
    torch.sparse_bsc: ("ccol_indices", "row_indices"),
}


def plain(value: Any) -> bool:
    """Whether safetensors holds a value as it is: a dense tensor of one of its dtypes."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_meta
        and _known(value.dtype)
    )


def packed(value: Any, keep: Callable[[Tensor], str]) -> Any:
    """Return a value as a tree for JSON; its tensors go to `keep`, which returns the name that each is kept under.

    Raises:
        InputError: something that neither JSON nor safetensors holds.
    """
    if isinstance(value, Tensor):
        return _packed_tensor(value, keep)
    if isinstance(value, Mapping):
        return {_DICT: [[packed(key, keep), packed(item, keep)] for key, item in value.items()]}
    if isinstance(value, list):
        return [packed(item, keep) for item in value]
    if isinstance(value, tuple):
        return {_TUPLE: [packed(item, keep) for item in value]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise InputError(
        f"a checkpoint holds dicts, lists, tuples, numbers, strings and tensors; state_dict gave {type(value).__name__}"
    )


def unpacked(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what `packed` made a tree of.

    Raises:
        CheckpointError: a tensor of the tree is missing, or the tree is none of ours.
    """
    try:
        return _unpacked(tree, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"the checkpoint is damaged ({type(error).__name__}: {str(error)[:100]}); restore it from a copy."
        ) from error


def _unpacked(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpacked(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if _TENSOR in tree:
        try:
            return tensors[tree[_TENSOR]]
        except KeyError as error:
            raise CheckpointError(
                f"the checkpoint lacks its tensor {error}; restore it from a copy."
            ) from error
    if _TUPLE in tree:
        return tuple(_unpacked(item, tensors) for item in tree[_TUPLE])
    if _BYTES in tree:
        dtype, shape, content = tree[_BYTES]
        return _unpacked(content, tensors).view(getattr(torch, dtype)).view(shape)
    if _SPARSE in tree:
        layout, shape, parts = tree[_SPARSE]
        return _sparse(layout, shape, _unpacked(parts, tensors))
    return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in tree[_DICT]}


def _packed_tensor(value: Tensor, keep: Callable[[Tensor], str]) -> Any:
    if plain(value):
        return {_TENSOR: keep(value)}
    value = value.detach()
    shape = list(value.shape)
    if value.layout == torch.sparse_coo:
        whole = value.coalesce()
        parts = [whole.indices(), whole.values()]
    elif value.layout in _COMPRESSED:
        parts = [*(getattr(value, name)() for name in _COMPRESSED[value.layout]), value.values()]
    elif value.layout != torch.strided or value.is_quantized or value.is_meta:
        kind = "quantised" if value.is_quantized else "meta" if value.is_meta else str(value.layout)
        raise InputError(
            f"a checkpoint holds dense and sparse tensors; state_dict gave a {kind} one of {value.dtype}"
        )
    else:
        content = value.cpu().contiguous().flatten().view(torch.uint8)
        return {_BYTES: [str(value.dtype).removeprefix("torch."), shape, {_TENSOR: keep(content)}]}
    layout = str(value.layout).removeprefix("torch.")
    return {_SPARSE: [layout, shape, [_packed_tensor(part, keep) for part in parts]]}


def _sparse(layout: str, shape: list[int], parts: list[Tensor]) -> Tensor:
    if layout == "sparse_coo":
        return torch.sparse_coo_tensor(parts[0], parts[1], shape, is_coalesced=True, check_invariants=True)
    return torch.sparse_compressed_tensor(
        parts[0], parts[1], parts[2], size=shape, layout=getattr(torch, layout), check_invariants=True
    )


@functools.cache
def _known(dtype: torch.dtype) -> bool:
    try:
        save_bytes({"": torch.empty(0, dtype=dtype)})
    except KeyError:
        return False
    return True
