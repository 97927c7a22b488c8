"""A loss under examination: how it is called, drawn for and differentiated, the same way in every law."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from metricgrad.testing.kinds import Kind, Pair

__all__ = ["LossSubject", "apart", "places", "total"]


@dataclass(frozen=True)
class LossSubject:
    """A loss with all that the caller declared of it.

    Attributes:
        loss: `(outputs, targets) -> loss`.
        make_inputs: generator -> outputs and targets.
        kind: what it takes.
        takes: the name of that.
        held: `(outputs, targets, at) -> loss` with what it holds constant taken from `at`.
        exact: `(outputs, targets) -> number` that should fall with the loss.
        undefined: `(outputs, targets) -> bool [row]`.
        ignore_index: target of a row without a loss.
        bounds: smallest and largest value.
        least: value for outputs that are right and certain.
        whole: whether the batch has one value that is no mean over rows.
        random: whether it draws.
        right: targets -> outputs that are right; None where nobody can say.
    """

    loss: Callable[[Any, Any], Any]
    make_inputs: Callable[[Generator], Pair]
    kind: Kind
    takes: str
    held: Callable[[Any, Any, Any], Any] | None
    exact: Callable[[Any, Any], Any] | None
    undefined: Callable[[Any, Any], Tensor] | None
    ignore_index: int | None
    bounds: tuple[float, float] | None
    least: float
    whole: bool
    random: bool
    right: Callable[[Tensor], Tensor] | None

    def drawn(self, seed: int = 0) -> Pair:
        """Outputs and targets of a seed, the same at every call."""
        outputs, targets = self.make_inputs(Generator().manual_seed(seed))
        return outputs.detach().clone(), targets.clone()

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, without its graph; one that draws finds the same random state each time."""
        torch.manual_seed(0)
        return self.loss(outputs.detach().clone(), targets.clone()).detach()

    def slope(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The loss, and the gradient of its (weighted) sum; 0 where it has none."""
        leaf = outputs.detach().clone().requires_grad_()
        torch.manual_seed(0)
        loss = self.loss(leaf * 1, targets.clone())
        whole = (loss if weights is None or loss.ndim == 0 else loss * weights.to(loss)).sum()
        if not whole.requires_grad:
            return loss.detach(), torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(whole, leaf, allow_unused=True)
        return loss.detach(), torch.zeros_like(leaf) if gradient is None else gradient


def total(loss: Tensor) -> float:
    """A loss as one number: the mean of its values."""
    return float(loss.double().mean()) if loss.numel() else 0.0


def apart(found: Tensor, wanted: Tensor, *, relative: float = 1e-7, absolute: float = 1e-9) -> str:
    """Say where two tensors differ by more than rounding; empty where they do not."""
    if found.shape != wanted.shape:
        return f"shape {tuple(found.shape)} for {tuple(wanted.shape)}"
    found, wanted = found.double(), wanted.double()
    if not found.numel() or torch.isclose(found, wanted, rtol=relative, atol=absolute, equal_nan=True).all():
        return ""
    far = (found - wanted).abs().nan_to_num(torch.inf).argmax()
    place = [int(one) for one in torch.unravel_index(far, found.shape)]
    one, other = float(found.flatten()[far]), float(wanted.flatten()[far])
    return f"{one:.6g} for {other:.6g}" + (f" at {place}" if place else "")


def places(values: Tensor) -> str:
    """Say how many values are NaN or infinite; empty where none is."""
    bad = ~values.isfinite()
    if not bool(bad.any()):
        return ""
    what = "NaN" if bool(values.isnan().any()) else "infinite"
    return f"{what} in {int(bad.sum())} of {values.numel()} places" if values.ndim else what
