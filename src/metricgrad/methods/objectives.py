"""A loss of ours as an objective `(outputs, targets) -> loss`, by its name.

The name of the first parameter of a loss says what it takes, and with it what must be made of the outputs of a network:
`ranks` of the positives, `embeddings` [sample, dim] with labels, `logits` or `probabilities` [sample, class],
`label_logits` [sample, label], `scores` [sample] of class 1. Pixels of images are samples, unless the module of the
loss says `READS_IMAGES`. Beside the loss stand, in its module, the values that tries draw for its settings as `SPACE`,
the settings of which it needs one as `NEEDS`, and, where it remembers something between steps, its class as `RUNNING`.
What a loss asks of the run by a keyword stands in `asking`.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from metricgrad import losses
from metricgrad._checks import fail, nearest, require_settings
from metricgrad._types import Metric
from metricgrad.methods import of_embeddings, of_scores
from metricgrad.methods.asking import asked_for, asking_loss
from metricgrad.methods.grammar import read_loss
from metricgrad.methods.trial import EMBEDDINGS, LABELS, LOGITS, SCORES, Objective, example_for, tried

__all__ = ["Objective", "loss_named", "named_objective", "objectives", "space", "trained_as"]


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
        other = "Any other loss is given itself, such as torch.nn.functional.cross_entropy."
        remedy = f"{nearest(name, objectives())} {other}"
        raise fail("method", f"there is no loss {name!r}", "the name of a loss", remedy)
    return getattr(losses, f"{name}_loss")


def trained_as(name: str) -> Callable[..., Any]:
    """Return what a method trains with under that name: the loss, or its class where it remembers something."""
    loss = loss_named(name)
    return getattr(sys.modules[loss.__module__], "RUNNING", loss)


def named_objective(
    name: str,
    settings: Mapping[str, Any],
    *,
    of_scores: bool | None = None,
    metric: Metric | None = None,
    complete: bool = False,
) -> Objective:
    """Build `(outputs, targets) -> loss` from the name of a loss and its settings.

    Args:
        name: a public loss without its suffix: `recall_at_k`, `average_precision`, `supcon`, ... A loss of ranks may
            be followed by an option, `recall_at_k+simix`, which is the setting `simix: true`.
        settings: arguments of the loss by name; for a loss of ranks also those of `RankingLoss` (temperature,
            step, preset, normalize) and `simix`: true, false or the settings of `pairing.SiMix`.
        of_scores: True where the outputs are scores of samples, False where they are embeddings, None for what the
            loss takes. The ranks of scores [sample] under targets 0 or 1 are those of one query, `temperature` is then
            in units of score.
        metric: of the run, for a loss that asks for it: one that does not suit fails now.
        complete: whether these are all settings: a loss that needs another one fails now.

    Returns:
        The objective: a scalar or one value per unit. One that asks for something of the run, or remembers something,
        is an `asking.AskingLoss`, to be begun with the stage.

    Raises:
        InputError: unknown name or argument; the message names the nearest known ones. The loss takes other outputs, or
            lacks a setting.
    """
    name, options = read_loss(name)
    settings = _with_options(options, settings)
    loss, form = _found(name, of_scores)
    made = trained_as(name)
    require_settings(f"loss {name}", settings, {*_keywords(made), *form.settings})
    needs = getattr(sys.modules[loss.__module__], "NEEDS", ()) if complete else ()
    if needs and all(settings.get(key) is None for key in needs):
        raise fail(f"loss {name}", f"there is no setting {' or '.join(needs)}", "one of them")
    if made is not loss or asked_for(made, settings):
        return asking_loss(
            name, made, settings, lambda loss, settings: form.objective(loss, name, settings), metric
        )
    return tried(
        f"loss {name}",
        settings,
        lambda: form.objective(loss, name, settings),
        example_for(settings, form.example, loss=name),
    )


def space(name: str, *, of_scores: bool | None = None) -> Mapping[str, tuple[Any, ...]]:
    """Return the settings of a named objective that tries may draw: as many for a surrogate as for a proxy."""
    loss, form = _found(read_loss(name)[0], of_scores)
    beside = getattr(sys.modules[loss.__module__], "SPACE", {})
    known = _keywords(trained_as(read_loss(name)[0]))
    own = {key: values for key, values in beside.items() if key in known}
    return {f"objective.{key}": values for key, values in {**form.space, **own}.items()}


def _keywords(loss: Callable[..., Any]) -> list[str]:
    """Return the names of the settings of a loss: its keywords, and every parameter of a class."""
    parameters = inspect.signature(loss).parameters.values()
    return [one.name for one in parameters if inspect.isclass(loss) or one.kind is one.KEYWORD_ONLY]


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


_FORMS: tuple[Mapping[str, _Form], Mapping[str, _Form]] = (
    {
        "ranks": _Form(
            of_embeddings.taking_ranks,
            EMBEDDINGS,
            ("temperature", "step", "preset", "normalize", "simix"),
            {"temperature": (0.03, 0.05, 0.07)},
        ),
        "embeddings": _Form(of_embeddings.taking_embeddings, EMBEDDINGS),
    },
    {
        "ranks": _Form(
            of_scores.taking_ranks, SCORES, ("temperature", "step"), {"temperature": (0.1, 0.3, 1.0)}
        ),
        "scores": _Form(of_scores.taking_scores, SCORES),
        "logits": _Form(of_scores.taking_logits, LOGITS),
        "label_logits": _Form(of_scores.taking_label_logits, LABELS),
        "probabilities": _Form(of_scores.taking_probabilities, EMBEDDINGS),
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
