"""Examples that changed: test samples that the tuned model reads better or worse than the baseline, for the report.

examples.json    before, after (arms), metric, higher_is_better, caption; letters (readings are strings), boxes (they
                 are drawn into the pictures); better and worse: lists of name, png (base64), target, and for each
                 side `text` and `value`
"""

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._types import Metric, OutputKind, Split
from metricgrad.tune.checkpoint import write_atomically
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.outputs import Outputs

__all__ = ["write_examples"]

ENTRIES = 8
LEAST_CHANGE = 1e-9
"""Smaller changes of a sample's metric are rounding and count as none."""


Measured = tuple[Outputs, Tensor]
"""What a model gives for the split, and the statistics [sample, stat] of the metric on that."""


class _Side(NamedTuple):
    """What one model says of every sample, and what the metric says of that."""

    predictions: Any
    values: Tensor


def write_examples(
    before: Measured, after: Measured, arms: tuple[str, str], test: Split, metric: Metric, folder: RunFolder
) -> None:
    """Keep test samples whose metric became better, and others whose metric became worse, with pictures.

    The entries are drawn at random (seeded, each with the same chance, however large its change) from all samples
    that changed by more than 1e-9; the caption says how many there are. A metric that is no mean over samples or
    says nothing of the outputs (`per_sample`, `kind`), and a split without pictures, leave no examples.

    Args:
        before: what the model of the baseline gives for the split, and the statistics of the metric on that.
        after: the same of the contender's model.
        arms: their names.
        test: yields its samples in the order of its `pictures(indices)`, in every pass; with a member
            `drawn(indices, boxes_by_name)` that picture is kept instead and no text, with the boxes `target` in white,
            `before` in vermilion and `after` in blue, a row of each for an index.
        metric: its first statistic is the value of a sample.
        folder: of the run; `examples.json` is replaced.

    Raises:
        InputError: the metric does not give one row, or the kind one prediction, for each sample.
        RunFolderError: the folder cannot be written to.

    Edge cases:
        a sample whose value is not finite with one of the models is no example. A text is kept where a prediction or
        target is a string or a number, else None.

    Cost:
        the outputs of both models are decoded once.
    """
    if not metric.per_sample or metric.kind is None or getattr(test, "pictures", None) is None:
        return
    targets, sides = _both(before, after, metric, metric.kind)
    sign = 1.0 if metric.higher_is_better else -1.0
    change = sign * (sides["after"].values - sides["before"].values)
    finite = torch.isfinite(change)
    lists = {"better": finite & (change > LEAST_CHANGE), "worse": finite & (change < -LEAST_CHANGE)}
    rng = np.random.default_rng(0)
    document: dict[str, Any] = {
        "before": arms[0],
        "after": arms[1],
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "letters": all(isinstance(side.predictions[0], str) for side in sides.values()),
        "boxes": _draws(test),
        "caption": _caption(metric, lists, undefined=int((~finite).sum())),
    }
    for name, changed in lists.items():
        samples = np.flatnonzero(changed.numpy())
        drawn = np.sort(rng.choice(samples, min(ENTRIES, len(samples)), replace=False))
        document[name] = [_entry(int(sample), targets, sides, test) for sample in drawn]
    write_atomically(folder.path / "examples.json", json.dumps(document, allow_nan=False).encode())


def _both(
    before: Measured, after: Measured, metric: Metric, kind: OutputKind
) -> tuple[Any, dict[str, _Side]]:
    """The targets, and what each model says of them."""
    targets: Any = None
    sides = {}
    for name, (found, statistics) in (("before", before), ("after", after)):
        outputs, targets = found.outputs, found.targets
        if len(statistics) != len(targets):
            raise fail(
                "examples",
                f"{metric.name} gives {describe(statistics)} for {len(targets)} samples",
                "one row a sample from a metric that says per_sample",
                "Declare the metric with per_sample=False, or let its measure return a row for each sample.",
            )
        predictions = kind.decode(outputs)
        if len(predictions) != len(targets):
            raise fail(
                "examples",
                f"decode of the kind {kind.name!r} gives {len(predictions)} predictions for {len(targets)} samples",
                "one prediction a sample",
            )
        sides[name] = _Side(predictions, statistics[:, 0].detach().double().cpu())
    return targets, sides


def _caption(metric: Metric, lists: dict[str, Tensor], *, undefined: int) -> str:
    """How many samples changed, and how the shown ones were chosen."""
    total = len(lists["better"])
    better, worse = (int(changed.sum()) for changed in lists.values())
    counts = [f"{better:,} have a better {metric.name} after tuning", f"{worse:,} a worse one"]
    counts += [f"{total - better - worse - undefined:,} the same"]
    counts += [f"{undefined:,} none that is finite"] if undefined else []
    drawn = " Drawn at random from better and worse, large changes and small alike." if better + worse else ""
    return (
        f"With the first seed: of {total:,} test samples, {', '.join(counts[:-1])} and {counts[-1]}.{drawn}"
    )


def _entry(sample: int, targets: Any, sides: dict[str, _Side], test: Any) -> dict[str, Any]:
    """One sample: its picture, its target and both sides."""
    names: Sequence[str] = getattr(test, "names", None) or []
    boxes = _draws(test)
    if boxes:
        shown = {"target": targets, **{name: side.predictions for name, side in sides.items()}}
        picture = test.drawn([sample], {name: rows[sample : sample + 1] for name, rows in shown.items()})[0]
    else:
        picture = test.pictures([sample])[0]
    entry = {
        "name": str(names[sample]) if names else f"item {sample}",
        "png": base64.b64encode(picture).decode(),
        "target": None if boxes else _text(targets[sample]),
    }
    for name, side in sides.items():
        text = None if boxes else _text(side.predictions[sample])
        entry[name] = {"text": text, "value": float(side.values[sample])}
    return entry


def _draws(test: Any) -> bool:
    """Whether a split can draw boxes into its pictures."""
    return getattr(test, "drawn", None) is not None


def _text(value: Any) -> str | None:
    """A string or a number as text; None for anything else."""
    if isinstance(value, (Tensor, np.ndarray, np.generic)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, (str, int)) else None
