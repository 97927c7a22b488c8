"""What the losses made of a metric of comparisons share: outputs in float32 or wider, and the mean over rows."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metricgrad.averages import mean_valid
from metricgrad.losses.class_scores import widened

__all__ = ["loss_of", "never", "wide", "zero_of"]


def wide(outputs: Any) -> Any:
    """Return outputs of half precision as float32, anything else as it is."""
    return widened(outputs) if isinstance(outputs, Tensor) and outputs.is_floating_point() else outputs


def loss_of(
    values: Float[Tensor, " row"], defined: Bool[Tensor, " row"], *, maximize: bool
) -> Float[Tensor, ""]:
    """Return the mean over the rows that have a value, of one minus the value or of the value itself."""
    return mean_valid(1 - values if maximize else values, defined)


def zero_of(outputs: Any, like: Tensor) -> Float[Tensor, ""]:
    """Return 0, with zero gradient in the outputs where they are a tensor."""
    none = outputs.reshape(-1)[:0].sum() if isinstance(outputs, Tensor) else like.new_zeros(())
    return none.to(torch.promote_types(none.dtype, torch.float32))


def never(who: str) -> tuple[str, str, str]:
    """Return what to say of a metric that asks no comparison: caller, what came, what was expected."""
    return who, "it never called step", "a metric that compares its outputs by step(d)"
