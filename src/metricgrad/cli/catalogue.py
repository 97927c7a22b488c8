"""Everything that has a name on the command line: metrics, losses, methods, tasks, with their texts.

Names come from `__all__` and texts from docstrings; nothing is entered by hand, so nothing can be forgotten.
"""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from metricgrad import direct, losses, tasks
from metricgrad._checks import nearest
from metricgrad.errors import InputError
from metricgrad.methods import families
from metricgrad.methods.grammar import read_method
from metricgrad.metrics.known import FACTS
from metricgrad.metrics.names import ALIASES, metric_by_name, named_metrics

__all__ = ["KINDS", "Thing", "find", "things"]

_PREFIXES = re.compile(r"\b(?:jaxtyping|typing|torch|collections\.abc|metricgrad(?:\.\w+)*)\.")
"""Homes of types, which a reader of a signature can do without."""

KINDS = ("metric", "loss", "structure", "method", "task")


@dataclass(frozen=True)
class Thing:
    """Something with a name.

    Attributes:
        name: as it is written on the command line.
        kind: `metric`, `loss`, `structure`, `method` or `task`.
        line: what it is, in one line.
        text: the whole docstring.
        signature: how it is called, or an empty string.
        settings: model of its settings (tasks and methods), or None.
    """

    name: str
    kind: str
    line: str
    text: str
    signature: str = ""
    settings: Any = None


def things() -> list[Thing]:
    """Return all of them, by kind and name."""
    return [*_metrics(), *_losses(), *_structures(), *_methods(), *_tasks()]


def find(name: str, *, also: Iterable[str] = ()) -> list[Thing]:
    """Return what has this name: a metric and a loss may share one (`recall_at_k`).

    Args:
        name: as in the list, with or without `_loss`; a metric may carry its cut-off (`recall@5`, `hit_at_10`),
            a method its options (`surrogate:recall_at_k+simix`).
        also: further names that the caller knows, for the suggestion.

    Raises:
        InputError: nothing has this name; the message says which are near.
    """
    everything = things()
    if all(name != thing.name for thing in everything):
        name = str(read_method(name).plain)  # `surrogate:recall_at_k+simix`: an option of a thing
    found = [thing for thing in everything if name in (thing.name, thing.name.removesuffix("_loss"))]
    found = found or _metric_of_its_own(name, everything)
    if not found:
        names = {thing.name for thing in everything} | set(also) | {"recipe"}
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = nearest(name, close) if close else "`metricgrad list` shows them all."
        raise InputError(f"there is no metric, loss, method or task {name!r}. {hint}")
    return found


def _thing(name: str, kind: str, target: Any, line: str | None = None, settings: Any = None) -> Thing:
    text = inspect.getdoc(target) or ""
    try:
        arguments = str(inspect.signature(target)) if callable(target) else ""
    except (TypeError, ValueError):
        arguments = ""
    signature = f"{target.__name__}{_PREFIXES.sub('', arguments)}" if arguments else ""
    return Thing(name, kind, line or text.split("\n", 1)[0], text, signature, settings)


def _metrics() -> list[Thing]:
    found = []
    for name, line in named_metrics().items():
        word = name.removesuffix("@k")
        function, settings = ALIASES.get(word, (word, {}))
        thing = _thing(name, "metric", FACTS[function].function, line=line)
        if word in ALIASES:
            values = "".join(f", {key}={value}" for key, value in settings.items())
            thing = replace(thing, text=f"{name} is {function}{values}.\n\n{thing.text}")
        found.append(thing)
    return found


def _metric_of_its_own(name: str, everything: list[Thing]) -> list[Thing]:
    """A metric with a cut-off or settings in its name: what its function says, and what this name means."""
    word = re.sub(r"(?<=_at_)\d+$", "k", re.sub(r"@\d+$", "@k", name.lower().partition(":")[0]))
    for thing in everything:
        if thing.kind == "metric" and thing.name in (word, word.removesuffix("@k")):
            reading = metric_by_name(name).description
            return [replace(thing, name=name, line=reading, text=f"{name} here: {reading}.\n\n{thing.text}")]
    return []


def _losses() -> list[Thing]:
    named = {
        name: getattr(home, name)
        for home in (losses, direct)
        for name in home.__all__
        if name.endswith("_loss")
    }
    return [_thing(name, "loss", named[name]) for name in sorted(named)]


def _structures() -> list[Thing]:
    return [
        _thing(name, "structure", getattr(direct, name))
        for name in sorted(direct.__all__)
        if inspect.isclass(getattr(direct, name))
    ]


def _methods() -> list[Thing]:
    automatic = _thing(families.AUTO, "method", families.road_named, line=families.AUTO_LINE)
    named = [
        _thing(name, "method", target, settings=family.settings)
        for family in families.FAMILIES
        for name, target in family.roads().items()
    ]
    automatic = replace(automatic, text=f"{families.AUTO_LINE}\n\n{automatic.text}", signature="")
    return [automatic, *sorted(named, key=lambda thing: thing.name)]


def _tasks() -> list[Thing]:
    found = []
    for name in sorted(tasks.__all__):
        module = importlib.import_module(f"metricgrad.tasks.{name}")
        found.append(_thing(name, "task", module, settings=module.Options))
    return found
