"""A road: a way to a gradient, ready to be given settings."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from metricgrad._checks import fail, nearest
from metricgrad._types import Method

__all__ = ["Road", "validated"]


@dataclass(frozen=True)
class Road:
    """A way to a gradient, ready to be given settings.

    Attributes:
        name: `surrogate:recall_at_k`, `proxy:supcon`, ...
        make: settings -> method.
        settings: the model that validates settings.
        space: for each setting (dots reach inside) the values that tries draw from.
        code: what of the user's own it follows, which a run is known by; None for a road of ours.
    """

    name: str
    make: Callable[[Any], Method]
    settings: type[BaseModel]
    space: Mapping[str, tuple[Any, ...]]
    code: Any = None

    def attempts(self, given: Mapping[str, Any], tries: int) -> list[BaseModel]:
        """Return the given settings and `tries - 1` more, drawn from the space; always the same ones."""
        rng = np.random.default_rng(0)
        drawn: list[dict[str, Any]] = [dict(given)]
        most = math.prod(len(values) for values in self.space.values())
        if tries > most:
            raise fail(self.name, f"tries is {tries}", f"at most {most}: there are no more settings to draw")
        while len(drawn) < tries:
            candidate = _with(
                given, {key: values[rng.integers(len(values))] for key, values in self.space.items()}
            )
            if candidate not in drawn:
                drawn.append(candidate)
        return [validated(self.settings, item, self.name) for item in drawn]


def validated(model: type[BaseModel], given: Mapping[str, Any], caller: str) -> Any:
    """Return the pydantic model made of `given`; InputError names the wrong key and the nearest right one."""
    for key in given:
        if key not in model.model_fields:
            raise fail(
                caller,
                f"there is no setting {key!r}",
                "a known setting",
                nearest(str(key), model.model_fields),
            )
    try:
        return model(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the settings"
        expected = first["msg"].removeprefix("Value error, ")
        raise fail(caller, f"{where} is {first['input']!r}", expected[:1].lower() + expected[1:]) from error


def _with(given: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with changes by path (dots reach inside)."""
    merged: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items()
    }
    for path, value in changes.items():
        *outer, last = path.split(".")
        place = merged
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = value
    return merged
