"""scikit-learn metrics: who is truth, who is prediction, which way is up.

Their functions take the truth first and numpy arrays, their names tell the direction (`*_score` up, `*_error`,
`*_loss`, `*_deviance` down), and the scorers that scikit-learn registers tell what a function wants: predicted
classes, probabilities or scores. A scorer is unpacked into its function, sign and kind of response; the estimator
that it would ask is our model's outputs. What is no metric of (truth, prediction), or gives no single number, is
refused by its name.
"""

import re
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricgrad._checks import describe, extra, fail
from metricgrad._columns import are_probabilities, logit_of_class_1, one_column, order_of_class_1
from metricgrad._types import Reading
from metricgrad.metrics.foreign import Foreign, name_of, parameters
from metricgrad.metrics.label_tables import label_rows
from metricgrad.metrics.scikit_tables import formula_of

__all__ = ["decided_classes", "is_scikit", "read_scikit"]

_TRUTH = ("y_true", "labels_true", "y1")
_PREDICTION = ("y_pred", "y_score", "y_proba", "y_prob", "pred_decision", "labels_pred", "y2")
_ONE_NUMBER = re.compile(r".*_(score|error|loss|deviance|corrcoef)")


def is_scikit(metric: Any) -> bool:
    """Whether this is a scorer, a function of scikit-learn, or anything that takes the truth first under their name."""
    if hasattr(metric, "_score_func"):
        return True
    return callable(metric) and (_is_theirs(metric) or parameters(metric)[:1] == ["y_true"])


def read_scikit(metric: Any) -> Foreign:
    """Find out how a scikit-learn metric function or scorer is called and which way is better.

    Raises:
        InputError: a scorer of estimators, a function that is no metric of (truth, prediction), one that gives
            several numbers, a partial with arguments by place.
    """
    settings: dict[str, Any] = {}
    origin, up, response = "function", None, None
    if hasattr(metric, "_score_func"):
        origin, up, response = "scorer of", metric._sign > 0, metric._response_method
        settings, metric = dict(metric._kwargs), metric._score_func
    name, theirs = name_of(metric), _is_theirs(metric)
    if theirs:
        known_up, known_response = _from_scorers(_unwrapped(metric))
        _refuse_what_is_no_metric(name, metric, known=known_response is not None)
        if isinstance(metric, partial) and metric.args:
            raise fail(name, f"a partial with arguments {metric.args}", "keywords only")
        up = known_up if up is None else up
        up = _from_name(name) if up is None else up
        response = response or known_response
    bound = {**(metric.keywords if isinstance(metric, partial) else {}), **settings}
    if (
        theirs and "multi_class" in bound
    ):  # the area under the ROC curve of several classes needs probabilities
        response = "predict_proba"
    of_classes = response is not None if not theirs else re.search(r"classification|cluster", _module(metric))
    wanted, argument = _decoder(response or _from_parameters(metric), of_classes=bool(of_classes))
    direction = "" if up is None else f", {'higher' if up else 'lower'} is better"
    kind = f"scikit-learn {origin} {name}" if theirs else f"{origin} {name} in scikit-learn's order"
    shown = "".join(f", {key}={value!r}" for key, value in bound.items())
    of_labels = theirs and bound.get("average") == "samples"
    return Foreign(
        name=name,
        call=partial(_call, partial(metric, **settings) if settings else metric),
        higher_is_better=up,
        found=f"{kind}: called as f(targets, {argument}{shown}){direction}",
        read=partial(_read, wanted, name),
        reads="labels" if of_labels else None if wanted is _values and not theirs else _READINGS[wanted],
        weighted="sample_weight" in parameters(metric),
        of_table=formula_of(name, bound) if theirs else None,
    )


def decided_classes(name: str) -> Callable[[Any, Any], tuple[Any, Any]]:
    """How outputs and targets are read for a function of decided classes: whole numbers, or the argmax of scores."""
    return partial(_read, _classes, name)


