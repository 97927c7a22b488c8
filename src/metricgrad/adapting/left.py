"""What an adaptation leaves in its folder: the map with its facts, and what test was under each of three maps."""

from metricgrad.adapting.adapted import Adapted
from metricgrad.adapting.job import Form, Job, Judged
from metricgrad.adapting.opponent import opponent
from metricgrad.adapting.outputs import save
from metricgrad.adapting.query_files import Mapped

__all__ = ["leave"]


def leave(found: Adapted, job: Job, form: Form, judged: Judged) -> None:
    """Write it.

    Args:
        found: what came out.
        job: what was adapted.
        form: the best closed form.
        judged: what the run returns.
    """
    save(found)
    if job.files is not None:
        raw = None if job.raw is None or judged.raw is None else Mapped(job.network(job.raw), judged.raw)
        control = opponent(job, form, judged, found.folder)
        arms = {"raw": raw, "control": control, "adapted": Mapped(job.network(found.map), judged.adapted)}
        job.files.write({name: arm for name, arm in arms.items() if arm is not None}, found.folder)
