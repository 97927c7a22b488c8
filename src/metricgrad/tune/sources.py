"""Where code comes from: what it names, whether it is the user's, and its text without comments and docstrings."""

import ast
import dis
import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ["names_in", "of_library", "source_of", "top_of", "versioned"]


def names_in(code: CodeType, *operations: str) -> set[str]:
    """Return the names that code, functions within it included, handles by one of these operations."""
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


def source_of(module: str) -> str | None:
    """Return a module as Python reads it, imported or not, without comments and docstrings; None where it cannot be."""
    base, *inner = module.split(".")
    file = _file(base)
    if file is None:
        return None
    place = Path(file).parent.joinpath(*inner)
    found = Path(file) if not inner else place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    try:
        tree = ast.parse(found.read_bytes())
    except (OSError, SyntaxError, ValueError):  # compiled code, too
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return ast.dump(tree)


def top_of(module: str) -> str:
    """Return the name of the outermost package."""
    return module.partition(".")[0]


def of_library(module: Any) -> bool:
    """Whether a module is installed, and so known by its version; the user's own are hashed."""
    return isinstance(module, str) and _installed(top_of(module))


@functools.cache
def _installed(top: str) -> bool:
    if top in ("", "__main__"):
        return False
    if top == "metricgrad" or top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    file = _file(top)
    return file is not None and bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def _file(top: str) -> str | None:
    """The file of an outermost package, imported or not."""
    if top in sys.modules:
        return getattr(sys.modules[top], "__file__", None)
    found = importlib.util.find_spec(top)
    return None if found is None else found.origin


def versioned(name: str | None) -> str:
    """Return a module's name, with the version of a library."""
    version = getattr(sys.modules.get(top_of(name or "")), "__version__", "")
    return f"{name} {version}"
