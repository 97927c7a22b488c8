"""Every case of interpolation.json."""

from typing import Any

import pytest
import torch

from metricgrad import losses, metrics
from metricgrad.relax import interpolate
from metricgrad.relax.comparisons import recorded, replayed
from tests.comparison_metrics import accuracy, auc, average_precision, f_beta, recall_at
from tests.oracles_json.reading import Case, cases, gradient, hold, leaf, renamed

WEIGHING = {name: name for name in ("weighting", "power", "weight_temperature", "delta")}


def metric_of(case: Case) -> Any:
    """The metric of a case, written once."""
    params = case["params"]
    made = {
        "auc": lambda: auc,
        "average_precision": lambda: average_precision,
        "recall_at_k": lambda: recall_at(params["k"]),
        "accuracy": lambda: accuracy,
        "f_beta": lambda: f_beta(params["beta"]),
    }
    return made[params["metric"]]()


def read(case: Case) -> tuple[Any, Any]:
    """Outputs and targets; class scores come row after row."""
    outputs, targets = leaf(case["inputs"]["outputs"]), torch.tensor(case["inputs"]["targets"])
    classes = case["params"].get("classes")
    return outputs, (outputs if classes is None else outputs.reshape(-1, classes), targets)


def interpolated_value(case: Case) -> dict[str, Any]:
    """The value between given anchors and its gradient, which is not that with the wrong sign."""
    u, anchors = leaf(case["inputs"]["u"]), torch.tensor(case["inputs"]["anchors"], dtype=torch.float64)
    values = torch.tensor(case["inputs"]["anchor_values"], dtype=torch.float64)
    value = interpolate(u, anchors, values, **renamed(case["params"], WEIGHING))
    slope, found = gradient(value, u), {"value": value}
    wrong = case["expected"].get("wrong_sign_gradient_must_differ")
    if wrong is not None:
        assert float((slope - torch.tensor(wrong, dtype=torch.float64)).abs().max()) > 1e-6
        found["wrong_sign_gradient_must_differ"] = wrong
    return {**found, "gradient": slope}


def one_function(case: Case) -> dict[str, Any]:
    """All that one function gives."""
    params, metric = case["params"], metric_of(case)
    source, given = read(case)
    record = metrics.exact(metric)
    _, recorder = recorded("metric", metric, *given)
    d = torch.cat([part.reshape(-1) for part in recorder.kept])
    anchors = torch.tensor(case["inputs"]["anchors"], dtype=torch.float64)
    parts = anchors.split([part.numel() for part in recorder.kept], 1)
    bits = [one.reshape(len(anchors), *part.shape) for one, part in zip(parts, recorder.kept, strict=True)]
    at_anchors = [replayed("metric", metric, *given, bits, together=together) for together in (True, False)]
    assert torch.equal(*at_anchors)
    temperatures = {
        name: params[name] for name in ("rank_temperature", "cutoff_temperature") if name in params
    }
    smooth = 1 - losses.relaxed(metric, **temperatures)(*given)
    weighing = {name: params[name] for name in WEIGHING}
    between = 1 - losses.interpolated(
        metric, anchors=anchors, temperature=params["temperature"], blocks="batch", **weighing
    )(*given)
    return {
        "exact": record.summarise(record.measure(*(part.detach() for part in given))),
        "comparisons": d.detach(),
        "u": (d.detach() / (2 * params["temperature"])).tanh(),
        "anchor_values": at_anchors[0].reshape(len(anchors), -1).mean(1),
        "sigmoid": smooth,
        "gradient_sigmoid": gradient(smooth, source),
        "interpolated": between,
        "gradient_interpolated": gradient(between, source),
    }


def exact_value(case: Case) -> dict[str, Any]:
    """The exact metric under ties."""
    _, given = read(case)
    record = metrics.exact(metric_of(case))
    return {"exact": record.summarise(record.measure(*(part.detach() for part in given)))}


@pytest.mark.parametrize("case", cases("interpolation"))
def test_case(case: Case):
    """A case of the file."""
    hold(case, {"interpolate": interpolated_value, "one_function": one_function, "exact_value": exact_value})
