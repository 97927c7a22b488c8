"""The arm that the verdict stands against, as a network with its figures on test: the strongest control by select."""

from pathlib import Path

from metricgrad._records import CLOSED_FORM, RAW, START, Chosen, Verdict, record_of
from metricgrad.adapting.job import Form, Job, Judged
from metricgrad.adapting.query_files import Mapped
from metricgrad.tune.checkpoint import load_weights

__all__ = ["opponent"]


def opponent(job: Job, form: Form, judged: Judged, folder: Path) -> Mapped | None:
    """Find it.

    Args:
        job: what is adapted.
        form: the best closed form.
        judged: what the run returns.
        folder: of the run.

    Returns:
        Of the seed that select prefers. Where nothing was trained these are the vectors as they came; None where they
        have no figure.
    """
    if judged.comparison is None:
        known = job.raw is not None and judged.raw is not None
        return Mapped(job.network(job.raw), judged.raw) if known else None  # pyright: ignore[reportArgumentType]
    verdict: Verdict = record_of(judged.comparison.result.event("verdict") or {})
    chosen: Chosen = record_of(judged.comparison.result.event("chosen") or {})
    arm, seed = verdict.baseline, str(chosen.best_seed)
    values = load_weights(folder / "test.safetensors")[f"{arm}/{list(chosen.returned).index(seed)}"]
    if arm in (RAW, CLOSED_FORM):
        return Mapped(job.network(job.raw if arm == RAW else form), values)
    network = job.start(form).network
    if arm != START:
        name = f"seed{seed}-{arm}-try{chosen.attempts[seed][str(arm)]}.safetensors"
        network.load_state_dict(load_weights(folder / "arms" / name))
    return Mapped(network.eval(), values)
