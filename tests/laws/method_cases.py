"""One row for every way to a gradient; a row buys all the laws of `test_method_laws.py`.

A new family, and a new structure of an old one, costs a `MethodCase` here: `test_every_road_has_a_row` compares the
rows with what the families list. The first loss of each kind has its row by itself.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from metricgrad._types import Metric
from metricgrad.learned import classes
from metricgrad.methods import objectives
from metricgrad.metrics import adapt, per_sample
from metricgrad.tune import ArraySplit, Splits

CLASSES, FEATURES = 4, 6


class Probe:
    """Stands around a function of a metric: counts the rows that it measures, and makes it fail when told."""

    def __init__(self) -> None:
        self.calls = 0
        self.failing: str | None = None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, watched."""

        def watched(*arguments: Any, **settings: Any) -> Any:
            self.calls += 1
            if self.failing == "raises":
                raise ZeroDivisionError("mine")
            return float("nan") if self.failing == "NaN" else function(*arguments, **settings)

        return watched


@dataclass(frozen=True, eq=False)
class MethodCase:
    """What the laws need to know about a method.

    Attributes:
        name: as `tune` takes it; `proxy` for the road of the control arm.
        metric: watched by a probe -> the metric of the run.
        model: a new network, always the same one.
        splits: fit and select.
        proxy: makes the proxy loss; None for none.
        settings: of the method, small ones.
        about: tells rows of one name apart.
        skip: laws that do not apply, each with its reason.
        calls: whether it calls the metric in its steps, without a judge.
        slow: whether a row like it is quick, so that this one may wait for the slow tests.
    """

    name: str
    metric: Callable[[Probe], Metric]
    model: Callable[[], nn.Module]
    splits: Callable[[], Splits]
    proxy: Callable[[], Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""
    skip: Mapping[str, str] = field(default_factory=dict)
    calls: bool = False
    slow: bool = False

    @property
    def label(self) -> str:
        """The name that a failing test shows."""
        return f"{self.name} ({self.about})" if self.about else self.name


def clouds(used: int = CLASSES) -> Splits:
    """Overlapping clouds, one a class: 48 samples to fit, 24 to select."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(72) % used
    inputs = torch.randn(72, FEATURES, generator=generator)
    inputs = inputs + torch.randn(used, FEATURES, generator=generator)[targets]
    return Splits(ArraySplit(inputs[:48], targets[:48], batch=16), ArraySplit(inputs[48:], targets[48:]))


def two_clouds() -> Splits:
    """The same with classes 0 and 1."""
    return clouds(2)


def network(columns: int = CLASSES) -> nn.Module:
    """A small network with dropout, so that the random states matter; one column comes without its axis."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(FEATURES, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, columns)]
        return nn.Sequential(*layers, *([nn.Flatten(0)] if columns == 1 else []))


def score() -> nn.Module:
    """The network of one score per sample."""
    return network(1)


def named(name: str) -> Callable[[Probe], Metric]:
    """A metric of ours, watched where it measures."""

    def watched(probe: Probe) -> Metric:
        metric = adapt(name)
        return dataclasses.replace(metric, measure=probe(metric.measure))

    return watched


def foreign(probe: Probe) -> Metric:
    """A metric that can only be called: a function of the user, watched."""

    def share_right(predictions: Tensor, targets: Tensor) -> float:
        return float((torch.as_tensor(predictions) == torch.as_tensor(targets)).double().mean())

    metric = adapt(probe(share_right), higher_is_better=True)
    metric.measure(
        torch.arange(CLASSES), torch.arange(CLASSES)
    )  # a new function is tried out: no call of a method
    probe.calls = 0
    return metric


def cost(probe: Probe) -> Metric:
    """How far apart two class numbers are: a mean over samples, whose own function is watched."""
    function = probe(lambda prediction, target: float(abs(int(prediction) - int(target))))
    return per_sample(function, kind=classes(CLASSES), higher_is_better=False, name="cost")


class Centres(nn.Module):
    """A loss with parameters, a buffer and a number that its calls change."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.eye(CLASSES))
        self.register_buffer("mean", torch.zeros(()))
        self.calls = 0

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return one value per sample."""
        values = (outputs - self.centres[targets]).square().sum(1)
        self.mean += 0.1 * (values.detach().mean() - self.mean)
        self.calls += 1
        return values


def binary(outputs: Tensor, targets: Tensor) -> Tensor:
    """The proxy of scores of class 1."""
    return binary_cross_entropy_with_logits(outputs, targets.float())


def of_classes() -> Callable[[Tensor, Tensor], Tensor]:
    """The proxy of class scores."""
    return cross_entropy


QUICKLY_LEARNED = {
    "surrogate_warmup": 8,
    "surrogate_batch": 16,
    "surrogate_learning_rate": 2e-2,
    "surrogate_steps": 1,
    "extra_steps": 2,
    "lessons": 20,
    "trust": -1.0,
    "patience": 1,
    "kept_floor": 1.0,
}
ONE_PROCESS = {"chunked": "pairs of a whole batch teach the surrogate"}

EMBEDDED: dict[str, Any] = {"metric": named("recall@1"), "model": network, "splits": clouds}
SCORED: dict[str, Any] = {"metric": named("f1"), "model": score, "splits": two_clouds}
CLASSED: dict[str, Any] = {"metric": named("accuracy"), "model": network, "splits": clouds}
WITH_PROXY: dict[str, Any] = {**CLASSED, "proxy": of_classes}
NO_BATCH = {"no number": "it follows the judge and reads no batch; of a metric that is NaN there is a law"}
SEARCHED = {"gate": "none", "settle_every": 1, "calls": 60, "batch": 16}
OF_POOL = {**NO_BATCH, "chunked": "a batch of the pool is embedded whole"}
LABELLED: dict[str, Any] = {"metric": named("f1"), "model": score, "splits": two_clouds}
COUNTED: dict[str, Any] = {"metric": named("macro_f1"), "model": network, "splits": clouds}
LEARNED: dict[str, Any] = {
    "metric": cost,
    "model": network,
    "splits": clouds,
    "settings": QUICKLY_LEARNED,
    "skip": ONE_PROCESS,
    "calls": True,
}

OF_LOSSES = {
    "ranks": EMBEDDED,
    "embeddings": EMBEDDED,
    "scores": SCORED,
    "logits": CLASSED,
    "label_logits": LABELLED,
    "probabilities": CLASSED,
}
"""By what a loss takes, the task on which the first one of its kind is followed."""


def losses_by_kind() -> dict[str, str]:
    """What losses take -> the first that takes it."""
    found: dict[str, str] = {}
    for name in objectives.objectives():
        found.setdefault(next(iter(inspect.signature(objectives.loss_named(name)).parameters)), name)
    return found


def running_losses_of_logits() -> list[str]:
    """Losses of class scores that remember something between steps: each may be the second of two."""
    return [
        name
        for name in objectives.objectives()
        if objectives.trained_as(name) is not objectives.loss_named(name)
        and next(iter(inspect.signature(objectives.loss_named(name)).parameters)) == "logits"
    ]


METHOD_CASES: tuple[MethodCase, ...] = (
    *(MethodCase(f"surrogate:{name}", **OF_LOSSES[takes]) for takes, name in losses_by_kind().items()),
    MethodCase("surrogate:recall_at_k", **EMBEDDED),
    MethodCase("surrogate:recall_at_k+simix", slow=True, **EMBEDDED),
    MethodCase("surrogate:average_precision", about="of scores", **SCORED),
    *(
        MethodCase(f"surrogate:{name}", **COUNTED)
        for name in (
            "soft_confusion",
            "slope",
            "class_weighted_cross_entropy",
            "recall_weighted_cross_entropy",
        )
    ),
    MethodCase(
        "surrogate:generalized_cross_entropy", settings={"mixup": 0.4}, about="on mixtures", **CLASSED
    ),
    MethodCase("surrogate:slope", about="of a function", calls=True, **{**COUNTED, "metric": foreign}),
    MethodCase(
        "surrogate:soft_counts",
        proxy=lambda: "soft_confusion",
        settings={"proxy_weight": 0.3},
        about="with a proxy that remembers",
        slow=True,
        **COUNTED,
    ),
    MethodCase(
        "surrogate:recall_at_k",
        proxy=Centres,
        settings={"proxy_weight": 0.3},
        about="with a trained proxy",
        **EMBEDDED,
    ),
    MethodCase("surrogate:extended_supcon", settings={"objective": {"anchors": "all"}}, **EMBEDDED),
    MethodCase("surrogate:circle_class", slow=True, **EMBEDDED),
    MethodCase("proxy", proxy=lambda: "extended_supcon", about="with prototypes", **EMBEDDED),
    MethodCase("direct:average_precision", about="of queries", **EMBEDDED),
    MethodCase("direct:average_precision", about="of scores", **SCORED),
    MethodCase("direct:f_beta", **SCORED),
    MethodCase("direct:multiclass", **CLASSED),
    MethodCase("learned", slow=True, **LEARNED),
    MethodCase("learned+filter", **LEARNED),
    MethodCase("alternating:complement_entropy", **WITH_PROXY),
    MethodCase(
        "alternating:complement_entropy",
        proxy=Centres,
        settings={"second_rate": 0.5, "decay_once": False, "pull_to_start": 1.0, "weight_decay": 0.1},
        about="with a trained proxy",
        slow=True,
        **CLASSED,
    ),
    MethodCase(
        "alternating:hierarchical_complement_entropy",
        settings={"objective": {"tree": [[0, 1], [2, 3]]}, "guard_patience": 1, "guard_tolerance": 0.0},
        slow=True,
        **WITH_PROXY,
    ),
    *(
        MethodCase(f"alternating:{name}", slow=True, **{**COUNTED, "proxy": of_classes})
        for name in running_losses_of_logits()
    ),
    MethodCase(
        "alternating:soft_confusion",
        proxy=lambda: "soft_confusion",
        about="with a proxy that remembers",
        slow=True,
        **COUNTED,
    ),
    MethodCase(
        "alternating:slope",
        proxy=of_classes,
        about="of a function",
        calls=True,
        slow=True,
        **{**COUNTED, "metric": foreign},
    ),
    MethodCase("search", about="asks for the metric", skip=NO_BATCH, **CLASSED),
    MethodCase("blackbox:mixture", settings=SEARCHED | {"sampler": "tpe"}, skip=NO_BATCH, **WITH_PROXY),
    MethodCase(
        "blackbox:mixture",
        settings=SEARCHED | {"sampler": "gp", "adapter": "bias"},
        about="by a Gaussian process",
        skip=NO_BATCH,
        slow=True,
        **WITH_PROXY,
    ),
    MethodCase(
        "blackbox:mixture",
        proxy=lambda: "supcon",
        settings=SEARCHED | {"sampler": "random", "adapter": "trained"},
        about="of embeddings",
        skip=NO_BATCH,
        slow=True,
        **EMBEDDED,
    ),
    MethodCase("blackbox:evolution", settings=SEARCHED | {"pairs": 2}, skip=NO_BATCH, **CLASSED),
    MethodCase(
        "blackbox:evolution",
        proxy=Centres,
        settings=SEARCHED | {"pairs": 2, "loss_weight": 0.5, "adapter": "head"},
        about="beside a loss",
        skip=NO_BATCH,
        slow=True,
        **CLASSED,
    ),
    MethodCase(
        "blackbox:value_function",
        settings=SEARCHED | {"trajectories": 2, "trajectory_steps": 2, "observe_every": 1},
        skip=NO_BATCH,
        **WITH_PROXY,
    ),
    MethodCase(
        "blackbox:value_function",
        settings=SEARCHED | {"trajectories": 1, "observe_every": 1, "refit_every": 2, "model": "ridge"},
        about="by a plane",
        skip=NO_BATCH,
        slow=True,
        **WITH_PROXY,
    ),
    MethodCase("blackbox:policy", settings={"samples": 3, "batch": 8}, skip=OF_POOL, **CLASSED),
    MethodCase("proxy", proxy=lambda: "supcon", about="one of ours", **EMBEDDED),
    MethodCase("proxy", proxy=of_classes, about="a function", **CLASSED),
    MethodCase("proxy", proxy=Centres, about="with parameters", **EMBEDDED),
)
