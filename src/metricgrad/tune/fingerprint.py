"""A hash of what a model, a metric or a loss is: its code and the values that it holds, the same in every process.

Neither addresses, nor the order of sets and dicts, nor names of files, lines, comments and docstrings enter. Code of
installed libraries stands for itself by name and version; code of the user's own is hashed with everything that it
names: what functions close over, their defaults, the globals that they read, the source of the user's modules.
"""

import dis
import functools
import hashlib
import random
import re
import sys
import weakref
from collections.abc import Mapping
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType, UnionType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad.tune.sources import names_in, of_library, source_of, top_of, versioned

__all__ = ["Fingerprint", "fingerprint"]

_PLAIN = (
    type(None),
    type(Ellipsis),
    type(NotImplemented),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    slice,
)
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_MACHINERY = frozenset(
    {"_io", "_thread", "io", "multiprocessing", "queue", "socket", "subprocess", "threading", "tqdm"}
)
"""Modules whose objects belong to the process that made them: files, locks, threads, progress bars."""
_HAS_DOCSTRING = 0x4000000
_EMPTY_MODULE = frozenset(vars(nn.Module()))
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")


def fingerprint(value: Any) -> "Fingerprint":
    """Return the hashes of a value's code and of all it holds.

    Args:
        value: anything. An object that counts or caches may say what makes two of it the same by a method
            `identity_parts() -> Any`, which then stands for its attributes.

    Example:
        >>> from functools import partial
        >>> first, second = (fingerprint(partial(max, scale)) for scale in (2.0, 3.0))
        >>> first.code == second.code, first.values == second.values
        (True, False)
    """
    code, values = _Reader(values=False), _Reader(values=True)
    for reader in (code, values):
        try:
            reader.read(value)
        except RecursionError:
            reader.unread["something that is nested too deeply"] = None
    return Fingerprint(code.total.hexdigest(), values.total.hexdigest(), list(values.unread))


class Fingerprint(NamedTuple):
    """What a value is.

    Attributes:
        code: hash of the code that is the user's, and of names and versions of libraries.
        values: hash of the code and of all values.
        unread: what could not be read, in words: a change of it is not noticed.
    """

    code: str
    values: str
    unread: list[str]


