"""The black-box methods in a run: what they count, what they take over, and that the start stays where nothing wins."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metricgrad._types import MethodRun, Metric
from metricgrad.blackbox import continuing_weights, mixture_weights
from metricgrad.errors import Diverged, InputError, JudgeEnded, TrialFailed
from metricgrad.methods.families import road_named
from metricgrad.methods.gated import Judged
from metricgrad.methods.mixture_search import MixtureSearch
from metricgrad.methods.road import validated
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Plan, Splits, tune
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.judge import Judge

METHODS = ("mixture", "evolution", "value_function", "policy")
QUICK: Mapping[str, Mapping[str, Any]] = {
    "mixture": {"sampler": "random", "inner_steps": 5, "calls": 12, "settle_every": 4},
    "evolution": {"pairs": 2, "calls": 40, "settle_every": 2},
    "value_function": {"trajectories": 2, "observe_every": 2, "settle_every": 4, "calls": 12},
    "policy": {"samples": 3, "batch": 64, "calls": 30},
}


def clouds(count: int = 240, rare: int = 12) -> tuple[ArraySplit, ArraySplit]:
    """Three overlapping clouds, one of them rare: fit and pool."""
    generator = torch.Generator().manual_seed(0)
    targets = (torch.arange(2 * count) % 2) + (torch.arange(2 * count) % rare == 0).long() * 2
    targets = targets.clamp(max=2)
    centres = torch.tensor([[1.5, 0.0], [-1.5, 0.0], [0.0, 1.5]])
    inputs = torch.randn(2 * count, 2, generator=generator) + centres[targets]
    return (
        ArraySplit(inputs[:count], targets[:count], batch=64),
        ArraySplit(inputs[count:], targets[count:], batch=64),
    )


def network() -> nn.Module:
    """A small network that was trained a little with cross-entropy."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    fit = clouds()[0]
    for _ in range(60):
        adam.zero_grad()
        cross_entropy(model(fit.inputs), fit.targets).backward()
        adam.step()
    return model


def begun(
    name: str,
    metric: Metric,
    *,
    proxy: Any = cross_entropy,
    steps: int = 20,
    budget: int | None = None,
    **settings: Any,
) -> tuple[Any, MethodRun]:
    """A method that has begun, and its run."""
    road = road_named(f"blackbox:{name}", metric, proxy)
    method: Any = road.make(validated(road.settings, {**QUICK[name], **settings}, road.name))
    fit, pool = clouds()
    model = network().train()
    judge = Judge(Evaluator(metric), method.judge_calls if budget is None else budget)
    run = MethodRun(model, dict(model.named_parameters()), metric, steps, 0, fit=fit, pool=pool, judge=judge)
    method.begin(run)
    return method, run


def finished(method: Any, run: MethodRun) -> str:
    """Take all steps; returns why it ended, or nothing."""
    batch = next(iter(run.fit))  # pyright: ignore[reportArgumentType]
    for _ in range(run.steps):
        try:
            method.step(batch)
        except JudgeEnded as ended:
            return str(ended)
        except TrialFailed:
            pass
    return ""


def whole(function: Callable[[Tensor, Tensor], float]) -> Metric:
    """A function of the user, of all samples together."""
    return adapt(function, higher_is_better=True, unit="whole")


def weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights, as they are now."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether weights are equal to the last bit."""
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("name", ["mixture", "evolution", "value_function"])
def test_nothing_wins_and_the_start_stays(name: str) -> None:
    """Of a metric that is the same everywhere every candidate ties: the weights are those that came."""
    method, run = begun(name, whole(lambda outputs, targets: 0.5))
    before = weights(run.model)
    finished(method, run)
    assert run.judge is not None
    assert run.judge.calls > 5  # pyright: ignore[reportAttributeAccessIssue]
    assert same(weights(run.model), before)


