"""scikit-learn metrics: who is truth, who is prediction, which way is up.

Their functions take the truth first and numpy arrays, their names tell the direction (`*_score` up, `*_error`,
`*_loss`, `*_deviance` down), and the scorers that scikit-learn registers tell what a function wants: predicted
classes, probabilities or scores. A scorer is unpacked into its function, sign and kind of response; the estimator
that it would ask is our model's outputs.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe, extra, fail
from metricgrad._types import Reading

__all__ = ["ScikitMetric", "read_scikit"]


@dataclass(frozen=True)
class ScikitMetric:
    """What was found out about a scikit-learn metric.

    Attributes:
        name: of the function.
        call: `(outputs, targets) -> number` with tensors.
        higher_is_better: None where neither a scorer nor the name tells.
        found: one sentence.
        reads: what it makes of the outputs; None for a function of the user that does not say it.
    """

    name: str
    call: Callable[[Any, Any], Any]
    higher_is_better: bool | None
    found: str
    reads: Reading | None


def is_scikit(metric: Any) -> bool:
    """Whether this is a scorer, a function of scikit-learn, or a function that takes the truth first as they do."""
    if hasattr(metric, "_score_func"):
        return True
    function = metric.func if isinstance(metric, partial) else metric
    if not inspect.isroutine(function):
        return False
    return (function.__module__ or "").startswith("sklearn.") or _parameters(function)[:1] == ["y_true"]


def read_scikit(metric: Any) -> ScikitMetric:
    """Find out how a scikit-learn metric function or scorer is called and which way is better."""
    settings: dict[str, Any] = {}
    origin, up, response = "function", None, None
    if hasattr(metric, "_score_func"):
        origin, up, response = "scorer of", metric._sign > 0, metric._response_method
        settings, metric = dict(metric._kwargs), metric._score_func
    function = metric
    if isinstance(metric, partial):
        function, settings = metric.func, {**metric.keywords, **settings}
        if metric.args:
            raise fail(function.__name__, f"a partial with arguments {metric.args}", "keywords only")
    name = getattr(function, "__name__", type(function).__name__)
    module = getattr(function, "__module__", None) or ""
    theirs = module.startswith("sklearn.")
    if theirs and response is None:
        up, response = _from_scorers(function)
    if up is None and theirs:
        up = _from_name(name)
    wanted, argument = _decoder(module, response or _from_parameters(function))
    if response is not None and not theirs and wanted is _values:
        wanted, argument = _classes, "argmax of outputs"
    direction = "" if up is None else f", {'higher' if up else 'lower'} is better"
    kind = f"scikit-learn {origin} {name}" if theirs else f"{origin} {name} in scikit-learn's order"
    shown = "".join(f", {key}={value!r}" for key, value in settings.items())
    return ScikitMetric(
        name=name,
        call=partial(_call, function, settings, wanted, name),
        higher_is_better=up,
        found=f"{kind}: called as f(targets, {argument}{shown}){direction}",
        reads=None if wanted is _values and not theirs else _READINGS[wanted],
    )


def _call(
    function: Callable[..., Any],
    settings: dict[str, Any],
    wanted: Callable[[str, Tensor], Tensor],
    name: str,
    outputs: Any,
    targets: Any,
) -> Any:
    """Call a function as scikit-learn does, silent about resamples in which a class is missing."""
    arrays = [
        _array(part) for part in (targets, wanted(name, outputs) if isinstance(outputs, Tensor) else outputs)
    ]
    with warnings.catch_warnings():
        undefined = extra("sklearn.exceptions", "scikit", f"the metric {name}").UndefinedMetricWarning
        warnings.simplefilter("ignore", undefined)
        return function(*arrays, **settings)


def _array(part: Any) -> Any:
    """A tensor as a numpy array; anything else as it is."""
    if not isinstance(part, Tensor):
        return part
    part = part.detach().cpu()
    return (part.float() if part.dtype == torch.bfloat16 else part).numpy()


def _from_scorers(function: Callable[..., Any]) -> tuple[bool | None, Any]:
    """Direction and kind of response of a function, from a registered scorer that uses it."""
    scorers = extra("sklearn.metrics", "scikit", "a scikit-learn metric")
    for name in scorers.get_scorer_names():
        scorer = scorers.get_scorer(name)
        if getattr(scorer, "_score_func", None) is function:
            return scorer._sign > 0, scorer._response_method
    return None, None


def _from_name(name: str) -> bool | None:
    """Direction of a function, from scikit-learn's rule for names."""
    if name.endswith("_score"):
        return True
    return False if name.endswith(("_error", "_loss", "_deviance")) else None


def _from_parameters(function: Callable[..., Any]) -> str:
    """Kind of response of a function, from the name of its second parameter."""
    second = [*_parameters(function), "", ""][1]
    if second in ("y_proba", "y_prob"):
        return "predict_proba"
    return "decision_function" if second == "y_score" else "predict"


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters; none where Python cannot tell."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _decoder(module: str, response: Any) -> tuple[Callable[[str, Tensor], Tensor], str]:
    """What is made of the outputs for a kind of response, and how that is called."""
    if response == "predict_proba":
        return _probabilities, "outputs as probabilities"
    if response != "predict":
        return _scores, "outputs as scores"
    if "classification" in module or "cluster" in module:
        return _classes, "argmax of outputs"
    return _values, "outputs"


def _classes(name: str, outputs: Tensor) -> Tensor:
    """Predicted class ids: whole numbers as they are, the largest of scores [sample, class]."""
    if not outputs.is_floating_point():
        return outputs
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        return outputs.argmax(1)
    raise fail(
        name,
        f"outputs are {describe(outputs)}",
        "predicted class ids or scores [sample, class]",
        "Compare a single score with its threshold first: (scores > threshold).long().",
    )


def _scores(name: str, outputs: Tensor) -> Tensor:
    """Scores: two columns become their difference, which orders as the probability of the second does."""
    if outputs.ndim == 2 and outputs.shape[1] == 2 and outputs.is_floating_point():
        return outputs[:, 1] - outputs[:, 0]
    return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs


def _probabilities(name: str, outputs: Tensor) -> Tensor:
    """Probabilities, checked; of two columns the second, as scikit-learn's own scorers take it."""
    low, high = (float(outputs.min()), float(outputs.max())) if outputs.numel() else (0.0, 1.0)
    sums = outputs.double().sum(1) if outputs.ndim == 2 and outputs.shape[1] > 1 else torch.ones(1)
    if low < 0 or high > 1 or bool(((sums - 1).abs() > 1e-3).any()):
        raise fail(
            name,
            f"outputs reach from {low:.4g} to {high:.4g} and are no probabilities",
            "numbers in [0, 1], rows that sum to 1",
            "Let the model end in a softmax, or wrap the metric in a function that applies one.",
        )
    if outputs.ndim == 2 and outputs.shape[1] == 2:
        return outputs[:, 1]
    return outputs.double() / sums[:, None] if outputs.ndim == 2 and outputs.shape[1] > 1 else outputs


def _values(name: str, outputs: Tensor) -> Tensor:
    """Values as they are; a single column as a vector."""
    return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs


_READINGS: Mapping[Callable[[str, Tensor], Tensor], Reading] = {
    _classes: "classes", _scores: "scores", _probabilities: "probabilities", _values: "values",
}  # fmt: skip
