"""Boosted trees as plain arrays: their nodes in tables, and a few lines of numpy that walk them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from metricgrad._checks import fail

__all__ = ["Forest"]

SHAPES = {
    "feature": ("node", "i4"), "threshold": ("node", "f8"), "left": ("node", "i4"), "right": ("node", "i4"),
    "value": ("node", "f8"), "leaf": ("node", "u1"), "missing_left": ("node", "u1"), "levels": ("node", "i4"),
    "roots": ("tree", "i4"), "scores": ("tree", "i4"), "sets": ("set", "u4"), "baseline": ("score", "f8"),
    "seen": ("class", "i4"),
}  # fmt: skip
"""Arrays of a forest with their axis and type; `sets` has eight words of 32 bits per set."""
_BLOCK = 2**22
"""Places of nodes that are walked at once."""


class Forest:
    """Boosted trees: rows -> probabilities of the classes.

    Each row goes down every tree: to the left where its value is at most the threshold, or where its level is in the
    node's set of levels; a missing value where the node says. The values of the leaves are added to the baseline.

    Args:
        arrays: by name: `feature`, `threshold`, `left`, `right`, `value`, `leaf`, `missing_left`, `levels` (the node's
            set, -1 for numbers) of all nodes; `roots` and `scores` (the column that it is added to) of all trees;
            `sets` of levels as bits; `baseline` of each column; `seen`: the class of each column.
        classes: of the table; one that is not seen has probability 0.
        columns: that a row has.

    Raises:
        InputError: arrays that are missing or do not fit together.

    Edge cases:
        Of two classes there is one column of scores, that of the second one.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], classes: int, columns: int) -> None:
        if set(arrays) != set(SHAPES):
            raise fail(
                "the arrays of trees", f"they are {', '.join(sorted(arrays))[:200]}", ", ".join(SHAPES)
            )
        self.arrays = {name: np.ascontiguousarray(arrays[name], dtype=SHAPES[name][1]) for name in SHAPES}
        self.classes, self.columns = classes, columns
        if not self._sound():
            raise fail(
                "the arrays of trees", "they do not fit together", "tables of nodes that lead to leaves"
            )

    def probabilities(self, rows: Float64[np.ndarray, "row column"]) -> Float64[np.ndarray, "row class"]:
        """Probabilities of the classes.

        Raises:
            InputError: another number of columns.
        """
        if rows.ndim != 2 or rows.shape[1] != self.columns:
            raise fail("the trees", f"rows have the shape {rows.shape}", f"{self.columns} columns")
        roots, baseline = self.arrays["roots"], self.arrays["baseline"]
        scores = np.repeat(baseline[None], len(rows), axis=0)
        step = max(1, _BLOCK // max(1, len(rows)))
        for first in range(0, len(roots), step):
            values = self._walked(rows, roots[first : first + step])  # [row, tree]
            for column in range(len(baseline)):
                scores[:, column] += values[:, self.arrays["scores"][first : first + step] == column].sum(1)
        return self._as_probabilities(scores)

    def _walked(self, rows: np.ndarray, roots: np.ndarray) -> np.ndarray:
        """The values of the leaves [row, tree]."""
        tables = self.arrays
        at = np.repeat(roots[None], len(rows), axis=0).ravel()
        row = np.repeat(np.arange(len(rows)), len(roots))
        active = np.flatnonzero(tables["leaf"][at] == 0)
        while len(active):
            node = at[active]
            value = rows[row[active], tables["feature"][node]]
            left = value <= tables["threshold"][node]
            levels = tables["levels"][node]
            if (of_levels := levels >= 0).any():
                left[of_levels] = self._among(value[of_levels], levels[of_levels])
            gone = np.isnan(value)
            left[gone] = tables["missing_left"][node][gone] > 0
            at[active] = np.where(left, tables["left"][node], tables["right"][node])
            active = active[tables["leaf"][at[active]] == 0]
        return tables["value"][at].reshape(len(rows), len(roots))

    def _among(self, value: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Whether levels are in the sets of their nodes."""
        code = np.nan_to_num(value, nan=0.0).astype(np.int64) & 255
        words = self.arrays["sets"].reshape(-1, 8)[levels, code >> 5]
        return (words >> (code & 31).astype(np.uint32)) & 1 > 0

    def _as_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Of one column by the logistic function, of several by softmax."""
        found = np.zeros((len(scores), self.classes))
        if scores.shape[1] == 1:
            one = 1 / (1 + np.exp(-np.clip(scores[:, 0], -700, 700)))
            found[:, self.arrays["seen"]] = np.stack([1 - one, one], 1)
        else:
            shifted = np.exp(scores - scores.max(1, keepdims=True))
            found[:, self.arrays["seen"]] = shifted / shifted.sum(1, keepdims=True)
        return found

    def _sound(self) -> bool:
        """Whether every path leads to a leaf: children stand behind their parents."""
        tables: dict[str, Any] = self.arrays
        nodes, sets = len(tables["feature"]), len(tables["sets"]) // 8
        inner = np.flatnonzero(tables["leaf"] == 0)
        seen, columns = tables["seen"], len(tables["baseline"])
        if any(len(tables[name]) != nodes for name, (axis, _) in SHAPES.items() if axis == "node"):
            return False
        if len(tables["roots"]) != len(tables["scores"]) or len(tables["sets"]) % 8 or columns < 1:
            return False
        if len(seen) != (2 if columns == 1 else columns) or len(set(seen.tolist())) < len(seen):
            return False
        ranges = (
            (tables["feature"][inner], 0, self.columns), (tables["levels"][inner], -1, sets), (seen, 0, self.classes),
            (tables["roots"], 0, nodes), (tables["scores"], 0, columns), (tables["left"][inner], 0, nodes),
            (tables["right"][inner], 0, nodes),
        )  # fmt: skip
        within = all(not len(one) or (one.min() >= low and one.max() < high) for one, low, high in ranges)
        behind = (tables["left"][inner] > inner).all() and (tables["right"][inner] > inner).all()
        finite = np.isfinite(tables["value"]).all() and np.isfinite(tables["baseline"]).all()
        return bool(within and behind and finite)
