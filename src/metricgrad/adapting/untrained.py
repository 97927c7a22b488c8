"""A run that trains nothing: the best closed form beside the vectors as they came, in the record of a contest."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metricgrad._records import START, Chosen, Entrant, Finished
from metricgrad._types import Observer
from metricgrad.adapting.job import Form, Job, Judged
from metricgrad.adapting.record import begin
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.evidence import Selected, judge, read_test
from metricgrad.tune.folder import opened
from metricgrad.tune.groups import grouping_of

__all__ = ["judged_untrained"]

FORM = "closed-form"


def judged_untrained(
    job: Job,
    form: Form,
    values: tuple[float, float],
    folder: Path,
    observer: Observer,
    recipe: Mapping[str, Any] | None,
) -> Judged:
    """Read test once with the vectors as they came (`start`) and a closed form, and write the record.

    Args:
        job: what is adapted.
        form: the best closed form by select.
        values: on select: of the vectors as they came, and of the form.
        folder: of the run.
        observer: is told.
        recipe: kept in config.yaml.
    """
    began, evaluator, words = time.time(), Evaluator(job.metric), form.words()
    networks = {START: job.network(job.raw or form), FORM: job.network(form)}
    select = dict(zip(networks, values, strict=True))
    arms = [Entrant(START, "start"), Entrant(FORM, "contender", words, derived=True)]
    with opened(folder, observer) as place:
        place.load()  # what an earlier call has written is written anew: it trained nothing
        asked = {"untrained": words}
        place.write_config({"format": 2, "recipe": recipe and dict(recipe), "asked": asked, "found": {}})
        begin(place, job, arms, words)
        returned = FORM if evaluator.better(select[FORM], select[START]) else START
        tries = dict.fromkeys(select, 0)
        place.emit(Chosen({"0": select}, {"0": tries}, {"0": returned}, 0), durable=True)
        test: Any = job.splits.test
        read = read_test(
            [(0, arm) for arm in networks],
            lambda seed, arm: evaluator.outputs(networks[arm], test),
            evaluator,
            place,
        )
        selected = Selected(job.metric, words, select, dict(evaluator.calls), ["nothing is trained"], arms)
        grouping = grouping_of("test", job.splits, job.metric)
        verdict = judge(selected, read.statistics, [0], grouping=grouping)
        marks = [mark for mark in verdict.marks if not mark.startswith("no proxy loss was given")]
        place.emit(replace(verdict, marks=marks))
        place.emit(Finished(returned, "adapter.safetensors", round(time.time() - began, 1)))
    found = {arm: statistics[0] for arm, statistics in read.statistics.items()}
    why = "It is a closed form; nothing was trained."
    return Judged(form, found[FORM], found[START] if job.raw else None, why)
