"""The end of an adaptation: the gain over the vectors as they came, and what is left in the folder."""

from pathlib import Path

from metricgrad.adapting.adapted import Adapted, gain_over_raw
from metricgrad.adapting.closed_forms import Forms
from metricgrad.adapting.job import Form, Job, Judged
from metricgrad.adapting.opponent import opponent
from metricgrad.adapting.outputs import save
from metricgrad.adapting.query_files import Mapped
from metricgrad.tune.groups import grouping_of

__all__ = ["Adapted", "concluded"]


def concluded(job: Job, form: Form, forms: Forms, judged: Judged, folder: Path) -> Adapted:
    """Say what the map brings, and write it."""
    grouping = grouping_of("test", job.splits, job.metric)
    unchanged = judged.map.words() == "unchanged"
    gain = gain_over_raw(job.metric, judged.adapted, judged.raw, grouping, unchanged=unchanged)
    found = Adapted(
        judged.map, job.metric.name, gain, job.parts, forms, job.notes, judged.comparison, job.side, folder
    )
    save(found)
    if job.files is not None:
        raw = None if job.raw is None or judged.raw is None else Mapped(job.network(job.raw), judged.raw)
        control = opponent(job, form, judged, folder)
        arms = {"raw": raw, "control": control, "adapted": Mapped(job.network(found.map), judged.adapted)}
        job.files.write({name: arm for name, arm in arms.items() if arm is not None}, folder)
    return found
