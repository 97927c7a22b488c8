"""A loss of the user that a method names, `surrogate:package.module:name`, as an objective.

What is named may be a function `(outputs, targets) -> loss`, a `torch.nn.Module` or a class of such, or a metric that
is written in comparisons, `f(outputs, targets, step)`, which is relaxed. It is handed outputs and targets as they are.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from metricgrad._checks import describe, fail, require_settings
from metricgrad._copies import copied
from metricgrad._named_code import imported, is_foreign
from metricgrad._types import MethodRun
from metricgrad.losses.relaxed import SPACE, relaxed
from metricgrad.methods.given_loss import GivenLoss
from metricgrad.methods.grammar import MethodName
from metricgrad.methods.trial import fitting_settings

__all__ = ["NamedLoss", "loss_at", "made_of", "names_code", "space_of"]


class NamedLoss:
    """A loss of the user as an objective; it is trained with its own parameters, and its state is in the checkpoint.

    Args:
        loss: a callable `(outputs, targets) -> loss`; a module is copied, the user's own never changes.
    """

    def __init__(self, loss: Callable[[Any, Any], Any]) -> None:
        self.given = GivenLoss(copied(loss) if isinstance(loss, nn.Module) else loss)
        self.seen: dict[str, float] = {}

    def begin(self, run: MethodRun) -> None:
        """Go to the device of the network."""
        self.given.begin(run.model, next(iter(run.parameters.values())).device)

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained beside the network."""
        return self.given.parameters()

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of a batch; see `GivenLoss`."""
        return self.given(outputs, targets)

    def state_dict(self) -> dict[str, Any]:
        """Return all that calls and training change."""
        return self.given.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.given.load_state_dict(state)


def names_code(objective: str) -> bool:
    """Whether an objective says `package.module:name`."""
    return is_foreign(objective)


def loss_at(name: MethodName) -> Any:
    """Import what a method names.

    Raises:
        InputError: it cannot be imported, or is nothing that a loss could be made of; the name has an option.
    """
    if name.options:
        raise fail(str(name), f"there is the option {name.options[0]!r}", "none: it is no loss of ours")
    found = imported(name.objective, "the loss")
    if not callable(found) or (isinstance(found, type) and not issubclass(found, nn.Module)):
        expected = (
            "a function (outputs, targets) -> loss, a torch.nn.Module or a metric f(outputs, targets, step)"
        )
        raise fail(str(name), f"it is {describe(found)}", expected)
    return found


def made_of(name: str, found: Any, settings: Mapping[str, Any]) -> NamedLoss:
    """Return what was imported as an objective.

    Args:
        name: `package.module:name`.
        found: what is there.
        settings: of a class, its arguments; of a metric in comparisons, those of `relaxed`; of any other function, its
            keywords.

    Raises:
        InputError: a setting that is not one of these, or does not fit.
    """
    caller = f"loss {name}"
    if isinstance(found, nn.Module):
        require_settings(caller, settings, ())
        return NamedLoss(found)
    make = relaxed if in_comparisons(found) else found
    called = isinstance(found, type)
    parameters = inspect.signature(make).parameters.values() if called or settings or make is relaxed else ()
    known = [one.name for one in parameters if called or one.kind is one.KEYWORD_ONLY]
    require_settings(caller, settings, known)
    with fitting_settings(caller, settings):
        if make is relaxed:
            return NamedLoss(relaxed(found, **settings))
        return NamedLoss(found(**settings) if called else partial(found, **settings) if settings else found)


def space_of(found: Any) -> Mapping[str, tuple[Any, ...]]:
    """Return the settings that tries may draw: those of a metric in comparisons are known."""
    return {f"objective.{key}": values for key, values in SPACE.items()} if in_comparisons(found) else {}


def in_comparisons(found: Any) -> bool:
    """Whether a function is a metric in comparisons: its third parameter is called `step`.

    Example:
        >>> in_comparisons(lambda outputs, targets, step: step(outputs))
        True
    """
    if not inspect.isfunction(found):
        return False
    return list(inspect.signature(found).parameters)[2:3] == ["step"]
