"""The contest: the usual loss, surrogates of the metric and the vectors as they came, all from the best closed form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad._records import RAW, START, record_of
from metricgrad._types import Observer
from metricgrad.adapting.contenders import Training, contenders, control
from metricgrad.adapting.job import Form, Job, Judged
from metricgrad.tune import Comparison, compare
from metricgrad.tune.checkpoint import load_weights
from metricgrad.tune.evaluator import Evaluator

__all__ = ["judged_trained"]


def judged_trained(
    job: Job,
    training: Training,
    form: Form,
    folder: Path,
    observer: Observer,
    *,
    notes: list[str],
    recipe: Mapping[str, Any] | None,
    force: bool,
) -> Judged:
    """Train from a closed form and read test once with every arm.

    Args:
        job: what is adapted.
        training: how much is trained.
        form: where training starts.
        folder: of the run.
        observer: is told.
        notes: for the record.
        recipe: kept in config.yaml.
        force: resume although something has changed.
    """
    start = job.start(form)
    weights = sum(weight.numel() for weight in start.parameters() if weight.requires_grad)
    comparison = compare(
        start,
        job.splits,
        metric=job.metric,
        methods=contenders(job.metric, training),
        proxy=job.proxy,
        controls=[control(job.proxy, training), *([RAW] if job.raw_is_an_arm else [])],
        plan=training.plan(weights),
        seeds=list(training.seeds),
        folder=folder,
        task="adapt",
        recipe=recipe,
        notes=notes,
        observer=observer,
        force=force,
    )
    chosen: Any = record_of(comparison.result.event("chosen"))  # pyright: ignore[reportArgumentType]
    arm = chosen.returned[str(chosen.best_seed)]
    number = list(chosen.returned).index(str(chosen.best_seed))
    tables = load_weights(folder / "test.safetensors")
    raw = tables.get(f"{RAW}/{number}")
    if raw is None and job.raw is not None:
        test: Any = job.splits.test
        raw = Evaluator(job.metric).statistics(job.network(job.raw), test, "test")
    return Judged(_map(job, form, arm, comparison), tables[f"{arm}/{number}"], raw, comparison)


def _map(job: Job, form: Form, arm: str, comparison: Comparison) -> Form:
    """What the contest returns, as a map with a name."""
    if arm == START:
        return form
    if arm == RAW:
        assert job.raw is not None
        return job.raw
    method = next(row.method for row in comparison.table if row.name == arm)
    assert comparison.best is not None
    return job.trained(comparison.best.eval(), f"map trained with {method} from {form.words()}")
