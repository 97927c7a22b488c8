"""Find another picture of the same vehicle: PKU VehicleID in a folder of yours.

VehicleID of [liu2016vehicleid]: the list of train to learn from, and one of the three official tests of 800, 1,600 and
2,400 vehicles to be judged on. Select is held back from the vehicles of train. What the folder must hold stands in
`metricgrad.field.vehicle_id`; nothing is downloaded. Any backbone takes part by its name.

Reference:
    [patel2022recall] (settings); the data set as above.
"""

from collections.abc import Mapping
from typing import Any, Literal

from metricgrad._types import Observer
from metricgrad.field import vehicle_id as lists
from metricgrad.field.vehicle_id import TestVehicles
from metricgrad.tasks.picture_options import PictureOptions
from metricgrad.tasks.picture_task import picture_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


class Options(PictureOptions):
    """What can be chosen of the task; see `PictureOptions`.

    Args:
        test_vehicles: which of the official tests: 800, 1600 or 2400.
        gallery: `all`: every picture is a query for the others, as in retrieval papers; `one`: one picture of each
            vehicle, drawn by `split_seed`, is searched, and the others are queries.
    """

    test_vehicles: TestVehicles = 2400
    gallery: Literal["all", "one"] = "all"


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
    parts = lists.read(
        chosen.data.expanduser(), chosen.test_vehicles, gallery=chosen.gallery, seed=chosen.split_seed
    )
    return picture_task("vehicle_id", parts, chosen, observer)
