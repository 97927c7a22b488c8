"""A loss as an objective `(outputs, targets) -> loss`: one of ours by name, or the proxy loss of the user.

The name of the first parameter of a loss says what it takes, and with it what must be made of the outputs of a network:
`ranks` of the positives, `embeddings` [sample, dim] with labels, `logits` or `probabilities` [sample, class], `scores`
[sample] of class 1. The values that tries draw for its settings stand beside the loss, as `SPACE` of its module.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from metricgrad import losses
from metricgrad._checks import describe, fail, nearest, require_settings
from metricgrad._copies import copied
from metricgrad._structures import one_tensor
from metricgrad.averages import mean_valid
from metricgrad.methods.given_loss import GivenLoss
from metricgrad.methods.grammar import read_loss
from metricgrad.methods.of_scores import (
    Objective,
    taking_logits,
    taking_probabilities,
    taking_ranks,
    taking_scores,
)
from metricgrad.methods.trial import EMBEDDINGS, SCORES, tried
from metricgrad.pairing import SiMix, has_positive
from metricgrad.ranking import RankingLoss

__all__ = [
    "Objective",
    "Proxy",
    "added",
    "check_proxy",
    "loss_named",
    "named_objective",
    "objectives",
    "own_proxy",
    "proxy_objective",
    "space",
    "with_proxy",
    "with_weights",
]

Proxy = str | Callable[[Any, Any], Any]
"""The name of one of our losses, or a callable `(outputs, targets) -> loss`."""

RANK_TEMPERATURE = 0.05
"""Default rank temperature of a surrogate of ranks on unit embeddings: smaller ones starve most positives."""


class _Form(NamedTuple):
    """What is made of the outputs of a network for a loss.

    Attributes:
        objective: (loss, its name, settings) -> objective.
        example: outputs and targets for a trial of the settings.
        settings: of the form itself, beside those of the loss.
        space: the values of those that tries draw.
    """

    objective: Callable[[Callable[..., Tensor], str, Mapping[str, Any]], Objective]
    example: tuple[Tensor, Any]
    settings: tuple[str, ...] = ()
    space: Mapping[str, tuple[Any, ...]] = {}


def objectives() -> list[str]:
    """Return the names that `named_objective` knows: the public losses without `_loss`."""
    return sorted(name.removesuffix("_loss") for name in losses.__all__ if name.endswith("_loss"))


def loss_named(name: str) -> Callable[..., Tensor]:
    """Return a loss of ours by its name without `_loss`; InputError names the nearest ones."""
    if name not in objectives():
        raise fail("method", f"there is no loss {name!r}", "the name of a loss", nearest(name, objectives()))
    return getattr(losses, f"{name}_loss")


def named_objective(name: str, settings: Mapping[str, Any], *, of_scores: bool | None = None) -> Objective:
    """Build `(outputs, targets) -> loss` from the name of a loss and its settings.

    Args:
        name: a public loss without its suffix: `recall_at_k`, `average_precision`, `supcon`, ... A loss of ranks may
            be followed by an option, `recall_at_k+simix`, which is the setting `simix: true`.
        settings: arguments of the loss by name; for a loss of ranks also those of `RankingLoss` (temperature,
            step, preset, normalize) and `simix`: true, false or the settings of `pairing.SiMix`.
        of_scores: True where the outputs are scores of samples, False where they are embeddings, None for what the
            loss takes. The ranks of scores [sample] under targets 0 or 1 are those of one query, `temperature` is then
            in units of score.

    Returns:
        The objective: a scalar or one value per unit.

    Raises:
        InputError: unknown name or argument; the message names the nearest known ones. The loss takes other outputs.
    """
    name, options = read_loss(name)
    settings = _with_options(options, settings)
    loss, form = _found(name, of_scores)
    known = {
        key for key, value in inspect.signature(loss).parameters.items() if value.kind is value.KEYWORD_ONLY
    }
    known |= set(form.settings)
    require_settings(f"loss {name}", settings, known)
    return tried(f"loss {name}", settings, lambda: form.objective(loss, name, settings), form.example)


def space(name: str, *, of_scores: bool | None = None) -> Mapping[str, tuple[Any, ...]]:
    """Return the settings of a named objective that tries may draw: as many for a surrogate as for a proxy."""
    loss, form = _found(read_loss(name)[0], of_scores)
    beside = getattr(sys.modules[loss.__module__], "SPACE", {})
    own = {key: values for key, values in beside.items() if key in inspect.signature(loss).parameters}
    return {f"objective.{key}": values for key, values in {**form.space, **own}.items()}


def check_proxy(proxy: Any) -> None:
    """Raise InputError for a proxy that is neither a name nor a loss."""
    if isinstance(proxy, type):
        raise fail(
            "tune", f"proxy is the class {proxy.__name__}", "a loss", f"Call it: {proxy.__name__}(...)."
        )
    if proxy is not None and not isinstance(proxy, str) and not callable(proxy):
        raise fail(
            "tune",
            f"proxy is {describe(proxy)}",
            "the name of a loss or a function (outputs, targets) -> loss",
        )


def proxy_objective(proxy: Proxy, settings: Mapping[str, Any]) -> Objective:
    """Return a proxy loss as an objective; a module is copied, the user's own never changes."""
    if isinstance(proxy, str):
        return named_objective(proxy, settings)
    if settings:
        raise fail(
            "proxy", f"settings {dict(settings)} for a callable", "none: set them where you make the callable"
        )
    return GivenLoss(copied(proxy) if isinstance(proxy, nn.Module) else proxy)