@pytest.mark.parametrize("name", ["mixture", "evolution", "value_function"])
def test_what_wins_is_better_on_the_pool(name: str) -> None:
    """The recall of the rare class, which the start neglects, rises on the pool, where it was measured."""

    def rare(outputs: Tensor, targets: Tensor) -> float:
        recalls = [(outputs.argmax(1) == k)[targets == k].double().mean() for k in range(3)]
        return float(min(recalls))

    settings: dict[str, Any] = {"calls": 200} if name == "evolution" else {"calls": 40}
    method, run = begun(name, whole(rare), steps=60, **settings)
    before = method.ground.judged.value(method.ground.numbers.zero())
    finished(method, run)
    found = run.model.eval()(run.pool.inputs)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert rare(found, run.pool.targets) > before  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


@pytest.mark.parametrize("name", METHODS)
def test_calls_stay_within_the_budget(name: str) -> None:
    """The judge refuses more, the method says in words that they are spent, and every call is counted."""
    seen = []

    def watched(outputs: Tensor, targets: Tensor) -> float:
        seen.append(1)
        return float((outputs.argmax(1) == targets).double().mean()) + 1e-6 * len(seen)

    method, run = begun(name, whole(watched), steps=200)
    seen.clear()
    ended = finished(method, run)
    assert "spent" in ended or "measured" in ended
    assert (
        name == "policy" or f"blackbox:{name}" in ended
    )  # its own calls, not those of the gate, came to an end
    judge: Any = run.judge
    assert judge.calls == len(seen) <= method.judge_calls


@pytest.mark.parametrize("metric", ["recall@1", "auc", "log_loss", "multilabel_f1_macro", "rotated_iou"])
def test_a_policy_is_refused_where_nothing_is_drawn(metric: str) -> None:
    """Before anything is trained: a class that is drawn is no embedding, score, probability, set of labels or value."""
    with pytest.raises(
        InputError, match=r"blackbox:policy: .* of which nothing is drawn; expected a metric that"
    ):
        road_named("blackbox:policy", adapt(metric), cross_entropy)
    assert road_named("blackbox:evolution", adapt(metric), cross_entropy)


@pytest.mark.parametrize("name", ["mixture", "value_function"])
def test_a_start_without_a_value_ends_at_once(name: str) -> None:
    """Nothing can be compared with it; the message holds that of the metric."""

    def broken(outputs: Tensor, targets: Tensor) -> float:
        raise ZeroDivisionError("no positives")

    method, run = begun(name, whole(broken))
    assert run.judge is not None
    assert "no positives" in finished(method, run)
    assert run.judge.calls == 1  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("fault", ["NaN", "infinite", "raises"])
def test_failed_trials_are_no_values(name: str, fault: str) -> None:
    """Every third call fails: the search goes on, and what it takes over is finite."""
    calls = []

    def failing(outputs: Tensor, targets: Tensor) -> float:
        calls.append(1)
        if len(calls) % 3 == 0:
            if fault == "raises":
                raise RuntimeError("hung up")
            return float("nan") if fault == "NaN" else float("inf")
        return float((outputs.argmax(1) == targets).double().mean())

    method, run = begun(name, whole(failing))
    calls.clear()
    finished(method, run)
    assert len(calls) > 6
    assert all(bool(value.isfinite().all()) for value in run.model.state_dict().values())


