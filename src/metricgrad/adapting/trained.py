"""The contest: surrogates of the metric beside its controls: the usual loss, the best closed form, the raw vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from metricgrad._records import CLOSED_FORM, CONTROL, RAW, START, Chosen, Verdict, record_of
from metricgrad._types import Observer
from metricgrad.adapting.closed_forms import Forms
from metricgrad.adapting.contenders import Training, contenders, control
from metricgrad.adapting.gains import Over, gain_over_control
from metricgrad.adapting.job import Form, Job, Judged, Start
from metricgrad.tune import Comparison, GivenForm, compare
from metricgrad.tune.checkpoint import load_weights

__all__ = ["judged_trained"]

_WHY = {
    START: "It is a closed form: on select training added nothing.",
    CLOSED_FORM: "It is a closed form: on select training added nothing.",
    CONTROL: "It is a control, trained on with the usual loss: on select no loss of the metric is better.",
}


def judged_trained(
    job: Job,
    training: Training,
    form: Form,
    forms: Forms,
    folder: Path,
    observer: Observer,
    *,
    began: float,
    recipe: Mapping[str, Any] | None,
    force: bool,
) -> Judged:
    """Train from a closed form and read test once with every arm.

    Args:
        job: what is adapted.
        training: how much is trained.
        form: where training starts.
        forms: what select says of it and the others.
        folder: of the run.
        observer: is told.
        began: seconds since the epoch from which the minutes count.
        recipe: kept in config.yaml.
        force: resume although something has changed.
    """
    start = job.start(form)
    given = [GivenForm(CLOSED_FORM, form, form.words(), forms.tried)]
    if job.raw is not None:
        given.insert(0, GivenForm(RAW, job.raw, "the vectors as they came"))
    comparison = compare(
        start.network,
        job.splits,
        metric=job.metric,
        methods=contenders(job.metric, training),
        proxy=job.proxy,
        controls=[control(job.proxy, training), *given],
        plan=training.plan(start.weights),
        seeds=list(training.seeds),
        folder=folder,
        task="adapt",
        recipe=recipe,
        notes=list(job.notes),
        observer=observer,
        force=force,
        began=began,
    )
    chosen: Chosen = record_of(comparison.result.event("chosen") or {})
    arm = chosen.returned[str(chosen.best_seed)]
    if arm == START and start.map is form:
        arm = CLOSED_FORM  # the same map, whose figures are those of float64 weights
    number = list(chosen.returned).index(str(chosen.best_seed))
    tables = load_weights(folder / "test.safetensors")
    of_seed: dict[str, Tensor] = {row.name: tables[f"{row.name}/{number}"] for row in comparison.table}
    over = None if arm in (*_WHY, RAW) else _over(job, comparison, of_seed, arm)
    return Judged(
        _map(job, start, form, arm, comparison),
        of_seed[arm],
        of_seed.get(RAW),
        _WHY.get(arm, ""),
        over,
        _over_form(job, form, of_seed, arm, over),
        comparison,
    )


def _over(job: Job, comparison: Comparison, tables: Mapping[str, Tensor], arm: str) -> Over:
    """What a contender brings over the opponent of the verdict."""
    verdict: Verdict = record_of(comparison.result.event("verdict") or {})
    assert verdict.baseline is not None
    methods = {row.name: row.method for row in comparison.table}
    words = {
        START: "the closed form that training starts from",
        CONTROL: f"the usual loss ({methods[CONTROL]})",
    }
    return gain_over_control(
        job.metric,
        job.splits,
        tables,
        arm=arm,
        control=verdict.baseline,
        words=f"{words.get(verdict.baseline, methods[verdict.baseline])}, the best control by select",
        contenders=list(verdict.contenders),
    )


def _over_form(
    job: Job, form: Form, tables: Mapping[str, Tensor], arm: str, over: Over | None
) -> Over | None:
    """What a trained arm brings over the best closed form; None where `over` says it."""
    if arm in (START, CLOSED_FORM, RAW) or (over is not None and over.control in (START, CLOSED_FORM)):
        return None
    return gain_over_control(
        job.metric, job.splits, tables, arm=arm, control=CLOSED_FORM, words=form.words(), contenders=[arm]
    )


def _map(job: Job, start: Start, form: Form, arm: str, comparison: Comparison) -> Form:
    """What the contest returns, as a map with a name."""
    known = {START: start.map, RAW: job.raw, CLOSED_FORM: form}
    if arm in known:
        found = known[arm]
        assert found is not None
        return found
    method = next(row.method for row in comparison.table if row.name == arm)
    assert comparison.best is not None
    return job.trained(comparison.best.eval(), f"map trained with {method} from {form.words()}")
