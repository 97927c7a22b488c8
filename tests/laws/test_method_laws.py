"""The laws that every method keeps, one test per law and row of `method_cases.py`."""

import copy
import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad._types import MethodRun, Split
from metricgrad.errors import InputError, MetricgradError
from metricgrad.methods import exam, families
from metricgrad.methods.control import road_for_loss
from metricgrad.methods.families import road_named
from metricgrad.methods.road import Road, validated
from metricgrad.tune import ArraySplit
from metricgrad.tune.checkpoint import (
    load_state,
    random_state,
    restore_random_state,
    same_random_state,
    save_state,
)
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.judge import Judge
from metricgrad.tune.passes import seed_everything
from metricgrad.tune.pool import fit_and_pool
from tests.laws.method_cases import METHOD_CASES, MethodCase, Probe
from tests.laws.random_search import RANDOM_SEARCH


@pytest.fixture(autouse=True)
def _few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learned metric is trusted by fewer pairs than in earnest, so that a walk takes milliseconds."""
    monkeypatch.setattr(exam, "PROBE", 64)


@pytest.fixture(autouse=True)
def _a_family_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside our families stands one whose method asks for the exact metric."""
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, RANDOM_SEARCH))


every_method = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.label, marks=[pytest.mark.slow] if case.slow else [])
        for case in METHOD_CASES
    ],
)
pytestmark = pytest.mark.filterwarnings("ignore:blackbox.*by chance")  # so few items are searched here
STEPS, SEED = 6, 3


class Sealed:
    """A split that must not be read while it is sealed."""

    def __init__(self, split: Split) -> None:
        self._split, self.sealed = split, False

    def __iter__(self) -> Any:
        assert not self.sealed, "a step read the split"
        return iter(self._split)

    def __getattr__(self, name: str) -> Any:
        assert not self.sealed, f"a step read {name} of the split"
        return getattr(self._split, name)


def road_of(case: MethodCase, probe: Probe) -> Road:
    """The road of a row, ready for settings."""
    proxy = None if case.proxy is None else case.proxy()
    return road_for_loss(proxy) if case.name == "proxy" else road_named(case.name, case.metric(probe), proxy)


def doubled(split: Any) -> ArraySplit:
    """The same items in float64."""
    return ArraySplit(split.inputs.double(), split.targets, batch=split.batch)


class Walk:
    """A stage without a run around it: a network, a method that has begun, and its first evaluation.

    Args:
        case: the row.
        chunk: rows that are embedded at once.
        new: False goes on from what `load` is given, as a resumed stage does: no evaluation of step 0.
        plain: a network without dropout, in float64.
    """

    def __init__(
        self, case: MethodCase, *, chunk: int | None = None, new: bool = True, plain: bool = False
    ) -> None:
        self.probe = Probe()
        road, splits, metric = road_of(case, self.probe), case.splits(), case.metric(self.probe)
        self.method: Any = road.make(validated(road.settings, case.settings, road.name))
        fit, pool = fit_and_pool(splits, metric, self.method, SEED)
        self.select, self.model, self.taken = Sealed(splits.select), case.model().train(), 0
        self.calls = 0
        if plain:
            fit, pool = doubled(fit), None if pool is None else doubled(pool)
            self.model = self.model.double()
            for module in self.model.modules():
                module.p = 0.0
        self.batches = list(fit)
        loss = None if case.proxy is None else case.proxy()
        self.loss_parameters = dict(loss.named_parameters()) if isinstance(loss, torch.nn.Module) else {}
        self.judge = None if pool is None else Judge(Evaluator(metric), self.method.judge_calls)
        seed_everything(SEED)
        self.run = MethodRun(
            self.model, dict(self.model.named_parameters()), metric, STEPS, SEED, chunk,
            fit=fit, select=self.select if pool is None else None, pool=pool, judge=self.judge,
        )  # fmt: skip
        self.method.begin(self.run)
        if new:
            self.report = self.examine()

    def examine(self) -> Mapping[str, Any]:
        """What the method says at an evaluation; nothing for most."""
        with same_random_state():
            return (getattr(self.method, "examine", None) or dict)() or {}

    def step(self) -> Mapping[str, float]:
        """Take one step; select is sealed meanwhile."""
        self.select.sealed = True
        try:
            values = self.method.step(self.batches[self.taken % len(self.batches)])
        finally:
            self.select.sealed = False
        self.taken += 1
        self.calls += int(values.get("metric_calls", 0))
        return values

    def to(self, steps: int) -> "Walk":
        """Take steps until there are so many, with an evaluation after every third."""
        while self.taken < steps:
            self.step()
            if self.taken % 3 == 0:
                self.examine()
        return self

    def weights(self) -> dict[str, Tensor]:
        """All that is trained: parameters of the network, and of a loss beside it."""
        beside = getattr(self.method, "beside", dict)()
        of_loss = {f"state/{name}" for name in self.loss_parameters}
        trained = {name: value for name, value in beside.items() if name in of_loss}
        trained |= dict(self.model.named_parameters())
        return {name: value.detach().clone() for name, value in trained.items()}

    def optimiser(self) -> dict[str, Any]:
        """The state of the optimiser of a method that descends."""
        state = self.method.state_dict()
        return state.get("descent", state).get("optimiser", {})

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of a stage."""
        random, method = random_state(), self.method.state_dict()
        judge = {} if self.judge is None else self.judge.state_dict()
        model = self.model.state_dict()
        return {"model": model, "method": method, "random": random, "taken": self.taken, "judge": judge}

    def comparable(self) -> dict[str, Any]:
        """Its state without seconds, and without python's random numbers, from which the checks of types draw."""
        state = self.state()
        method = {name: value for name, value in state["method"].items() if name != "seconds"}
        random = {name: value for name, value in state["random"].items() if name != "python"}
        return {**state, "method": method, "random": random}

    def load(self, state: Mapping[str, Any]) -> "Walk":
        """Go on from a state."""
        self.model.load_state_dict(dict(state["model"]))
        self.method.load_state_dict(state["method"])
        self.taken = state["taken"]
        if self.judge is not None:
            self.judge.load_state_dict(state["judge"])
        restore_random_state(state["random"])
        return self


