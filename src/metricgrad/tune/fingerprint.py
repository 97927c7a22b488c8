"""A hash of what a model, a metric or a loss is: its code and the values that it holds, the same in every process.

Neither addresses, nor the order of sets and dicts, nor names of files and lines enter. Code of installed libraries
stands for itself by name and version; code of the user's own is hashed with everything that it names: what functions
close over, their defaults, the globals that they read, the source of the user's modules.
"""

import dis
import functools
import hashlib
import re
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType, UnionType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

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
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState)
_EMPTY_MODULE = frozenset(vars(nn.Module()))


def fingerprint(value: Any) -> "Fingerprint":
    """Return the hashes of a value's code and of all it holds.

    Args:
        value: anything. An object that counts or caches may say what makes two of it the same by a method
            `identity_parts() -> Any`, which then stands for its attributes.

    Example:
        >>> scale = 2.0
        >>> double, triple = (lambda value, scale=scale: scale * value for scale in (2.0, 3.0))
        >>> first, second = fingerprint(double), fingerprint(triple)
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
        if not _of_library(type(value).__module__):
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
        code, named, attributes = function.__code__, set[str](), {}
        if _of_library(function.__module__):
            self._text(f"function {_library(function.__module__)} {function.__qualname__}")
        else:
            self._parts("function", code, function.__defaults__, function.__kwdefaults__)
            named, attributes = _names(code, "LOAD_GLOBAL", "LOAD_NAME"), vars(function)
        # What a function binds anew itself (a counter, say) is no part of what it is.
        rebound = _names(code, "STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR")
        for name in sorted((named & function.__globals__.keys()) - rebound):
            self._parts(f"global {name}", function.__globals__[name])
        for name, cell in sorted(zip(code.co_freevars, function.__closure__ or (), strict=True)):
            if name not in rebound:
                self._parts(f"closure {name}", *_contents(cell))
        for name in sorted(attributes.keys() - rebound):
            self._parts(f"attribute {name}", attributes[name])

    def _code(self, code: CodeType) -> None:
        self._text(f"code {code.co_argcount} {code.co_kwonlyargcount} {code.co_flags} {code.co_names}")
        self._text(f"{code.co_freevars} {len(code.co_code)}")
        self.total.update(code.co_code)
        for constant in code.co_consts:  # constants are code, not values that change
            self._text(f"constant {constant!r}" if isinstance(constant, _PLAIN) else type(constant).__name__)
            if isinstance(constant, CodeType):
                self._code(constant)
            elif isinstance(constant, tuple | frozenset):
                self._text(fingerprint(constant).values)

    def _class(self, kind: type) -> None:
        if _of_library(kind.__module__):
            return self._text(f"class {_library(kind.__module__)} {kind.__qualname__}")
        self._parts(f"class {kind.__qualname__}", *kind.__bases__)
        for name, member in sorted(vars(kind).items()):
            code = isinstance(member, FunctionType | staticmethod | classmethod | property)
            if code or not (name.startswith("__") or name == "_abc_impl"):
                self._parts(f"member {name}", member)

    def _module(self, module: ModuleType) -> None:
        name, file = module.__name__, getattr(module, "__file__", None)
        self._text(f"module {_library(name)}")
        if _of_library(name) or file is None:
            return
        try:
            self.total.update(Path(file).read_bytes())
        except OSError:
            self._missing(f"the source of the module {name}")
        for _, value in sorted(vars(module).items()):
            owner = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(owner, str) and owner in sys.modules and not _of_library(owner):
                self.read(sys.modules[owner])

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
        counted = _names(call.__code__, "STORE_ATTR") if isinstance(call, FunctionType) else set[str]()
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


def _names(code: CodeType, *operations: str) -> set[str]:
    """Names that code, functions within it included, handles by one of these operations."""
    return {
        str(step.argval)
        for each in _codes(code)
        for step in dis.get_instructions(each)
        if step.opname in operations and (step.opname != "STORE_DEREF" or step.argval in each.co_freevars)
    }


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _of_library(name: Any) -> bool:
    """Whether a module is installed, and so known by its version; the user's own are hashed."""
    return isinstance(name, str) and _installed(name.partition(".")[0])


@functools.cache
def _installed(top: str) -> bool:
    if top in ("", "__main__"):
        return False
    if top == "metricgrad" or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def _library(name: str | None) -> str:
    """A module's name, with the version of a library."""
    version = getattr(sys.modules.get((name or "").partition(".")[0]), "__version__", "")
    return f"{name} {version}"
