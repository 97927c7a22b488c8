"""From the name of a metric to the direct loss of outputs: which structure decodes it, and what that is given."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe, fail, nearest, require_settings
from metricgrad._columns import logit_of_class_1, one_column
from metricgrad._structures import one_tensor
from metricgrad._types import Metric, Structure
from metricgrad.direct import Contingency, DirectLoss, Interleaving, Multiclass
from metricgrad.direct.counts import COUNTS
from metricgrad.direct.tables import TABLES
from metricgrad.methods.trial import EMBEDDINGS, SCORES, tried
from metricgrad.metrics.classification import balanced_error, binary_average_precision, f_beta, roc_auc
from metricgrad.pairing.relevance import label_codes
from metricgrad.pairing.similarity import unit_rows

__all__ = ["DirectObjective", "named_direct", "objective_for", "objectives", "structure_of"]

Arrangement = Callable[[Tensor, Any], tuple[Tensor, Any, Tensor | None]]
"""`(outputs, targets) -> scores, targets and mask` of a structure."""

_FOR_METRICS: Mapping[Callable[..., Tensor] | None, str] = {
    binary_average_precision: "average_precision",
    roc_auc: "auc",
    f_beta: "f_beta",
    balanced_error: "balanced_error",
}
"""Which objective decodes a metric, by the function that it was made of."""


class DirectObjective:
    """A direct loss of a network's outputs: arranges them for the structure, and keeps the loss's state.

    Args:
        loss: what is minimised.
        arrange: outputs and targets as the structure takes them.
    """

    def __init__(self, loss: DirectLoss, arrange: Arrangement) -> None:
        self.loss, self.arrange = loss, arrange

    def __call__(self, outputs: Tensor, targets: Any) -> Tensor:
        """Return the mean loss over the units that have one."""
        return self.loss(*self.arrange(one_tensor("direct", outputs), targets))


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
            class scores [sample, class]. Scores are [sample], a single column, or two columns whose difference
            counts; or [sample, class] for one ranking or set per class.
        metric: of the run.
        settings: arguments of `DirectLoss` and of the structure (k, beta, ...) by name.

    Raises:
        InputError: unknown name or setting, a set or class scores for a retrieval metric.
    """
    of_queries = metric.unit == "query"
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
        _embedded
        if of_queries
        else _of_classes
        if kind is Multiclass
        else partial(_in_rows, **_decision(metric))
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


def _embedded(outputs: Tensor, targets: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return cosine similarities [query, item], relevance, and that nobody is an item of its own."""
    rows = unit_rows(outputs)
    (codes,) = label_codes(targets, device=outputs.device)
    return rows @ rows.T, codes[:, None] == codes, ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)


def _of_classes(outputs: Tensor, targets: Any) -> tuple[Tensor, Any, None]:
    if one_column(outputs).ndim == 1:
        raise fail(
            "direct:multiclass",
            f"outputs are {describe(outputs)}",
            "class scores [sample, class] of two classes or more",
            "One score of class 1 per sample is what direct:error_rate takes.",
        )
    return outputs, one_column(targets), None


def _decision(metric: Metric) -> dict[str, Any]:
    """Return where a metric of two classes decides, and for which one, as its settings say it."""
    if metric.reads not in ("classes", "scores"):
        return {}
    asked = ("threshold", "positive_class")
    return {key: metric.settings[key] for key in asked if metric.settings.get(key) is not None}


def _weight(metric: Metric, name: str) -> dict[str, Any]:
    """Return the beta of the metric, for its own objective."""
    return {"beta": metric.settings["beta"]} if name == "f_beta" == objective_for(metric) else {}


def _in_rows(
    outputs: Tensor, targets: Any, *, threshold: float = 0.0, positive_class: int = 1
) -> tuple[Tensor, Tensor, None]:
    """Return one row of scores [1, sample], or one for each class [class, sample], and 0 or 1 for every score.

    A single column is one score, and two are, as the metrics of two classes read them. A structure decides at 0, hence
    the threshold of the metric is subtracted; where class 0 is the positive one scores and targets change sides.
    """
    targets, logit = one_column(targets), logit_of_class_1(outputs)
    if not isinstance(targets, Tensor) or targets.shape != outputs.shape[:1]:
        came = f"outputs are {describe(outputs)} and targets are {describe(targets)}"
        raise fail("direct", came, "one target for every sample")
    if logit is not None:
        logit = logit - threshold if threshold else logit
        if positive_class == 0:
            logit, targets = -logit, targets == 0
        return logit[None], targets[None], None
    if outputs.ndim != 2:
        raise fail("direct", f"outputs are {describe(outputs)}", "scores [sample] or [sample, class]")
    classes = torch.arange(outputs.shape[1], device=outputs.device)
    return outputs.T, classes[:, None] == targets, None
