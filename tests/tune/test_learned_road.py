"""LS and FEDS as roads of `tune`: trust first, no leaks, resume, filter, and a metric that fails now and then."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metricgrad.errors import InputError, Interrupted
from metricgrad.learned import classes
from metricgrad.methods.learned_method import Learned
from metricgrad.methods.learned_settings import LearnedSettings
from metricgrad.metrics import per_sample
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from tests.tune.small_run import same_weights

CLASSES = 4
TABLE = [[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]]
QUICK = {
    "surrogate_warmup": 150,
    "surrogate_batch": 32,
    "surrogate_learning_rate": 5e-3,
    "surrogate_steps": 2,
    "extra_steps": 20,
    "trust": 0.2,
}


def cost(prediction: Any, target: Any) -> float:
    """How far apart two classes are."""
    return float(TABLE[int(prediction)][int(target)])


def cost_metric(function: Any = cost, **settings: Any) -> Any:
    """The metric of a run: any function of two classes."""
    return per_sample(function, kind=classes(CLASSES), **{"higher_is_better": False, **settings})


def clouds(seed: int = 0, samples: int = 400) -> Splits:
    """Four overlapping clouds in six dimensions, half fit, half select."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(CLASSES, (samples,), generator=generator)
    centres = torch.randn(CLASSES, 6, generator=generator)
    inputs = centres[targets] + 1.2 * torch.randn(samples, 6, generator=generator)
    half = samples // 2
    fit = ArraySplit(inputs[:half], targets[:half], batch=40, shuffle=True)
    return Splits(fit, ArraySplit(inputs[half:], targets[half:]))


