"""A metric as it is typed on a command line or in a recipe: a name of ours, `package.module:function`, or a program.

A program is `cmd: ./score.sh {predictions}`, with settings in front where something must be said of it:
`cmd:higher_is_better=false,reads=classes: ./score.sh {predictions}`. Nothing but this module starts a program for a
text: whoever calls it has asked whether the text may be trusted.
"""

import re
from typing import Any

from metricgrad._checks import fail, require_settings
from metricgrad._types import Metric
from metricgrad.metrics.adapt import adapt
from metricgrad.metrics.adapt import names_a_function as names_a_function
from metricgrad.metrics.command import command
from metricgrad.metrics.command import program_of as program_of
from metricgrad.metrics.command import watch_calls as watch_calls
from metricgrad.metrics.names import names_a_program as names_a_program
from metricgrad.metrics.names import value_of
from metricgrad.metrics.program import Program, program_of_line

__all__ = [
    "names_a_function",
    "names_a_program",
    "program_of",
    "program_typed",
    "typed_metric",
    "watch_calls",
]

_SETTINGS = ("higher_is_better", "name", "reads", "timeout", "unit")
_FORM = re.compile(r"\s*cmd:\s*(?:(\w+=[^,:\s]*(?:,\w+=[^,:\s]*)*):(?=\s))?(.*)", re.DOTALL)


def typed_metric(text: str, higher_is_better: bool | None = None, timeout: float | None = None) -> Metric:
    """Return the record of a metric that was typed.

    Args:
        text: a name of ours, `package.module:function`, or `cmd: PROGRAM`.
        higher_is_better: the direction, where the text does not say it.
        timeout: of a program, in seconds, where the text does not say it.

    Raises:
        InputError: as `adapt` and `command`; a setting of a program that there is not.

    Example:
        >>> typed_metric("cmd:name=one: cat {predictions}", higher_is_better=True).name
        'one'
    """
    if not names_a_program(text):
        return adapt(text, higher_is_better=higher_is_better)
    given: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    settings, line = _parts(text)
    said = settings.setdefault("higher_is_better", higher_is_better)
    if higher_is_better is not None and said is not higher_is_better:
        came = f"higher_is_better={str(said).lower()} came with the option for the other direction"
        raise fail(f"metric {text.strip()!r}", came, "one direction")
    return command(line, **{**given, **settings})


def program_typed(text: str) -> Program:
    """Find the program of a text `cmd: PROGRAM`; nothing is run.

    Raises:
        InputError: as `typed_metric`.
    """
    settings, line = _parts(text)
    return program_of_line(line, name=settings.get("name"))


def _parts(text: str) -> tuple[dict[str, Any], str]:
    """The settings in front of a line, and the line."""
    found = _FORM.fullmatch(text)
    assert found is not None  # whatever follows the colon
    settings = {}
    for item in (found[1] or "").split(",") if found[1] else []:
        key, _, value = item.partition("=")
        settings[key] = value if key in ("name", "reads", "unit") else value_of(value)
    caller = f"metric {text.strip()!r}"
    require_settings(caller, settings, _SETTINGS)
    if isinstance(settings.get("higher_is_better"), str):
        raise fail(caller, f"higher_is_better is {settings['higher_is_better']!r}", "true or false")
    return settings, found[2]
