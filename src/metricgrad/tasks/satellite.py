"""Say what grows on a piece of land from its colours in a satellite picture: six kinds of soil and crop.

6,435 rows of Landsat's multi-spectral scanner: nine neighbouring pixels in four bands; the class is that of the
pixel in the middle. Test is the official one. Neighbourhoods overlap, so that a pixel of test may be seen in fit,
too: figures tell of other places of this scene, not of other scenes.

A network with two hidden layers is trained with cross-entropy to its plateau on `select`: that is the start.

Reference:
    [michie1994machine] (the data and their division), [leisch2021mlbench] (the package).
"""

from collections.abc import Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.tasks.tabular import TableOptions as Options
from metricgrad.tasks.tabular import measured_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the table and divide its official training part class by class: three quarters fit, a quarter select.

    Args:
        options: see `TableOptions`.
        observer: unused: nothing here takes time.

    Returns:
        The task; inputs are float32 [sample, 36] with mean 0 and deviation 1 on fit, targets 0 to 5.

    Raises:
        InputError: the table is not there, or damaged.
    """
    del observer
    return measured_task("satellite", options)
