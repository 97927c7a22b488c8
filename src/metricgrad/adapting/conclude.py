"""The end of an adaptation: what the map brings, the curve over the size of fit, and what is left in the folder."""

from pathlib import Path

from metricgrad._types import Observer
from metricgrad.adapting.adapted import Adapted
from metricgrad.adapting.closed_forms import Forms
from metricgrad.adapting.contenders import Training
from metricgrad.adapting.gains import gain_over_raw
from metricgrad.adapting.job import Form, Job, Judged
from metricgrad.adapting.left import leave
from metricgrad.adapting.size_curve import recorded_curve

__all__ = ["Adapted", "concluded"]


def concluded(
    job: Job,
    form: Form,
    forms: Forms,
    judged: Judged,
    training: Training,
    folder: Path,
    observer: Observer,
) -> Adapted:
    """Say what the map brings, and write it."""
    curve = None
    if training.curve:
        curve = recorded_curve(job, forms, judged.comparison, training, folder, observer)
    unchanged = judged.map.words() == "unchanged"
    found = Adapted(
        judged.map,
        job.metric.name,
        gain_over_raw(job.metric, job.splits, judged.adapted, judged.raw, unchanged=unchanged),
        judged.over,
        judged.over_form,
        judged.why,
        job.parts,
        forms,
        job.notes,
        judged.comparison,
        curve,
        job.side,
        folder,
    )
    leave(found, job, form, judged)
    return found
