"""How a metric of probabilities reads the outputs of a network or the columns of a file: one rule for all of them.

Rows [sample, class] within [0, 1] that sum to 1 are probabilities. Other rows are logits and go through softmax, so
that a network that ends in logits is measured as it is. What could be either is refused: numbers within [0, 1] whose
rows do not sum to 1, and rows with one common sum (percentages, votes). One column [sample] is the probability of
class 1, never a logit unless that is said: the logits of a network that has learned little lie within [0, 1], too.
`from_logits` says it for both.
"""

import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._columns import are_probabilities, class_logits, have_a_common_sum, one_column
from metricgrad._labels import whole_labels

__all__ = ["READ", "class_marks", "label_scores", "probabilities_and_targets", "scores_of_each_class"]

READ = "class scores that are no probabilities are read as logits"
"""What descriptions say of the rule."""


def probabilities_and_targets(
    caller: str,
    outputs: Shaped[Tensor, "..."],
    targets: Shaped[Tensor, "..."],
    *,
    from_logits: bool | None = None,
) -> tuple[Float[Tensor, "sample class"], Int64[Tensor, "sample"]]:
    """Return the probability of every class (of one column: 1 - p and p) and the class of every sample, on the CPU.

    Probabilities keep their type (float32 at least), on which the least one depends; those of logits are float64.

    Raises:
        InputError: shapes or types that do not fit, NaN or +inf, what is neither probabilities nor logits for sure, a
            target that has no column.
    """
    scores = _checked_scores(caller, outputs, targets)
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    if _are_logits(caller, scores, from_logits):
        found = class_logits(scores.double()).softmax(1)
        if bool(found.isnan().any()):
            raise fail(caller, "logits have infinite values", "finite logits")
    else:
        wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
        found = torch.stack([1 - wide, wide], 1) if wide.ndim == 1 else wide
    return found, _class_ids(caller, targets, len(scores), classes)


def scores_of_each_class(
    caller: str,
    outputs: Shaped[Tensor, "..."],
    targets: Shaped[Tensor, "..."],
    *,
    from_logits: bool | None = None,
) -> Float64[Tensor, "sample class"]:
    """Return a number per sample and class that orders the samples as their probabilities of the class do.

    Probabilities are such numbers. Of logits it is the log-odds of the class, which does not saturate as softmax does.
    """
    scores = _checked_scores(caller, outputs, targets)
    logits = _are_logits(caller, scores, from_logits)
    if scores.ndim == 1:
        return torch.stack([-scores.double(), scores.double()], 1)
    if not logits:
        return scores.double()
    best = scores.double().argmax(1, keepdim=True)
    below = scores.double() - scores.double().gather(1, best)  # [sample, class], 0 for the best class
    shares = below.exp()
    found = below - (shares.sum(1, keepdim=True) - shares).log()  # the others of the best class cancel
    rest = below.scatter(1, best, float("-inf")).logsumexp(1, keepdim=True)
    found = found.scatter(1, best, -rest)
    if bool(found.isnan().any()):
        raise fail(caller, "logits have infinite values", "finite logits")
    return found


def label_scores(caller: str, outputs: Shaped[Tensor, "..."]) -> Float64[Tensor, "sample label"]:
    """Return scores [sample, label] as float64 on the CPU; InputError for another shape and NaN."""
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.is_complex():
        raise fail(
            caller, f"outputs are {describe(outputs)}", "scores [sample, label], as the targets are marks"
        )
    return _without_nan(caller, outputs.detach().cpu()).double()


def class_marks(
    caller: str, targets: Shaped[Tensor, "..."], samples: int, classes: int
) -> Float64[Tensor, "sample class"]:
    """Return 1 for the class of every sample, else 0; marks [sample, class] of several labels as they are."""
    marks = one_column(targets.detach()).cpu()
    if marks.ndim == 1:
        return torch.nn.functional.one_hot(_class_ids(caller, marks, samples, classes), classes).double()
    marks = marks.double()
    if marks.shape != (samples, classes) or not bool(((marks == 0) | (marks == 1)).all()):
        raise fail(
            caller,
            f"targets are {describe(targets)}",
            f"a class id for each of the {samples} samples, or marks 0 and 1 of the shape {(samples, classes)}",
        )
    return marks


def _checked_scores(caller: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return outputs [sample] or [sample, class] of two classes or more, on the CPU."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        raise fail(caller, f"outputs are {describe(outputs)}, targets are {describe(targets)}", "two tensors")
    scores = one_column(outputs.detach()).cpu()
    columns = scores.shape[1] if scores.ndim == 2 else 2
    if scores.ndim not in (1, 2) or columns < 2 or not scores.is_floating_point():
        raise fail(
            caller,
            f"outputs are {describe(outputs)}",
            "probabilities or logits [sample, class], or one probability of class 1 per sample",
            "Predicted class ids have no probabilities." if scores.ndim == 1 else "",
        )
    return _without_nan(caller, scores)


def _without_nan(caller: str, scores: Tensor) -> Tensor:
    if bool(scores.isnan().any()):
        row = int(scores.isnan().reshape(len(scores), -1).any(1).nonzero()[0])
        raise fail(caller, f"outputs have NaN, first in row {row}", "numbers")
    return scores


def _are_logits(caller: str, scores: Tensor, from_logits: bool | None) -> bool:
    """Whether these are logits; InputError for what nobody can tell and for probabilities that are none."""
    if from_logits is not None and not isinstance(from_logits, bool):
        raise fail(caller, f"from_logits is {from_logits!r}", "true, false or None")
    if from_logits or not scores.numel():
        return bool(from_logits)
    low, high = float(scores.min()), float(scores.max())
    within = low >= 0 and high <= 1
    if are_probabilities(scores) or (scores.ndim == 1 and within):
        return False
    reach = f"outputs reach from {low:.4g} to {high:.4g}"
    if scores.ndim == 1:
        raise fail(
            caller,
            reach,
            "probabilities of class 1, within [0, 1]",
            f"Of logits say from_logits=True (by name: {caller}:from_logits=true).",
        )
    sums = scores.double().sum(1)
    least, most = float(sums.min()), float(sums.max())
    if from_logits is False or within or have_a_common_sum(scores):
        raise fail(
            caller,
            f"{reach} and their rows sum to {least:.4g} ... {most:.4g}",
            "probabilities, rows within [0, 1] that sum to 1, or logits",
            f"Divide each row by its sum. Of logits say from_logits=True (by name: {caller}:from_logits=true).",
        )
    return True


def _class_ids(caller: str, targets: Tensor, samples: int, classes: int) -> Int64[Tensor, "sample"]:
    """Return the class of every sample, each of which has a column."""
    ids = one_column(targets.detach()).cpu()
    if ids.shape != (samples,):
        raise fail(caller, f"targets are {describe(targets)}", f"{samples} class ids [sample]")
    ids = whole_labels(caller, "targets", ids.double().numpy() if ids.is_floating_point() else ids).long()
    if samples and not 0 <= int(ids.min()) <= int(ids.max()) < classes:
        raise fail(
            caller,
            f"targets reach from {int(ids.min())} to {int(ids.max())}",
            f"class ids 0 to {classes - 1}, one for each column of outputs",
        )
    return ids.cpu()
