"""A family of methods, as the rest sees it: what `auto`, `list`, `explain`, `cite` and `tune` ask of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from metricgrad._types import Metric
from metricgrad.methods.grammar import MethodName
from metricgrad.methods.proxy import Proxy
from metricgrad.methods.road import Road

__all__ = ["Family"]


@dataclass(frozen=True)
class Family:
    """One family of methods.

    Attributes:
        name: what stands before the colon: `surrogate`.
        line: what it does, in one sentence.
        settings: the model of its settings, or of those that all its roads have.
        suits: metric -> the road of the family that suits it best, or the reason why none does.
        road: (name, metric, proxy) -> the road of that name; InputError where there is none for this metric.
        roads: () -> each name that can be listed -> what explains it, a function or class with a docstring.
        settings_of: the model of a road that has more settings, by its name.
    """

    name: str
    line: str
    settings: type[BaseModel]
    suits: Callable[[Metric], MethodName | str]
    road: Callable[[MethodName, Metric, Proxy | None], Road]
    roads: Callable[[], Mapping[str, Any]]
    settings_of: Mapping[str, type[BaseModel]] = field(default_factory=dict[str, type[BaseModel]], hash=False)
