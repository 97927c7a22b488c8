"""What a task is: real data split for honest evidence, a model to start from, and the loss it was trained with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from metricgrad._qrels import Qrels
from metricgrad._types import OutputKind
from metricgrad.tune import Plan, Splits

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """Everything that `tune` needs and the user of a task need not say.

    A task of your own is a function `load(options, observer) -> Task`; a recipe names it `package.module:load`.

    Attributes:
        name: for tables and reports.
        splits: fit, select, test.
        model: seed -> network before any training on this task.
        proxy: the loss that the start model is trained with and that the control arm continues: one of our names or
            a callable `(outputs, targets) -> loss`.
        metric: what is reported unless the user names another.
        side_metrics: what is measured beside it unless the user names others.
        may_fall: how far each of these may fall, see `tune`.
        plan: budget of the arms unless the user gives another.
        method: what `auto` means here: the method that `settings` were chosen for.
        settings: of the method; frozen on `select`.
        proxy_settings: of the control arm; frozen on `select` with as many tries.
        start_plan: the training of the start model, up to its plateau on `select`; None where `model` is trained.
        start_settings: of that training.
        kind: what the outputs of the model are, where a metric reads them decoded (texts, boxes).
        qrels: which documents are relevant to which query, where retrieval is judged by that and not by classes: a
            metric of retrieval that is named is bound to them.
        facts: what a resumed run must find unchanged (hash of the feature cache, ...).
    """

    name: str
    splits: Splits
    model: Callable[[int], nn.Module]
    proxy: str | Callable[[Any, Any], Tensor]
    metric: str
    side_metrics: Sequence[str] = ()
    may_fall: float = 0.0
    plan: Plan = field(default_factory=Plan)
    method: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    proxy_settings: Mapping[str, Any] = field(default_factory=dict)
    start_plan: Plan | None = None
    start_settings: Mapping[str, Any] = field(default_factory=dict)
    kind: OutputKind | None = None
    qrels: Qrels | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
