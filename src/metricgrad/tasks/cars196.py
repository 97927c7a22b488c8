"""Find another picture of the same model of car: Stanford Cars in a folder of yours.

Cars196 of [krause2013cars]: the first 98 models to learn from (8,054 pictures), the last 98 to be judged on (8,131).
Test is the official one; select is held back from the classes of train. What the folder must hold stands in
`metricgrad.field.cars196`; nothing is downloaded. Any backbone takes part by its name.

Reference:
    [patel2022recall] (settings); the data set as above.
"""

from collections.abc import Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.field.cars196 import read
from metricgrad.tasks.picture_options import PictureOptions as Options
from metricgrad.tasks.picture_task import listed_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the lists, look for every picture, and make the splits; see `listed_task`."""
    return listed_task("cars196", read, options, observer)
