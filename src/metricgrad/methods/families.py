"""The one list of the families of methods, and from the name of a method to something that can be trained.

`auto`, `list`, `explain`, `cite`, `tune` and the docs read this list and nothing else.
"""

import importlib

from metricgrad._checks import fail, nearest
from metricgrad._types import Metric
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName, read_method, read_methods, unknown_method
from metricgrad.methods.proxy import Proxy
from metricgrad.methods.road import Road

__all__ = ["AUTO", "AUTO_LINE", "FAMILIES", "automatic", "road_named", "roads"]

FAMILIES: tuple[Family, ...] = tuple(
    importlib.import_module(f"metricgrad.methods.{name}").FAMILY
    for name in (
        "surrogate",
        "direct",
        "learned",
        "alternating",
        "blackbox",
    )
)
"""A family is a module of this folder with a `FAMILY`, and its line here. `auto` asks them in this order."""

AUTO = "auto"
AUTO_LINE = "What suits the metric: a portfolio for classes, a surrogate for retrieval, direct for scores, or learned."


def roads(text: str, metric: Metric, proxy: Proxy | None = None) -> list[Road]:
    """Return the roads that are named, several names parted by commas; see `road_named`."""
    return [_road(name, metric, proxy) for name in read_methods(text)]


def road_named(name: str, metric: Metric, proxy: Proxy | None = None) -> Road:
    """Return the road of that name.

    Args:
        name: `auto` or `family[:objective][+option]`. `auto` is `surrogate:recall_at_k` for a retrieval metric, the
            direct loss of a metric of scores that can be decoded (average precision, F1, ...), and `learned` for a
            mean over samples of outputs whose kind is known.
        metric: of the run.
        proxy: the loss that settings with a `proxy_weight` add.

    Raises:
        InputError: no such family or objective, or `auto` knows no road for this metric.
    """
    return _road(read_method(name), metric, proxy)


def automatic(metric: Metric) -> MethodName:
    """Return the road that suits a metric best, of the first family that has one.

    Raises:
        InputError: no family has one; the message says why.
    """
    reasons = []
    for family in FAMILIES:
        found = family.suits(metric)
        if isinstance(found, MethodName):
            return found
        reasons.append(f"{family.name}: {found}")
    raise fail(
        "method='auto'",
        f"{metric.name} is measured per {metric.unit}",
        "a retrieval metric of embeddings, ours of scores (binary_average_precision, roc_auc, f1), or one of samples "
        "with a kind of output",
        f"Not suited: {'; '.join(reasons)}. Name a method: direct:multiclass for class scores; direct:error_rate, "
        "direct:f_beta or direct:auc for scores of two classes.",
    )


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    if name == MethodName(AUTO):
        name = automatic(metric)
    for family in FAMILIES:
        if family.name == name.family:
            return family.road(name, metric, proxy)
    known = [family.name for family in FAMILIES]
    raise unknown_method(name, "family[:objective][+option]", nearest(name.family, known))