def _read(wanted: Callable[[str, Tensor], Tensor], name: str, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Outputs as the function wants them, and targets of one column as [sample]; of several labels decisions."""
    targets = one_column(targets)
    if not isinstance(outputs, Tensor):
        return outputs, targets
    if wanted is _classes and isinstance(targets, Tensor) and targets.ndim == 2:
        decisions, marks = label_rows(name, outputs, targets).long().tensor_split(2, dim=1)
        return decisions, marks
    return wanted(name, outputs), targets


def _call(function: Callable[..., Any], outputs: Any, targets: Any, **weights: Any) -> Any:
    """Call a function as scikit-learn does, silent about resamples in which a class is missing."""
    with warnings.catch_warnings():
        exceptions = sys.modules.get("sklearn.exceptions")
        if exceptions is not None:
            warnings.simplefilter("ignore", exceptions.UndefinedMetricWarning)
        return function(
            _array(targets), _array(outputs), **{name: _array(value) for name, value in weights.items()}
        )


def _array(part: Any) -> Any:
    """A tensor as a numpy array; anything else as it is."""
    if not isinstance(part, Tensor):
        return part
    part = part.detach().cpu()
    return (part.float() if part.dtype == torch.bfloat16 else part).numpy()


def _unwrapped(metric: Any) -> Any:
    """The function within a partial."""
    return metric.func if isinstance(metric, partial) else metric


def _module(metric: Any) -> str:
    """Where a function, or the class of an object, was defined."""
    return getattr(_unwrapped(metric), "__module__", None) or ""


def _is_theirs(metric: Any) -> bool:
    return _module(metric).startswith("sklearn.")


def _refuse_what_is_no_metric(name: str, metric: Any, *, known: bool) -> None:
    """Raise InputError for what scikit-learn has beside metrics of (truth, prediction), known by a scorer or not."""
    first, second = [*parameters(metric), "", ""][:2]
    if first == "estimator" or hasattr(metric, "_scorers"):
        raise fail(
            name,
            "a scorer of (estimator, X, y)",
            "a metric of (truth, prediction)",
            "Give its function, or sklearn.metrics.make_scorer of it.",
        )
    if first not in _TRUTH or second not in _PREDICTION:
        came = f"its first parameters are ({first}, {second})".replace("(, )", "none")
        raise fail(name, came, "a metric of (truth, prediction), such as accuracy_score or roc_auc_score")
    if isinstance(_unwrapped(metric), type) or not (known or _ONE_NUMBER.fullmatch(name)):
        raise fail(
            name,
            "it returns a table, curve or text",
            "a metric that is one number, such as f1_score",
            "Wrap it in a function that picks one number.",
        )


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
    second = [*parameters(function), "", ""][1]
    if second in ("y_proba", "y_prob"):
        return "predict_proba"
    if second == "pred_decision":
        return "margin"
    return "decision_function" if second == "y_score" else "predict"


def _decoder(response: Any, *, of_classes: bool) -> tuple[Callable[[str, Tensor], Tensor], str]:
    """What is made of the outputs for a kind of response, and how that is called."""
    if response == "predict_proba":
        return _probabilities, "outputs as probabilities"
    if response == "margin":
        return _margins, "outputs as decision values"
    if response != "predict":
        return _scores, "outputs as scores"
    return (_classes, "argmax of outputs") if of_classes else (_values, "outputs")


def _classes(name: str, outputs: Tensor) -> Tensor:
    """Predicted class ids: whole numbers as they are, the largest of scores [sample, class]."""
    column = one_column(outputs)
    if not column.is_floating_point():
        return column
    if column.ndim == 2:
        return column.argmax(1)
    raise fail(
        name,
        f"outputs are {describe(outputs)}",
        "predicted class ids or scores [sample, class]",
        f"Of one score give a function with a threshold: lambda outputs, targets: {name}(targets, outputs > 0)"
        " (0 for logits, 0.5 for probabilities), with higher_is_better.",
    )


def _scores(name: str, outputs: Tensor) -> Tensor:
    """Scores of class 1 in their order, of one or two columns; class scores as they are."""
    order = order_of_class_1(outputs)
    return outputs if order is None else order


def _margins(name: str, outputs: Tensor) -> Tensor:
    """Decision values, positive for class 1: a column, or second minus first; class scores as they are."""
    logit = logit_of_class_1(outputs.double())
    return outputs if logit is None else logit


def _probabilities(name: str, outputs: Tensor) -> Tensor:
    """Probabilities, checked; of two columns the second, as scikit-learn's own scorers take it."""
    outputs = one_column(outputs)
    low, high = (float(outputs.min()), float(outputs.max())) if outputs.numel() else (0.0, 1.0)
    if not (0 <= low and high <= 1) or (
        outputs.numel() and outputs.ndim == 2 and not are_probabilities(outputs)
    ):
        raise fail(
            name,
            f"outputs reach from {low:.4g} to {high:.4g} and are no probabilities",
            "numbers in [0, 1], rows that sum to 1",
            "Let the model end in a softmax (one score: a sigmoid), or wrap the metric in a function that applies it.",
        )
    outputs = outputs.double()
    if outputs.ndim == 2 and outputs.shape[1] == 2:
        return outputs[:, 1]
    return outputs / outputs.sum(1, keepdim=True) if outputs.ndim == 2 else outputs


def _values(name: str, outputs: Tensor) -> Tensor:
    """Values as they are; a single column as a vector."""
    return one_column(outputs)


_READINGS: Mapping[Callable[[str, Tensor], Tensor], Reading] = {
    _classes: "classes",
    _scores: "scores",
    _margins: "scores",
    _probabilities: "probabilities",
    _values: "values",
}
