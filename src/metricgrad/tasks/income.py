"""Say in which of nine brackets a household's income lies from thirteen answers: ordered classes.

8,993 customers of shopping malls in the San Francisco Bay area filled in a questionnaire in 1987. Every answer is a
choice among levels; 2,117 people left one or more open. An answer that is missing is a level by itself: nothing is
filled in, and not to answer may tell something. Levels are coded as columns of 0 and 1, the ordered ones (age,
education) too. 668 rows are equal to an earlier one: other people with the same answers; they are left in.

A network with two hidden layers is trained with cross-entropy to its plateau on `select`: that is the start.

Reference:
    [hastie2009elements] (the data), [karatzoglou2004kernlab] (the package).
"""

from collections.abc import Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.tasks.table_file import read_table, table_file
from metricgrad.tasks.tabular import TableOptions as Options
from metricgrad.tasks.tabular import divided, one_hot, table_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]

SHARES = (0.5, 0.25)
"""Share of the rows in fit and in select; the others are test."""


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the table and divide its rows class by class: half fit, a quarter select, a quarter test.

    Args:
        options: see `TableOptions`.
        observer: unused: nothing here takes time.

    Returns:
        The task; inputs are float32 [sample, 88] of 0 and 1, targets 0 to 8 in the order of the incomes.

    Raises:
        InputError: the table is not there, or damaged.
    """
    del observer
    chosen = options if isinstance(options, Options) else Options(**options)
    table = read_table(table_file("income", "income", chosen.folder), task="income")
    rows = divided(table, SHARES, chosen.split_seed)
    return table_task(
        "income",
        table,
        one_hot(table),
        rows,
        batch=chosen.batch,
        seed=chosen.split_seed,
        metric="quadratic_kappa",  # the further off, the worse
    )
