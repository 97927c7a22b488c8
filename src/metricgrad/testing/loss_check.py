"""Hold a loss to the laws that the losses of this library keep."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Generator, Tensor

from metricgrad._checks import describe, fail
from metricgrad.testing.batch_laws import BATCH_LAWS
from metricgrad.testing.gradient_laws import GRADIENT_LAWS
from metricgrad.testing.kinds import Pair, kind_named
from metricgrad.testing.loss_subject import LossSubject
from metricgrad.testing.report import Report, judged_by

__all__ = ["check_loss"]


def check_loss(
    loss: Callable[[Any, Any], Any],
    make_inputs: Callable[[Generator], Pair] | None = None,
    *,
    takes: str = "logits",
    right: Callable[[Tensor], Tensor] | None = None,
    held: Callable[[Any, Any, Any], Any] | None = None,
    exact: Callable[[Any, Any], Any] | None = None,
    undefined: Callable[[Any, Any], Tensor] | None = None,
    ignore_index: int | None = None,
    bounds: tuple[float, float] | None = None,
    least: float = 0.0,
    whole: bool = False,
    random: bool = False,
    skip: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Report:
    """Hold a loss to the laws of a loss, on a dozen made-up rows (exact up to rounding; see `docs/checking-a-loss.md`).

    Args:
        loss: `(outputs, targets) -> loss`, one value or one per row, lower is better.
        make_inputs: generator -> (outputs, targets), outputs float64 without ties and without a gradient; None for
            those of `takes`.
        takes: `logits` [sample, class], `probabilities` [sample, class], `scores` [sample] with targets 0 and 1,
            `label_logits` [sample, label] with targets 0 and 1, `embeddings` [sample, dim] with labels, or `values`
            [sample] with numbers. It decides which laws apply.
        right: targets -> outputs that are right; None for those of `takes`, or none where `make_inputs` is given.
        held: `(outputs, targets, at) -> loss`, for a loss that holds a part of itself constant: the same loss, with
            that part computed from `at`. Its differences are then what the gradient is compared with, so that a
            missing detach() is found.
        exact: `(outputs, targets) -> number` that the loss stands for, lower is better: descent must not raise it.
        undefined: `(outputs, targets) -> bool [row]`: rows without a definition, whose loss must be 0.
        ignore_index: the target of a row that has no loss, -100 for instance.
        bounds: smallest and largest value of the loss.
        least: the loss of outputs that are right and certain.
        whole: whether a batch has one value that is no mean over its rows (soft F1, Dice).
        random: whether the loss draws on purpose.
        skip: laws to leave out, each with the reason.
        raises: whether a broken law raises; False returns the report either way.

    Returns:
        What was found of each law.

    Raises:
        LawBroken: a law is broken; the message says of each what came and what was expected.
        InputError: an argument does not fit.

    Edge cases:
        A law in which the loss raises is broken. Where the first law, a finite value, is broken, the others are left
        out.

    Gradient: none.

    Cost: some hundred calls on twelve rows.

    Example:
        >>> from torch.nn.functional import cross_entropy
        >>> def per_row(logits, targets):
        ...     return cross_entropy(logits, targets, reduction="none")
        >>> check_loss(per_row, takes="logits").broken
        []
        >>> check_loss(lambda logits, targets: -per_row(logits, targets), raises=False).broken
        ['direction']
    """
    kind = kind_named("check_loss", takes)
    if not callable(loss) or isinstance(loss, type):
        raise fail("check_loss", f"the loss is {describe(loss)}", "a function (outputs, targets) -> loss")
    subject = LossSubject(
        loss,
        make_inputs or kind.draw,
        kind,
        takes,
        held,
        exact,
        undefined,
        ignore_index,
        bounds,
        least,
        whole,
        random,
        right or (kind.right if make_inputs is None else None),
    )
    name = getattr(loss, "__name__", type(loss).__name__)
    return judged_by("check_loss", name, subject, (*GRADIENT_LAWS, *BATCH_LAWS), skip or {}, raises=raises)
