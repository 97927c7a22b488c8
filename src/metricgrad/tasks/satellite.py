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
from metricgrad.tasks.table_file import read_table, table_file
from metricgrad.tasks.tabular import TableOptions as Options
from metricgrad.tasks.tabular import divided, standardised, table_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]

SHARES = (0.75, 0.25)
"""Share of fit and select in the rows of the official training part."""


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
    chosen = options if isinstance(options, Options) else Options(**options)
    table = read_table(table_file("satellite", "satellite", chosen.folder), task="satellite")
    rows = divided(table, SHARES, chosen.split_seed)
    inputs = standardised(table.features, rows.fit)
    return table_task("satellite", table, inputs, rows, batch=chosen.batch, seed=chosen.split_seed)