@functools.cache
def walked(case: MethodCase) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and state at the end of a walk that nothing cut."""
    walk = Walk(case).to(STEPS)
    return walk.weights(), copy.deepcopy(walk.comparable())


def same_bits(one: Any, other: Any, where: str = "") -> None:
    """Nested states are equal, tensors to the last bit."""
    if isinstance(one, Tensor):
        equal = torch.equal(one, torch.as_tensor(other))
        assert equal, where
    elif isinstance(one, Mapping):
        assert {str(key) for key in one} == {str(key) for key in other}, where
        named = {str(key): value for key, value in other.items()}
        for key, value in one.items():
            same_bits(value, named[str(key)], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, (value, counterpart) in enumerate(zip(one, other, strict=True)):
            same_bits(value, counterpart, f"{where}/{place}")
    else:
        assert one == other or one != one, where


def measured(walk: Walk, report: Mapping[str, Any]) -> int:
    """Calls of the metric that a method says it made, in reports or steps, and those that its judge has counted."""
    counted = walk.calls + (0 if walk.judge is None else walk.judge.evaluator.calls["pool"])
    return counted + report.get("values", {}).get("sample_metric_calls", 0)


def kind_of(explained: Any) -> str:
    """What tells one road of a family from another: what its loss takes, or else what stands for it."""
    first = next(iter(inspect.signature(explained).parameters), "")
    takes = ("ranks", "embeddings", "logits", "label_logits", "scores", "probabilities")
    return first if inspect.isfunction(explained) and first in takes else explained.__name__


def test_every_road_has_a_row() -> None:
    """A family without a row fails here, and so does a kind of loss or structure; a row names what exists."""
    listed = {
        name: (family.name, kind_of(what))
        for family in families.FAMILIES
        for name, what in family.roads().items()
    }
    plain = {case.name if case.name in listed else case.name.partition("+")[0] for case in METHOD_CASES}
    assert {listed[name] for name in plain - {"proxy"}} == set(listed.values())
    labels = [case.label for case in METHOD_CASES]
    assert len(labels) == len(set(labels))
    assert all(len(reason.split()) > 2 for case in METHOD_CASES for reason in case.skip.values())


@every_method
def test_a_road_is_explained_with_its_own_settings(case: MethodCase) -> None:
    """What `explain` shows is the model that validates them; the control is explained as its loss."""
    if case.name == "proxy":
        return
    road = road_of(case, Probe())
    family = next(
        one for one in families.FAMILIES if one.name == case.name.partition(":")[0].partition("+")[0]
    )
    assert family.settings_of.get(road.name, family.settings) is road.settings


@every_method
def test_same_seed_same_bits(case: MethodCase) -> None:
    """Two walks end with the same weights; they are not those of the beginning."""
    weights, state = walked(case)
    again = Walk(case)
    before = again.weights()
    again.to(STEPS)
    same_bits(again.weights(), weights)
    same_bits(again.comparable(), state)
    assert any(not torch.equal(value, before[name]) for name, value in weights.items())


@every_method
@pytest.mark.parametrize(
    "cut", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(5, marks=pytest.mark.slow)]
)
def test_resumed_is_uninterrupted(case: MethodCase, cut: int, tmp_path: Path) -> None:
    """A state through the checkpoint file, new objects, and on: the same bits of weights and state."""
    weights, wanted = walked(case)
    save_state(tmp_path, Walk(case).to(cut).state())
    state = load_state(tmp_path)
    assert state is not None
    resumed = Walk(case, new=False).load(state).to(STEPS)
    same_bits(resumed.weights(), weights)
    same_bits(resumed.comparable(), wanted)


@every_method
def test_a_state_survives(case: MethodCase, tmp_path: Path) -> None:
    """What a new method is given back it gives back; it was another state before."""
    walk, fresh = Walk(case).to(4), Walk(case)
    assert repr(fresh.method.state_dict()) != repr(walk.method.state_dict())
    save_state(tmp_path, walk.state())
    state = load_state(tmp_path)
    assert state is not None
    same_bits(walk.method.state_dict(), fresh.load(state).method.state_dict())


@every_method
def test_a_step_reads_no_split_that_chooses(case: MethodCase) -> None:
    """Select is for what comes before the first step and between steps; of test a method is not even told.

    One that asks for the metric is not given select either: it would learn on the split that chooses.
    """
    assert not [name for name in inspect.signature(MethodRun).parameters if "test" in name]
    walk = Walk(case)
    assert (walk.run.select is None) == (walk.judge is not None) == (walk.run.pool is not None)
    walk.select.sealed = True
    with pytest.raises(AssertionError, match="a step read"):
        list(walk.select)
    for _ in range(STEPS):
        values = walk.step()
        assert "loss" in values
    walk.examine()


@every_method
def test_calls_of_the_metric_are_counted(case: MethodCase) -> None:
    """A method that measures says how often it did, or has a judge that counts; the others never do."""
    walk = Walk(case)
    reported = measured(walk, walk.report)
    assert walk.probe.calls == reported
    walk.to(STEPS)
    now = measured(walk, walk.examine())
    assert walk.probe.calls == now
    assert (now > reported) == (walk.judge is not None or case.calls)


@every_method
@pytest.mark.parametrize("fault", ["raises", pytest.param("NaN", marks=pytest.mark.slow)])
def test_a_metric_that_fails_ends_a_step_cleanly(case: MethodCase, fault: str) -> None:
    """It is our error or none, and no weight moves in the step that it ends."""
    walk = Walk(case).to(2)
    walk.probe.failing = fault
    for _ in range(STEPS):
        before = walk.weights()
        try:
            walk.step()
        except MetricgradError as error:
            assert walk.model is not None
            same_bits(walk.weights(), before)
            assert walk.judge is not None or case.calls, error
            return
    assert walk.probe.calls == 0, "the metric failed every time, and nobody heard of it"


@every_method
def test_a_loss_that_is_no_number_moves_nothing(case: MethodCase) -> None:
    """It is refused before the weights move, those of a loss of the user too; the optimiser has not moved either.

    What the forward pass changed (a running mean of the loss) is not undone. A method that reads no batch goes on.
    """
    walk = Walk(case).to(2)
    inputs, targets = walk.batches[2 % len(walk.batches)]
    walk.batches[2 % len(walk.batches)] = (inputs * torch.nan, targets)
    if "no number" in case.skip:
        same_bits(walk.to(3).weights(), Walk(case).to(3).weights())
        return
    before, optimiser = walk.weights(), copy.deepcopy(walk.optimiser())
    with pytest.raises(MetricgradError):
        walk.step()
    same_bits(walk.weights(), before)
    same_bits(walk.optimiser(), optimiser)


@every_method
def test_chunked_is_whole(case: MethodCase) -> None:
    """A batch that is embedded in parts trains the same way, or is refused in one sentence."""
    if "chunked" in case.skip:
        with pytest.raises(InputError, match="chunk"):
            Walk(case, chunk=5)
        return
    whole, parts = Walk(case, plain=True).to(3).weights(), Walk(case, chunk=5, plain=True).to(3).weights()
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-9)
