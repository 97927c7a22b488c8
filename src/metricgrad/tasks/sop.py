"""Find another picture of the same product: Stanford Online Products in a folder of yours.

SOP of [ohsong2016lifted]: 59,551 pictures of 11,318 products to learn from, 60,502 of 11,316 others to be judged on.
Test is the official one; select is held back from the classes of train. What the folder must hold stands in
`metricgrad.field.sop`; nothing is downloaded. Any backbone takes part by its name.

Reference:
    [patel2022recall] (settings); the data set as above.
"""

from collections.abc import Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.field.sop import read
from metricgrad.tasks.picture_options import PictureOptions as Options
from metricgrad.tasks.picture_task import listed_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the lists, look for every picture, and make the splits; see `listed_task`."""
    return listed_task("sop", read, options, observer)
