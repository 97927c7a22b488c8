"""How far arms fall in the side metrics on select, and which of them are not returned for that.

A fall is that of one model: start minus arm of one seed, in the side metric's own direction, since the weights of one
seed are what is returned. An arm is held back where the lower end of the interval of its fall lies above what it may
fall; where no interval can be given, it is not, and the reader is told.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from metricgrad._records import Progress
from metricgrad._resampling import Watch
from metricgrad._side_records import Fall, SideMeasured
from metricgrad.differences import CONFIDENCE, Differences, Grouping
from metricgrad.errors import MetricFailed, RunFolderError
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.outputs import Outputs
from metricgrad.tune.side_metrics import SideMetric, described, read_beside
from metricgrad.tune.splits import Splits

__all__ = ["Beside", "check_measured", "falls_of", "held_back", "told_of"]

Measured = Mapping[tuple[str, int, str], Tensor | None]
"""(side metric, seed, arm) -> statistics [unit, stat] on select; None where the metric failed."""


class Beside:
    """Measures the side metrics of a run on what was computed for the metric; each is counted under its own name.

    Args:
        sides: the side metrics.
        folder: of the run; every value is written.
    """

    def __init__(self, sides: Sequence[SideMetric], folder: RunFolder) -> None:
        self.sides, self.folder = sides, folder
        self.evaluators = [Evaluator(side.metric) for side in sides]
        self.failed: dict[str, None] = {}

    def measured(
        self, found: Outputs, seed: int, arm: str, split: str
    ) -> dict[tuple[str, int, str], Tensor | None]:
        """Measure one model on one split."""
        statistics: dict[tuple[str, int, str], Tensor | None] = {}
        for evaluator in self.evaluators:
            name, table, value = evaluator.metric.name, None, float("nan")
            try:
                read = read_beside(evaluator, found, split)
                table, value = read, evaluator.summarised(read)
            except MetricFailed as error:
                self.failed[f"{name} failed on {split} (seed {seed}, {arm}): {error}"] = None
            units = 0 if table is None else len(table)
            undefined = 0 if table is None else int(table[:, 0].isnan().sum())
            self.folder.emit(SideMeasured(name, seed, arm, split, value, units, undefined))
            statistics[name, seed, arm] = table
        return statistics

    def on_select(
        self,
        models: Sequence[tuple[int, str]],
        outputs_of: Callable[[int, str], Outputs],
    ) -> Measured:
        """Measure the model of every (seed, arm) on select, one after the other."""
        self.folder.emit(described(self.sides))
        statistics: dict[tuple[str, int, str], Tensor | None] = {}
        for number, (seed, arm) in enumerate(models):
            self.folder.emit(Progress("side metrics", number, len(models), "model"))
            statistics |= self.measured(outputs_of(seed, arm), seed, arm, "select")
        self.folder.emit(Progress("side metrics", len(models), len(models), "model"))
        return statistics

    def falls(
        self,
        models: Sequence[tuple[int, str]],
        outputs_of: Callable[[int, str], Outputs],
        splits: Splits,
        *,
        start: str,
        resamples: int,
    ) -> list[Fall]:
        """Measure every model on select, by what `outputs_of` gives, and write how far each fell below its start."""
        if not self.sides:
            return []
        falls = falls_of(
            self.sides,
            self.on_select(models, outputs_of),
            start=start,
            grouping_of=lambda side: grouping_of("select", splits, side.metric),
            resamples=resamples,
            watch=lambda done, total: self.folder.emit(
                Progress("resamples of select", done, total, "resample")
            ),
        )
        for fall in falls:
            self.folder.emit(fall)
        return falls

    @property
    def calls(self) -> dict[str, int]:
        """Measurements by split and name of the side metric."""
        return {
            f"{split} ({evaluator.metric.name})": count
            for evaluator in self.evaluators
            for split, count in evaluator.calls.items()
        }


def check_measured(sides: Sequence[SideMetric], folder: RunFolder) -> None:
    """Raise RunFolderError where a finished run has not measured one of these side metrics."""
    known = {
        one["name"]
        for event in folder.events()
        if event["event"] == "side_metrics"
        for one in event["metrics"]
    }
    missing = [side.metric.name for side in sides if side.metric.name not in known]
    if missing:
        raise RunFolderError(
            f"the run in {folder.path} is finished and has not measured {', '.join(missing)}; expected side metrics "
            "that it has. Choose another folder."
        )


def falls_of(
    sides: Sequence[SideMetric],
    measured: Measured,
    *,
    start: str,
    grouping_of: Callable[[SideMetric], Grouping],
    resamples: int,
    watch: Watch | None = None,
) -> list[Fall]:
    """Return the fall of every model beside the start in every side metric.

    Args:
        sides: the side metrics.
        measured: their statistics on select, of every seed and arm.
        start: name of the arm that the others fell from; it is never held back itself.
        grouping_of: which units of select are drawn together.
        resamples: number of draws, the same for every model.
        watch: is told how far the draws of a model are.
    """
    falls = []
    for side in sides:
        grouping = grouping_of(side)
        for (name, seed, arm), table in measured.items():
            if name != side.metric.name or arm == start:
                continue
            before = measured[name, seed, start]
            falls.append(_fall(side, (seed, arm), (before, table), grouping, resamples, watch))
    return falls


def _fall(
    side: SideMetric,
    model: tuple[int, str],
    tables: tuple[Tensor | None, Tensor | None],
    grouping: Grouping,
    resamples: int,
    watch: Watch | None,
) -> Fall:
    """The fall of one model, paired over the units of select that are defined for it and for its start."""
    (seed, arm), (before, after) = model, tables
    metric, limit = side.metric, side.may_fall if side.holds_back else None
    if before is None or after is None:
        return Fall(metric.name, seed, arm, None, None, None, limit, told="the metric failed")
    found = Differences(metric, {"before": [before], "after": [after]}, grouping, resamples, watch)
    sign = 1.0 if metric.higher_is_better else -1.0
    fall = found.interval({"before": sign, "after": -sign})
    if not np.isfinite(fall.value):
        return Fall(metric.name, seed, arm, None, None, None, limit, told="the metric is undefined on select")
    told = "" if found.doubt is None else found.doubt
    held = not told and limit is not None and fall.low is not None and fall.low > limit
    return Fall(metric.name, seed, arm, fall.value, fall.low, fall.high, limit, held_back=held, told=told)


def told_of(falls: Sequence[Fall]) -> list[str]:
    """Say which arms are not returned and why, and which falls cannot be judged."""
    held: dict[tuple[str, str], list[Fall]] = {}
    unknown: dict[tuple[str, str], list[Fall]] = {}
    for fall in falls:
        if fall.held_back:
            held.setdefault((fall.arm, fall.metric), []).append(fall)
        elif fall.told and fall.may_fall is not None:
            unknown.setdefault((fall.metric, fall.told), []).append(fall)
    texts = [
        f"{arm} is not returned ({_seeds(found)}): on select {metric} falls by {', '.join(map(_figures, found))}; "
        f"it may fall by {found[0].may_fall:g}"
        for (arm, metric), found in held.items()
    ]
    return texts + [
        f"side metric {metric}: the fall of {' and '.join(dict.fromkeys(fall.arm for fall in found))} is not judged "
        f"({_seeds(found)}), and no arm is held back for it: {reason}"
        for (metric, reason), found in unknown.items()
    ]


def _seeds(falls: Sequence[Fall]) -> str:
    seeds = list(dict.fromkeys(str(fall.seed) for fall in falls))
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _figures(fall: Fall) -> str:
    return f"{fall.fall:.4f} ({CONFIDENCE:.0%} interval {fall.low:.4f} to {fall.high:.4f})"


def held_back(falls: Sequence[Fall]) -> set[tuple[int, str]]:
    """Return seed and arm of the models that are not returned."""
    return {(fall.seed, fall.arm) for fall in falls if fall.held_back}
