"""Find the same piece of clothing in a shop: DeepFashion In-shop in a folder of yours.

In-shop of [liu2016deepfashion]: 25,882 pictures of 3,997 items to learn from; 14,218 queries of 3,985 others are ranked
against a gallery of 12,612.
Test is the official one; select is held back from the classes of train. What the folder must hold stands in
`metricgrad.field.in_shop`; nothing is downloaded. Any backbone takes part by its name.

Reference:
    [patel2022recall] (settings); the data set as above.
"""

from collections.abc import Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.field.in_shop import read
from metricgrad.tasks.picture_options import PictureOptions as Options
from metricgrad.tasks.picture_task import listed_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """Read the lists, look for every picture, and make the splits; see `listed_task`."""
    return listed_task("in_shop", read, options, observer)
