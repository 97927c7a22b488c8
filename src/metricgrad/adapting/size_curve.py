"""What smaller parts of fit would have given, on select: whether more data would help. It chooses nothing."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricgrad._closed_form_records import SizeCurve, SizePoint
from metricgrad._types import Observer
from metricgrad.adapting.closed_forms import Forms, best_form
from metricgrad.adapting.contenders import Training
from metricgrad.adapting.job import Fewer, Job
from metricgrad.adapting.winner import Winner, winner_of
from metricgrad.tune import Comparison, Contender, Splits, compare
from metricgrad.tune.folder import opened

__all__ = ["SHARES", "recorded_curve", "size_curve"]

SHARES = (0.1, 0.3)
"""Of fit, beside all of it, which the contest has measured."""


def recorded_curve(
    job: Job,
    forms: Forms,
    comparison: Comparison | None,
    training: Training,
    folder: Path,
    observer: Observer,
) -> SizeCurve:
    """Draw the curve and add it to the record of the run."""
    higher = job.metric.higher_is_better
    if comparison is None:
        winner = Winner(why=job.too_few or "the contest trained nothing")
    else:
        winner = winner_of(comparison, higher_is_better=higher)
    found = size_curve(job, forms, winner, training, observer)
    with opened(folder, observer) as place:
        place.emit(found, durable=True)
    return found


def size_curve(job: Job, forms: Forms, winner: Winner, training: Training, observer: Observer) -> SizeCurve:
    """Fit the closed form that select preferred to parts of fit, and train once from each what select preferred.

    The select split and its index are those of the contest, so that all points are on one scale.

    Args:
        job: what is adapted.
        forms: what select says of the closed forms fitted to all of fit.
        winner: the method, with its settings and value; without a method nothing is trained.
        training: how much is trained.
        observer: is told how far it is.
    """
    points, unit = [], ""
    for share in SHARES:
        fewer = job.fewer(share)
        unit = fewer.unit
        points.append(_point(share, fewer, job, forms, winner, training, observer))
    whole = job.fewer(1.0)
    points.append(SizePoint(1.0, whole.many, forms.words, forms.value, winner.value, winner.why))
    return SizeCurve(unit, winner.arm, forms.tried[0].value if job.raw else None, points)


def _point(
    share: float, fewer: Fewer, job: Job, forms: Forms, winner: Winner, training: Training, observer: Observer
) -> SizePoint:
    """What a part gives."""
    select: Any = job.splits.select
    form, found = best_form(
        _alike(fewer.forms(), forms),
        job.network,
        select,
        job.metric,
        observer,
        f"closed forms of {share:.0%} of fit",
    )
    why = winner.why or fewer.too_few
    if why:
        return SizePoint(share, fewer.many, found.words, found.value, None, why)
    start = fewer.start(form)
    compared = compare(
        start.network,
        Splits(fewer.fit, select),
        metric=job.metric,
        methods=[Contender(winner.arm, winner.method, winner.settings)],
        controls=[],
        plan=training.once(winner.steps),
        seeds=winner.seed,
        observer=_Relabelled(observer, f"{share:.0%} of fit, {winner.arm}"),
    )
    return SizePoint(share, fewer.many, found.words, found.value, compared.table[-1].select)


def _alike(candidates: Iterable[Any], forms: Forms) -> Iterator[Any]:
    """The forms that have the name of the best one."""
    return (one for one in candidates if one.name == forms.name)


@dataclass
class _Relabelled:
    """Passes the progress of training on, under another name; the rest is of a run that nobody sees."""

    observer: Observer
    what: str

    def __call__(self, event: Any) -> None:
        """Pass an event on."""
        if event["event"] == "progress" and event.get("stages"):
            self.observer({**event, "what": self.what, "stage": 0, "stages": 0, "time": time.time()})
