"""Hold the annotations of metricgrad, shapes included, at run time: jaxtyping and beartype, in tests only.

Plain checking would refuse bad input before the function under test could, so that no test would see the message
that a user gets. Here the arguments are checked after the call, together with the result: a function may refuse, in
its own words, what does not fit its annotations, but it may not accept it.

Every test has the first calls of every function checked: a loop that calls one a thousand times calls it alike, and
the check took as long as the rest.
"""

import dataclasses
import functools
import inspect
import re
import sys
import threading
from collections.abc import Callable, Hashable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from itertools import chain, repeat
from types import CodeType, FunctionType
from typing import Any, get_args, get_type_hints, runtime_checkable

import jaxtyping
import torch
from beartype import BeartypeConf, beartype
from beartype.roar import (
    BeartypeCallHintViolation,
    BeartypeDecorHintException,
    BeartypeDecorHintNonpepException,
)
from jaxtyping import AbstractArray, TypeCheckError, install_import_hook, jaxtyped

UNCHECKED: list[
    str
] = []  # functions with an annotation that beartype does not know; a test holds them to be few

FIRST_CALLS = 5
"""So many calls of a function are checked in each test."""

_CALLS: dict[CodeType, int] = {}
"""Calls of each function that were checked in the test at hand."""

_LOCAL: dict[tuple[Any, ...], tuple[Callable[..., Any], threading.local]] = {}
"""Checks of functions that are made anew by each call of another one, and the making that each is to call."""

_CONF = BeartypeConf(is_pep484_tower=True)  # an int is fine where a float is annotated


def held(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check one of the two empty functions that jaxtyping builds for a call: the one that sees the result.

    jaxtyping calls the other one, with the arguments alone, before the function; it knows the result by one more
    keyword, `ret0` (or `ret1` where an argument has that name).
    """
    code = function.__code__
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    sees_result = any(re.fullmatch(r"ret\d+", name) for name in keywords)
    if not sees_result:
        return function
    for hint in function.__annotations__.values():
        _make_checkable(hint)
    try:
        return beartype(conf=_CONF)(function)
    except BeartypeDecorHintNonpepException:
        UNCHECKED.append(f"{function.__module__}.{function.__qualname__}")
        return function


def checked(*, typechecker: Any) -> Callable[[Any], Any]:
    """Stand in for jaxtyping's decorator: only functions with shapes in their annotations are left to it.

    Following the names of axes through a call costs many times what the check of plain types does.
    """

    def decorate(thing: Any) -> Any:
        if dataclasses.is_dataclass(thing) and isinstance(vars(thing).get("__init__"), FunctionType):
            thing.__init__ = decorate(thing.__init__)
            return thing
        if isinstance(thing, FunctionType):
            return _at_first(thing, typechecker)
        return jaxtyped(thing, typechecker=typechecker)

    return decorate


def _at_first(function: FunctionType, typechecker: Any) -> Callable[..., Any]:
    """The function with its check for the first calls within a test, and as it is from then on.

    A function within another one is made anew by each call of that: all of them count as one and share one check,
    which costs far more than a call and is made where it is wanted.
    """
    within = "<locals>" in function.__qualname__
    with_check = None if within else _with_check(function, typechecker)
    if with_check is function:
        return function
    code = function.__code__

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal with_check
        __tracebackhide__ = True
        if torch.compiler.is_compiling():  # a count would make it compile for every call
            return function(*args, **kwargs)
        calls = _CALLS.get(code, 0)
        if calls >= FIRST_CALLS:
            return function(*args, **kwargs)
        _CALLS[code] = calls + 1
        if with_check is None:
            with_check = _with_shared_check(function, typechecker)
        return with_check(*args, **kwargs)

    return wrapper


def _with_check(function: FunctionType, typechecker: Any) -> Callable[..., Any]:
    tests = _plain_tests(function)
    if tests is None:
        return jaxtyped(function, typechecker=typechecker)
    return _plainly_checked(function, tests)


def _with_shared_check(function: FunctionType, typechecker: Any) -> Callable[..., Any]:
    """The function with the check of all that have its code and annotations: it is handed the one that is called."""
    hints = function.__annotations__
    key = (function.__code__, *hints.items())
    if not all(isinstance(hint, Hashable) and not isinstance(hint, str) for hint in hints.values()):
        return _with_check(function, typechecker)
    if key not in _LOCAL:
        called = threading.local()

        @functools.wraps(function)
        def whichever(*args: Any, **kwargs: Any) -> Any:
            one, called.function = called.function, None
            return one(*args, **kwargs)

        _LOCAL[key] = _with_check(whichever, typechecker), called
        del whichever.__wrapped__  # what the first one closes over may go
    check, called = _LOCAL[key]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        called.function = function
        return check(*args, **kwargs)

    return wrapper


def pytest_runtest_setup() -> None:
    """Every test counts anew."""
    _CALLS.clear()


def _plain_tests(function: FunctionType) -> dict[str, Callable[[Any], Any]] | None:
    """A test of a value for each annotation; None where one has a shape, or is not known here: jaxtyping's part."""
    try:
        hints = get_type_hints(function, include_extras=True)
        if any(map(_has_shape, hints.values())):
            return None
        return {name: _test(hint) for name, hint in hints.items() if hint not in (Any, object)}
    except (NameError, TypeError, BeartypeDecorHintException):
        return None


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(_has_shape, hint if isinstance(hint, list) else get_args(hint)))