def own_proxy(name: str, settings: Any, proxy: Proxy | None) -> Objective | None:
    """Return the proxy loss that settings with a `proxy_weight` add; None where they add none."""
    if not settings.proxy_weight:
        return None
    if proxy is None:
        raise fail(name, f"proxy_weight is {settings.proxy_weight} but there is no proxy", "a proxy, or 0")
    return proxy_objective(proxy, settings.proxy)


def with_proxy(
    name: str, objective: Objective, settings: Any, proxy: Proxy | None
) -> tuple[Objective, GivenLoss | None]:
    """Add the share of the proxy that the settings ask for; returns the user's loss in it, too."""
    own = own_proxy(name, settings, proxy)
    if own is None:
        return objective, None
    return added(objective, own, settings.proxy_weight), own if isinstance(own, GivenLoss) else None


def with_weights(values: Mapping[str, tuple[Any, ...]], proxy: Proxy | None) -> Mapping[str, tuple[Any, ...]]:
    """Let tries draw the share of the proxy, where there is one."""
    return values if proxy is None else {**values, "proxy_weight": (0.0, 0.1, 0.3)}


def added(objective: Objective, proxy: Objective, weight: float) -> Objective:
    """Return `objective + weight * proxy`, each averaged on its own.

    A surrogate of a rank sees only what is near the cut-off; a little of the proxy keeps the rest in place.
    """

    def both(outputs: Any, targets: Any) -> Tensor:
        return objective(outputs, targets).mean() + weight * proxy(outputs, targets).mean()

    return both


def _found(name: str, of_scores: bool | None) -> tuple[Callable[..., Tensor], _Form]:
    """Return a loss of ours and what it takes."""
    loss = loss_named(name)
    takes = next(iter(inspect.signature(loss).parameters))
    asked = _FORMS if of_scores is None else (_FORMS[of_scores],)
    for forms in asked:
        if takes in forms:
            return loss, forms[takes]
    metric = "scores" if of_scores else "embeddings"
    raise fail(
        "method",
        f"{name} is a loss of {takes}",
        f"a loss of {' or '.join(_FORMS[bool(of_scores)])}, for a metric of {metric}",
    )


def _ranks_of_embeddings(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """Every embedding is a query."""
    simix = _simix(settings.get("simix", False))
    return RankingLoss(loss, **{"temperature": RANK_TEMPERATURE, **settings, "simix": simix})


def _of_embeddings(loss: Callable[..., Tensor], name: str, settings: Mapping[str, Any]) -> Objective:
    """A loss of pairs: rows without another of their label have no loss, they are not losses of 0."""

    def objective(outputs: Any, targets: Any) -> Tensor:
        one_tensor(name, outputs)
        return mean_valid(loss(outputs, targets, **settings), has_positive(targets))

    return objective


_FORMS: tuple[Mapping[str, _Form], Mapping[str, _Form]] = (
    {
        "ranks": _Form(
            _ranks_of_embeddings,
            EMBEDDINGS,
            ("temperature", "step", "preset", "normalize", "simix"),
            {"temperature": (0.03, 0.05, 0.07)},
        ),
        "embeddings": _Form(_of_embeddings, EMBEDDINGS),
    },
    {
        "ranks": _Form(taking_ranks, SCORES, ("temperature", "step"), {"temperature": (0.1, 0.3, 1.0)}),
        "scores": _Form(taking_scores, SCORES),
        "logits": _Form(taking_logits, EMBEDDINGS),
        "probabilities": _Form(taking_probabilities, EMBEDDINGS),
    },
)
"""By what a loss takes: first where the outputs are embeddings, then where they are scores of samples."""


def _with_options(options: Sequence[str], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings with those that the options of a name stand for."""
    for option in options:
        if option != "simix":
            raise fail("method", f"there is no option {option!r} of a loss", "'simix', or none")
        if settings.get("simix", True) in (False, None):
            raise fail(
                "method", f"the option +simix came with the setting simix: {settings['simix']}", "one of them"
            )
        settings = {"simix": True, **settings}
    return settings


def _simix(given: Any) -> SiMix | None:
    """Return what the setting `simix` says: true, false (or null), or settings by name."""
    if not isinstance(given, Mapping):
        if given not in (True, False, None):
            raise fail("method", f"simix is {given!r}", "true, false or its settings by name")
        return SiMix() if given else None
    known = ("pairs_per_class", "virtual_queries")  # a generator cannot be written in a recipe
    require_settings("simix", given, known)
    return SiMix(**given)
