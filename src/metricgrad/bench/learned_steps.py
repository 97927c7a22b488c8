"""Steps of a learned surrogate and of a network that follows one, beside a proxy step of that network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from metricgrad.bench.learned_cases import Case, boxes_case, words_case
from metricgrad.bench.timer import medians
from metricgrad.learned import LearnedSurrogate, SampleErrors
from metricgrad.learned.pairs import Pairs
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.learned_method import Learned
from metricgrad.methods.learned_settings import LearnedSettings
from metricgrad.methods.surrogate import Surrogate

__all__ = ["measured_steps"]


def measured_steps(batch: int, *, repeats: int) -> list[dict[str, Any]]:
    """Return a row for every step of both networks: milliseconds, and the ratio to a proxy step of that network.

    Raises:
        AssertionError: LS and FEDS whose filter keeps every sample differ, or the fit depends on the penalty.
    """
    with torch.random.fork_rng(devices=[]):
        return [row for case in (words_case(batch), boxes_case(batch)) for row in _steps_of(case, repeats)]


def _steps_of(case: Case, repeats: int) -> list[dict[str, Any]]:
    calls, first = _steps(case), {}
    for name, call in calls.items():  # warms up; dropout drops the same units for all
        torch.manual_seed(0)
        first[name] = call()
    for one, other in (
        ("surrogate step", "surrogate step, no penalty"),
        ("LS model step", "FEDS model step"),
    ):
        torch.testing.assert_close(first[one], first[other], rtol=1e-5, atol=1e-6)
    seconds = medians(calls, repeats)
    sizes = [sum(one.numel() for one in make().parameters()) for make in (case.network, case.kind.encoder)]
    return [
        {
            "task": case.task,
            "parameters": sizes[0],
            "surrogate_parameters": sizes[1],
            "step": name,
            "ms": 1e3 * taken,
            "to_proxy": taken / seconds["proxy step"],
        }
        for name, taken in seconds.items()
    ]


def _steps(case: Case) -> dict[str, Callable[[], float]]:
    """Return what is timed: calls that take one step and return the loss, or the fit, before it."""
    batch, size = (case.inputs, case.targets), len(case.targets)
    proxy = Surrogate(case.proxy, DescentSettings(learning_rate=1e-4, schedule="constant", warmup=0.0))
    proxy.begin(case.run())
    training = _method(case, filtered=False, model_steps_only=False)
    training.step(batch)  # now it remembers pairs of its model
    ls, feds = (_method(case, filtered=filtered, model_steps_only=True) for filtered in (False, True))
    assert case.kind.pairs is not None
    outputs, targets = case.kind.pairs(size, np.random.default_rng(1))
    errors = SampleErrors(case.metric)(outputs, targets)
    pairs = Pairs.known(*case.kind.compare(outputs, targets), errors)
    return {
        "proxy step": lambda: proxy.step(batch)["loss"],
        "surrogate step": _lesson(case, 1.0, lambda: pairs),
        "surrogate step, no penalty": _lesson(case, 0.0, lambda: pairs),
        "surrogate step, pairs drawn": _lesson(case, 1.0, lambda: training.teacher.pairs.draw(size)),
        "LS model step": lambda: ls.step(batch)["loss"],
        "FEDS model step": lambda: feds.step(batch)["loss"],
        f"LS training step, {training.settings.surrogate_steps} to 1": lambda: training.step(batch)["loss"],
    }


def _method(case: Case, *, filtered: bool, model_steps_only: bool) -> Learned:
    """LS or FEDS, begun; its first step takes one surrogate step to warm up."""
    # The surrogate knows nothing yet: an ordinary filter would drop every sample, and the step would be skipped.
    keeps_all = {"full_below": 1e6, "zero_above": 2e6} if filtered else {}
    settings = LearnedSettings(
        surrogate_warmup=1,
        surrogate_batch=len(case.targets),
        schedule="constant",
        warmup=0.0,
        objective=keeps_all,
    )
    if model_steps_only:  # a run takes at least one, so the settings would refuse it
        settings = settings.model_copy(update={"surrogate_steps": 0})
    method = Learned(settings, filtered=filtered)
    method.begin(case.run())
    return method


def _lesson(case: Case, penalty_weight: float, draw: Callable[[], Any]) -> Callable[[], float]:
    """Return a call that takes a surrogate step of a surrogate of its own on the pairs that are drawn."""
    torch.manual_seed(0)
    surrogate = LearnedSurrogate(case.kind.encoder(), gradient_penalty_weight=penalty_weight)
    teacher = torch.optim.Adam(surrogate.parameters(), lr=1e-3)

    def step() -> float:
        fit = surrogate.fit(*draw())
        teacher.zero_grad(set_to_none=True)
        fit.objective.backward()
        torch.nn.utils.clip_grad_norm_(surrogate.parameters(), 1.0)
        teacher.step()
        return float(fit.fit.detach())

    return step
