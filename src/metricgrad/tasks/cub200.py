"""Find another picture of the same kind of bird: CUB-200-2011 in a folder of yours.

CUB of [wah2011cub]: the first 100 kinds to learn from (5,864 pictures), the last 100 to be judged on (5,924).
Test is the official one; select is held back from the classes of train. What the folder must hold stands in
`metricgrad.field.cub200`; nothing is downloaded. Any backbone takes part by its name.

Reference:
    [patel2022recall] (settings); the data set as above.
"""

from collections.abc import Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.field import cub200 as lists
from metricgrad.tasks.picture_options import PictureOptions
from metricgrad.tasks.picture_task import picture_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


class Options(PictureOptions):
    """What can be chosen of the task; see `PictureOptions`."""


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the lists, look for every picture, and make the splits.

    Args:
        options: see `Options`.
        observer: is told where counts differ from the published ones.

    Raises:
        InputError: a list or pictures are missing or of another form, or an option does not fit.
        MissingExtraError: Pillow is not installed.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    return picture_task("cub200", lists.read(chosen.data.expanduser()), chosen, observer)
