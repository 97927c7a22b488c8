"""Text of others as a page may show it: names of metrics, classes, files and notes come from outside.

Templates escape markup. What no escaping catches are characters that are not seen and change what is: those that turn
the direction of what follows, and control characters. They are shown by their numbers.
"""

import re
from typing import Any

from markupsafe import Markup, escape

__all__ = ["escaped", "hides", "shown"]

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_JOINERS = "\u200c\u200d"
"""Zero-width characters that writing needs, in Persian and in emoji."""


def shown(value: Any) -> Any:
    r"""A text with its hidden characters spelt out; anything else, and finished markup, as it is.

    Example:
        >>> shown("abc\u202etxt.exe"), shown(3)
        ('abc<U+202E>txt.exe', 3)
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _HIDDEN.sub(lambda found: _spelt(found[0]), value)


def hides(text: str) -> bool:
    """Whether a text has hidden characters: what is copied would not be what is seen."""
    return shown(text) != text


def escaped(text: Any) -> Markup:
    """A text of others as markup, for what is drawn without a template."""
    return escape(shown(str(text)))


def _spelt(letter: str) -> str:
    return letter if letter in _JOINERS else f"<U+{ord(letter):04X}>"
