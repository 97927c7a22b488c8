"""What a network gives for a split: computed once, read by whatever measures it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._structures import items_of, joined, moved, pair, tensors_of
from metricgrad._types import Split
from metricgrad._user_code import embedded
from metricgrad.scale.chunk import device_of
from metricgrad.tune.checkpoint import same_random_state
from metricgrad.tune.passes import begin_pass, seed_everything
from metricgrad.tune.splits import reference_of

__all__ = ["Outputs", "collect", "collect_targets", "count_items"]


class Outputs(NamedTuple):
    """The outputs of a network for a split and for the split's reference, with their targets.

    Attributes:
        outputs: of all items, joined as `_structures.joined` says: tensors on axis 0, dicts and tuples part by part,
            a list with one entry per item where they are lists or differ in length from batch to batch.
        targets: of the same items, joined in the same way.
        reference_outputs: of the split that queries are ranked against; None where it is the split itself.
        reference_targets: of these.
        decided: the class that a rule decides for every item [item] or pixel [image, *place]: what a metric that reads
            classes is measured on. None where no rule is fitted: the metric makes its own of the outputs.
    """

    outputs: Any
    targets: Any
    reference_outputs: Any = None
    reference_targets: Any = None
    decided: Tensor | None = None

    def on_cpu(self) -> "Outputs":
        """The same on the CPU."""
        return Outputs(*(moved(part, torch.device("cpu")) for part in self))

    @property
    def undecided(self) -> "Outputs":
        """The same as the network gives it, without what a rule decides."""
        return self._replace(decided=None)


def collect(model: nn.Module, split: Split, *, stay: bool = False) -> Outputs:
    """Run the model over a split, and over its reference, in eval mode; the batches are the same ones every time.

    The model's mode and all random states are left as they were.

    Args:
        model: the network.
        split: yields `(inputs, targets)`.
        stay: leave the outputs on the model's device, with the targets; else all is on the CPU.

    Raises:
        InputError: the split yields no batch, or one that is no `(inputs, targets)`; outputs or targets that cannot
            be joined; the model raised.
    """
    reference = reference_of(split)
    own = _one_pass(model, split, stay=stay)
    return Outputs(*own) if reference is None else Outputs(*own, *_one_pass(model, reference, stay=stay))


def _one_pass(model: nn.Module, split: Split, *, stay: bool) -> tuple[Any, Any]:
    """Outputs and targets of one split, joined."""
    training = model.training
    device = device_of(model)
    model.eval()
    outputs, targets, rows = [], [], []
    room = _Room(getattr(split, "items", None))
    try:
        with torch.no_grad(), same_random_state():
            seed_everything(0)
            begin_pass(split, 0)
            for inputs, target in map(pair, split):
                outputs.append(room.placed(embedded(model, moved(inputs, device))))
                targets.append(target)
                rows.append(items_of(inputs, target))
    finally:
        model.train(training)
    if not outputs:
        raise fail(
            "evaluation", "the split yields no batch", "at least one", "Is the DataLoader exhausted or empty?"
        )
    found = joined("outputs", outputs, rows) if room.whole is None else room.whole
    place = next((tensor.device for tensor in tensors_of(found)), device) if stay else torch.device("cpu")
    return moved(found, place), moved(joined("targets", targets, rows), place)


class _Room:
    """One tensor for the rows of all batches, where the split says how many come: to join them would take it twice.

    Args:
        items: of the split; None where it does not say.
    """

    def __init__(self, items: int | None) -> None:
        self._items, self._filled, self._rows = items, 0, None

    def placed(self, outputs: Any) -> Any:
        """The outputs of a batch; where they are rows as those of the first batch, in their place."""
        if self._items is None or not isinstance(outputs, Tensor) or outputs.ndim < 2:
            return outputs
        if self._rows is None:
            self._rows = outputs.new_empty(self._items, *outputs.shape[1:])
        place = self._rows[self._filled : self._filled + len(outputs)]
        if (place.shape, place.dtype, place.device) != (outputs.shape, outputs.dtype, outputs.device):
            return outputs
        self._filled += len(outputs)
        return place.copy_(outputs)

    @property
    def whole(self) -> Tensor | None:
        """All rows; None where a batch had to stand elsewhere."""
        return self._rows if self._filled == self._items else None


def collect_targets(split: Split) -> Any:
    """Join the targets of a split as `collect` does, in the same order."""
    targets, rows = [], []
    for inputs, target in _one_reading(split):
        targets.append(target)
        rows.append(items_of(inputs, target))
    return joined("targets", targets, rows)


def count_items(split: Split) -> int | None:
    """Count the items that `collect` would read; None where batches do not show how many they hold."""
    counts = [items_of(*batch) for batch in _one_reading(split)]
    return None if None in counts else sum(filter(None, counts))


def _one_reading(split: Split) -> Iterator[tuple[Any, Any]]:
    """Yield the batches that `collect` reads, in the same order."""
    with same_random_state():
        seed_everything(0)
        begin_pass(split, 0)
        yield from map(pair, split)
