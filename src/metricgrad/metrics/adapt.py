"""Take any metric: by name, a function of ours, torchmetrics, scikit-learn, or any Python function.

The result is a `Metric` whose description says what was found: how the function is called, which way is better and
what an interval would be drawn over. Nothing is guessed where a guess could turn a metric around: a function whose
direction is not known is refused until `higher_is_better` is given.
"""

import dataclasses
import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from metricgrad._checks import describe, fail
from metricgrad._types import Metric
from metricgrad.metrics.foreign import Foreign, ForeignFunction, name_of, parameters, takes_truth_first, told
from metricgrad.metrics.known import is_known
from metricgrad.metrics.names import metric_by_name, names_a_program, value_of
from metricgrad.metrics.records import metric_record
from metricgrad.metrics.scikit import decided_classes, is_scikit, read_scikit
from metricgrad.metrics.torch_metrics import is_torchmetrics, read_torchmetrics

__all__ = ["adapt", "metric_calls", "names_a_function"]

Unit = Literal["sample", "whole"]


def adapt(
    metric: Any,
    *,
    higher_is_better: bool | None = None,
    unit: Unit | None = None,
    reads: Literal["classes"] | None = None,
) -> Metric:
    """Turn anything that measures into a `Metric` record (exact; foreign functions are called as they are).

    | given | called | direction |
    |---|---|---|
    | a `Metric` | as it is | its own |
    | a name such as `recall@1`, `f1`, `edit_distance` (`metrics.named_metrics()`) | ours | known |
    | a function of `metrics`, or a partial of one | ours | known |
    | `package.module:function:higher_is_better=false,unit=whole,reads=classes` | as that function | as there |
    | a `torchmetrics.Metric`, or its class | a copy: reset, update(outputs, targets), compute | `higher_is_better` |
    | a scikit-learn metric function or scorer | f(targets, prediction), numpy | its scorer, sign or name |
    | a callable whose first parameter is `y_true` | f(targets, prediction), numpy | must be given |
    | a callable whose first parameter is `target`, `targets` or `truth` | tensors, targets first | must be given |
    | any other `callable(outputs, targets) -> float` | tensors, outputs first | must be given |

    An external program is made a metric by `metrics.command`; a text that names one is refused here.

    A callable is a function, a partial, a bound method, a class, a module or an object with `__call__`. It is handed
    copies, and may keep and change them.

    Args:
        metric: one of these.
        higher_is_better: the direction, where it is not known.
        unit: for foreign functions. `sample`: an interval draws samples and calls the function again (see
            `metric_calls`). `whole`: the function ranks the samples against each other or does not take tensors
            of one row per sample; no interval. None: `sample`, but a plain function whose value changes when every
            sample is given twice is refused at its first measurement.
        reads: `classes`: the function takes a decided class per sample, a whole number. It is then given the argmax of
            outputs [sample, class], and `tune` fits a decision rule for it. None: what is known of it; nothing of a
            plain callable, which is handed the outputs as they are.

    Returns:
        The record.

    Raises:
        InputError: an unknown name (with the nearest ones), a direction that is missing or contradicts the known
            one, a retrieval metric or a collection of torchmetrics, a function of scikit-learn that is no metric of
            (truth, prediction) or gives several numbers, a metric in comparisons (`exact` makes one of it), something
            that cannot be called.
        MissingExtraError: a scikit-learn scorer without scikit-learn.
        MetricFailed: (on measuring) the callable raised, or returned something else than one finite number or NaN.

    Edge cases:
        Outputs that are no arrays, and sets of more than 50 million numbers: one row, hence no interval. Class
        scores for a scikit-learn metric of predictions: the argmax; for one of probabilities they must be such; for
        one of scores two columns of probabilities are the second, other two columns their difference. A masked
        value is NaN, undefined; an infinite one is refused, as differences of it are no numbers.

    Gradient: none.

    Cost: that of the function, once per measurement and once per resample of an interval.

    Example:
        >>> import torch
        >>> def largest_miss(outputs, targets):
        ...     return (outputs - targets).abs().max()
        >>> metric = adapt(largest_miss, higher_is_better=False)
        >>> metric.summarise(metric.measure(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0])))
        3.0
    """
    if unit not in (None, "sample", "whole"):
        raise fail("adapt", f"unit is {unit!r}", "'sample', 'whole' or None")
    if reads not in (None, "classes"):
        raise fail("adapt", f"reads is {reads!r}", "'classes' or None")
    if isinstance(metric, str) and names_a_program(metric):
        raise fail(
            f"metric {metric!r}",
            "it names a program, and no text alone starts one",
            "metrics.command('./score.sh {predictions}', higher_is_better=True)",
        )
    if isinstance(metric, str) and names_a_function(metric):
        return _from_path(metric, higher_is_better, unit, reads)
    ours = _ours(metric)
    if ours is not None:
        if reads is not None and ours.reads != reads:
            raise fail(
                f"metric {ours.name}",
                f"reads={reads!r} was given",
                f"nothing: it is known to read {ours.reads}",
            )
        if higher_is_better is not None and higher_is_better is not ours.higher_is_better:
            raise _contradiction(ours.name, ours.higher_is_better)
        return ours
    if is_torchmetrics(metric):
        return _foreign(_reading(read_torchmetrics(metric), reads), higher_is_better, unit, check=False)
    if is_scikit(metric):
        return _foreign(_reading(read_scikit(metric), reads), higher_is_better, unit, check=False)
    if not callable(metric):
        raise fail(
            "adapt", f"metric is {describe(metric)}", "a name, a Metric or a callable(outputs, targets)"
        )
    return _foreign(_reading(_plain(metric), reads), higher_is_better, unit, check=unit is None)


