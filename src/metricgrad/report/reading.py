"""From the lines of a record to one object that the table, the plots and the page draw from.

A record is a log: an interrupted run repeats lines, an unfinished one lacks some, and a newer version may add
others. Here the log is folded once: for equal keys (seed, arm, attempt, step) the last line stands, what is missing
stays None or empty, and what is unknown is passed over. Nothing is computed that `tune` did not write, apart from
means over seeds for a run that has no verdict yet.
"""

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metricgrad._checks import describe, fail
from metricgrad._decision_records import CutCurve, DecisionTables, Picked, RuleFitted
from metricgrad._documents import Unreadable
from metricgrad._layout import check_layout
from metricgrad._record_file import read_record
from metricgrad._records import (
    Budget,
    Chosen,
    ClosedFormChosen,
    Curve,
    Entrant,
    Evaluated,
    Finished,
    Fitted,
    GroupFigures,
    Note,
    Progress,
    Resumed,
    Role,
    RunStarted,
    StageFinished,
    StageStarted,
    Stepped,
    Tested,
    Verdict,
    arms_of,
    record_of,
)
from metricgrad._side_records import Fall, Side, SideMeasured, SideMetrics
from metricgrad.report.consistency import time_of, wrong_in

__all__ = ["Run", "Stage", "condense", "read_run"]


@dataclass
class Stage:
    """One arm of one seed with one set of settings: what was trained, and its curves so far."""

    seed: int
    arm: str
    attempt: int
    steps: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    select: dict[int, float] = field(default_factory=dict)  # step -> exact metric on the select split
    losses: dict[int, dict[str, float]] = field(default_factory=dict)  # step -> logged training values
    fits: dict[int, Fitted] = field(default_factory=dict)  # step -> how well a learned surrogate estimates
    best: float | None = None
    best_step: int | None = None
    diverged: int | None = None
    seconds: float | None = None
    pool_calls: int = 0  # of the metric, by a method that asks for it
    finished: bool = False
    chosen: bool = False  # stands for its arm; before selection is over, the best attempt so far

    @property
    def reached(self) -> int:
        """The last step that the record knows of; a finished stage counts as whole, even if it stopped early."""
        if self.finished:
            return self.steps
        return min(max([0, *self.select, *self.losses]), self.steps)


