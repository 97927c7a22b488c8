"""What travels between processes of one program, as bytes. They come through a pipe, never from a file or another user.

Tensors travel as copies: memory that processes share would be changed by all of them, and goes with its owner.
"""

import pickle  # noqa: TID251
import sys
from io import BytesIO
from types import FunctionType
from typing import Any

from metricgrad._checks import fail

__all__ = ["from_bytes", "run_bytes", "to_bytes"]


def to_bytes(value: Any) -> bytes:
    """Return anything as bytes that another process of the program understands."""
    return pickle.dumps(value)


def from_bytes(data: bytes) -> Any:
    """Return what another process of the program has sent."""
    return pickle.loads(data)  # noqa: S301


def run_bytes(given: Any) -> bytes:
    """Return the arguments of a run as bytes.

    Raises:
        InputError: they cannot be pickled, or a new process would not find the names in them.
    """
    if (main := _main() or "").startswith("<"):
        raise fail("compare", f"processes with a program that was read from {main}", "a program in a file")
    data = BytesIO()
    try:
        _Pickler(data).dump(given)
    except Exception as error:  # whatever the user's objects raise when they are pickled
        raise fail(
            "compare",
            f"the run cannot be sent to another process ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            "model, splits, metric and losses that can be pickled",
            "Classes and functions are found by name, at the top of a module (a .py file); lambdas, files and locks "
            "cannot be sent. Without processes everything stays in this one.",
        ) from error
    return data.getvalue()


class _Pickler(pickle.Pickler):
    """Refuses what was defined where no other process can import it."""

    def reducer_override(self, obj: Any, /) -> Any:
        """Pickle as ever, but for classes and functions of a notebook or a prompt."""
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__" and _main() is None:
            raise pickle.PicklingError(f"{obj.__qualname__} was defined in a notebook or at a prompt")
        return NotImplemented


def _main() -> str | None:
    """What a new process imports to know the names of this program, a module or a file; None in a notebook."""
    main = sys.modules["__main__"]
    return getattr(getattr(main, "__spec__", None), "name", None) or getattr(main, "__file__", None)
