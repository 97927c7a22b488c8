"""How a classifier stands small changes of its inputs that are made to deceive it: FGSM and PGD, through cross-entropy.

Both go through plain cross-entropy, whatever the model was trained with. A loss with flat regions (guided complement
entropy, bounded losses for wrong labels) has no gradient there, so that an attack through it fails and the model looks
robust. What an attack does not find may still exist: its accuracy is a bound from above. Believe a figure of PGD once
more steps and restarts no longer lower it, and none of FGSM alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from metricgrad._checks import Number, Whole, describe, fail, finite_number, positive_number, whole_number

__all__ = ["fgsm", "pgd"]

Bounds = tuple[float, float]


def fgsm(
    model: nn.Module,
    inputs: Float[Tensor, "sample ..."],
    targets: Integer[Tensor, " sample"],
    *,
    epsilon: Number,
    bounds: Bounds = (0.0, 1.0),
) -> Float[Tensor, "sample ..."]:
    """Return inputs that are moved by epsilon against the model: one step along the sign of the gradient.

    Args:
        model: inputs -> class scores [sample, class]; it is left as it was, its dropout is off meanwhile.
        inputs: of floating point, within `bounds`.
        targets: class numbers; -100 for a sample that is left as it is.
        epsilon: >= 0, how far each number of an input may move.
        bounds: least and largest number of an input.

    Returns:
        The moved inputs, without gradient, within the bounds and epsilon.

    Raises:
        InputError: inputs that are no numbers within the bounds, targets of another number, epsilon < 0, a model that
            passes no gradient on.

    Cost:
        One forward and one backward pass.

    Reference:
        [goodfellow2015explaining]

    Example:
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> fgsm(model, torch.tensor([[0.6, 0.4]]), torch.tensor([0]), epsilon=0.2)
        tensor([[0.4000, 0.6000]])
    """
    radius = _checked("fgsm", inputs, targets, epsilon, bounds)
    with _still(model):
        slope = _losses(model, inputs, targets)[1]
    return (inputs + radius * slope.sign()).clamp(*bounds)


def pgd(
    model: nn.Module,
    inputs: Float[Tensor, "sample ..."],
    targets: Integer[Tensor, " sample"],
    *,
    epsilon: Number,
    bounds: Bounds = (0.0, 1.0),
    steps: Whole = 20,
    step: Number | None = None,
    restarts: Whole = 1,
    generator: Generator | None = None,
) -> Float[Tensor, "sample ..."]:
    """Return inputs that are moved by at most epsilon against the model: many small steps from random places.

    Of all places that were tried, the one of the largest cross-entropy is kept for each sample, the input as it was
    among them.

    Args:
        model: inputs -> class scores [sample, class]; it is left as it was, its dropout is off meanwhile.
        inputs: of floating point, within `bounds`.
        targets: class numbers; -100 for a sample that is left as it is.
        epsilon: >= 0, how far each number of an input may move.
        bounds: least and largest number of an input.
        steps: >= 1, of each start.
        step: > 0, how far one step moves; None for 2.5 epsilon / steps.
        restarts: >= 1, random places from which it starts.
        generator: where they come from; None for the global one of torch.

    Returns:
        The moved inputs, without gradient, within the bounds and epsilon.

    Raises:
        InputError: as `fgsm`; a number out of its range.

    Cost:
        restarts * (steps + 1) forward and backward passes.

    Reference:
        [madry2018towards]

    Example:
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> pgd(model, torch.tensor([[0.6, 0.4]]), torch.tensor([0]), epsilon=0.2)
        tensor([[0.4000, 0.6000]])
    """
    radius = _checked("pgd", inputs, targets, epsilon, bounds)
    count, starts = whole_number("pgd", "steps", steps), whole_number("pgd", "restarts", restarts)
    stride = 2.5 * radius / count if step is None else positive_number("pgd", "step", step)
    low, high = (inputs - radius).clamp_min(bounds[0]), (inputs + radius).clamp_max(bounds[1])
    wide = (-1,) + (1,) * (inputs.ndim - 1)
    with _still(model):
        best, most = inputs.clone(), _losses(model, inputs, targets)[0]
        for _ in range(starts):
            noise = torch.rand(inputs.shape, generator=generator, dtype=torch.float64)
            place = inputs + radius * (2 * noise - 1).to(inputs)
            for number in range(count + 1):
                place = place.clamp(low, high)
                losses, slope = _losses(model, place, targets)
                better = losses > most
                best, most = torch.where(better.view(wide), place, best), torch.where(better, losses, most)
                if number < count:
                    place = place + stride * slope.sign()
    return best


def _checked(caller: str, inputs: Tensor, targets: Tensor, epsilon: Number, bounds: Bounds) -> float:
    """Return epsilon, after a look at everything."""
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise fail(caller, f"inputs are {describe(inputs)}", "a tensor of floating point [sample, ...]")
    if not isinstance(targets, Tensor) or targets.shape != inputs.shape[:1] or targets.is_floating_point():
        came = f"targets are {describe(targets)} for inputs {describe(inputs)}"
        raise fail(caller, came, "one class number per sample")
    if not bool(((inputs >= bounds[0]) & (inputs <= bounds[1])).all()):
        came = f"inputs reach from {inputs.min().item():g} to {inputs.max().item():g}"
        raise fail(caller, came, f"numbers within the bounds {bounds}", "Give bounds of your inputs.")
    radius = finite_number(caller, "epsilon", epsilon)
    if radius < 0:
        raise fail(caller, f"epsilon is {epsilon!r}", "a number >= 0")
    return radius


def _losses(model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every sample, and its gradient by the inputs."""
    leaf = inputs.detach().requires_grad_()
    with torch.enable_grad():
        losses = cross_entropy(model(leaf).float(), targets.long(), reduction="none")
        (slope,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), slope


@contextmanager
def _still(model: nn.Module) -> Iterator[None]:
    """Leave the modes of all modules as they were; their weights gather no gradient."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
