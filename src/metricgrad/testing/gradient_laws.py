"""Laws of the value and gradient of a loss at ordinary outputs, at extremes and in half precision."""

import math

import torch
from torch import Tensor

from metricgrad.testing.loss_subject import LossSubject, apart, places
from metricgrad.testing.report import Law, LeftOut

__all__ = ["GRADIENT_LAWS"]

STEP, SMALL = 1e-6, 1e-10
"""Of finite differences; of a step that float32 does not see."""
SEEDS = (0, 1)


def _value(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    loss = subject.loss(outputs.clone().requires_grad_() * 1, targets.clone())
    if not isinstance(loss, Tensor):
        return f"it returned {type(loss).__name__}"
    if not loss.is_floating_point() or (loss.ndim > 0 and loss.shape[0] != len(outputs)):
        return f"it returned {tuple(loss.shape)} of {loss.dtype} for {len(outputs)} rows"
    return f"the loss of ordinary outputs is {places(loss.detach())}" if places(loss.detach()) else ""


def _flows(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    leaf = outputs.requires_grad_()
    loss = subject.loss(leaf * 1, targets)
    if not loss.requires_grad:
        return "the loss has no gradient: look for detach(), item(), argmax or numpy in it"
    _, gradient = subject.slope(outputs, targets)
    if places(gradient):
        return f"the gradient is {places(gradient)}"
    return "" if bool(gradient.any()) else "the gradient is 0 everywhere"


def _differences(subject: LossSubject) -> str:
    for seed in SEEDS:
        outputs, targets = subject.drawn(seed)
        weights = torch.linspace(0.5, 1.5, len(outputs), dtype=torch.float64)
        _, found = subject.slope(outputs, targets, weights)
        wanted = torch.zeros_like(outputs)
        flat = wanted.view(-1)
        for place in range(outputs.numel()):
            ends = []
            for sign in (1, -1):
                moved = outputs.clone()
                moved.view(-1)[place] += sign * STEP
                torch.manual_seed(0)
                loss = (
                    subject.loss(moved, targets)
                    if subject.held is None
                    else subject.held(moved, targets, outputs)
                )
                loss = loss.detach().double()
                ends.append(float((loss * weights).sum() if loss.ndim else loss))
            flat[place] = (ends[0] - ends[1]) / (2 * STEP)
        came = apart(found, wanted, relative=1e-4, absolute=1e-6)
        if came:
            ratio = float((found * wanted).sum() / wanted.square().sum().clamp_min(1e-30))
            times = f"; on the whole {ratio:.3g} times the differences" if math.isfinite(ratio) else ""
            return f"the gradient is {came}{times}"
    return ""


def _extremes(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    probabilities = subject.takes == "probabilities"
    cases: dict[str, tuple[Tensor, Tensor]] = {
        "equal outputs": (torch.ones_like(outputs) / (outputs.shape[1] if probabilities else 1), targets),
        "a single row": (outputs[:1], targets[:1]),
        "targets that are all the same": (outputs, torch.ones_like(targets) * targets[:1]),
    }
    if probabilities:
        certain = torch.zeros_like(outputs)
        certain[:, 0] = 1
        cases["probabilities of 0 and 1"] = certain, targets
    else:
        cases["outputs times 10,000"] = 1e4 * outputs, targets
        cases["outputs of 0"] = torch.zeros_like(outputs), targets
    if subject.takes == "embeddings":
        cases["labels that all differ"] = outputs, torch.arange(len(outputs))
    for dtype in (torch.float64, torch.float32):
        for name, (values, classes) in cases.items():
            cast = classes.to(dtype) if classes.is_floating_point() else classes
            loss, gradient = subject.slope(values.to(dtype), cast)
            if places(loss) or places(gradient):
                what = "loss" if places(loss) else "gradient"
                return f"at {name} ({str(dtype)[6:]}) the {what} is {places(loss) or places(gradient)}"
    return ""


def _half(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    for dtype in (torch.bfloat16, torch.float16):
        cast = targets.to(dtype) if targets.is_floating_point() else targets
        values, name = (subject.kind.scale * outputs).to(dtype), str(dtype)[6:]
        try:
            loss, gradient = subject.slope(values, cast)
        except (NotImplementedError, RuntimeError) as error:
            if "not implemented for" in str(error):
                raise LeftOut(f"there is no {name} for it: {error}") from error
            raise
        if places(loss) or places(gradient):
            what, came = "loss" if places(loss) else "gradient", places(loss) or places(gradient)
            return f"at outputs of about {2 * subject.kind.scale:g} ({name}) the {what} is {came}"
        wanted = subject.value(values.double(), cast.double() if cast.is_floating_point() else cast)
        came = apart(loss, wanted, relative=0.05, absolute=0.05)
        if came and subject.takes != "probabilities":  # these are rounded where the logarithm is steep
            return f"the loss in {name} is {came}, that of the same numbers in float64"
    return ""


def _float64(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    loss, gradient = subject.slope(outputs, targets)
    if loss.dtype != torch.float64:
        return f"the loss of float64 outputs is {loss.dtype}"
    direction = gradient / gradient.norm().clamp_min(1e-30)
    moved = float((subject.value(outputs + SMALL * direction, targets) - loss).sum())
    foreseen = SMALL * float(gradient.norm())
    if foreseen > 1e-12 and not 0.1 * foreseen < moved < 10 * foreseen:
        came = f"a step of {SMALL:g} along the gradient changes the loss by {moved:.2g} for {foreseen:.2g}"
        return f"{came}: does it compute in less than float64?"
    return ""


def _direction(subject: LossSubject) -> str:
    _, targets = subject.drawn()
    right, wrong = (
        float(subject.value(_right(subject, labels, 3.0), targets).mean())
        for labels in (targets, _turned(targets))
    )
    return "" if right < wrong else f"right outputs have {right:.6g}, wrong ones {wrong:.6g}"


def _right(subject: LossSubject, targets: Tensor, size: float) -> Tensor:
    """Outputs that are right, of a size; probabilities are 0 and 1 where it is large."""
    assert subject.right is not None
    outputs = subject.right(targets)
    if subject.takes == "values":
        return outputs
    if subject.takes == "probabilities":
        return outputs if size > 3 else 0.9 * outputs + 0.1 / outputs.shape[1]
    return size * outputs


def _turned(targets: Tensor) -> Tensor:
    """Targets of other rows: every other class, or the other of two."""
    if targets.is_floating_point():
        return targets.flip(0)
    if int(targets.max()) <= 1 and int(targets.min()) >= 0:
        return 1 - targets
    return targets.roll(1, 0)


def _certain(subject: LossSubject) -> str:
    _, targets = subject.drawn()
    found = float(subject.value(_right(subject, targets, 40.0), targets).mean())
    if abs(found - subject.least) <= 1e-3:
        return ""
    return f"right and certain outputs have {found:.6g}, not {subject.least:g}: are they squashed twice?"


def _descent(subject: LossSubject) -> str:
    outputs, targets = subject.drawn()
    of_probabilities = subject.takes == "probabilities"
    free = (outputs.log() if of_probabilities else outputs.clone()).requires_grad_()
    optimiser, values = torch.optim.Adam([free], lr=0.05), []
    for _ in range(100):
        optimiser.zero_grad()
        loss = subject.loss(free.softmax(1) if of_probabilities else free * 1, targets).mean()
        loss.backward()
        values.append(float(loss.detach()))
        optimiser.step()
    if not values[-1] < values[0]:
        return f"100 steps take the loss from {values[0]:.6g} to {values[-1]:.6g}"
    if subject.exact is None:
        return ""
    after = free.detach().softmax(1) if of_probabilities else free.detach()
    old, new = (float(subject.exact(one, targets)) for one in (outputs, after))
    return "" if new <= old else f"the loss falls, and what it stands for rises from {old:.6g} to {new:.6g}"


def _bounds(subject: LossSubject) -> str:
    assert subject.bounds is not None
    for seed in SEEDS:
        outputs, targets = subject.drawn(seed)
        for values in (
            (outputs, outputs.round(), 10 * outputs) if subject.takes != "probabilities" else (outputs,)
        ):
            loss = subject.value(values, targets)
            if (
                not subject.bounds[0] - 1e-9
                <= float(loss.min())
                <= float(loss.max())
                <= subject.bounds[1] + 1e-9
            ):
                return f"a loss of {float(loss.min()):.6g} to {float(loss.max()):.6g}"
    return ""


def _no_right(subject: LossSubject) -> str:
    return "" if subject.right is not None else "nobody said which outputs are right"


GRADIENT_LAWS: tuple[Law[LossSubject], ...] = (
    Law("value", "a finite tensor, one value or one per row", _value),
    Law("flows", "a gradient that is finite and not 0 everywhere", _flows),
    Law(
        "differences", "the gradient of finite differences, of the loss with its constants held", _differences
    ),
    Law("float64", "float64 outputs are computed with as such", _float64),
    Law("half", "in half precision finite, and close to the loss of the same numbers", _half),
    Law("extremes", "a finite loss and gradient at saturated, equal and single outputs", _extremes),
    Law("direction", "right outputs have a smaller loss than wrong ones", _direction, _no_right),
    Law(
        "certain",
        "right and certain outputs have the least loss",
        _certain,
        lambda subject: (
            _no_right(subject) or ("embeddings have no certainty" if subject.takes == "embeddings" else "")
        ),
    ),
    Law("descent", "steps along the gradient lower the loss and do not raise what it stands for", _descent),
    Law(
        "bounds",
        "the loss stays within its bounds",
        _bounds,
        lambda subject: "" if subject.bounds is not None else "no bounds were declared",
    ),
)
