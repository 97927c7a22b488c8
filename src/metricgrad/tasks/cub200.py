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
from metricgrad.field.cub200 import read
from metricgrad.tasks.picture_options import PictureOptions as Options
from metricgrad.tasks.picture_task import listed_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the lists, look for every picture, and make the splits; see `listed_task`."""
    return listed_task("cub200", read, options, observer)