def names_a_function(name: str) -> bool:
    """Whether a name says `package.module:function`, which is imported; settings (`f_beta:beta=2`) follow a colon too.

    Example:
        >>> names_a_function("sklearn.metrics:f1_score"), names_a_function("f_beta:beta=2")
        (True, False)
    """
    return ":" in name and "=" not in name.split(":")[1] and not names_a_program(name)


def metric_calls(metric: Metric) -> int:
    """Number of calls of a foreign function so far, resamples included; 0 for a metric of ours.

    Example:
        >>> metric_calls(adapt("map"))
        0
    """
    foreign = getattr(metric.summarise, "__self__", None)
    return foreign.calls if isinstance(foreign, ForeignFunction) else 0


def _ours(metric: Any) -> Metric | None:
    """The record, where the metric is one already, a name, or a function of ours or a partial of one."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        return metric_by_name(metric)
    function, settings = (metric.func, metric.keywords) if isinstance(metric, partial) else (metric, {})
    if not is_known(function):
        return None
    if isinstance(metric, partial) and metric.args:
        raise fail(
            "adapt",
            f"a partial of {name_of(function)} with {len(metric.args)} arguments",
            "settings by keyword only",
        )
    return metric_record(function, **settings)


def _from_path(
    text: str, higher_is_better: bool | None, unit: Unit | None, reads: Literal["classes"] | None
) -> Metric:
    """The metric at `package.module:function[:setting=value,...]`."""
    module_name, function_name, *rest = (part.strip() for part in text.split(":", 2))
    known: dict[str, Any] = {"higher_is_better": higher_is_better, "unit": unit, "reads": reads}
    for item in rest[0].split(",") if rest else []:
        key, _, value = (part.strip() for part in item.partition("="))
        if key not in known:
            raise fail(
                f"metric {text!r}",
                f"a setting is {item!r}",
                "higher_is_better=true|false, unit=sample|whole, reads=classes",
            )
        known[key] = value_of(value)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        raise fail(
            f"metric {text!r}",
            f"it cannot be imported ({told(error)})",
            "package.module:function that Python finds here",
            "Run where `python -c 'import package.module'` works, or set PYTHONPATH.",
        ) from error
    if isinstance(known["higher_is_better"], str):
        raise fail(f"metric {text!r}", f"higher_is_better is {known['higher_is_better']!r}", "true or false")
    return dataclasses.replace(adapt(function, **known), name=function_name)


def _plain(function: Callable[[Any, Any], Any]) -> Foreign:
    """A callable of the user, in the order that the name of its first parameter tells."""
    name, swapped = name_of(function), takes_truth_first(function)
    if parameters(function)[2:3] == ["step"]:
        raise fail(
            f"metric {name}",
            "it is written in comparisons: its third parameter is `step`",
            "a function (outputs, targets) -> number",
            f"Give metrics.exact({name}), or a name of your module that holds it.",
        )
    order = "targets, outputs" if swapped else "outputs, targets"
    call = partial(_truth_first, function) if swapped else function
    found = f"function {name}: called as f({order})"
    return Foreign(name, call, None, found, weighted="sample_weight" in parameters(function))


def _truth_first(function: Callable[..., Any], outputs: Any, targets: Any, **weights: Any) -> Any:
    """Call a function that takes the targets first."""
    return function(targets, outputs, **weights)


def _reading(foreign: Foreign, reads: Literal["classes"] | None) -> Foreign:
    """The function as it is, or as one of decided classes."""
    if reads is None:
        return foreign
    found = f"{foreign.found}, outputs as decided classes"
    return dataclasses.replace(foreign, found=found, read=decided_classes(foreign.name), reads=reads)


def _foreign(foreign: Foreign, higher_is_better: bool | None, unit: Unit | None, *, check: bool) -> Metric:
    """The record of a function of the whole set."""
    up = _direction(foreign.name, foreign.higher_is_better, higher_is_better)
    function = ForeignFunction(foreign, resample=unit != "whole", check=check)
    direction = "" if foreign.higher_is_better is not None else f", {_better(up)}"
    drawn = "no interval, as it takes the set as a whole" if unit == "whole" else "an interval draws samples"
    return Metric(
        name=foreign.name,
        measure=function.measure,
        summarise=function.summarise,
        higher_is_better=up,
        bounds=foreign.bounds,
        unit="whole" if unit == "whole" else "sample",
        description=f"{foreign.found}{direction}; {drawn}",
        reads=foreign.reads,
        of_table=foreign.of_table,
    )


def _direction(name: str, known: bool | None, given: bool | None) -> bool:
    """The direction that is known or given; InputError where it is neither, or both and different."""
    if known is None and given is None:
        raise fail(
            f"metric {name}", "its direction is not known", "higher_is_better=True or higher_is_better=False"
        )
    if known is not None and given is not None and known is not given:
        raise _contradiction(name, known)
    return bool(known if known is not None else given)


def _contradiction(name: str, known: bool) -> Exception:
    """The error for a direction that contradicts what is known of a metric."""
    return fail(
        f"metric {name}",
        f"higher_is_better={not known} was given",
        f"higher_is_better={known}, which is known of this metric",
        "Leave it out, or wrap the metric in a function that changes its sign.",
    )


def _better(up: bool) -> str:
    """The direction in words."""
    return f"{'higher' if up else 'lower'} is better"
