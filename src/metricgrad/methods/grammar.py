"""How methods are named: `family[:objective][+option]`, several parted by commas. Read here and printed here alone.

Everything after the first colon is the objective, so that an objective may be a `package.module:name`.
"""

from dataclasses import dataclass, replace

from metricgrad._checks import fail
from metricgrad.errors import InputError

__all__ = ["MethodName", "read_loss", "read_method", "read_methods", "unknown_method"]

_OBJECTIVE, _OPTION, _NEXT = ":", "+", ","


@dataclass(frozen=True)
class MethodName:
    """A name, taken apart; `str` puts it together again.

    Attributes:
        family: `surrogate`, `direct`, ...
        objective: what the family follows, e.g. the name of a loss; empty where the family needs none.
        options: of the objective, or of the family where there is none.

    Example:
        >>> str(MethodName("surrogate", "recall_at_k", ("simix",)))
        'surrogate:recall_at_k+simix'
    """

    family: str
    objective: str = ""
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Print the name as `read_method` reads it."""
        return self.family + (_OBJECTIVE + self.loss if self.objective else self._options)

    @property
    def loss(self) -> str:
        """The objective and its options, as `read_loss` reads them."""
        return self.objective + self._options

    @property
    def plain(self) -> "MethodName":
        """The name without its options."""
        return replace(self, options=())

    @property
    def _options(self) -> str:
        return "".join(_OPTION + option for option in self.options)


def read_method(text: str) -> MethodName:
    """Read one name; what is named need not exist.

    Raises:
        InputError: a part is empty.

    Example:
        >>> read_method("learned+filter")
        MethodName(family='learned', objective='', options=('filter',))
    """
    name, *options = text.strip().split(_OPTION)
    family, colon, objective = name.partition(_OBJECTIVE)
    if not family or (colon and not objective) or not all(options):
        raise unknown_method(text, "family[:objective][+option], without empty parts")
    return MethodName(family, objective, tuple(options))


def read_methods(text: str) -> list[MethodName]:
    """Read one name or several, parted by commas.

    Raises:
        InputError: a name or a part of one is empty.

    Example:
        >>> [str(name) for name in read_methods("surrogate:recall_at_k, direct:average_precision")]
        ['surrogate:recall_at_k', 'direct:average_precision']
    """
    return [read_method(one) for one in text.split(_NEXT)]


def read_loss(text: str) -> tuple[str, tuple[str, ...]]:
    """Read `objective[+option]`: a loss that is named without a family. Returns the name and the options.

    Example:
        >>> read_loss("recall_at_k+simix")
        ('recall_at_k', ('simix',))
    """
    name, *options = text.strip().split(_OPTION)
    return name, tuple(options)


def unknown_method(name: MethodName | str, expected: str, hint: str = "") -> InputError:
    """Return the error for a name that no method has."""
    return fail("method", f"there is no method {str(name)!r}", expected, hint)
