"""A run that trains nothing: the best closed form beside the vectors as they came, in the record of a contest."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._records import Chosen, Entrant, Finished, Note, RunStarted
from metricgrad._types import Observer
from metricgrad.adapting.job import Job
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.evidence import Selected, judge, read_test
from metricgrad.tune.folder import RunFolder, opened
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.identity import versions
from metricgrad.tune.splits import describe_split

__all__ = ["judged_untrained"]

START, FORM = "start", "closed-form"


def judged_untrained(
    job: Job,
    networks: Mapping[str, nn.Module],
    select: Mapping[str, float],
    words: str,
    folder: Path,
    observer: Observer,
    recipe: Mapping[str, Any] | None,
) -> Mapping[str, Tensor]:
    """Read test once with the vectors as they came (`start`) and a closed form, and write the record.

    Args:
        job: what is adapted.
        networks: of both arms, by name.
        select: their values on select.
        words: of the closed form.
        folder: of the run.
        observer: is told.
        recipe: kept in config.yaml.

    Returns:
        The statistics of test of both.
    """
    began, evaluator = time.time(), Evaluator(job.metric)
    arms = [Entrant(START, "start"), Entrant(FORM, "contender", words)]
    with opened(folder, observer) as place:
        place.load()  # what an earlier call has written is written anew: it trained nothing
        place.write_config(
            {"format": 2, "recipe": recipe and dict(recipe), "asked": {"untrained": words}, "found": {}}
        )
        _begin(place, job, arms, words)
        returned = FORM if evaluator.better(select[FORM], select[START]) else START
        place.emit(
            Chosen({"0": dict(select)}, {"0": dict.fromkeys(select, 0)}, {"0": returned}, 0), durable=True
        )
        read = read_test(
            [(0, arm) for arm in networks],
            lambda seed, arm: evaluator.outputs(networks[arm], job.splits.test),
            evaluator,
            place,
        )
        calls = dict(evaluator.calls)
        selected = Selected(job.metric, words, select, calls, [f"nothing is trained: {job.too_few}"], arms)
        place.emit(
            judge(selected, read.statistics, [0], grouping=grouping_of("test", job.splits, job.metric))
        )
        place.emit(Finished(returned, "adapter.safetensors", round(time.time() - began, 1)))
    return {arm: statistics[0] for arm, statistics in read.statistics.items()}


def _begin(place: RunFolder, job: Job, arms: list[Entrant], words: str) -> None:
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
