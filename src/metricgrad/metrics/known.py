"""Every metric of this library: the modules of metrics, with the facts at the end of each."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad.metrics import (
    average_precisions,
    classes,
    classification,
    label_shares,
    multilabel,
    neighbours,
    one_vs_rest,
    overlap,
    probabilities,
    retrieval,
    score_thresholds,
    segmentation,
    sequence,
)
from metricgrad.metrics.facts import Facts

__all__ = ["FACTS", "FAMILIES", "facts_of", "is_known"]

FAMILIES: Mapping[str, tuple[Facts, ...]] = {
    "classes": classes.FACTS,
    "classification": classification.FACTS,
    "label_shares": label_shares.FACTS,
    "multilabel": multilabel.FACTS,
    "neighbours": neighbours.FACTS,
    "one_vs_rest": one_vs_rest.FACTS,
    "overlap": overlap.FACTS,
    "probabilities": probabilities.FACTS,
    "retrieval": (*average_precisions.FACTS, *retrieval.FACTS),
    "score_thresholds": score_thresholds.FACTS,
    "segmentation": segmentation.FACTS,
    "sequence": sequence.FACTS,
}

FACTS: Mapping[str, Facts] = {facts.name: facts for family in FAMILIES.values() for facts in family}
"""By the name of the function."""


def is_known(function: Any) -> bool:
    """Whether something is a metric function of this library.

    Example:
        >>> is_known(retrieval.hit_at_k), is_known(max)
        (True, False)
    """
    name = getattr(function, "__name__", "")
    return name in FACTS and FACTS[name].function is function


def facts_of(caller: str, function: Callable[..., Tensor], *families: str) -> Facts:
    """Return the facts of a function of these families; InputError names their functions for any other."""
    known = {facts.name: facts for family in families for facts in FAMILIES[family]}
    name = getattr(function, "__name__", describe(function))
    if name not in known or known[name].function is not function:
        raise fail(caller, f"the function is {name}", f"one of {', '.join(sorted(known))}")
    return known[name]
