"""A small table in which classes are rare, and the run over it in seconds."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad.metrics import adapt
from metricgrad.tabular.learned import Learned, learn_table
from metricgrad.tabular.prepared import Question, prepared

NAMES = ("no", "yes")


def table(rows: int = 700, seed: int = 0) -> dict[str, list[Any]]:
    """Two numbers, a colour and a date; one row in six is `yes`, and not surely."""
    draw = np.random.default_rng(seed)
    x, z, colour = draw.normal(size=rows), draw.normal(size=rows), draw.integers(0, 3, rows)
    score = 1.5 * x + (colour == 2) - 0.5 * z + draw.normal(size=rows)
    days = draw.integers(1, 28, rows)
    return {
        "x": [f"{value:.4f}" if draw.random() > 0.05 else "" for value in x],
        "z": [f"{value:.3f}".replace(".", ",") for value in z],
        "colour": [("red", "green", "blue")[value] for value in colour],
        "day": [f"2024-05-{day:02d}" for day in days],
        "group": [f"g{value}" for value in draw.integers(0, 60, rows)],
        "y": [NAMES[int(value)] for value in score > 2],
    }


def learned(minutes: float = 0.1, folder: Path | None = None, **more: Any) -> Learned:
    """The run over the table."""
    cells = table()
    question = Question(adapt("f1"), "y", cells["y"], NAMES, "yes", **more)
    job = prepared(cells, question, tabm=False)
    place = folder or Path(tempfile.mkdtemp())
    return learn_table(job, place, minutes=minutes, observer=lambda _: None, resamples=200)


@functools.cache
def one_run() -> Learned:
    """A run that several tests read."""
    return learned()
