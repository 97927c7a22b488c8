"""Adapt frozen vectors to a metric: closed forms first, training from the best of them, one reading of test."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metricgrad._types import Observer
from metricgrad.adapting.clock import Clock
from metricgrad.adapting.closed_forms import Forms, best_form
from metricgrad.adapting.conclude import Adapted, concluded
from metricgrad.adapting.contenders import Training
from metricgrad.adapting.job import Job
from metricgrad.adapting.trained import judged_trained
from metricgrad.adapting.untrained import judged_untrained

__all__ = ["Adapted", "Training", "adapted"]


def adapted(
    job: Job,
    training: Training,
    *,
    folder: Path | str | None,
    observer: Observer | None,
    recipe: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Adapted:
    """Choose a closed form, train on from it where there is enough to train on, and judge on test."""
    began, place = time.time(), Path(folder or tempfile.mkdtemp(prefix="metricgrad-"))
    select: Any = job.splits.select
    test: Any = job.splits.test
    observer = Clock(observer, select, test)
    form, forms = best_form(job.forms(), job.network, select, job.metric, observer)
    why = job.too_few or _why_not(job, training, forms)
    told = f"start: {forms.words}, the best of {len(forms.tried)} closed forms by select"
    job = replace(job, notes=[*job.notes, f"closed forms only: {why}" if why else told])
    if why:
        judged = judged_untrained(job, form, _values(job, forms), place, observer, recipe)
    else:
        judged = judged_trained(
            job, training, form, forms, place, observer, began=began, recipe=recipe, force=force
        )
    return concluded(job, form, forms, judged, training, place, observer)


def _why_not(job: Job, training: Training, forms: Forms) -> str:
    """Why nothing is trained although there is enough: nothing was asked for, or select can tell no better."""
    best = job.metric.bounds[1 if job.metric.higher_is_better else 0]
    if forms.value == best:
        return f"select is saturated: {forms.words} has {job.metric.name} {forms.value:.4f}, and no choice can be made"
    return "no method is asked for" if training.methods is not None and not training.methods else ""


def _values(job: Job, forms: Forms) -> tuple[float, float]:
    """On select: of the vectors as they came, which are the first form, and of the best form."""
    return (forms.tried[0].value if job.raw else forms.value), forms.value