def network() -> nn.Module:
    """With dropout, so that the random states matter."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, CLASSES))


def run(folder: Path | None = None, *, method: str = "learned", metric: Any = None, **changes: Any) -> Result:
    """Tune the network for the cost, quickly."""
    settings = {"learning_rate": 1e-3, **QUICK, **changes.pop("settings", {})}
    arguments: dict[str, Any] = {
        "plan": Plan(steps=12, evaluate_every=4, checkpoint_every=5),
        "observer": lambda event: None,
        "proxy": nn.functional.cross_entropy,
        "folder": folder,
        **changes,
    }
    return tune(
        network(), clouds(), metric=metric or cost_metric(), method=method, settings=settings, **arguments
    )


def fitted(result: Result) -> list[Any]:
    """The trust reports of a run."""
    return [event for event in result.events if event["event"] == "fitted"]


def test_a_run_reports_trust_and_tunes(tmp_path: Path) -> None:
    """A report at every evaluation, step 0 among them, with points of both kinds; the record counts metric calls."""
    result = run(tmp_path / "run")
    reports = fitted(result)
    assert [report["step"] for report in reports] == [0, 4, 8, 12]
    last = reports[-1]
    assert last["values"]["concordance"] >= QUICK["trust"]
    assert last["values"]["mae_local"] < last["values"]["mae_of_mean"]
    lessons = sum(
        report["values"]["pauses"] for report in reports
    )  # whether one is needed hangs on the processor
    assert last["values"]["surrogate_steps"] == 150 + 12 * 2 + lessons * QUICK["extra_steps"]
    assert last["values"]["skipped_steps"] == 0 and last["values"]["kept_fraction"] == 1.0
    assert last["values"]["sample_metric_calls"] > reports[0]["values"]["sample_metric_calls"] > 0
    assert reports[0]["values"]["sign_agreement"] is None
    assert len(last["local"]) > 100 and len(last["generated"]) > 100


@pytest.mark.slow
@pytest.mark.parametrize("method", ["learned", "learned+filter"])
def test_resumed_run_is_the_uninterrupted_one(tmp_path: Path, method: str) -> None:
    """Embedding, optimiser, remembered pairs, draws and counts are in the checkpoint: the same bytes and figures."""
    seen = [0]

    def stop(event: Any) -> None:
        seen[0] += event["event"] == "progress" and "tuned" in event["what"]
        if seen[0] == 7 and event["event"] == "progress":
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    whole = run(tmp_path / "whole", method=method)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", method=method, observer=stop)
    resumed = run(tmp_path / "cut", method=method)
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []
    timeless = [
        [
            {key: value for key, value in report["values"].items() if key != "seconds"}
            for report in fitted(one)
        ]
        for one in (whole, resumed)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.slow
def test_same_seed_same_run_and_a_filter_that_keeps_all_is_ls(tmp_path: Path) -> None:
    """FEDS with nothing filtered ends with the weights of LS, bit for bit."""
    wide = {"objective": {"full_below": 1e6, "zero_above": 2e6}}
    results = [
        run(tmp_path / name, method=method, settings=settings)
        for name, method, settings in (
            ("first", "learned", {}),
            ("second", "learned", {}),
            ("wide", "learned+filter", wide),
        )
    ]
    weights = [result.weights() for result in results]
    for other in ("second", "wide"):
        path = "arms/seed0-tuned-try0.safetensors"
        assert (tmp_path / "first" / path).read_bytes() == (tmp_path / other / path).read_bytes()
    assert weights[0].keys() == weights[2].keys()


def begun(**settings: Any) -> Learned:
    """A method at its first step, in the hands of a test."""
    from metricgrad._types import MethodRun

    filtered = settings.pop("filtered", False)
    method = Learned(LearnedSettings(**{**QUICK, "surrogate_warmup": 20, **settings}), filtered=filtered)
    model, splits = network(), clouds()
    method.begin(
        MethodRun(
            model.train(),
            dict(model.named_parameters()),
            cost_metric(),
            5,
            0,
            None,
            splits.fit,
            splits.select,
        )
    )
    return method


def test_where_all_is_filtered_the_parameters_stay() -> None:
    """No optimiser step at all: momentum and weight decay move nothing either; the step is counted."""
    method = begun(filtered=True, weight_decay=0.5, learning_rate=0.1)
    batch = next(iter(clouds().fit))
    assert isinstance(method, Learned)
    method.step(batch)  # fills the momentum
    method.surrogate.full_below, method.surrogate.zero_above = 0.0, 1e-12  # pyright: ignore
    before = [parameter.detach().clone() for parameter in method.model.parameters()]
    values = method.step(batch)
    assert values["kept_fraction"] == 0 and method.counts["skipped"] == 1
    assert all(torch.equal(one, other) for one, other in zip(before, method.model.parameters(), strict=True))


def test_surrogate_steps_leave_the_model_and_model_steps_the_surrogate() -> None:
    """Neither reaches the other's parameters, nor leaves a gradient on them."""
    method = begun()
    method._warm_up()
    assert all(parameter.grad is None for parameter in method.model.parameters())
    pairs = method.maker.trained(next(iter(clouds().fit)))
    method.teacher.optimiser.zero_grad(set_to_none=True)
    before = [parameter.detach().clone() for parameter in method.surrogate.parameters()]
    method._follow(pairs)
    assert all(parameter.grad is None for parameter in method.surrogate.parameters())
    assert all(
        torch.equal(one, other) for one, other in zip(before, method.surrogate.parameters(), strict=True)
    )
    assert all(parameter.requires_grad for parameter in method.surrogate.parameters())


def test_a_surrogate_that_fails_never_touches_the_model(tmp_path: Path) -> None:
    """Trust that cannot be reached: three lessons, then the stage ends with the start model and says why."""
    result = run(tmp_path / "run", settings={"trust": 1.0, "surrogate_warmup": 2, "extra_steps": 1})
    start, tuned = (
        (tmp_path / "run" / "arms" / f"seed0-{arm}-try0.safetensors").read_bytes()
        for arm in ("start", "tuned")
    )
    assert start == tuned
    notes = [event["text"] for event in result.events if event["event"] == "note"]
    assert any("does not agree with the metric" in text for text in notes)
    assert fitted(result)[0]["values"]["surrogate_steps"] == 2 + 3


def test_too_few_kept_samples_call_for_a_lesson() -> None:
    """After `patience` steps below the floor: extra surrogate steps."""
    method = begun(filtered=True, patience=2, objective={"full_below": 0.0, "zero_above": 1e-12})
    batch = next(iter(clouds().fit))
    method.step(batch)
    taught = method.teacher.taken
    method.step(batch)
    assert method.teacher.taken == taught + QUICK["surrogate_steps"] + QUICK["extra_steps"]


