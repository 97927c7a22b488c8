"""Laws of what a loss may depend on: rows in any order, each by itself, ignored ones not at all, and nothing else."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad.testing.loss_subject import LossSubject, apart, places
from metricgrad.testing.report import Law

__all__ = ["BATCH_LAWS"]


def _inputs(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    given, classes = outputs.clone().requires_grad_() * 1, targets.clone()
    subject.loss(given, classes)
    if not torch.equal(given.detach(), outputs):
        return "it changed the outputs"
    return "" if torch.equal(classes, targets) else "it changed the targets"


def _randomness(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    kept, values = _states(), []
    try:
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 (the generator that code of others may draw from)
            random.seed(seed)
            before = _states()
            values.append(subject.loss(outputs.clone(), targets.clone()).detach())
            if _states() != before:
                return "it draws from, or sets, the global random state"
    finally:
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])
    came = apart(values[0], values[1], relative=0, absolute=0)
    return f"two calls with equal inputs give {came}" if came else ""


def _states() -> tuple[Any, ...]:
    """The global random states of torch, numpy and Python, as values that can be compared."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.random.get_rng_state().tolist(), (name, tuple(keys), *rest), random.getstate()


def _order(subject: LossSubject) -> str:
    for seed in (0, 1):
        outputs, targets = subject.drawn(seed)
        rows = torch.randperm(len(outputs), generator=torch.Generator().manual_seed(seed))
        loss, gradient = subject.slope(outputs, targets)
        found, slope = subject.slope(outputs[rows], targets[rows])
        came = apart(found, loss[rows] if loss.ndim else loss) or apart(slope, gradient[rows])
        if came:
            return f"in another order of the rows it gives {came}"
    return ""


def _rows(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    loss, _ = subject.slope(outputs, targets)
    alone = torch.stack([subject.value(outputs[[row]], targets[[row]]).mean() for row in range(len(outputs))])
    if loss.ndim > 1:
        loss = loss.flatten(1).mean(1)
    came = apart(loss, alone if loss.ndim else alone.mean())
    return f"the batch gives {came}, which its rows have alone" if came else ""


def _shift(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    loss, _ = subject.slope(outputs, targets)
    came = apart(
        subject.value(outputs + torch.linspace(-3, 3, len(outputs))[:, None].double(), targets), loss
    )
    return (
        f"with a constant added to each row it gives {came}: is there a sigmoid where a softmax belongs?"
        if came
        else ""
    )


def _renamed(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    loss, gradient = subject.slope(outputs, targets)
    _, numbers = targets.unique(return_inverse=True)
    for what, other in (("backwards", int(numbers.max()) - numbers), ("far apart", 7 + 1000 * numbers)):
        found, slope = subject.slope(outputs, other)
        came = apart(found, loss) or apart(slope, gradient)
        if came:
            return f"with the labels numbered {what} it gives {came}"
    return ""


def _with_ignored(subject: LossSubject, filling: float) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs and targets of which some rows are ignored, and which are kept."""
    outputs, targets = subject.drawn()
    assert subject.ignore_index is not None
    kept = torch.arange(len(outputs)) % 4 != 1
    outputs[~kept] = filling
    targets[~kept] = subject.ignore_index
    return outputs, targets, kept


def _ignored(subject: LossSubject) -> str:
    outputs, targets, kept = _with_ignored(subject, 3.0)
    loss, gradient = subject.slope(outputs, targets)
    wanted, slope = subject.slope(outputs[kept], targets[kept])
    if loss.ndim and bool(loss[~kept].any()):
        return "ignored rows have a loss"
    if bool(gradient[~kept].any()):
        return "ignored rows have a gradient"
    came = apart(loss[kept] if loss.ndim else loss, wanted) or apart(gradient[kept], slope)
    return f"with ignored rows in the batch it gives {came} without them" if came else ""


def _ignored_nan(subject: LossSubject) -> str:
    outputs, targets, kept = _with_ignored(subject, float("nan"))
    loss, gradient = subject.slope(outputs, targets)
    if places(loss):
        return f"with NaN in ignored rows the loss is {places(loss)}"
    if places(gradient):
        return f"with NaN in ignored rows the gradient is {places(gradient)}"
    return "ignored rows have a gradient" if bool(gradient[~kept].any()) else ""


def _empty(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    cases = {"without rows": (outputs[:0], targets[:0])}
    if subject.ignore_index is not None:
        cases["in which all rows are ignored"] = outputs, torch.full_like(targets, subject.ignore_index)
    for name, given in cases.items():
        loss, gradient = subject.slope(*given)
        if places(loss) or places(gradient):
            return f"a batch {name} has a {'loss' if places(loss) else 'gradient'} that is NaN or infinite"
        if bool(loss.any()) or bool(gradient.any()):
            return f"a batch {name} has a loss of {float(loss.sum()):.6g}"
    return ""


def _undefined(subject: LossSubject) -> str:
    assert subject.undefined is not None
    outputs, targets = subject.drawn()
    none = subject.undefined(outputs, targets)
    if not bool(none.any()):
        return "the inputs have no row without a definition: give make_inputs with such rows"
    loss, gradient = subject.slope(outputs, targets, none.double())
    if loss.ndim:
        if places(loss[none]) or bool(loss[none].any()):
            return f"rows without a definition have losses up to {float(loss[none].abs().max()):.6g}"
        return "rows without a definition have a gradient" if places(gradient) or bool(gradient.any()) else ""
    loss, gradient = subject.slope(outputs[none], targets[none])
    if places(loss) or places(gradient) or bool(loss.any()) or bool(gradient.any()):
        return f"a batch of rows without a definition has a loss of {float(loss):.6g}, or a gradient"
    return ""


def _draws(subject: LossSubject) -> str:
    return "declared: it draws" if subject.random else ""


def _not_declared(subject: LossSubject) -> str:
    return "" if subject.ignore_index is not None else "no ignore_index was declared"


BATCH_LAWS: tuple[Law[LossSubject], ...] = (
    Law("inputs", "outputs and targets are left as they were", _inputs),
    Law(
        "randomness",
        "the value depends on the inputs alone, and the global random states stay as they were",
        _randomness,
        lambda subject: "declared: it draws" if subject.random else "",
    ),
    Law(
        "order",
        "rows in another order have the same losses",
        _order,
        lambda subject: "declared: it draws" if subject.random else "",
    ),
    Law(
        "rows",
        "each row has the loss that it has alone, a batch their mean",
        _rows,
        lambda subject: (
            "declared: one value for the batch"
            if subject.whole
            else ""
            if subject.kind.single
            else "rows are compared with each other"
        ),
    ),
    Law(
        "shift",
        "a constant added to all class scores of a row changes nothing",
        _shift,
        lambda subject: (
            "" if subject.takes == "logits" else "these are no scores of classes that exclude each other"
        ),
    ),
    Law(
        "renamed",
        "labels are names: other numbers for them change nothing",
        _renamed,
        lambda subject: "" if subject.takes == "embeddings" else "targets are no names of groups",
    ),
    Law(
        "ignored",
        "ignored rows count for nothing, neither in the sum nor in the number",
        _ignored,
        _not_declared,
    ),
    Law(
        "ignored_nan",
        "what stands in ignored rows does not matter, NaN included",
        _ignored_nan,
        _not_declared,
    ),
    Law("empty", "a batch in which nothing counts has the loss 0 and no gradient", _empty),
    Law(
        "undefined",
        "a row without a definition has the loss 0 and no gradient",
        _undefined,
        lambda subject: "" if subject.undefined is not None else "nobody said which rows have no definition",
    ),
)
