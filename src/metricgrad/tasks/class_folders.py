"""Find another picture of the same class: pictures of your own, a folder per class.

The folder holds `train/CLASS/*.jpg` and `test/CLASS/*.jpg` without a common class, or `CLASS/*.jpg`: then classes are
drawn for test. Select is held back from the classes of train. Any backbone takes part by its name.

Reference:
    [patel2022recall] (settings).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from metricgrad._documents import NumberField
from metricgrad._types import Observer
from metricgrad.field import class_folders as lists
from metricgrad.tasks.picture_options import PictureOptions
from metricgrad.tasks.picture_task import picture_task
from metricgrad.tasks.task import Task

__all__ = ["Options", "load"]


class Options(PictureOptions):
    """What can be chosen of the task; see `PictureOptions`.

    Args:
        test_share: of the classes that are drawn for test, where the folder has no `train` and `test`.
    """

    test_share: NumberField = Field(default=0.5, gt=0, lt=1)


def load(options: Mapping[str, Any], observer: Observer | None = None) -> Task:
    """List the pictures and make the splits.

    Args:
        options: see `Options`.
        observer: is told what was drawn and what was passed over.

    Raises:
        InputError: no such folder, too few classes, or an option does not fit.
        MissingExtraError: Pillow is not installed.
    """
    chosen = options if isinstance(options, Options) else Options(**options)
    parts = lists.read(chosen.data.expanduser(), test_share=chosen.test_share, seed=chosen.split_seed)
    return picture_task("class_folders", parts, chosen, observer)
