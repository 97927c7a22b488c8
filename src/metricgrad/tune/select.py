"""The former names of `evaluator.py` and `outputs.py`, for code from outside that still imports them."""

from typing import Any

from torch import nn

from metricgrad._types import Split
from metricgrad.tune import outputs
from metricgrad.tune.evaluator import Evaluator

__all__ = ["Evaluator", "collect"]


def collect(model: nn.Module, split: Split, *, stay: bool = False) -> tuple[Any, Any]:
    """Return outputs and targets of a split alone; see `outputs.collect`."""
    found = outputs.collect(model, split, stay=stay)
    return found.outputs, found.targets
