"""Everything that has a name on the command line: metrics, losses, forms, rules, methods, tasks, with their texts.

Names come from `__all__` and texts from docstrings; nothing is entered by hand, so nothing can be forgotten.
"""

import importlib
import inspect
import re
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from metricgrad import direct, losses, projection, tasks
from metricgrad.decision.known import RULES
from metricgrad.methods import families
from metricgrad.methods.grammar import read_method
from metricgrad.metrics.known import FACTS
from metricgrad.metrics.names import ALIASES, named_metrics
from metricgrad.tune import portfolio

__all__ = ["KINDS", "Thing", "things"]

_PREFIXES = re.compile(r"\b(?:jaxtyping|typing|torch|collections\.abc|metricgrad(?:\.\w+)*)\.")
"""Homes of types, which a reader of a signature can do without."""

KINDS = ("metric", "loss", "structure", "form", "rule", "method", "task")


@dataclass(frozen=True)
class Thing:
    """Something with a name.

    Attributes:
        name: as it is written on the command line.
        kind: `metric`, `loss`, `structure`, `form` (closed, of embeddings), `rule` (of decision), `method` or `task`.
        line: what it is, in one line.
        text: the whole docstring.
        signature: how it is called, or an empty string.
        settings: model of its settings (tasks and methods), or None.
        also: further names by which it is found.
    """

    name: str
    kind: str
    line: str
    text: str
    signature: str = ""
    settings: Any = None
    also: tuple[str, ...] = ()


def things() -> list[Thing]:
    """Return all of them, by kind and name."""
    return [*_metrics(), *_losses(), *_structures(), *_forms(), *_rules(), *_methods(), *_tasks()]


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
        function, settings = ALIASES.get(name, (name.removesuffix("@k"), {}))
        thing = _thing(name, "metric", FACTS[function].function, line=line)
        if name in ALIASES:
            values = "".join(f", {key}={value}" for key, value in settings.items())
            thing = replace(thing, text=f"{name} is {function}{values}.\n\n{thing.text}")
        found.append(thing)
    return found


def _losses() -> list[Thing]:
    named = {
        name: getattr(home, name)
        for home in (losses, direct)
        for name in home.__all__
        if name.endswith("_loss") or (home is losses and inspect.isfunction(getattr(home, name)))
    }
    return [_thing(name, "loss", named[name]) for name in sorted(named)]


def _structures() -> list[Thing]:
    return [
        _thing(name, "structure", getattr(direct, name))
        for name in sorted(direct.__all__)
        if inspect.isclass(getattr(direct, name))
    ]


def _forms() -> list[Thing]:
    homes = {name: getattr(projection, name) for name in projection.__all__}
    return [_thing(name, "form", home) for name, home in sorted(homes.items()) if is_dataclass(home)]


def _rules() -> list[Thing]:
    return [_thing(name, "rule", RULES[name]) for name in sorted(RULES)]


def _methods() -> list[Thing]:
    automatic = _thing(families.AUTO, "method", families.road_named, line=families.AUTO_LINE)
    named = [
        _thing(name, "method", target, settings=family.settings_of.get(name, family.settings))
        for family in families.FAMILIES
        for name, target in family.roads().items()
    ]
    lines = {family.name: family.line for family in families.FAMILIES}
    named = [replace(one, text=f"{lines[read_method(one.name).family]}\n\n{one.text}") for one in named]
    text = f"{families.AUTO_LINE}\n\n{automatic.text}\n\n{inspect.getdoc(portfolio)}"
    automatic = replace(automatic, text=text, signature="", also=("portfolio",))
    return [automatic, *sorted(named, key=lambda thing: thing.name)]


def _tasks() -> list[Thing]:
    found = []
    for name in sorted(tasks.__all__):
        module = importlib.import_module(f"metricgrad.tasks.{name}")
        spelt = () if "_" not in name else (name.replace("_", "-"),)  # as `tune` takes it, too
        found.append(replace(_thing(name, "task", module, settings=module.Options), also=spelt))
    return found
