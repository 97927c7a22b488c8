"""Code of the user's that is named `package.module:name`, and its import."""

import importlib
import re
from typing import Annotated, Any

from metricgrad._checks import nearest
from metricgrad.errors import InputError

__all__ = ["CODE", "NamedCode", "imported", "is_foreign"]

CODE = "package.module:name"

NamedCode = Annotated[str, CODE]
"""An option that names code of the user's: what imports it runs it, so that trust is asked for in time."""


def is_foreign(name: str) -> bool:
    """Whether a name says `package.module:name`; a metric's settings (`f_beta:beta=2`) follow a colon too.

    Example:
        >>> is_foreign("torch.nn.functional:cross_entropy"), is_foreign("f_beta:beta=2")
        (True, False)
    """
    return re.fullmatch(r"[^\W\d]\w*(\.\w+)*:[^\W\d][\w.]*", name) is not None


def imported(name: str, what: str) -> Any:
    """Import `package.module:name`.

    Raises:
        InputError: there is no such module, or no such name in it.

    Example:
        >>> imported("math:pi", "the number")
        3.14...
    """
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{what} {name!r} cannot be imported: there is no module {error.name!r}; expected package.module:name "
            "of something installed or in the current folder."
        ) from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} {name!r} is no name of the form package.module:name.") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InputError(
                f"{what} {name!r}: {module} has no {attribute!r}. {nearest(attribute, dir(found))}"
            )
        found = getattr(found, part)
    return found
