"""What a rule of decision is given: probabilities or logits, and the classes that are true."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite, tensor_of
from metricgrad._columns import are_probabilities, have_a_common_sum
from metricgrad._structures import form, part_named

__all__ = ["Inputs", "Kind", "class_numbers", "log_scores", "read_scores", "refuse_parts"]

Kind = Literal["logits", "probabilities"]
Inputs = Literal["auto", "logits", "probabilities"]
"""How scores are read; `auto` looks at them: rows of probabilities that sum to 1 (one column: within [0, 1])."""

Scores = Float[Tensor, "sample class"] | Float[Tensor, "sample"]

_MANY = 10
"""So many rows of logits do not sum to 1 by chance."""


def refuse_parts(caller: str, p: Any) -> None:
    """Raise InputError for several outputs under names, as some networks return them; the message names the parts."""
    if isinstance(p, Mapping):
        remedy = part_named(p, "Give one tensor of scores.")
        raise fail(caller, f"scores are {form(p)}", "[sample, class], or one number per sample", remedy)


def read_scores(caller: str, p: Any, inputs: Inputs) -> tuple[Scores, Kind]:
    """Return scores in float64 on the CPU, [sample, class] or one of class 1 [sample], and what they are.

    Raises:
        InputError: other shapes, NaN or infinite numbers, probabilities that are none, probabilities for logits.

    Example:
        >>> read_scores("rule", torch.tensor([[2.0, -1.0]]), "auto")
        (tensor([[ 2., -1.]], dtype=torch.float64), 'logits')
    """
    if inputs not in ("auto", "logits", "probabilities"):
        raise fail(caller, f"inputs is {inputs!r}", "'auto', 'logits' or 'probabilities'")
    expected = "[sample, class], or one score of class 1 [sample]"
    refuse_parts(caller, p)
    given = tensor_of(caller, "scores", p, expected).cpu()
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim not in (1, 2) or 0 in given.shape[1:]:
        raise fail(caller, f"scores are {describe(given)}", expected)
    scores = require_finite(caller, "scores", given.double())
    probable = not len(given) or _are_probabilities(given if given.is_floating_point() else scores)
    within = bool(((scores >= 0) & (scores <= 1)).all())
    parts = (
        given.ndim == 2 and len(given) >= _MANY and bool((scores >= 0).all()) and have_a_common_sum(scores)
    )
    if inputs == "probabilities" or (inputs == "auto" and (within or parts) and not probable):
        if not probable:
            raise _no_probabilities(caller, scores, within or parts)
    elif inputs == "logits" and given.ndim == 2 and probable and len(given) >= _MANY:
        raise fail(
            caller,
            "probabilities were given where logits are read: every row is within [0, 1] and sums to 1",
            "logits",
            "Say inputs='probabilities'.",
        )
    kind = inputs if inputs != "auto" else "probabilities" if probable else "logits"
    if kind == "probabilities" and given.ndim == 2 and given.dtype in (torch.float16, torch.bfloat16):
        scores = scores / scores.sum(1, keepdim=True)  # rounded so much that a second reader would see none
    return scores, cast(Kind, kind)


def log_scores(scores: Scores, kind: Kind) -> Float64[Tensor, "sample class"]:
    """Log probabilities of the classes, each row but for a constant of its own: what every rule computes with.

    Differences of logits are kept as they are; a probability of 0 counts as 2e-308.

    Example:
        >>> log_scores(torch.tensor([0.0, 3.0], dtype=torch.float64), "logits")
        tensor([[0., 0.],
                [0., 3.]], dtype=torch.float64)
    """
    scores = scores.double()
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    least = torch.finfo(torch.float64).tiny
    if kind == "logits":
        return scores if scores.ndim == 2 else torch.stack([torch.zeros_like(scores), scores], 1)
    if scores.ndim == 2:
        return scores.clamp(min=least).log()
    return torch.stack([(1 - scores).clamp(min=least).log(), scores.clamp(min=least).log()], 1)


def class_numbers(caller: str, y: Any, samples: int, classes: int) -> Int64[Tensor, "sample"]:
    """Return true classes as whole numbers from 0 to `classes` - 1, on the CPU.

    Raises:
        InputError: texts (with the line that numbers them), another length, other numbers.

    Example:
        >>> class_numbers("rule", [0.0, 2.0], samples=2, classes=3)
        tensor([0, 2])
    """
    array = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if array.dtype.kind not in "biuf":
        raise fail(
            caller,
            f"targets are {describe(array)}, such as {array.reshape(-1)[:1].tolist()}",
            f"class numbers from 0 to {classes - 1}, in the order of the columns of scores",
            "Number them: names = [...] in that order, then y = [names.index(value) for value in y].",
        )
    if array.shape == (samples, 1):
        array = array[:, 0]
    if array.shape != (samples,):
        raise fail(
            caller, f"targets are {describe(array)} for {samples} samples", "one class number per sample"
        )
    wrong = ~((array >= 0) & (array < classes) & (array == np.floor(array)))
    if wrong.any():
        came = f"a target is {array[wrong][0]!s} where scores have {classes} classes"
        raise fail(caller, came, f"whole numbers from 0 to {classes - 1}")
    return torch.as_tensor(array.astype(np.int64))


def _are_probabilities(given: Tensor) -> bool:
    """Whether rows are probabilities, or a column is."""
    if given.ndim == 2:
        return are_probabilities(given)
    return bool(((given >= 0) & (given <= 1)).all())


def _no_probabilities(caller: str, scores: Scores, shares: bool) -> Exception:
    """The error for scores that are no probabilities, although they may be shares of something."""
    if not shares:
        reach = f"from {float(scores.min()):.4g} to {float(scores.max()):.4g}"
        came, remedy = f"scores reach {reach} where probabilities are read", "Of logits say inputs='logits'."
        return fail(caller, came, "numbers from 0 to 1", remedy)
    sums = scores.sum(1)
    worst = int((sums - 1).abs().argmax())
    return fail(
        caller,
        f"scores are numbers >= 0, and their rows do not sum to 1 (row {worst} sums to {float(sums[worst]):.4g})",
        "probabilities whose rows sum to 1, or logits",
        "Divide each row by its sum, or say inputs='logits' if they are logits.",
    )
