"""Boosted trees of scikit-learn: the control that a network on a table has to beat."""

import importlib.util
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from metricgrad._checks import extra, fail
from metricgrad.tabular.forest import Forest

__all__ = ["Boosted", "TreeRows", "boosted", "has_trees"]

CHUNK, PATIENCE, MOST = 10, 3, 300
"""Rounds between two looks at select, looks without a better loss, rounds at most."""
SHRINKAGE = 1.0
"""Of the leaves: without any, classes of a few rows make the loss on select diverge after some 20 rounds."""
CLOSE = 1e-6
"""How near our walk of the trees must be to scikit-learn's probabilities."""


@dataclass(frozen=True)
class TreeRows:
    """Rows for trees.

    Attributes:
        x: categories first, as numbers of levels, then numbers; NaN is missing.
        y: their classes.
        weight: of each; None: all alike.
    """

    x: Float64[np.ndarray, "row column"]
    y: Int64[np.ndarray, "row"]
    weight: Float64[np.ndarray, "row"] | None = None

    def of(self, rows: Int64[np.ndarray, " some"]) -> "TreeRows":
        """Some of them."""
        return TreeRows(self.x[rows], self.y[rows], None if self.weight is None else self.weight[rows])


@dataclass(frozen=True)
class Boosted:
    """Trees that were trained.

    Attributes:
        forest: as plain arrays.
        rounds: that are kept: those of the least loss on select.
        short: whether time was over before the loss got no better.
    """

    forest: Forest
    rounds: int
    short: bool


def has_trees() -> bool:
    """Whether scikit-learn is installed."""
    return importlib.util.find_spec("sklearn") is not None


def boosted(
    fit: TreeRows, select: TreeRows, *, categories: int, classes: int, seconds: float, seed: int
) -> Boosted:
    """Train boosted trees until the loss on select gets no better.

    Args:
        fit: rows to learn from.
        select: rows that say when to stop.
        categories: how many of the first columns are categories.
        classes: of the table.
        seconds: after which no round is added.
        seed: of scikit-learn.

    Returns:
        The trees as plain arrays.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        InputError: this release of scikit-learn keeps its trees in another form.

    Edge cases:
        Levels that fit does not have are missing.

    Cost:
        As scikit-learn's HistGradientBoostingClassifier; its first 10 rounds are always made.
    """
    package: Any = extra("sklearn.ensemble", "table", "boosted trees")
    until, levels = time.monotonic() + seconds, [np.unique(column) for column in fit.x[:, :categories].T]
    known = [level[~np.isnan(level)] for level in levels]
    model: Any = package.HistGradientBoostingClassifier(
        max_iter=CHUNK,
        warm_start=True,
        early_stopping=False,
        l2_regularization=SHRINKAGE,
        random_state=seed % 2**32,
        categorical_features=list(range(categories)) or None,
    )
    inside, outside = _renumbered(fit.x, known), _renumbered(select.x, known)
    best, rounds, without = np.inf, CHUNK, 0
    while without < PATIENCE and model.max_iter <= MOST:
        model.fit(inside, fit.y, sample_weight=fit.weight)
        value = _log_loss(model, outside, select)
        best, rounds, without = (value, model.max_iter, 0) if value < best else (best, rounds, without + 1)
        if time.monotonic() > until:
            break
        model.max_iter += CHUNK
    forest = Forest(_arrays(model, rounds, known), classes, fit.x.shape[1])
    _require_equal(model, forest, inside[:500], fit.x[:500], rounds)
    return Boosted(forest, rounds, short=without < PATIENCE and model.max_iter <= MOST)


def _renumbered(x: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    """Levels by their places among those of fit, as scikit-learn numbers them; NaN for others."""
    found = x.copy()
    for column, levels in enumerate(known):
        place = np.searchsorted(levels, x[:, column])
        there = np.isin(x[:, column], levels)
        found[:, column] = np.where(there, place, np.nan)
    return found


def _log_loss(model: Any, x: np.ndarray, select: TreeRows) -> float:
    """Mean negative log probability of the true class; a class that fit does not have counts as 1e-15."""
    found = np.full((len(x), int(max(select.y.max(), model.classes_.max())) + 1), 1e-15)
    found[:, model.classes_] = np.clip(model.predict_proba(x), 1e-15, None)
    return float(np.average(-np.log(found[np.arange(len(x)), select.y]), weights=select.weight))


def _arrays(model: Any, rounds: int, known: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The trees of the first rounds as tables of nodes."""
    trees = [(column, tree) for one in model._predictors[:rounds] for column, tree in enumerate(one)]
    tables: dict[str, list[np.ndarray]] = {name: [] for name in ("roots", "scores", "sets")}
    nodes, sets, names = (
        0,
        0,
        ("feature", "threshold", "left", "right", "value", "leaf", "missing_left", "levels"),
    )
    tables.update({name: [] for name in names})
    for column, tree in trees:
        one = tree.nodes
        leaf = one["is_leaf"] > 0
        tables["roots"].append(np.array([nodes]))
        tables["scores"].append(np.array([column]))
        tables["feature"].append(np.where(leaf, 0, one["feature_idx"]))
        tables["threshold"].append(one["num_threshold"])
        for name in ("left", "right"):
            tables[name].append(np.where(leaf, 0, one[name].astype(np.int64) + nodes))
        tables["value"].append(one["value"])
        tables["leaf"].append(leaf)
        tables["missing_left"].append(one["missing_go_to_left"])
        chosen = (one["is_categorical"] > 0) & ~leaf
        tables["levels"].append(np.where(chosen, one["bitset_idx"].astype(np.int64) + sets, -1))
        bits = _in_our_numbers(tree.raw_left_cat_bitsets, one, chosen, known)
        tables["sets"].append(bits.reshape(-1))
        nodes, sets = nodes + len(one), sets + len(bits)
    found = {name: np.concatenate(parts) for name, parts in tables.items()}
    return {**found, "baseline": np.ravel(model._baseline_prediction), "seen": model.classes_}


def _in_our_numbers(
    bits: np.ndarray, nodes: np.ndarray, chosen: np.ndarray, known: list[np.ndarray]
) -> np.ndarray:
    """Sets of levels by their numbers in the table, where they are those among the levels of fit."""
    found = np.zeros_like(bits)
    for node in nodes[chosen]:
        place = int(node["bitset_idx"])
        for new, old in enumerate(known[int(node["feature_idx"])].astype(np.int64).tolist()):
            if bits[place, new >> 5] >> np.uint32(new & 31) & np.uint32(1):
                found[place, old >> 5] |= np.uint32(1 << (old & 31))
    return found


def _require_equal(model: Any, forest: Forest, inside: np.ndarray, ours: np.ndarray, rounds: int) -> None:
    """Refuse tables that do not say what scikit-learn says."""
    for number, theirs in enumerate(model.staged_predict_proba(inside), 1):
        if number == rounds:
            off = float(np.abs(forest.probabilities(ours)[:, model.classes_] - theirs).max())
            if off > CLOSE:
                raise fail(
                    "boosted trees",
                    f"our walk of them is off by {off:.2g}",
                    "another release of scikit-learn",
                )
