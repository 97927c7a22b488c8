"""The pool: where a method that asks for the exact metric may measure it, held back from its gradient."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._labels import number_labels
from metricgrad._types import Method, Metric, Split
from metricgrad.errors import InputError
from metricgrad.scale import current
from metricgrad.tune.given_data import without_a_batch_of_one
from metricgrad.tune.splits import ArraySplit, ClassBatchSplit, Splits

__all__ = ["SHARE", "fit_and_pool"]

SHARE = 0.2
"""Of the items, classes or groups of fit: what is held back where no pool is given."""


def fit_and_pool(splits: Splits, metric: Metric, method: Method, seed: int) -> tuple[Split, Split | None]:
    """Return what a method trains on, and the pool of one that asks for the exact metric.

    Args:
        splits: of the run.
        metric: of the run.
        method: one without `judge_calls` trains on all of fit and has no pool.
        seed: of the run; the same seed holds back the same items.

    Raises:
        InputError: fit cannot be divided and no pool is given, or there are several processes.
    """
    if getattr(method, "judge_calls", None) is None:
        return splits.fit, None
    if current().size > 1:
        raise fail(
            "judge",
            f"{current().size} processes",
            "one: a method that asks for the metric runs in one process",
        )
    return (splits.fit, splits.pool) if splits.pool is not None else _divided(splits, metric, seed)


def _divided(splits: Splits, metric: Metric, seed: int) -> tuple[Split, Split]:
    fit: Any = splits.fit
    if type(fit) not in (ArraySplit, ClassBatchSplit) and not hasattr(fit, "part"):
        raise _indivisible(f"fit is a {type(fit).__name__}, which cannot be divided")
    held = _held_back(_units(splits, metric), seed)
    try:
        rest = _part(fit, ~held)
    except InputError as error:
        raise _indivisible(f"without a fifth of it fit is too small ({error})") from error
    if hasattr(fit, "each_once"):  # it does not lie in memory
        return rest, fit.each_once().part(held)
    return rest, ArraySplit(fit.inputs[held], _rows(fit.targets, held))


def _units(splits: Splits, metric: Metric) -> Tensor:
    """Number what is held back as a whole: groups, the classes of a retrieval metric, else items [item]."""
    targets, groups = getattr(splits.fit, "targets", []), (splits.groups or {}).get("fit")
    if groups is None and metric.unit != "query":
        return torch.arange(len(targets))
    labels = targets if groups is None else groups
    return number_labels("Splits", {"fit": labels}, device="cpu").codes[0]


def _held_back(units: Tensor, seed: int) -> Tensor:
    """Draw a share of the units; returns the mask of their items [item]."""
    kinds = units.unique().numpy()
    count = max(2, round(SHARE * len(kinds)))
    if len(kinds) < count + 2:
        raise _indivisible(f"fit has {len(kinds)} classes, groups or items to divide")
    drawn = np.random.default_rng((seed, *b"pool")).choice(kinds, size=count, replace=False)
    return torch.isin(units, torch.from_numpy(drawn))


def _part(fit: Any, kept: Tensor) -> Split:
    """Return a split with some of the items and the same batches otherwise."""
    if hasattr(fit, "part"):
        return fit.part(kept)
    inputs, targets = fit.inputs[kept], _rows(fit.targets, kept)
    if isinstance(fit, ArraySplit):
        batch = without_a_batch_of_one(len(inputs), fit.batch)
        return ArraySplit(inputs, targets, batch=batch, shuffle=fit.shuffle, seed=fit.seed)
    return ClassBatchSplit(
        inputs,
        targets,
        classes_per_batch=fit.sampler.classes_per_batch,
        samples_per_class=fit.samples_per_class,
        small_classes=fit.small_classes,
        seed=fit.seed,
        views=None if fit.views is None else fit.views[:, kept],
    )


def _rows(targets: Any, chosen: Tensor) -> Any:
    if isinstance(targets, Tensor):
        return targets[chosen]
    return [targets[row] for row in chosen.nonzero().flatten().tolist()]


def _indivisible(came: str) -> Exception:
    return fail(
        "judge",
        came,
        "a pool: this method measures the exact metric on data that give it no gradient",
        "Give Splits(fit, select, test, pool=...), or fit as an ArraySplit, a ClassBatchSplit or a split with part().",
    )
