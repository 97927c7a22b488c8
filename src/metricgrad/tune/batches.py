"""Batches of a fit split for ever, epoch after epoch, also from the middle of one on."""

from collections.abc import Iterator
from typing import Any

from metricgrad._checks import fail
from metricgrad._structures import pair
from metricgrad._types import Split
from metricgrad.tune.checkpoint import restore_random_state
from metricgrad.tune.passes import one_pass
from metricgrad.tune.stage import Standing

__all__ = ["batches_from"]


def batches_from(fit: Split, seed: int, state: Standing, random_before: Any) -> Iterator[Any]:
    """Yield batches for ever, epoch after epoch; (seed, epoch) alone decides the order of an epoch.

    After a resume the used batches of the epoch are drawn again and thrown away, then the random states of the
    checkpoint are restored, so that whatever is drawn next is what would have been drawn.
    """
    while True:
        batches = one_pass(fit, seed, state.epoch)
        for _ in range(state.position):
            next(batches)
        if random_before is not None:
            restore_random_state(random_before)
            random_before = None
        for batch in batches:
            state.position += 1
            yield pair(batch)
        if state.position == 0:
            raise fail(
                "fit", "the split yields no batch", "at least one", "Is the DataLoader exhausted or empty?"
            )
        state.epoch, state.position = state.epoch + 1, 0
