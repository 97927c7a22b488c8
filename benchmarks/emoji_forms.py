"""Which features and which closed form the task emoji begins with: LDA on divisions of the development classes.

    .venv/bin/python -m benchmarks.emoji_forms      about ten minutes on two cores, features included

Every LDA is fitted on the fit part of a division and measured on its select and held-out parts, whose classes it has
not seen; the table has the means over the divisions. The test split takes no part: it is no part of a division.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad.metrics import of_ranks, retrieval_ranks
from metricgrad.projection import LDA, Identity, Projection
from metricgrad.projection.lda import most_directions
from metricgrad.projection.moments import moments
from metricgrad.tasks import emoji

DIVISIONS = range(4)
FEATURES: dict[str, dict[str, Any]] = {
    "five blocks and the last convolution, 112 pixels": {
        "blocks": (4, 7, 10, 14, 15),
        "last": True,
        "size": 112,
    },
    "five blocks and the last convolution, 160 pixels": {"blocks": (4, 7, 10, 14, 15), "last": True},
    "all blocks, 112 pixels": {"size": 112},
    "all blocks, 160 pixels": {},
}
SHRINKAGE = (0.01, 0.03, 0.1, 0.3)
DIMS = (128, 256, 512)
TABLE = Path(__file__).parent.parent / "docs" / "emoji-forms.csv"
HEADER = ["features", "form", "shrinkage", "dims"]
HEADER += [f"{part}_{metric}" for part in ("select", "held_out") for metric in ("recall@1", "map", "ndcg@10")]


def forms(fit: Any) -> Iterator[tuple[tuple[Any, ...], Projection]]:
    """The vectors as they are, and LDA with every setting."""
    sums = moments("emoji_forms", fit.inputs, fit.targets)
    yield ("none", "", ""), Identity().of_dims(sums.dims)
    for shrinkage in SHRINKAGE:
        dims = [*DIMS, most_directions(sums)]
        for number, form in zip(dims, LDA.family(sums, shrinkage, dims), strict=True):
            yield ("LDA", shrinkage, number), form


def measured(form: Projection, split: Any) -> list[float]:
    """Recall@1 (any relevant), mean average precision and NDCG@10."""
    ranks = retrieval_ranks(form(split.inputs), split.targets)
    rows = of_ranks.hit_at_k(ranks, k=1), of_ranks.average_precision(ranks), of_ranks.ndcg(ranks, k=10)
    return [float(row.nanmean()) for row in rows]


def main() -> None:
    """Fit and measure everything, print the table and write it."""
    rows: list[list[Any]] = [HEADER]
    for name, options in FEATURES.items():
        found: dict[tuple[Any, ...], list[list[float]]] = {}
        for division in DIVISIONS:
            splits = emoji.load({**options, "head": "film", "views": 1, "development": division}).splits
            for setting, form in forms(splits.fit):
                values = measured(form, splits.select) + measured(form, splits.test)
                found.setdefault(setting, []).append(values)
        for setting, values in found.items():
            rows.append([name, *setting, *(f"{value:.4f}" for value in np.mean(values, 0))])
            print(*rows[-1], sep="  ", flush=True)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
