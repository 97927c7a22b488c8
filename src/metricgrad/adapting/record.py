"""The beginning of the record of a run that trains nothing."""

import torch

from metricgrad._records import Entrant, Note, RunStarted
from metricgrad.adapting.job import Job
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.identity import versions
from metricgrad.tune.splits import describe_split

__all__ = ["begin"]


def begin(place: RunFolder, job: Job, arms: list[Entrant], words: str) -> None:
    """Write what is run, on what, and the notes."""
    metric = job.metric
    splits = {name: describe_split(getattr(job.splits, name)) for name in ("fit", "select", "test")}
    place.emit(
        RunStarted(
            metric.name,
            metric.description,
            metric.higher_is_better,
            metric.unit,
            words,
            None,
            "adapt",
            [0],
            splits,
            versions(),
            torch.get_num_threads(),
            arms,
        )
    )
    for text in job.notes:
        place.emit(Note(text))
