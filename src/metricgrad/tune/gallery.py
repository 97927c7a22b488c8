"""Queries whose nearest neighbour changed with tuning, with pictures, for the report."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._labels import number_labels
from metricgrad._types import Split
from metricgrad.metrics import nearest_items
from metricgrad.tune.checkpoint import write_atomically
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.outputs import Outputs

__all__ = ["write_gallery"]

GALLERY_ENTRIES, GALLERY_NEIGHBOURS = 8, 5


def write_gallery(
    before: Outputs, after: Outputs, arms: tuple[str, str], test: Split, folder: RunFolder
) -> None:
    """Keep queries whose nearest neighbour became relevant, and others where it ceased to be, with pictures.

    The entries are drawn at random (seeded) from all such queries; the caption says how many there are. A split
    without pictures, or with a reference split of its own, leaves no gallery.

    Args:
        before: what the model of the baseline gives for the split.
        after: what the contender's model gives.
        arms: their names.
        test: with `pictures(indices)`.
        folder: of the run; `gallery.json` is replaced.
    """
    pictures: Any = getattr(test, "pictures", None)
    if pictures is None or before.reference_outputs is not None:
        return
    found = {name: _neighbours(outputs) for name, outputs in (("before", before), ("after", after))}
    hits = {name: relevant[:, 0] for name, (_, _, relevant) in found.items()}
    lists = {"better": hits["after"] & ~hits["before"], "worse": hits["before"] & ~hits["after"]}
    rng = np.random.default_rng(0)
    document: dict[str, Any] = {"before": arms[0], "after": arms[1]}
    for name, changed in lists.items():
        queries = np.flatnonzero(changed.numpy())
        drawn = np.sort(rng.choice(queries, min(GALLERY_ENTRIES, len(queries)), replace=False))
        document[name] = [_entry(int(query), found, test, pictures) for query in drawn]
    counts = {name: f"{int(changed.sum()):,}" for name, changed in lists.items()}
    document["caption"] = (
        f"With the first seed: of {len(hits['after']):,} test queries, {counts['better']} have a relevant nearest "
        f"neighbour only after tuning and {counts['worse']} only before. Drawn at random from both."
    )
    write_atomically(folder.path / "gallery.json", json.dumps(document).encode())


def _neighbours(found: Outputs) -> tuple[Tensor, Tensor, Tensor]:
    """Index, similarity and relevance of the nearest items of every query [query, neighbour]."""
    outputs, targets = found.outputs, found.targets
    nearest = nearest_items(outputs, outputs, GALLERY_NEIGHBOURS, exclude=torch.arange(len(outputs)))
    (targets,) = number_labels("gallery", {"targets": targets}).codes
    index, similarity = nearest
    return index, similarity, targets[index] == targets[:, None]


def _entry(
    query: int, found: Mapping[str, tuple[Tensor, Tensor, Tensor]], test: Split, pictures: Any
) -> dict[str, Any]:
    names: Sequence[str] = getattr(test, "names", None) or []

    def described(item: int) -> dict[str, Any]:
        name = names[item] if names else f"item {item}"
        return {"name": name, "png": base64.b64encode(pictures([item])[0]).decode()}

    entry: dict[str, Any] = {"query": described(query)}
    for side, (index, similarity, relevant) in found.items():
        entry[side] = [
            {**described(int(item)), "relevant": bool(right), "similarity": round(float(near), 4)}
            for item, near, right in zip(index[query], similarity[query], relevant[query], strict=True)
        ]
    return entry
