"""What a run may spend and touch: steps or minutes, evaluation and checkpoint intervals, trainable parameters."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from metricgrad._checks import describe, fail, nearest
from metricgrad._documents import NumberField, WholeField
from metricgrad.adapters import attach_orthogonal_adapter

__all__ = ["Plan", "trainable_parameters"]

MOST = 10**12
"""Of steps and items: more is a slip of the finger."""
MOST_MINUTES = 366 * 24 * 60
LARGEST_SEED = 2**32 - 1


class _OneSentence(type(BaseModel)):
    """Says in one sentence what does not fit; a plan within a recipe is checked with the recipe."""

    def __call__(cls, *arguments: Any, **fields: Any) -> Any:
        """Make the model."""
        try:
            return super().__call__(*arguments, **fields)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                known = cls.model_fields  # pyright: ignore[reportAttributeAccessIssue]
                raise fail(
                    cls.__name__, f"there is no field {place!r}", "a known one", nearest(place, known)
                ) from error
            came = f"{place} is {describe(first['input'])}" if place else "the fields do not fit together"
            raise fail(
                cls.__name__,
                came,
                first["msg"].removeprefix("Value error, ").removeprefix("Input should be "),
            ) from error


class Plan(BaseModel, metaclass=_OneSentence):
    """The budget of every arm and the parts of the model that may change.

    Both arms get the same steps, batch, trainable parameters and number of tries.

    Args:
        steps: training steps of each arm (each seed, each try). Default 300 where `minutes` is not given either.
        minutes: wall-clock minutes of the whole run, all seeds and tries together: reading and timing, the start
            model's training (at most half of them, where its steps are not given), warm-ups and exams of learned
            surrogates, evaluations, test and intervals; turned into steps, the same for every arm, by timing the
            first ones, before training.
        batch: items of a batch, for a fit split that can change it; None leaves the split as it is.
        chunk: items that are embedded at once, for a batch larger than memory: two forward passes, the gradient of
            the whole batch; `auto` takes as many as 1 GB of activations allow; null embeds the batch as one.
        evaluate_every: steps between two evaluations on `select`; None makes it a twentieth of the steps.
        checkpoint_every: steps between two checkpoints: what a kill can lose.
        patience: a try ends after so many evaluations in a row without a better value on `select`; None: it takes all
            its steps. The rule is the same for every arm; a try of a contender as of a control.
        tries: settings that each arm may try; the first is the given one, the others are drawn from the method's
            space. `select` decides.
        resamples: draws of test units for the intervals. Fewer where the metric is slow: a function that is not ours
            is called once for each draw, arm and seed. With `minutes` a number that is not given is lowered, to 200
            at the least, where the draws would take more than a quarter of them.
        trainable: `all`, `bias`, `head` (a module of that name, else the last one with parameters), module names
            separated by commas, or `orthogonal`: rotations of the inputs of every linear and convolution layer that is
            not frozen, in blocks of 32, see `metricgrad.adapters`. The weights that a run keeps have them merged.

    Example:
        >>> Plan(steps=100).steps
        100
        >>> Plan(minutes=2).steps is None
        True
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: WholeField | None = Field(default=None, ge=1, le=MOST)
    minutes: NumberField | None = Field(default=None, gt=0, le=MOST_MINUTES)
    batch: WholeField | None = Field(default=None, ge=2, le=MOST)
    chunk: WholeField | Literal["auto"] | None = None
    evaluate_every: WholeField | None = Field(default=None, ge=1, le=MOST)
    checkpoint_every: WholeField = Field(default=100, ge=1, le=MOST)
    patience: WholeField | None = Field(default=None, ge=1, le=MOST)
    tries: WholeField = Field(default=1, ge=1, le=MOST)
    resamples: WholeField = Field(default=2000, ge=1, le=10**6)
    trainable: str = "all"

    @model_validator(mode="after")
    def _one_budget(self) -> "Plan":
        if self.steps is not None and self.minutes is not None:
            raise ValueError("both steps and minutes are given; give one of them")
        if isinstance(self.chunk, int) and self.chunk < 1:
            raise ValueError(f"chunk is {self.chunk}; give a number of items >= 1, auto or null")
        return self


def trainable_parameters(model: nn.Module, trainable: str) -> dict[str, nn.Parameter]:
    """Return the parameters that `trainable` names and freeze all the others.

    Args:
        model: the network; `requires_grad` of its parameters is set. For `orthogonal` it gets adapters.
        trainable: see `Plan.trainable`.

    Returns:
        The trainable parameters by name; never empty.

    Raises:
        InputError: the model has no parameter of that description; one of them is neither float32 nor float64.
    """
    adapters = attach_orthogonal_adapter(model) if trainable == "orthogonal" else {}
    everything = dict(model.named_parameters())
    if adapters:
        chosen = adapters
    elif trainable == "all":
        chosen = {name: value for name, value in everything.items() if value.requires_grad}
    elif trainable == "bias":
        chosen = {name: value for name, value in everything.items() if name.split(".")[-1] == "bias"}
    else:
        prefixes = [_module_name(model, part.strip()) for part in trainable.split(",") if part.strip()]
        chosen = {name: value for name, value in everything.items() if _inside(name, prefixes)}
    if not everything:
        raise fail("Plan", f"{type(model).__name__} has no parameters", "a network that can be trained")
    if not chosen and trainable == "all":
        raise fail(
            "Plan",
            f"all parameters of {type(model).__name__} are frozen (requires_grad is False)",
            "at least one that may change",
            "Unfreeze some, or name modules in plan.trainable.",
        )
    if not chosen:
        modules = [name for name, _ in model.named_modules() if name]
        raise fail(
            "Plan",
            f"trainable={trainable!r} names no parameter of {type(model).__name__}",
            "'all', 'bias', 'head', 'orthogonal' or module names",
            nearest(trainable, modules or ["all"]),
        )
    _require_width(chosen)
    for name, value in everything.items():
        value.requires_grad_(name in chosen)
    return chosen


def _require_width(chosen: Mapping[str, nn.Parameter]) -> None:
    """Refuse weights whose steps and gradients are rounded to 0."""
    narrow = {
        name: value.dtype
        for name, value in chosen.items()
        if value.dtype not in (torch.float32, torch.float64)
    }
    if narrow:
        name, dtype = next(iter(narrow.items()))
        raise fail(
            "Plan",
            f"{len(narrow)} of {len(chosen)} weights to train are not float32, first {name} of {dtype}",
            "float32 or float64: in half precision AdamW divides by 0 and small steps are lost",
            "Call model.float() and run the forward pass under torch.autocast; frozen weights may stay as they are.",
        )


def _module_name(model: nn.Module, name: str) -> str:
    """`head` means the module of that name, or the last module that holds parameters itself."""
    modules: Mapping[str, nn.Module] = dict(model.named_modules())
    if name != "head" or any(known.split(".")[-1] == "head" for known in modules):
        return name
    return [
        known for known, module in modules.items() if next(module.parameters(recurse=False), None) is not None
    ][-1]


def _inside(parameter: str, modules: list[str]) -> bool:
    path = f".{parameter}."
    return any(f".{module}." in path for module in modules)
