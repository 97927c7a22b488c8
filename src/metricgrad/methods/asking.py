"""A loss of ours that asks, by the names of its keywords, for what only a run knows, or remembers between steps.

A keyword `metric` is given the metric of the run, `class_counts` how often each class comes in fit, `class_means` the
mean embedding of each class of fit, `cost_matrix` the costs of the metric. A setting of the same name comes first. What
such a loss remembers goes into the checkpoint; its parameters are trained beside the network.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._types import MethodRun, Metric
from metricgrad.methods.class_counts import class_counts
from metricgrad.methods.class_means import class_means_of
from metricgrad.methods.trial import LOGITS, Objective, example_for, tried
from metricgrad.metrics import adapt, expected_cost
from metricgrad.metrics.costs import cost_matrix
from metricgrad.metrics.records import of_classes

__all__ = ["AskingLoss", "asked_for", "asking_loss"]

ASKED = ("metric", "class_counts", "class_means", "cost_matrix")
Build = Callable[[Callable[..., Tensor], Mapping[str, Any]], Objective]
"""(a loss, its settings) -> objective."""


def asked_for(loss: Callable[..., Any], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a loss asks of the run: the keywords of these names that the settings do not give."""
    known = inspect.signature(loss).parameters
    return tuple(name for name in ASKED if name in known and name not in settings)


def asking_loss(
    name: str, loss: Callable[..., Any], settings: Mapping[str, Any], build: Build, metric: Metric | None
) -> "AskingLoss":
    """Return a loss that asks, after it was tried with its settings on made-up rows, and with the metric of the run.

    Args:
        name: of the loss, without `_loss`.
        loss: our function, or the class of one that remembers.
        settings: of the loss.
        build: makes the objective.
        metric: of the run; None where it is not known yet.

    Raises:
        InputError: the settings, or the metric, do not fit.
    """
    example = example_for(settings, LOGITS)
    made_up = {
        "metric": adapt("accuracy"),
        "class_counts": example[1].bincount(minlength=example[0].shape[1]),
        "class_means": torch.eye(example[0].shape[1]),
        "cost_matrix": 1 - torch.eye(example[0].shape[1]),
    }

    own = {key: value for key, value in settings.items() if key != "metric"}  # it may be one of other classes
    tried(f"loss {name}", own, lambda: AskingLoss(name, loss, own, build).given(made_up), example)
    made = AskingLoss(name, loss, settings, build)
    made.check(settings.get("metric", None if metric is None else _judge(metric)))
    return made


class AskingLoss:
    """A named loss as an objective, complete once a stage has begun.

    Args:
        name: of the loss.
        loss: our function, or the class of one that remembers.
        settings: of the loss.
        build: makes the objective.
    """

    def __init__(
        self, name: str, loss: Callable[..., Any], settings: Mapping[str, Any], build: Build
    ) -> None:
        self.name, self.loss, self.settings, self.build = name, loss, settings, build
        self.asks = asked_for(loss, settings)
        self.module: nn.Module | None = None
        self.objective: Objective | None = None
        self.seen: dict[str, float] = {}
        """What is worth logging of the last call beside its value: how often it called the metric."""

    def check(self, metric: Any) -> None:
        """Raise InputError where a metric is not one that the loss can be given; None for one that is not known."""
        if metric is not None and "cost_matrix" in self.asks:
            _costs(self.name, metric)
        takes = inspect.isclass(self.loss) and "metric" in inspect.signature(self.loss).parameters
        if metric is not None and takes:
            self.loss(**{**self.settings, "metric": metric})

    def begin(self, run: MethodRun) -> None:
        """Ask the run for what the loss needs, and forget what a former stage remembered.

        Raises:
            InputError: the run does not know it, or it does not fit the loss.
        """
        self.given({name: getattr(self, f"_{name}")(run) for name in self.asks})
        if self.module is not None:
            self.module.to(next(iter(run.parameters.values())).device)

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained beside the network, without weight decay."""
        return [] if self.module is None else list(self.module.parameters())

    def given(self, asked: Mapping[str, Any]) -> "AskingLoss":
        """Make the objective with what was asked for."""
        settings = {**self.settings, **{name: asked[name] for name in self.asks}}
        if inspect.isclass(self.loss):
            module: Any = self.loss(**settings)
            self.module, self.objective = module, self.build(module, {})
            return self
        counted = "class_counts" in self.asks
        self.objective = self.build(partial(_of_all_classes, self.loss) if counted else self.loss, settings)
        return self

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of a batch."""
        if self.objective is None:
            raise RuntimeError(f"the loss {self.name} was not given what it asks for: call begin first")
        before = self._calls()
        loss = self.objective(outputs, targets)
        made = self._calls() - before
        self.seen = {"metric_calls": made} if made else {}
        return loss

    def _calls(self) -> float:
        return float(getattr(self.module, "calls", 0))

    def state_dict(self) -> dict[str, Any]:
        """Return what the loss remembers."""
        return {} if self.module is None else dict(self.module.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if self.module is not None:
            self.module.load_state_dict(dict(state))

    def _metric(self, run: MethodRun) -> Metric:
        return _judge(run.metric)

    def _class_counts(self, run: MethodRun) -> Tensor:
        if run.fit is None:
            raise fail(f"loss {self.name}", "there is no fit split", "one: class_counts are counted in it")
        return class_counts(run.fit)

    def _class_means(self, run: MethodRun) -> Any:
        return class_means_of(f"loss {self.name}", run)

    def _cost_matrix(self, run: MethodRun) -> Any:
        return _costs(self.name, run.metric)


def _judge(metric: Metric) -> Metric:
    """The metric of a run as losses of class scores take it: one logit, cut at 0, stands beside a score of 0."""
    return (of_classes(metric) or metric) if metric.settings.get("threshold") == 0 else metric


def _costs(name: str, metric: Metric) -> Any:
    """Return the costs of a metric."""
    costs = metric.settings.get("cost")
    if metric.function is not expected_cost or costs is None:
        raise fail(
            f"loss {name}",
            f"there is no cost_matrix, and the metric {metric.name} has no costs",
            "a setting cost_matrix: [class, action]",
        )
    return cost_matrix(costs)


def _of_all_classes(
    loss: Callable[..., Tensor], logits: Tensor, targets: Tensor, *, class_counts: Tensor, **settings: Any
) -> Tensor:
    """A loss with counts up to the largest class of fit: the classes of the network beyond it have none."""
    missing = max(0, logits.shape[-1] - len(class_counts))
    counts = torch.cat([class_counts, class_counts.new_zeros(missing)])
    return loss(logits, targets, class_counts=counts, **settings)
