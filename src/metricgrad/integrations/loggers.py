"""Observers of `tune` and `compare` that write the curves of a run to TensorBoard, MLflow or Weights & Biases.

Nothing of these packages is imported: each function takes the object that its user already has. The names of the curves
are the same everywhere: `seed0/tuned/select` is the exact metric on select, `seed0/tuned/loss` the training loss, and
`seed0/tuned/test` the metric on test, once. From the second try of an arm on the number of the try follows the arm,
`seed0/tuned/try1/select`. The verdict gives the gain over each opponent and the ends of its interval:
`gain/start/value`, `low`, `high`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from metricgrad._types import Observer
from metricgrad.tune.launch import plain_lines

__all__ = ["mlflow_observer", "tensorboard_observer", "wandb_observer"]


def tensorboard_observer(writer: Any, *, also: Observer = plain_lines) -> Observer:
    """Return an observer that writes scalars to TensorBoard.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`, or anything with `add_scalar(name, value, step)`.
        also: an observer that gets every event, too; default: plain lines on standard error, as without an observer.

    Returns:
        What `tune(..., observer=)` takes. Every curve has the steps of its own arm, so that arms lie over each other.

    Example:
        >>> class Writer:
        ...     def add_scalar(self, name, value, step):
        ...         print(name, value, step)
        >>> observer = tensorboard_observer(Writer(), also=lambda event: None)
        >>> observer(
        ...     {
        ...         "event": "evaluated",
        ...         "seed": 0,
        ...         "arm": "tuned",
        ...         "attempt": 0,
        ...         "step": 5,
        ...         "value": 0.5,
        ...         "best": 0.5,
        ...     }
        ... )
        seed0/tuned/select 0.5 5
    """

    def write(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return _Curves(write, also)


def mlflow_observer(mlflow: Any, *, also: Observer = plain_lines) -> Observer:
    """Return an observer that logs metrics to MLflow.

    Args:
        mlflow: the module `mlflow` with an active run, or anything with `log_metrics(values, step=)`, such as a
            logger of Lightning.
        also: an observer that gets every event, too; default: plain lines on standard error.

    Returns:
        What `tune(..., observer=)` takes. Characters that MLflow refuses in a name become `_`.

    Example:
        >>> class Client:
        ...     def log_metrics(self, values, step):
        ...         print(values, step)
        >>> observer = mlflow_observer(Client(), also=lambda event: None)
        >>> observer({"event": "tested", "seed": 0, "arm": "tuned", "value": 0.5})
        {'seed0/tuned/test': 0.5} 0
    """

    def write(values: Mapping[str, float], step: int) -> None:
        mlflow.log_metrics(
            {re.sub(r"[^\w\-. /:]", "_", name): value for name, value in values.items()}, step=step
        )

    return _Curves(write, also)


def wandb_observer(run: Any, *, also: Observer = plain_lines) -> Observer:
    """Return an observer that logs to Weights & Biases.

    Args:
        run: what `wandb.init()` returns, or anything with `log(values, step=)`.
        also: an observer that gets every event, too; default: plain lines on standard error.

    Returns:
        What `tune(..., observer=)` takes. The steps of a run of W&B may not go back, so the arms follow each other on
        its axis, and go on where the run stands already; `seed0/tuned/step` is the step of the arm itself.

    Example:
        >>> class Run:
        ...     def log(self, values, step):
        ...         print(values, step)
        >>> observer = wandb_observer(Run(), also=lambda event: None)
        >>> evaluated = {
        ...     "event": "evaluated",
        ...     "seed": 0,
        ...     "arm": "tuned",
        ...     "attempt": 0,
        ...     "best": 0.5,
        ...     "value": 0.5,
        ... }
        >>> observer({**evaluated, "step": 5})
        {'seed0/tuned/select': 0.5, 'seed0/tuned/step': 5} 5
        >>> observer({"event": "stage_started", "seed": 1})
        >>> observer({**evaluated, "seed": 1, "step": 0})
        {'seed1/tuned/select': 0.5, 'seed1/tuned/step': 0} 6
    """
    curves = _Curves(lambda values, step: run.log(dict(values), step=step), also, one_axis=True)
    curves.first = curves.last = int(getattr(run, "step", 0))
    return curves


class _Curves:
    """What the events of a run say in numbers, handed to `write(values, step)`.

    Args:
        write: keeps the values of a step.
        also: gets every event.
        one_axis: whether the steps of a stage follow those of the stage before it.
    """

    def __init__(
        self, write: Callable[[Mapping[str, float], int], Any], also: Observer, *, one_axis: bool = False
    ) -> None:
        self.write, self.also, self.one_axis = write, also, one_axis
        self.first = self.last = 0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Pass the event on and write its numbers."""
        self.also(event)
        if event["event"] == "stage_started" and self.one_axis:
            self.first = self.last + 1
        values = _numbers(event)
        if not values:
            return
        step = event.get("step")
        if step is not None:
            values |= {f"{_place(event)}/step": step} if self.one_axis else {}
            self.last = max(self.last, self.first + step)
        self.write(values, self.last if step is None else self.first + step)


def _numbers(event: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an event by the names of their curves; none where it has no curve."""
    match event["event"]:
        case "stepped":
            return {f"{_place(event)}/{name}": value for name, value in event["values"].items()}
        case "evaluated":
            return {f"{_place(event)}/select": event["value"]}
        case "tested":
            return {f"{_place(event)}/test": event["value"]}
        case "verdict":
            return {
                f"gain/{arm}/{end}": gain[key]
                for arm, gain in event["gains"].items()
                for key, end in (("gain", "value"), ("low", "low"), ("high", "high"))
                if gain[key] is not None
            }
    return {}


def _place(event: Mapping[str, Any]) -> str:
    """Seed and arm of an event, with the number of the try from the second one on."""
    attempt = event.get("attempt", 0)
    return f"seed{event['seed']}/{event['arm']}" + (f"/try{attempt}" if attempt else "")
