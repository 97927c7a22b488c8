"""The record of a run: what `tune` writes, line by line, and what `report` and `Result` read.

`record.jsonl` holds one JSON object a line, in the order in which things happened. Each has `event` (the name of
one of the classes below, in snake case), `time` (seconds since the epoch) and the fields of that class. A progress
event is shown and never written. `run_started` says which arms there are: their names are free, their roles are not.
"""

import dataclasses
import functools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from metricgrad._closed_form_records import ClosedFormChosen, SizeCurve
from metricgrad._decision_records import CutCurve, DecisionTables, Picked, RuleFitted
from metricgrad._documents import Unreadable
from metricgrad._group_records import GroupFigures
from metricgrad._side_records import Fall, SideMeasured, SideMetrics

__all__ = [
    "CLOSED_FORM",
    "CONTENDER",
    "CONTROL",
    "RAW",
    "ROLES",
    "START",
    "Budget",
    "Chosen",
    "ClosedFormChosen",
    "Curve",
    "Entrant",
    "Evaluated",
    "Finished",
    "Fitted",
    "Gauge",
    "GroupFigures",
    "Note",
    "Progress",
    "Resumed",
    "Role",
    "RunStarted",
    "SizeCurve",
    "StageFinished",
    "StageStarted",
    "Stepped",
    "Tested",
    "Verdict",
    "arms_of",
    "event_of",
    "record_of",
]

START, CONTROL, CONTENDER = "start", "continued", "tuned"
"""What the arms of a run are called that gives them no names; the start is always called so."""
RAW, CLOSED_FORM = "raw", "closed-form"
"""The controls that train nothing: the inputs as they are; the closed form that select prefers."""
Role = Literal["start", "control", "candidate", "contender"]
"""Of an arm: the model as it came; what else the time could have been spent on; what a portfolio may return beside
these; what is to be shown."""
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Entrant:
    """An arm as the record names it."""

    name: str
    role: Role
    method: str = ""  # names of its roads; empty for a start that is not trained
    members: list[str] = field(default_factory=list)  # of a portfolio: the arms it chooses from
    derived: bool = False  # trains nothing: made after the others; in older records a portfolio, too


@dataclass(frozen=True)
class RunStarted:
    """The first line: what is run, on what. `method` names all contenders' roads, `proxy` the first control's."""

    metric: str
    metric_description: str
    higher_is_better: bool
    unit: str
    method: str
    proxy: str | None
    task: str | None
    seeds: list[int]
    splits: dict[str, dict[str, Any]]  # fit / select / test -> {"items": int, "classes": int, ...}
    versions: dict[str, str]
    threads: int
    arms: list[Entrant] = field(default_factory=list)  # start, controls, candidates, contenders


@dataclass(frozen=True)
class Budget:
    """How long every arm trains; written before training and never changed."""

    steps: int
    evaluate_every: int
    checkpoint_every: int
    tries: int
    minutes: float | None = None
    seconds_per_step: float | None = None
    stages: int = 0  # that train, over all seeds, arms and tries
    start_steps: int | None = None  # most steps of a start model's training
    # Where minutes are given: seconds of the run by part, and the resamples that they have room for.
    expected: dict[str, float] = field(default_factory=dict)
    resamples: int | None = None
    arm_steps: dict[str, int] = field(default_factory=dict)  # where arms train for equal time: steps of each

    def steps_of(self, arm: str) -> int:
        """Steps of a control or a contender in each try."""
        return self.arm_steps.get(arm, self.steps)


@dataclass(frozen=True)
class StageStarted:
    """One arm of one seed with one set of settings begins."""

    seed: int
    arm: str
    attempt: int
    settings: dict[str, Any]
    steps: int
    method: str = ""


@dataclass(frozen=True)
class Stepped:
    """Training losses since the last such line, averaged: the loss curve."""

    seed: int
    arm: str
    attempt: int
    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Evaluated:
    """The exact metric on the select split; step 0 is the model as the stage received it."""

    seed: int
    arm: str
    attempt: int
    step: int
    value: float
    best: float
    best_step: int
    argmax: float | None = None  # where a rule decides: the metric of the same outputs without it


@dataclass(frozen=True)
class Gauge:
    """What one of `Fitted.values` says, and when it says that what was learned is not to be believed.

    Attributes:
        title: what it is called in tables.
        meaning: in a few words.
        undefined: why it has no value, where it has none.
        form: how it is written: `number`, `count`, `signed` or `seconds`.
        least: the least that is asked for; None where nothing is.
        below: name of the gauge that it must be below.
        warning: what it means where it is not.
        unless: name of the gauge to which it gives way, where that is known.
        counted: where it is a share, name of the gauge that says of how many.
    """

    title: str
    meaning: str
    undefined: str = "it could not be computed"
    form: str = "number"
    least: float | None = None
    below: str = ""
    warning: str = ""
    unless: str = ""
    counted: str = ""


@dataclass(frozen=True)
class Fitted:
    """How well the learned surrogate of a stage estimates the metric, on pairs that it was not trained on.

    `values` holds the numbers of the trust report by name (None where undefined), `kept_fraction`, `skipped_steps` and
    `sample_metric_calls` among them. `local` and `generated` hold points (metric, estimate) in metric units: pairs of
    the model's own outputs and targets, and pairs made without data.
    """

    seed: int
    arm: str
    attempt: int
    step: int
    values: dict[str, float | None]
    local: list[list[float]]
    generated: list[list[float]]
    gauges: dict[str, Gauge] = field(
        default_factory=dict
    )  # what the values mean; an older record does not say