def failing(share: float, how: str) -> Any:
    """The cost, which raises or is NaN for a share of the calls."""
    count = [0]

    def sometimes(prediction: Any, target: Any) -> float:
        count[0] += 1
        if count[0] % round(1 / share) == 0:
            if how == "raises":
                raise RuntimeError("no value for this pair")
            return math.nan
        return cost(prediction, target)

    return sometimes


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raises", "is NaN"])
def test_a_metric_that_fails_now_and_then(how: str) -> None:
    """Half a percent is dropped and counted; five percent ends the run with a message."""
    result = run(metric=cost_metric(failing(0.005, how)))
    assert fitted(result)[-1]["values"]["dropped_samples"] > 0
    with pytest.raises(InputError, match="at most 1 %"):
        run(metric=cost_metric(failing(0.05, how)))


def asymmetric(prediction: Any, target: Any) -> float:
    """Overshooting costs twice."""
    difference = int(prediction) - int(target)
    return float(2 * difference if difference > 0 else -difference)


@pytest.mark.slow
def test_metrics_that_a_distance_cannot_represent() -> None:
    """Not symmetric: refused, or the mean of both with a warning; not 0 at equality, negative: refused."""
    with pytest.raises(InputError, match="symmetrize=True"):
        run(metric=cost_metric(asymmetric))
    with pytest.warns(UserWarning, match="not symmetric"):
        run(metric=cost_metric(asymmetric), settings={"objective": {"symmetrize": True}})
    with pytest.raises(InputError, match="0 at equality"):
        run(metric=cost_metric(lambda prediction, target: 1 + cost(prediction, target)))
    with pytest.raises(InputError, match="errors >= 0"):
        run(metric=cost_metric(lambda prediction, target: -cost(prediction, target)))


@pytest.mark.slow
def test_where_higher_is_better_the_best_value_must_be_known() -> None:
    """Error = best - value."""
    with pytest.raises(InputError, match="best value"):
        run(metric=cost_metric(lambda a, b: -cost(a, b), higher_is_better=True))
    known = cost_metric(lambda a, b: -cost(a, b), higher_is_better=True, bounds=(-3.0, 0.0))
    assert fitted(run(metric=known))[-1]["values"]["concordance"] > 0


def test_what_cannot_be_learned_is_refused_at_once() -> None:
    """A ranking metric, a metric without a kind, a wrong option, an unknown setting."""
    with pytest.raises(InputError, match="not a mean over samples"):
        run(metric="balanced_error")
    with pytest.raises(InputError, match="kind"):
        run(metric=per_sample(cost, higher_is_better=False))
    with pytest.raises(InputError, match=r"learned\+filter"):
        run(method="learned+filters")
    with pytest.raises(InputError, match="metric_scale"):
        run(settings={"objective": {"metric_scal": 1.0}})
    with pytest.raises(InputError, match="full_below"):
        run(method="learned+filter", settings={"objective": {"full_below": 2.0, "zero_above": 1.0}})


@pytest.mark.slow
def test_a_share_of_the_proxy_may_be_added() -> None:
    """LS and the proxy: the loss is larger by the share."""
    plain = run(settings={"proxy_weight": 0.5})
    assert plain.event("verdict") is not None


def slow_cost(prediction: Any, target: Any) -> float:
    """Two milliseconds of work."""
    import time

    time.sleep(0.002)
    return cost(prediction, target)


@pytest.mark.slow
def test_a_slow_metric_runs_in_other_processes() -> None:
    """The same values, from a pool; one that cannot be sent there says so and stays."""
    from metricgrad.learned import SampleErrors

    kind: Any = classes(CLASSES)
    outputs, targets = kind.pairs(120, np.random.default_rng(0))
    errors = SampleErrors(cost_metric(slow_cost), processes=2)
    errors.check(np.random.default_rng(0), outputs, targets)
    assert errors._workers is not None
    expected = SampleErrors(cost_metric())(outputs, targets)
    assert torch.equal(errors(outputs, targets), expected)
    errors.close()
    own = SampleErrors(cost_metric(lambda a, b: slow_cost(a, b)), processes=2)
    with pytest.warns(UserWarning, match="cannot be sent"):
        own.check(np.random.default_rng(0), outputs, targets)
    assert torch.equal(own(outputs, targets), expected)


def test_outputs_of_another_shape() -> None:
    """The encoder says what it expects."""
    kind = classes(CLASSES)
    with pytest.raises(InputError, match=r"\[2, 4\]"):
        kind.compare(torch.zeros(2, 5), Tensor([0, 1]))
    with pytest.raises(InputError, match="classes 0 to 3"):
        kind.compare(torch.zeros(1, 4), torch.tensor([4]))