@pytest.mark.parametrize("name", ["mixture", "evolution", "value_function"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_moves_nothing(name: str, wrong: float) -> None:
    """A candidate that it trains has failed, a search that follows it ends; the weights are those that came."""
    calls = []

    def failing(outputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        values = cross_entropy(outputs, targets, reduction="none")
        return values if len(calls) < 2 else values * wrong

    settings = {"loss_weight": 0.5} if name == "evolution" else {}
    method, run = begun(name, adapt("accuracy"), proxy=failing, gate="none", settle_every=1, **settings)
    before, batch = weights(run.model), next(iter(run.fit))  # pyright: ignore[reportArgumentType]
    for _ in range(3):
        with pytest.raises((Diverged, TrialFailed, JudgeEnded)):
            method.step(batch)
        assert same(weights(run.model), before)


def test_continuing_is_plain_training() -> None:
    """The candidate a_k = log(n_k L_k) gives every item one weight: its training is that of the mean loss."""
    method, _ = begun("mixture", adapt("macro_f1"), gate="none")
    assert isinstance(method, MixtureSearch)
    a = continuing_weights(method.ground.terms.counts, method.ground.terms.losses)
    of_items = method.ground.terms.weights(mixture_weights(a.double(), clip=100.0))
    torch.testing.assert_close(of_items, of_items.mean().expand_as(of_items), rtol=1e-5, atol=0.0)


def test_a_mean_serves_as_well_as_values_per_item() -> None:
    """A loss that gives one number for a batch is asked group by group: the same candidate, the same weights."""

    def each(outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets, reduction="none")

    points = []
    for proxy in (cross_entropy, each):
        method, _ = begun("mixture", adapt("macro_f1"), proxy=proxy)
        points.append(method.trained(torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)))
    torch.testing.assert_close(points[0], points[1], rtol=1e-4, atol=1e-5)


def test_the_gate_holds_back_what_chance_explains() -> None:
    """A better value is not enough: a quantile of paired resamples must be above the start's, unless nothing gates."""
    method, _ = begun("evolution", adapt("accuracy"))
    judged: Judged = method.ground.judged
    point = method.ground.numbers.zero()
    point[0] = 1e-6
    assert not judged.passes(point, "bootstrap")
    assert judged.passes(point, "none")


def test_the_same_loss_for_every_candidate() -> None:
    """What a loss remembers between calls is set back: a candidate does not depend on those before it."""

    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            return cross_entropy(outputs, targets, reduction="none") * (1 + self.calls)

    method, _ = begun("mixture", adapt("macro_f1"), proxy=Remembers())
    a = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
    assert torch.equal(method.trained(a), method.trained(a))


def test_two_classes_are_also_parted_by_hardness() -> None:
    """Four terms: each class by how hard its items are."""
    method, _ = begun("mixture", adapt("macro_f1"))
    assert len(method.ground.terms.counts) == 3
    fit, pool = clouds()
    two = [ArraySplit(one.inputs, one.targets.clamp(max=1), batch=64) for one in (fit, pool)]
    model = nn.Linear(2, 2)
    other: Any = copy.copy(method)
    metric = adapt("macro_f1")
    judge = Judge(Evaluator(metric), 50)
    other.begin(
        MethodRun(model, dict(model.named_parameters()), metric, 5, 0, fit=two[0], pool=two[1], judge=judge)
    )
    assert len(other.ground.terms.counts) == 4
    assert int(other.ground.terms.counts.sum()) == len(fit.inputs)


@pytest.mark.parametrize("name", ["mixture", "value_function"])
def test_a_method_without_its_loss_says_so(name: str) -> None:
    """These weigh or follow a training loss."""
    road = road_named(f"blackbox:{name}", adapt("macro_f1"))
    with pytest.raises(InputError, match="proxy"):
        road.make(validated(road.settings, {}, road.name))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_whole_run(name: str) -> None:
    """`tune` holds a pool back, counts its calls apart from select and test, and says what it found."""
    fit, rest = clouds(1500)
    splits = Splits(
        fit,
        ArraySplit(rest.inputs[:500], rest.targets[:500]),
        ArraySplit(rest.inputs[500:], rest.targets[500:]),
    )
    found = tune(
        network(),
        splits,
        metric="macro_f1",
        proxy=cross_entropy,
        method=f"blackbox:{name}",
        settings=dict(QUICK[name]),
        plan=Plan(steps=10),
        observer=lambda event: None,
    )
    verdict = found.event("verdict")
    assert verdict is not None
    assert verdict["metric_calls"]["pool"] > 0
