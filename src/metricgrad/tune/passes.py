"""One pass over a split: the same (seed, epoch) gives the same batches, whatever it is that draws them.

The order of a pass and what is drawn in it may hang on the global random states, on `set_epoch`, on generators that a
loader, a sampler, a dataset or a transform holds, and on workers that outlive a pass. All of them are set when a pass
begins, at any depth, and the batches draw from random states of their own: what a model or a loss draws between two
batches changes no batch, so that all arms of a run see the same ones.
"""

import functools
import random
from collections import deque
from collections.abc import Iterator, Mapping
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from metricgrad._types import Split
from metricgrad.tune.splits import ArraySplit, ClassBatchSplit

__all__ = ["begin_pass", "one_pass", "seed_everything"]

MOST_PARTS, LONGEST_LIST = 20_000, 1_000
"""So many parts of a split are searched for generators; longer lists hold data."""

_DATA = (Tensor, np.ndarray, str, bytes, int, float, complex, bool, type(None), type, ModuleType, nn.Module)
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def seed_everything(*words: int) -> None:
    """Seed python, numpy and torch from a sequence of integers."""
    seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (the user's code may draw from the global state)
    torch.manual_seed(seed)


def one_pass(split: Split, seed: int, epoch: int) -> Iterator[Any]:
    """Begin a pass and return its batches; (seed, epoch) alone decides them.

    The global random states are seeded and belong to the caller from then on; each batch is drawn from others, which
    were seeded in the same way.
    """
    seed_everything(seed, epoch)
    begin_pass(split, seed * 1_000_000 + epoch)
    if type(split) in (ArraySplit, ClassBatchSplit):  # they draw from nothing global
        return iter(split)
    callers = _global_states()
    batches = iter(split)
    own = _global_states()
    _restore(callers)
    return _drawn(batches, own)


def _drawn(batches: Iterator[Any], own: Any) -> Iterator[Any]:
    """Yield batches, each drawn from random states that nobody else draws from."""
    while True:
        callers = _global_states()
        _restore(own)
        try:
            batch = next(batches)
        except StopIteration:
            _restore(callers)
            return
        own = _global_states()
        _restore(callers)
        yield batch


def begin_pass(split: Any, number: int) -> None:
    """Tell a split which pass begins: `set_epoch` and every generator in it, and no worker of an earlier pass."""
    seen: set[int] = set()
    waiting = deque([split])
    while waiting and len(seen) < MOST_PARTS:
        part = waiting.popleft()
        if id(part) in seen or isinstance(part, _DATA):
            continue
        seen.add(id(part))
        if isinstance(part, _GENERATORS):
            _reseed(part, number)
            continue
        if isinstance(part, DataLoader):
            part._iterator = None  # persistent workers would draw on from where the last pass left them
        set_epoch = getattr(part, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(number)
        waiting.extend(_inside(part))


def _reseed(generator: Any, number: int) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(number)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(number).state  # pyright: ignore[reportCallIssue]
    elif isinstance(generator, np.random.RandomState):
        generator.seed(number % 2**32)
    else:
        generator.seed(number)


def _inside(part: Any) -> Iterator[Any]:
    """Yield what may hold a generator: members, items of short lists, what functions close over or name."""
    if isinstance(part, Mapping):
        yield from part.values() if len(part) <= LONGEST_LIST else ()
    elif isinstance(part, list | tuple | set | frozenset | deque):
        yield from part if len(part) <= LONGEST_LIST else ()
    elif isinstance(part, FunctionType):
        yield from _named(part)
    elif isinstance(part, MethodType | BuiltinMethodType):
        yield from (part.__self__, getattr(part, "__func__", None))
    elif isinstance(part, functools.partial):
        yield from (part.func, part.args, part.keywords)
    else:
        yield from list(getattr(part, "__dict__", {}).values())
        for name in ("__iter__", "__getitem__", "__getitems__", "__call__"):
            yield getattr(type(part), name, None)


def _named(function: FunctionType) -> Iterator[Any]:
    """Yield what a function closes over, and the generators and functions among the globals that it names."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
    yield from function.__defaults__ or ()
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, (*_GENERATORS, FunctionType)):
            yield value


def _global_states() -> tuple[Any, Any, Tensor]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 (the user's code draws here)


def _restore(states: tuple[Any, Any, Tensor]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