@dataclass(frozen=True)
class StageFinished:
    """A stage ended; `value` is its best select value and the weights of that step are kept."""

    seed: int
    arm: str
    attempt: int
    step: int
    value: float
    best_step: int
    seconds: float
    diverged: int | None = None  # the step at which loss, weights or outputs ceased to be finite numbers
    pool_calls: int = 0  # of the metric on the pool, by a method that asks for it


@dataclass(frozen=True)
class Chosen:
    """Selection is over: which attempt stands for each arm, which arm is returned. Only after it is test read."""

    select: dict[str, dict[str, float]]  # seed -> arm -> best select value
    attempts: dict[str, dict[str, int]]  # seed -> arm -> attempt
    returned: dict[str, str]  # seed -> arm that select prefers among those that no side metric holds back
    best_seed: int
    argmax: dict[str, dict[str, float]] = field(
        default_factory=dict
    )  # where rules decide: select values of the same weights without them


@dataclass(frozen=True)
class Tested:
    """The exact metric of one arm of one seed on the test split."""

    seed: int
    arm: str
    value: float
    units: int
    undefined: int = 0
    argmax: float | None = None  # where a rule decides: the metric of the same outputs without it


@dataclass(frozen=True)
class Curve:
    """Recall (any relevant among the k nearest) over k on the test split, mean over seeds; retrieval only."""

    arm: str
    k: list[int]
    value: list[float]


@dataclass(frozen=True)
class Verdict:
    """What is claimed, from the test split alone.

    `arms` holds for each arm: `value` (mean over seeds), `low`, `high` (its own bootstrap interval or None) and
    `select` (mean best select value). Where rules decide it also holds `argmax` (`value`, `low`, `high`, `select` of
    the same weights without the rule) and `rule` (`gain`, `low`, `high` of the rule over argmax). `gains` holds for
    each opponent (start and controls): `gain`, `low`, `high` and `per_seed`, and the standard errors `unit_error` and
    `seed_error` (of the choice of units and of seeds). `baseline` is the opponent that does better on select: the
    verdict stands against it. All figures are of the `units` that are defined in every arm and seed; an older record
    does not say how many.
    """

    verdict: str  # gain | no evidence | worse | nothing claimed
    sentence: str
    baseline: str | None
    confidence: float
    arms: dict[str, dict[str, Any]]
    gains: dict[str, dict[str, Any]]
    optimism: float | None  # select gain minus test gain, against the baseline
    metric_calls: dict[str, int]  # split -> number of evaluations
    marks: list[str] = field(default_factory=list)  # what a reader must know: forced resume, no proxy, ...
    units: int | None = None  # that were resampled
    left_out: int = 0  # units that are undefined in some arm or seed
    groups: int | None = None  # that the units belong to; resamples draw them whole
    group: str = ""  # what they are called: class, group, or the unit itself
    resamples: int | None = None  # that count
    undefined: int = 0  # resamples that are left out: the metric is undefined on them
    scope: str = ""  # method (three seeds or more: intervals hold their variance) | models
    contender: str = ""  # whom the verdict speaks of: the one that select prefers
    # name -> gain over the baseline as in `gains`, with `p_value`, `adjusted` (Holm over the contenders) and `claim`
    contenders: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """The last line."""

    returned: str
    weights: str
    seconds: float


@dataclass(frozen=True)
class Resumed:
    """The run went on after an interruption."""

    seed: int
    arm: str
    attempt: int
    step: int
    forced: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Note:
    """Something that the reader should know."""

    text: str


@dataclass(frozen=True)
class Progress:
    """Work in progress; shown, never written.

    Of a training stage: `select` is its best select value, `stage` its number among the `stages` of the run, from 1,
    and `later` the most steps that the stages after it can take; `after` is about how many seconds come after all
    stages, where that is known.
    """

    what: str
    done: int
    total: int
    unit: str
    select: float | None = None
    stage: int = 0
    stages: int = 0
    later: int = 0
    after: float | None = None


def arms_of(started: RunStarted) -> list[Entrant]:
    """Return the arms of a run in their order: start, controls, contenders.

    A record that does not list them was written when there were three, under the names that are now the defaults.
    """
    if started.arms:
        return list(started.arms)
    controls = [Entrant(CONTROL, "control", started.proxy)] if started.proxy else []
    return [Entrant(START, "start"), *controls, Entrant(CONTENDER, "contender", started.method)]


_NAMES = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind
    for kind in (
        RunStarted,
        Budget,
        StageStarted,
        Stepped,
        Evaluated,
        Fitted,
        StageFinished,
        SideMetrics,
        SideMeasured,
        Fall,
        RuleFitted,
        Picked,
        ClosedFormChosen,
        Chosen,
        Tested,
        Curve,
        Verdict,
        GroupFigures,
        DecisionTables,
        CutCurve,
        SizeCurve,
        Finished,
        Resumed,
        Note,
        Progress,
    )
}


def event_of(record: Any) -> dict[str, Any]:
    """Return the JSON object of a record: `event`, `time` and its fields."""
    name = next(name for name, kind in _NAMES.items() if type(record) is kind)
    return {"event": name, "time": round(time.time(), 3), **dataclasses.asdict(record)}


def record_of(event: Mapping[str, Any]) -> Any:
    """Return the record of an event, its fields checked by their annotations; None for an event of another version.

    Raises:
        Unreadable: a field is missing or of another type.
    """
    kind = _NAMES.get(event["event"])
    if kind is None:
        return None
    try:
        return _checker(kind)({key: event[key] for key in event if key not in ("event", "time")})
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        raise Unreadable(f"wrong at {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error


@functools.cache
def _checker(kind: type) -> Callable[[Any], Any]:
    return TypeAdapter(kind).validate_python
