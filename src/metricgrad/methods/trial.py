"""A loss with its settings, tried on a few made-up rows before anything is trained.

Settings of a loss are arguments of a function that first looks at them when it is called: without a trial that is after
the start model was trained.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe, fail, tensor_of
from metricgrad.errors import MetricgradError
from metricgrad.losses.class_tree import read_tree
from metricgrad.methods.of_pixels import example_of
from metricgrad.metrics.costs import cost_matrix

__all__ = [
    "EMBEDDINGS",
    "LABELS",
    "LOGITS",
    "SCORES",
    "Objective",
    "example_for",
    "fitting_settings",
    "tried",
]

Objective = Callable[[Any, Any], Tensor]
"""`(outputs, targets) -> loss`, a scalar or one value per unit."""

EMBEDDINGS = (
    torch.tensor(
        [[1.0, 0.2, 0.1], [0.9, 0.4, 0.0], [0.1, 1.0, 0.3], [0.3, 0.8, 0.1], [0.2, 0.1, 1.0], [0.5, 0.2, 0.7]]
    ),
    torch.tensor([0, 0, 1, 1, 2, 2]),
)
"""Rows of three classes [sample, dim] and their labels."""


SCORES = (torch.tensor([0.8, 0.45, 0.3, 0.9, 0.15, 0.6]), torch.tensor([1, 0, 1, 1, 0, 0]))
"""Scores [sample], which may be probabilities, and targets 0 or 1."""
LOGITS = (
    torch.tensor(
        [
            [2.0, -1.0, 0.5],
            [0.3, 1.0, -2.0],
            [1.5, 0.2, 0.1],
            [-0.5, 1.2, 1.0],
            [0.4, -0.3, 0.6],
            [-1.0, 0.5, 2.0],
        ]
    ),
    torch.tensor([0, 0, 1, 1, 2, 2]),
)
"""Class scores [sample, class] and class numbers."""
LABELS = (LOGITS[0], torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]]))
"""The same scores, one per label, and targets 0 or 1."""
PER_CLASS = ("class_counts", "class_mask", "class_weights", "cost_matrix")
"""Settings with one number per class, or one row per class and in it one number per column of the outputs."""
TREES = ("tree", "groups")
"""Settings that are a tree of classes."""
LARGEST = 64
"""Made-up rows, where there are many classes."""


def example_for(
    settings: Mapping[str, Any], usual: tuple[Tensor, Any], *, loss: str | None = None
) -> tuple[Tensor, Any]:
    """Return the usual example, or class scores of as many classes as the settings are for; as images for some losses.

    Args:
        settings: of a loss.
        usual: scores and targets where they ask for nothing else.
        loss: its name; None for one that takes rows.
    """
    rows = _rows_for(settings, usual)
    return rows if loss is None else example_of(loss, rows)


def _rows_for(settings: Mapping[str, Any], usual: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
    if any(settings.get(name) is not None for name in TREES):
        classes = read_tree("the settings", *(settings.get(name) for name in TREES)).classes
        if settings.get("class_mask") is None:
            return _class_scores(classes, torch.arange(classes))
    numbers = settings.get("classes")
    if (
        isinstance(numbers, list | tuple)
        and numbers
        and all(type(one) is int and 0 <= one < 2**16 for one in numbers)
    ):
        return _class_scores(known := max(numbers) + 1, torch.arange(known))
    for name in PER_CLASS:
        if settings.get(name) is not None:
            with fitting_settings(f"setting {name}", {name: settings[name]}):
                given = settings[name]
                costs = name == "cost_matrix" and isinstance(given, str)
                numbers = tensor_of(
                    f"setting {name}", name, cost_matrix(given) if costs else given, "numbers"
                )
                known = torch.arange(len(numbers)) if numbers.ndim > 1 else numbers.nonzero()[:, 0]
                return _class_scores(numbers.shape[-1], known[: numbers.shape[-1]])
    return usual


def _class_scores(columns: int, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return class scores [sample, column], and targets of these classes in turn."""
    number = torch.arange(min(2 * columns, LARGEST))
    rows = torch.linspace(-1, 1, len(number) * columns).reshape(-1, columns)
    rows[number, number % columns] += 1
    return rows, classes[number % len(classes)]


def tried(
    caller: str,
    settings: Mapping[str, Any],
    build: Callable[[], Objective],
    example: tuple[Tensor, Tensor],
) -> Any:
    """Return a new objective; another one like it was called on an example and gave a finite loss and gradient.

    Args:
        caller: for the message.
        settings: that `build` uses; where there are none, there is nothing to try.
        build: makes the objective.
        example: outputs and targets as it takes them.

    Raises:
        InputError: the settings do not fit.
    """
    if settings:
        outputs, targets = example[0].clone().requires_grad_(), example[1]
        with fitting_settings(caller, settings), torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            loss = build()(outputs, targets).mean()
            loss.backward()
        if outputs.grad is None or not bool(torch.isfinite(outputs.grad).all() and torch.isfinite(loss)):
            came = f"with the settings {describe(dict(settings))} the loss of a few ordinary rows is {float(loss):g}"
            raise fail(caller, came, "a finite loss with a finite gradient")
    return build()


@contextlib.contextmanager
def fitting_settings(caller: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Turn what a function raises about its settings into an error that names them."""
    try:
        yield
    except MetricgradError:
        raise
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise fail(
            caller,
            f"the settings {describe(dict(settings))} do not work ({type(error).__name__}: {reason})",
            "settings of the right types and sizes",
            "`metricgrad explain` prints what each of a loss means.",
        ) from error