@functools.cache
def _test(hint: Any) -> Callable[[Any], Any]:
    """A function that raises where a value does not fit an annotation."""

    def test(value): ...

    _make_checkable(hint)
    test.__annotations__ = {"value": hint}
    return beartype(conf=_CONF)(test)


def _plainly_checked(function: FunctionType, tests: dict[str, Callable[[Any], Any]]) -> Callable[..., Any]:
    """The function, its arguments and its result tested after each call."""
    if not tests:
        return function
    signature = inspect.signature(function)
    kinds = {item.kind: name for name, item in signature.parameters.items()}
    further = tests.get(kinds.get(inspect.Parameter.VAR_POSITIONAL, ""), _anything)
    named = tests.get(kinds.get(inspect.Parameter.VAR_KEYWORD, ""), _anything)
    by_name = {name: tests.get(name, _anything) for name in signature.parameters}
    by_place = [
        by_name[name] for name, item in signature.parameters.items() if item.kind < item.VAR_POSITIONAL
    ]
    test_result = tests.get("return", _anything)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = function(*args, **kwargs)
        try:
            for test, value in zip(chain(by_place, repeat(further)), args, strict=False):
                test(value)
            for name, value in kwargs.items():
                by_name.get(name, named)(value)
            test_result(result)
        except BeartypeCallHintViolation as error:
            raise TypeCheckError(
                f"{function.__module__}.{function.__qualname__}{signature}: {error}"
            ) from None
        return result

    return wrapper


def _anything(value: Any) -> None:
    """The test of what is not annotated."""


def _make_checkable(hint: Any) -> None:
    """Let a protocol in an annotation, however deep, be checked by its members."""
    if getattr(hint, "_is_protocol", False):
        runtime_checkable(hint)
    for part in get_args(hint):
        _make_checkable(part)


class Compiled(MetaPathFinder):
    """Finds the modules of compiled loops as they are: numba cannot compile a function with a check around it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the plain specification of such a module, None for every other."""
        return PathFinder.find_spec(fullname, path) if fullname.startswith(COMPILED) else None


COMPILED = ("metricgrad.relax.kernels.", "metricgrad.direct.kernels.")


def install() -> None:
    """Check every module of metricgrad that is imported from now on, but those of compiled loops."""
    jaxtyping.jaxtyped = checked  # the import hook writes `@jaxtyping.jaxtyped(...)` over every function
    install_import_hook("metricgrad", "tests.annotations.held")
    sys.meta_path.insert(0, Compiled())
