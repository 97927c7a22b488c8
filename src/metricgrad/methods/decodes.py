"""From the name of a metric to the direct loss of outputs: which structure decodes it, and what that is given."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from metricgrad._checks import fail, nearest, require_settings
from metricgrad._types import Metric, Structure
from metricgrad.direct import Contingency, DirectLoss, Interleaving, Multiclass
from metricgrad.direct.counts import COUNTS
from metricgrad.direct.tables import TABLES
from metricgrad.methods.arranged import DirectObjective, embedded, in_rows, of_classes
from metricgrad.methods.trial import EMBEDDINGS, SCORES, tried
from metricgrad.metrics import balanced_error, binary_average_precision, f_beta, roc_auc

__all__ = ["named_direct", "objective_for", "objectives", "structure_of"]

_FOR_METRICS: Mapping[Callable[..., Tensor] | None, str] = {
    binary_average_precision: "average_precision",
    roc_auc: "auc",
    f_beta: "f_beta",
    balanced_error: "balanced_error",
}
"""Which objective decodes a metric, by the function that it was made of."""


def objectives() -> list[str]:
    """Return the names that `named_direct` knows; `@k` stands for `_at_` and a number."""
    return sorted({name.replace("_at_k", "_at_1") for name in TABLES} | set(COUNTS) | {"multiclass"})


def objective_for(metric: Metric) -> str | None:
    """Return the objective that decodes a metric of samples, None where none is known.

    A metric is known by the function of ours that it was made of, and its settings; never by its name.
    """
    of_one_class = metric.settings.get("average") in (None, "binary")
    return _FOR_METRICS.get(metric.function) if of_one_class else None


def named_direct(name: str, metric: Metric, settings: Mapping[str, Any]) -> DirectObjective:
    """Build a direct loss of a network's outputs from the name of a metric and settings.

    Args:
        name: a ranking (`average_precision`, `ndcg`, `hit_at_1`, ...): of embeddings where `metric` is measured per
            query, else of scores; a set (`f_beta`, `iou`, `error_rate`, `balanced_error`) of scores; `multiclass` of
            class scores [sample, class], or [image, class, row, column] with a class per pixel; targets of -100 have
            no loss. Other scores are [sample], a single column, or two columns whose difference counts; or
            [sample, class] for one ranking or set per class.
        metric: of the run.
        settings: arguments of `DirectLoss` and of the structure (k, beta, ...) by name.

    Raises:
        InputError: unknown name or setting, a set or class scores for a retrieval metric.
    """
    of_queries = metric.unit == "query" or metric.reads == "embeddings"
    kind, fixed = _structure_named(name)
    known = set(inspect.signature(kind).parameters) - {"loss", "concave", "monotone", "metric", "cost"}
    known_of_loss = set(inspect.signature(DirectLoss).parameters) - {"structure"}
    require_settings(f"direct:{name}", settings, (known | known_of_loss) - set(fixed))
    if of_queries and kind is not Interleaving:
        raise fail(
            f"direct:{name}",
            f"{metric.name} ranks embeddings",
            "the name of a ranking",
            nearest(name, TABLES),
        )
    arrange = (
        embedded
        if of_queries
        else of_classes
        if kind is Multiclass
        else partial(in_rows, **_decision(metric))
    )

    def build() -> DirectObjective:
        own = {key: settings[key] for key in settings if key in known}
        structure: Structure = kind(**fixed, **{**_weight(metric, name), **own})
        loss = DirectLoss(structure, **{key: settings[key] for key in settings if key in known_of_loss})
        return DirectObjective(loss, arrange)

    return tried(
        f"direct:{name}", settings, build, EMBEDDINGS if of_queries or kind is Multiclass else SCORES
    )


def structure_of(name: str) -> Callable[..., Structure]:
    """Return the class of the structure that decodes an objective."""
    return _structure_named(name)[0]


def _structure_named(name: str) -> tuple[Callable[..., Structure], dict[str, Any]]:
    if name == "multiclass":
        return Multiclass, {}
    if name in COUNTS:
        return Contingency, {"metric": name}
    cut = re.fullmatch(r"(.+_at_)(\d+)", name)
    table = f"{cut[1]}k" if cut else name
    if table not in TABLES:
        raise fail(
            "method", f"there is no direct loss {name!r}", "the name of a metric", nearest(name, objectives())
        )
    return Interleaving, {"metric": table, **({"k": int(cut[2])} if cut else {})}


def _decision(metric: Metric) -> dict[str, Any]:
    """Return where a metric of two classes decides, and for which one, as its settings say it."""
    if metric.reads not in ("classes", "scores"):
        return {}
    asked = ("threshold", "positive_class")
    return {key: metric.settings[key] for key in asked if metric.settings.get(key) is not None}


def _weight(metric: Metric, name: str) -> dict[str, Any]:
    """Return the beta of the metric, for its own objective."""
    return {"beta": metric.settings["beta"]} if name == "f_beta" == objective_for(metric) else {}
