"""Who takes part in a contest, as it is written down: methods and controls, each becomes a contender with a name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metricgrad._checks import describe, fail
from metricgrad._records import CONTROL
from metricgrad.tune.arms import PROXY, Contender
from metricgrad.tune.asked import Asked
from metricgrad.tune.given_form import GivenForm
from metricgrad.tune.untrained import UNTRAINED

__all__ = ["Control", "Entry", "asked_of", "contenders_of"]

Entry = str | tuple[str, Mapping[str, Any]] | Contender
"""A method by its name, with settings, or with a name of its own."""
Control = Entry | GivenForm
"""What the time could be spent on instead, or a map that is there already."""


def asked_of(
    model: Any,
    splits: Any,
    *,
    metric: Any,
    methods: Sequence[Entry],
    proxy: Any = None,
    controls: Sequence[Control] | None = None,
    seeds: Any = 0,
    proxy_settings: Mapping[str, Any] | None = None,
    **rest: Any,
) -> Asked:
    """Return the arguments of a contest, given as to `compare`, in the form in which a run takes them.

    Raises:
        InputError: methods or controls are no lists, or an entry is none.
    """
    if isinstance(methods, str | Contender) or not isinstance(methods, Sequence) or not methods:
        raise fail("compare", f"methods are {describe(methods)}", 'a list such as ["surrogate:recall_at_k"]')
    trained, untrained, given = _controls_of(controls, proxy, proxy_settings)
    return Asked(
        model,
        splits,
        metric,
        contenders=contenders_of(methods),
        controls=trained,
        proxy=proxy,
        seed=seeds,
        untrained=untrained,
        given=given,
        **rest,
    )


def contenders_of(entries: Sequence[Entry]) -> list[Contender]:
    """Return what takes part, each under its name; names that follow from methods are numbered where they are alike."""
    found: list[Contender] = []
    for entry in entries:
        if isinstance(entry, Contender):
            found.append(entry)
            continue
        method, settings = (entry, None) if isinstance(entry, str) else _pair(entry)
        base = re.sub(r"[^A-Za-z0-9_.+-]+", "-", method).strip("-")[:60] or "method"
        taken = {one.name.lower() for one in found}
        names = (base if number == 1 else f"{base}-{number}" for number in range(1, len(entries) + 1))
        found.append(Contender(next(name for name in names if name.lower() not in taken), method, settings))
    return found


def _controls_of(
    entries: Sequence[Control] | None, proxy: Any, proxy_settings: Mapping[str, Any] | None
) -> tuple[list[Contender], list[str] | None, list[GivenForm]]:
    """The controls that train, the names of those that train nothing (None: those that apply), and those given.

    `continued` trains on with the proxy loss, with its own settings or those of the proxy.
    """
    if entries is None:
        return [] if proxy is None else [Contender(CONTROL, PROXY, proxy_settings)], None, []
    if isinstance(entries, str | Contender) or not isinstance(entries, Sequence):
        raise fail("compare", f"controls are {describe(entries)}", f"a list such as [{CONTROL!r}]")
    found, untrained, given = [], [], []
    for entry in entries:
        if isinstance(entry, str) and entry in UNTRAINED:
            untrained.append(entry)
        elif isinstance(entry, GivenForm):
            given.append(entry)
        elif isinstance(entry, str) and entry == CONTROL:
            found.append(Contender(CONTROL, PROXY, proxy_settings))
        elif isinstance(entry, tuple) and len(entry) == 2 and entry[0] == CONTROL:
            found.append(Contender(CONTROL, PROXY, entry[1]))
        else:
            found += contenders_of([entry])
    return found, untrained, given


def _pair(entry: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(entry, tuple | list) and len(entry) == 2 and isinstance(entry[0], str):
        method, settings = entry
        return method, settings
    raise fail(
        "compare",
        f"a method is {describe(entry)}",
        "a name, a pair (name, settings) or a Contender(name, method, settings)",
    )
