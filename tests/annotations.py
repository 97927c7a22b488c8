"""Hold the annotations of metricgrad, shapes included, at run time: jaxtyping and beartype, in tests only.

Plain checking would refuse bad input before the function under test could, so that no test would see the message
that a user gets. Here the arguments are checked after the call, together with the result: a function may refuse, in
its own words, what does not fit its annotations, but it may not accept it.
"""

import re
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, get_args, runtime_checkable

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintNonpepException
from jaxtyping import install_import_hook

UNCHECKED: list[
    str
] = []  # functions with an annotation that beartype does not know; a test holds them to be few

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
    install_import_hook("metricgrad", "tests.annotations.held")
    sys.meta_path.insert(0, Compiled())