class _Reader:
    """Walks through a value and hashes what it meets."""

    def __init__(self, *, values: bool) -> None:
        self.total, self.values = hashlib.sha256(), values
        self.unread: dict[str, None] = {}
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no two values share an address

    def read(self, value: Any) -> None:
        """Hash a value; one that was met before is named by its number."""
        if isinstance(value, _PLAIN):
            return self._value(f"{type(value).__name__} {value!r}")
        if id(value) in self._seen:
            return self._value(f"again {self._seen[id(value)]}")
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        if isinstance(value, Tensor | np.ndarray | np.generic):
            return self._array(value)
        if not of_library(type(value).__module__):
            return self._thing(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, set | frozenset):
            return self._value(f"set {sorted(self._digest(item) for item in value)}")
        if isinstance(value, list | tuple):
            return self._sequence(value)
        return self._thing(value)

    def _thing(self, value: Any) -> None:
        """Hash what is neither data nor a container."""
        if isinstance(value, FunctionType):
            self._function(getattr(value, "_torchdynamo_orig_callable", value))
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, MethodType):
            self._parts("method", value.__func__, value.__self__)
        elif isinstance(value, BuiltinFunctionType):
            self._text(f"builtin {value.__module__} {value.__qualname__}")
            self.read(None if isinstance(value.__self__, ModuleType) else value.__self__)
        elif isinstance(value, functools.partial):
            self._parts("partial", value.func, value.args, value.keywords)
        elif isinstance(value, staticmethod | classmethod):
            self._parts(type(value).__name__, value.__func__)
        elif isinstance(value, property):
            self._parts("property", value.fget, value.fset)
        elif isinstance(value, nn.Module):
            self._network(value)
        elif isinstance(value, torch.jit.ScriptFunction):
            self._text(str(value.code))
        elif isinstance(value, torch.dtype | torch.device):
            self._value(str(value))
        elif isinstance(value, UnionType):
            self._parts("union", *value.__args__)
        elif isinstance(value, re.Pattern):
            self._value(f"pattern {value.pattern!r} {value.flags}")
        elif isinstance(value, _GENERATORS):
            self._text(type(value).__name__)  # where it stands is no property of what holds it
        elif isinstance(value, weakref.ref | CellType):
            pass
        else:
            self._object(value)

    def _text(self, text: str) -> None:
        self.total.update(f"{text}\n".encode(errors="surrogatepass"))

    def _value(self, text: str) -> None:
        if self.values:
            self._text(text)

    def _parts(self, kind: str, *parts: Any) -> None:
        self._text(kind)
        for part in parts:
            self.read(part)

    def _digest(self, value: Any) -> str:
        """The hash of a value on its own, for an order that no hash seed and no insertion decides."""
        inner = _Reader(values=self.values)
        inner.read(value)
        self.unread |= inner.unread
        return inner.total.hexdigest()

    def _array(self, value: Any) -> None:
        if not self.values:
            return
        if isinstance(value, np.ma.MaskedArray):
            self._array(np.ma.getmaskarray(value))
        if isinstance(value, np.ndarray | np.generic):
            value = np.asarray(value)
            self._text(f"array {value.dtype.str} {value.shape}")
            if value.dtype.hasobject:
                return self._sequence(value.ravel().tolist())
            return self.total.update(value.tobytes())
        self._text(f"tensor {value.dtype} {value.requires_grad}")
        if nn.parameter.is_lazy(value) or value.is_meta or value.is_quantized:
            return self._missing(f"a {value.dtype} tensor without plain numbers")
        if value.layout != torch.strided:
            value = value.to_dense()
        self._text(str(tuple(value.shape)))
        value = value.detach().resolve_conj().resolve_neg().cpu().contiguous().flatten()
        value = torch.view_as_real(value) if value.is_complex() else value
        self.total.update(value.view(torch.uint8).numpy() if value.numel() else b"")

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._value(f"mapping {len(value)}")
        plain = all(isinstance(key, str) for key in value)
        for key in sorted(value, key=None if plain else self._digest):
            self.read(key)
            self.read(value[key])

    def _sequence(self, value: Any) -> None:
        kind = (
            "list"
            if isinstance(value, list)
            else "tuple"
            if type(value) is tuple
            else type(value).__qualname__
        )
        self._value(f"{kind} {len(value)}")
        if all(type(item) in _PLAIN for item in value):
            return self._value(repr(list(value)))
        for item in value:
            self.read(item)

    def _function(self, function: FunctionType) -> None:
        code, named, imported, attributes = function.__code__, set[str](), set[str](), {}
        if of_library(function.__module__):
            self._text(f"function {versioned(function.__module__)} {function.__qualname__}")
        else:
            self._parts("function", code, function.__defaults__, function.__kwdefaults__)
            named, imported = names_in(code, "LOAD_GLOBAL", "LOAD_NAME"), names_in(code, "IMPORT_NAME")
            attributes = vars(function)
        # What a function binds anew itself (a counter, say) is no part of what it is.
        rebound = names_in(code, "STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR")
        for name in sorted((named & function.__globals__.keys()) - rebound):
            value = function.__globals__[name]
            self._parts(f"global {name}", value)
            if isinstance(value, ModuleType):
                self._members(value, names_in(code, *_ATTRIBUTES) - rebound)
        for name in sorted(imported):
            if name and not of_library(name):
                self._source(name)
        for name, cell in sorted(zip(code.co_freevars, function.__closure__ or (), strict=True)):
            if name not in rebound:
                self._parts(f"closure {name}", *_contents(cell))
        for name in sorted(attributes.keys() - rebound):
            self._parts(f"attribute {name}", attributes[name])

    def _code(self, code: CodeType) -> None:
        """Hash the steps of code with what they handle: docstrings and line numbers are none of them."""
        self._text(f"code {code.co_argcount} {code.co_kwonlyargcount} {code.co_flags & ~_HAS_DOCSTRING}")
        self._text(f"{code.co_freevars} {getattr(code, 'co_exceptiontable', b'')}")  # none before Python 3.11
        for step in dis.get_instructions(code):
            # A constant is code, no value that changes. Names of keywords stand among the constants in Python 3.11.
            handled = code.co_consts[step.arg or 0] if step.opname == "KW_NAMES" else step.argval
            plain = isinstance(handled, _PLAIN)
            self._text(f"{step.opname} {handled!r}" if plain else f"{step.opname} {type(handled).__name__}")
            if isinstance(handled, CodeType):
                self._code(handled)
            elif not plain:
                self._text(fingerprint(handled).values)

    def _class(self, kind: type) -> None:
        if of_library(kind.__module__):
            return self._text(f"class {versioned(kind.__module__)} {kind.__qualname__}")
        self._parts(f"class {kind.__qualname__}", type(kind), *kind.__bases__)
        for name, member in sorted(vars(kind).items()):
            code = isinstance(member, FunctionType | staticmethod | classmethod | property)
            if code or not (name.startswith("__") or name == "_abc_impl"):
                self._parts(f"member {name}", member)

    def _members(self, module: ModuleType, names: set[str]) -> None:
        """Hash what code may read of a module, as it stands there now; of a library only what is put in its place."""
        for name in sorted(names & vars(module).keys()):
            value, ours = vars(module)[name], not of_library(module.__name__)
            if isinstance(value, ModuleType):
                self._members(value, names - {name})
            elif ours or (isinstance(value, FunctionType) and not of_library(value.__module__)):
                self._parts(f"member {name}", value)

    def _module(self, module: ModuleType) -> None:
        name, file = module.__name__, getattr(module, "__file__", None)
        self._text(f"module {versioned(name)}")
        if of_library(name) or file is None:
            return
        self._source(name)
        for _, value in sorted(vars(module).items()):
            owner = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(owner, str) and owner in sys.modules and not of_library(owner):
                self.read(sys.modules[owner])

    def _source(self, name: str) -> None:
        """Hash the text of a module of the user's, whether it is imported yet or not."""
        text = source_of(name)
        if text is None:
            return self._missing(f"the source of the module {name}")
        self._text(text)

    def _network(self, network: nn.Module) -> None:
        network = getattr(network, "_orig_mod", network)  # of torch.compile
        self.read(type(network))
        if isinstance(network, torch.jit.ScriptModule):
            self._text(str(getattr(network, "code", "")))
            return self.read(network.state_dict())
        for name, value in vars(network).items():
            if name in ("_parameters", "_buffers", "_modules") or name not in _EMPTY_MODULE:
                self._parts(name, value)
            elif name.endswith("hooks"):
                self._parts(name, *value.values())  # their keys count up as long as the process lives
        return None

    def _object(self, value: Any) -> None:
        """Hash an object: its class, and the state that copying it would copy."""
        self.read(type(value))
        if top_of(type(value).__module__) in _MACHINERY:
            return self._missing(f"a value of type {type(value).__module__}.{type(value).__qualname__}")
        compiled = getattr(value, "__wrapped__", None) or getattr(value, "py_func", None)
        if compiled is not None:  # functools.lru_cache, numba
            return self.read(compiled)
        if callable(getattr(type(value), "identity_parts", None)):
            return self.read(value.identity_parts())
        try:
            parts = value.__reduce_ex__(4)
        except Exception:  # whatever an object raises that cannot be copied
            return self._missing(f"a value of type {type(value).__module__}.{type(value).__qualname__}")
        if isinstance(parts, str):
            return self._text(parts)
        for part in parts[:2]:
            self.read(part)
        call = vars(type(value)).get("__call__")
        counted = names_in(call.__code__, "STORE_ATTR") if isinstance(call, FunctionType) else set[str]()
        for part in parts[2:3]:
            plain = isinstance(part, dict)
            self.read({name: one for name, one in part.items() if name not in counted} if plain else part)
        for items in parts[3:5]:
            self.read(list(items or ()))
        return None

    def _missing(self, what: str) -> None:
        if self.values:
            self.unread[what] = None


def _contents(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # a name that is not bound yet
        return ()