@dataclass
class Run:
    """Everything that the record of a run says, folded; see the classes of `metricgrad._records`."""

    start: RunStarted
    began: float  # seconds since the epoch
    budget: Budget | None = None
    stages: dict[tuple[int, str, int], Stage] = field(default_factory=dict)  # (seed, arm, attempt) ->
    chosen: Chosen | None = None
    tested: dict[tuple[str, int], Tested] = field(default_factory=dict)  # (arm, seed) ->
    curves: dict[str, Curve] = field(default_factory=dict)  # arm ->
    side_metrics: list[Side] = field(default_factory=list)
    sides: dict[tuple[str, str, int, str], SideMeasured] = field(
        default_factory=dict
    )  # (metric, arm, seed, split) ->
    falls: dict[tuple[str, str, int], Fall] = field(default_factory=dict)  # (side metric, arm, seed) ->
    rules: dict[tuple[str, int], RuleFitted] = field(default_factory=dict)  # (arm, seed) ->
    forms: dict[tuple[str, int], ClosedFormChosen] = field(default_factory=dict)  # (control, seed) ->
    picks: dict[tuple[str, int], Picked] = field(default_factory=dict)  # (portfolio, seed) ->
    confusion: DecisionTables | None = None  # of the returned arm
    cuts: CutCurve | None = None  # of the returned arm
    groups: GroupFigures | None = None  # of test, as the returned arm serves them
    verdict: Verdict | None = None
    finished: Finished | None = None
    resumed: list[Resumed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def arms(self) -> list[str]:
        """Names of the arms in the order start, controls, candidates, contenders."""
        return [arm.name for arm in self.cast]

    @functools.cached_property
    def cast(self) -> list[Entrant]:
        """The arms with their roles and methods."""
        return arms_of(self.start)

    def role(self, arm: str) -> Role:
        """The role of an arm."""
        return next(one.role for one in self.cast if one.name == arm)

    def named(self, role: Role) -> list[str]:
        """Names of the arms of a role."""
        return [arm.name for arm in self.cast if arm.role == role]

    @property
    def contender(self) -> str:
        """The contender that the verdict speaks of."""
        spoken_of = self.verdict.contender if self.verdict else ""
        return spoken_of or self.named("contender")[0]

    @property
    def trained(self) -> list[str]:
        """Names of the controls, candidates and contenders that were trained: derived arms are not."""
        return [arm.name for arm in self.cast if arm.role != "start" and not (arm.derived or arm.members)]

    @property
    def progress(self) -> tuple[int, int]:
        """Training steps done and planned, over all seeds, arms and attempts."""
        done = sum(stage.reached for stage in self.stages.values())
        begun = sum(stage.steps for stage in self.stages.values())
        if self.budget is None:
            return done, begun
        # the start is not trained within the budget
        steps = sum(map(self.budget.steps_of, self.trained))
        planned = steps * self.budget.tries * len(self.start.seeds)
        before = sum(stage.steps for stage in self.stages.values() if self.role(stage.arm) == "start")
        return done, max(planned + before, begun)

    def seconds_of(self, arm: str) -> float | None:
        """Seconds that an arm has trained, all seeds and tries together, warm-up, exams and evaluations included."""
        known = [stage.seconds for stage in self.of_arm(arm) if stage.seconds is not None]
        return sum(known) if known else None

    def of_arm(self, arm: str) -> list[Stage]:
        """The stages of an arm by seed and attempt, the chosen ones last, so that they are drawn on top."""
        stages = [stage for stage in self.stages.values() if stage.arm == arm]
        return sorted(stages, key=lambda stage: (stage.chosen, stage.seed, stage.attempt))

    def select_of(self, arm: str) -> float | None:
        """Mean over seeds of the best select value of an arm: the verdict's, else from the curves so far."""
        if self.verdict and self.verdict.arms.get(arm, {}).get("select") is not None:
            return self.verdict.arms[arm]["select"]
        if self.chosen:
            values = [by_arm[arm] for by_arm in self.chosen.select.values() if arm in by_arm]
        else:
            values = [s.best for s in self.of_arm(arm) if s.chosen and s.best is not None]
        return sum(values) / len(values) if values else None


def read_run(folder: Path) -> tuple[Run, int]:
    """Read `record.jsonl` of a run folder.

    Args:
        folder: the run folder.

    Returns:
        the folded run and the number of lines it was read from.

    Raises:
        InputError: there is no record, a line is not a JSON object with an `event`, an event lacks a field, or
            the record does not begin with `run_started`.

    Edge cases:
        a last line without its line end was cut short by a kill and is passed over.
    """
    check_layout(Path(folder))
    path = Path(folder) / "record.jsonl"
    if not path.is_file():
        raise fail(
            "report",
            f"there is no file {path}",
            "a run folder with a record.jsonl",
            "Give the folder that `tune` was told to write to.",
        )
    events: list[Mapping[str, Any]] = []
    try:
        events.extend(read_record(path))
    except Unreadable as error:
        raise _corrupt(str(error)) from error
    return condense(events, source=str(path)), len(events)


def condense(events: Iterable[Mapping[str, Any]], *, source: str = "the list of events") -> Run:
    """Fold the events of a run, in their order, into one object.

    Args:
        events: JSON objects as `event_of` makes them and `record.jsonl` holds them.
        source: what to call them in a message.

    Returns:
        the run; parts that have not happened yet are None or empty.

    Raises:
        InputError: an event is no object, has no name, lacks a field or has one of another type, or the first is
            not `run_started`.

    Edge cases:
        equal keys (seed, arm, attempt, step): the last one stands. Unknown events and fields are passed over.

    Example:
        >>> from metricgrad._records import Note, RunStarted, event_of
        >>> begun = RunStarted(
        ...     "recall@1", "any relevant at 1", True, "query", "surrogate", None, None, [0], {}, {}, 1
        ... )
        >>> condense([event_of(begun), event_of(Note("small"))]).notes
        ['small']
    """
    run: Run | None = None
    for number, event in enumerate(events, start=1):
        record = _record_of(event, f"{source}, event {number}", [] if run is None else run.arms)
        if isinstance(record, Progress):
            continue  # shown while it happens, never kept
        if isinstance(record, RunStarted):
            run = run or Run(start=record, began=time_of(event))
        elif run is None:
            raise _corrupt(f"{source} begins with {describe(event.get('event'))}, not with 'run_started'")
        else:
            _fold(run, record)
    if run is None:
        raise _corrupt(f"{source} has no event")
    _mark_chosen(run)
    return run


def _record_of(event: Any, where: str, arms: Collection[str]) -> Any:
    """The record of an event, its fields checked; None for an event that this version does not know."""
    if not isinstance(event, Mapping) or not isinstance(event.get("event"), str):
        raise _corrupt(f"{where} is {describe(event)}")
    try:
        record = record_of(event)
    except Unreadable as error:
        raise _corrupt(f"{where} ({event['event']}) is {error}") from error
    if reason := wrong_in(record, arms):
        raise _corrupt(f"{where} ({event['event']}) {reason}")
    return record


def _fold(run: Run, record: Any) -> None:
    """Add one record to what is known of the run."""
    if isinstance(record, (Stepped, Evaluated, Fitted, StageStarted, StageFinished)):
        _fold_stage(run, record)
    elif isinstance(record, Tested):
        run.tested[record.arm, record.seed] = record
    elif isinstance(record, Curve):
        run.curves[record.arm] = record
    elif isinstance(record, SideMetrics):
        run.side_metrics = record.metrics
    elif isinstance(record, SideMeasured):
        run.sides[record.metric, record.arm, record.seed, record.split] = record
    elif isinstance(record, RuleFitted):
        run.rules[record.arm, record.seed] = record
    elif isinstance(record, ClosedFormChosen):
        run.forms[record.arm, record.seed] = record
    elif isinstance(record, Picked):
        run.picks[record.arm, record.seed] = record
    elif isinstance(record, DecisionTables):
        run.confusion = record
    elif isinstance(record, CutCurve):
        run.cuts = record
    elif isinstance(record, GroupFigures):
        run.groups = record
    elif isinstance(record, Fall):
        run.falls[record.metric, record.arm, record.seed] = record
    elif isinstance(record, Resumed):
        run.resumed.append(record)
    elif isinstance(record, Note):
        if record.text not in run.notes:
            run.notes.append(record.text)
    elif isinstance(record, (Budget, Chosen, Verdict, Finished)):
        setattr(run, type(record).__name__.lower(), record)


def _fold_stage(run: Run, record: Stepped | Evaluated | Fitted | StageStarted | StageFinished) -> None:
    """Add a record of one stage to it."""
    key = (record.seed, record.arm, record.attempt)
    stage = run.stages.setdefault(key, Stage(*key))
    if isinstance(record, StageStarted):
        stage.steps, stage.settings = record.steps, record.settings
    elif isinstance(record, Stepped):
        stage.losses[record.step] = record.values
    elif isinstance(record, Evaluated):
        stage.select[record.step] = record.value
        stage.best, stage.best_step = record.best, record.best_step
    elif isinstance(record, Fitted):
        stage.fits[record.step] = record
    else:
        stage.best, stage.best_step = record.value, record.best_step
        stage.seconds, stage.finished, stage.diverged = record.seconds, True, record.diverged
        stage.pool_calls = record.pool_calls


def _mark_chosen(run: Run) -> None:
    """Mark, for each seed and arm, the attempt that stands for it: as chosen, or the best one so far."""
    sign = 1.0 if run.start.higher_is_better else -1.0
    groups: dict[tuple[int, str], list[Stage]] = {}
    for stage in run.stages.values():
        groups.setdefault((stage.seed, stage.arm), []).append(stage)
    for (seed, arm), stages in groups.items():
        attempt = run.chosen.attempts.get(str(seed), {}).get(arm) if run.chosen else None
        if attempt is None:
            known = [stage for stage in stages if stage.best is not None] or stages
            attempt = max(known, key=lambda s: sign * s.best if s.best is not None else 0.0).attempt
        for stage in stages:
            stage.chosen = stage.attempt == attempt


def _corrupt(came: str) -> Exception:
    """The error of a record that cannot be read."""
    return fail(
        "report",
        re.sub(r"\s+", " ", came),
        "one JSON object a line as `tune` writes them, beginning with run_started",
        "The file is damaged or no record of a run; resume the run, which mends its record, or restore the file.",
    )
