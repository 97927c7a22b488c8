"""A step of every black-box method, and a call of its judge, beside a plain step of the training loss."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metricgrad._types import MethodRun, Metric
from metricgrad.bench.contestant import on_threads
from metricgrad.bench.timer import medians
from metricgrad.methods.families import road_named
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.judge import Judge

__all__ = ["measured_steps"]

NAMES = ("judge", "blackbox:mixture", "blackbox:value_function", "blackbox:evolution", "blackbox:policy")
MANY = 10**9
WIDTH = 64


def measured_steps(
    *,
    items: int = 2000,
    classes: int = 10,
    batch: int = 256,
    metric: str = "macro_f1",
    threads: int = 1,
    repeats: int = 5,
    tell: Callable[[str], None] = lambda name: None,
) -> Iterator[dict[str, Any]]:
    """Yield a row for every method: milliseconds of a step with its defaults, of a plain step, and their ratio.

    The two take turns. The network has two layers of 64; a plain step is cross-entropy of a batch and AdamW. A step of
    `value_function` is a guided one, after its function was fitted; its fit and the calls of the metric are shared out.

    Args:
        items: of fit, and of the pool.
        classes: of them.
        batch: items of a batch.
        metric: that the judge measures.
        threads: of torch.
        repeats: turns of each; one more before them is not counted.
        tell: is called with each name before it is measured.
    """
    found = adapt(metric)
    for name in NAMES:
        tell(name)
        with on_threads(threads):
            calls = {
                "ours": _call(name, items, classes, batch, found),
                "plain": _plain(items, classes, batch),
            }
            for call in calls.values():
                call()
            taken = medians(calls, repeats)
        yield {
            "method": name,
            "ms": 1e3 * taken["ours"],
            "plain_ms": 1e3 * taken["plain"],
            "to_plain": taken["ours"] / taken["plain"],
        }


def _call(name: str, items: int, classes: int, batch: int, metric: Metric) -> Callable[[], Any]:
    if name == "judge":
        return _judge_alone(items, classes, metric)
    return _begun(name, items, classes, batch, metric)


def _plain(items: int, classes: int, batch: int) -> Callable[[], Any]:
    """A step of cross-entropy and AdamW."""
    model, (inputs, targets) = _network(classes), next(iter(_clouds(items, classes, batch)))
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        adam.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        adam.step()

    return step


def _each(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets, reduction="none")


def _judge_alone(items: int, classes: int, metric: Metric) -> Callable[[], Any]:
    judge, split = Judge(Evaluator(metric), MANY), _clouds(items, classes, items)
    outputs = _network(classes)(split.inputs).detach()
    return lambda: judge(outputs, split.targets)


def _begun(name: str, items: int, classes: int, batch: int, metric: Metric) -> Callable[[], Any]:
    """Return a step of a method that has begun, and has taken those steps that are unlike the later ones."""
    road = road_named(name, metric, _each)
    endless = {"gate": "none", "sampler": "gp", "calls": MANY}  # a turn is as many steps as fill it
    known = {key: value for key, value in endless.items() if key in road.settings.model_fields}
    method: Any = road.make(road.settings(**known))
    fit, pool = _clouds(items, classes, batch), _clouds(items, classes, items)
    model = _network(classes)
    run = MethodRun(
        model,
        dict(model.named_parameters()),
        metric,
        steps=MANY,
        seed=0,
        fit=fit,
        pool=pool,
        judge=Judge(Evaluator(metric), MANY),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so many calls on so few items are no search
        method.begin(run)
    drawn = next(iter(fit))
    for _ in range(_unlike(method)):
        method.step(drawn)
    return lambda: method.step(drawn)


def _unlike(method: Any) -> int:
    """Return how many steps teach before the first guided one."""
    return method.settings.trajectories * method.length + 1 if hasattr(method, "length") else 1


def _network(classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, classes))


def _clouds(items: int, classes: int, batch: int) -> ArraySplit:
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(items) % classes
    centres = torch.randn(classes, WIDTH, generator=generator)
    inputs = torch.randn(items, WIDTH, generator=generator) + 0.3 * centres[targets]
    return ArraySplit(inputs, targets, batch=batch)
