"""Say which capital letter a picture shows from 16 measurements, where some letters were seen a hundred times less.

20,000 letters of 20 typefaces, each distorted at random. In fit the numbers of rows fall by a constant ratio from
letter to letter; select and test have about as many of each. 1,332 rows are equal to an earlier one (the
measurements are whole numbers from 0 to 15); they are left in.

A network with two hidden layers is trained with cross-entropy to its plateau on `select`: that is the start.

Reference:
    [frey1991letter] (the data and their division), [leisch2021mlbench] (the package).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metricgrad._documents import NumberField, WholeField
from metricgrad._types import Observer
from metricgrad.tasks.divisions import long_tail
from metricgrad.tasks.table_file import read_table, table_file
from metricgrad.tasks.tabular import divided, standardised, table_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]

SHARES = (0.75, 0.25)
"""Share of fit and select in the rows of the official training part, before fit loses its tail."""


class Options(BaseModel):
    """What can be chosen of the task.

    Args:
        imbalance: rows of the largest class of fit for one row of the smallest.
        batch: rows of a fit batch.
        split_seed: of the division of the rows, of the order of the letters from many to few, of the rows left.
        folder: of the table; null for the first that has it of $METRICGRAD_DATA/tables and the user's cache folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    imbalance: NumberField = Field(default=100, ge=1, le=1_000_000)
    batch: WholeField = Field(default=512, ge=2, le=1_000_000)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    folder: Path | None = None


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the table, divide its official training part (three quarters fit, a quarter select), thin out fit.

    Args:
        options: see `Options`.
        observer: unused: nothing here takes time.

    Returns:
        The task; inputs are float32 [sample, 16] with mean 0 and deviation 1 on fit, targets 0 to 25.

    Raises:
        InputError: the table is not there, or damaged.
    """
    del observer
    chosen = options if isinstance(options, Options) else Options(**options)
    table = read_table(table_file("letters_long_tail", "letters", chosen.folder), task="letters_long_tail")
    rows = divided(table, SHARES, chosen.split_seed)
    left = long_tail(table.targets[rows.fit], chosen.imbalance, chosen.split_seed)
    rows = rows._replace(fit=rows.fit[left])
    inputs = standardised(table.features, rows.fit)
    return table_task("letters_long_tail", table, inputs, rows, batch=chosen.batch, seed=chosen.split_seed)
