"""Adapt frozen vectors to a metric: closed forms first, training from the best of them, one reading of test."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from metricgrad._records import Note, event_of, record_of
from metricgrad._types import Observer
from metricgrad.adapting.adapted import Adapted, gain_over_raw
from metricgrad.adapting.closed_forms import Forms, best_form
from metricgrad.adapting.contenders import Training, contenders, control
from metricgrad.adapting.job import Form, Job
from metricgrad.adapting.outputs import save
from metricgrad.adapting.untrained import judged_untrained
from metricgrad.tune import Comparison, compare
from metricgrad.tune.checkpoint import load_weights
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.groups import grouping_of

__all__ = ["adapted"]


def adapted(
    job: Job,
    training: Training,
    *,
    folder: Path | str | None,
    observer: Observer,
    recipe: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Adapted:
    """Choose a closed form, train on from it where there is enough to train on, and judge on test."""
    place = Path(folder or tempfile.mkdtemp(prefix="metricgrad-"))
    form, forms = best_form(job.forms(), job.network, job.splits.select, job.metric, observer)
    job = replace(job, too_few=job.too_few or _why_not(job, training, forms))
    if job.too_few:
        observer(event_of(Note(f"closed forms only: {job.too_few}")))
        return _untrained(job, form, forms, place, observer, recipe)
    comparison = compare(
        job.start(form),
        job.splits,
        metric=job.metric,
        methods=contenders(job.metric, training),
        proxy=job.proxy,
        controls=[control(job.proxy, training)],
        plan=training.plan,
        seeds=list(training.seeds),
        folder=place,
        task="adapt",
        recipe=recipe,
        notes=[*job.notes, f"start: {forms.words}, the best of {len(forms.tried)} closed forms by select"],
        observer=observer,
        force=force,
    )
    return _trained(job, form, forms, comparison, place)


def _why_not(job: Job, training: Training, forms: Forms) -> str:
    """Why nothing is trained although there is enough: nothing was asked for, or select can tell no better."""
    best = job.metric.bounds[1 if job.metric.higher_is_better else 0]
    if forms.value == best:
        return f"select is saturated: {forms.words} has {job.metric.name} {forms.value:.4f}, and no choice can be made"
    return "no method is asked for" if training.methods is not None and not training.methods else ""


def _untrained(
    job: Job, form: Form, forms: Forms, place: Path, observer: Observer, recipe: Mapping[str, Any] | None
) -> Adapted:
    networks = {"start": job.network(job.raw or form), "closed-form": job.network(form)}
    values = {"start": forms.tried[0].value if job.raw else forms.value, "closed-form": forms.value}
    read = judged_untrained(job, networks, values, forms.words, place, observer, recipe)
    return _concluded(job, form, forms, read["closed-form"], read["start"], None, place)


def _trained(job: Job, form: Form, forms: Forms, comparison: Comparison, place: Path) -> Adapted:
    """What the contest returns, as a map with a name."""
    result = comparison.result
    chosen: Any = record_of(result.event("chosen"))  # pyright: ignore[reportArgumentType]
    arm = chosen.returned[str(chosen.best_seed)]
    number = list(chosen.returned).index(str(chosen.best_seed))
    tables = load_weights(place / "test.safetensors")
    returned = form
    if arm != "start":
        method = next(row.method for row in comparison.table if row.name == arm)
        assert comparison.best is not None
        returned = job.trained(comparison.best.eval(), f"map trained with {method} from {forms.words}")
    statistics = tables[f"{arm}/{number}"]
    raw = None
    if job.raw is not None:
        raw = Evaluator(job.metric).statistics(job.network(job.raw), job.splits.test, "test")
    return _concluded(job, returned, forms, statistics, raw, comparison, place)


def _concluded(
    job: Job,
    form: Form,
    forms: Forms,
    statistics: Tensor,
    raw: Tensor | None,
    comparison: Comparison | None,
    place: Path,
) -> Adapted:
    grouping = grouping_of("test", job.splits, job.metric)
    unchanged = form.words() == "unchanged"
    gain = gain_over_raw(job.metric, statistics, raw, grouping, unchanged=unchanged)
    found = Adapted(form, job.metric.name, gain, job.parts, forms, job.notes, comparison, job.side, place)
    save(found)
    return found
