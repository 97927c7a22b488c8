"""What `metricgrad bench learned` measures: steps beside a proxy step, metrics of samples beside their peers."""

from collections.abc import Callable, Iterable
from typing import Any

from metricgrad.bench.contestant import on_threads
from metricgrad.bench.learned_steps import measured_steps
from metricgrad.bench.pairs import measured_boxes, measured_texts

__all__ = ["PARTS", "measured_parts"]

PARTS = ("steps", "texts", "boxes")


def measured_parts(
    parts: Iterable[str],
    *,
    batch: int,
    texts: int,
    boxes: int,
    threads: int,
    repeats: int,
    peers: bool,
    tell: Callable[[str], None],
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each part.

    Args:
        parts: of `PARTS`.
        batch: samples of a step, pairs of a surrogate step.
        texts: pairs of words.
        boxes: pairs of boxes.
        threads: of torch; metrics of samples are measured on one thread, too.
        repeats: turns of each.
        peers: measure the loop over rapidfuzz, and shapely, beside.
        tell: is called with each part before it is measured.
    """
    pairs = {"threads": threads, "repeats": repeats, "peers": peers}
    measure: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "steps": lambda: measured_steps(batch, repeats=repeats),
        "texts": lambda: measured_texts(texts, **pairs),
        "boxes": lambda: measured_boxes(boxes, **pairs),
    }
    found = {}
    for part in parts:
        tell(part)
        with on_threads(threads):
            found[part] = measure[part]()
    return found
