"""Two steps on one batch: where the second one starts, what it leaves alone, its guard, its rate, and its state."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metricgrad._types import MethodRun
from metricgrad.errors import Diverged, InputError
from metricgrad.losses import complement_entropy_loss
from metricgrad.methods.alternating_method import Alternating, AlternatingSettings
from metricgrad.methods.complement_training import ComplementObjectiveTraining
from metricgrad.methods.control import road_for_loss
from metricgrad.methods.families import road_named
from metricgrad.methods.road import validated
from metricgrad.methods.two_steps import Guard, frozen_statistics
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Plan, Splits, tune

INPUTS = torch.randn(24, 4, generator=torch.manual_seed(0))
TARGETS = torch.arange(24) % 4
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def network() -> nn.Module:
    """A small network that normalises by the batch, always the same one."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))


def training(model: nn.Module, **settings: Any) -> ComplementObjectiveTraining:
    """Two SGD optimisers over a network."""
    return ComplementObjectiveTraining(SGD(model.parameters()), SGD(model.parameters()), **settings)


def began(settings: dict[str, Any], proxy: Any = cross_entropy, name: str = "complement_entropy") -> Any:
    """A method that has begun, and its network."""
    road = road_named(f"alternating:{name}", adapt("accuracy"), proxy)
    method: Any = road.make(road.settings(**settings))
    model = network()
    method.begin(MethodRun(model, dict(model.named_parameters()), adapt("accuracy"), 50, 0))
    return method, model


def test_the_second_step_starts_where_the_first_ended() -> None:
    """Its loss is that of the new weights, and each step is the one that its optimiser takes alone."""
    model, alone = network(), network()
    values = training(model).step(model, INPUTS, TARGETS)
    for loss in (cross_entropy, lambda *of: complement_entropy_loss(*of).mean()):
        optimiser = SGD(alone.parameters())
        value = loss(alone(INPUTS), TARGETS)
        assert values["loss" if loss is cross_entropy else "second_loss"] == value.item()
        value.backward()
        optimiser.step()
        optimiser.zero_grad()
    for one, other in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)
    assert values["second_steps"] == 1.0


def test_the_published_code_updates_statistics_twice_trap() -> None:
    """They come from the first pass of a batch alone, unless one asks for both."""
    for freeze, passes in ((True, 1), (False, 2)):
        model = network()
        training(model, freeze_statistics_in_second_forward=freeze).step(model, INPUTS, TARGETS)
        assert int(model[1].num_batches_tracked) == passes  # pyright: ignore
        after_one = 0.1 * network()[0](INPUTS).detach().mean(0)  # pyright: ignore
        away = (model[1].running_mean - after_one).abs().max()  # pyright: ignore
        assert (float(away) < 1e-6) == freeze


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(4),
        nn.BatchNorm1d(4, momentum=None),
        nn.InstanceNorm1d(4, track_running_stats=True),
        nn.InstanceNorm1d(4),
    ],
)
def test_frozen_statistics_change_no_output(layer: nn.Module) -> None:
    """The same bits come out, and nothing is remembered; so it is where something fails."""
    rows = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0))
    layer(rows)
    before, wanted = copy.deepcopy(layer.state_dict()), copy.deepcopy(layer)(rows + 1)
    with frozen_statistics(layer):
        assert torch.equal(layer(rows + 1), wanted)
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)
    with pytest.raises(ZeroDivisionError), frozen_statistics(layer):
        layer(rows)
        raise ZeroDivisionError
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_the_published_code_decays_weights_twice_trap() -> None:
    """The second optimiser has no weight decay, unless one asks for it."""
    model = network()
    for once, decay in ((True, 0.0), (False, 1e-4)):
        second = SGD(model.parameters(), weight_decay=1e-4)
        ComplementObjectiveTraining(SGD(model.parameters(), weight_decay=1e-4), second, decay_once=once)
        assert [group["weight_decay"] for group in second.param_groups] == [decay]
    for once, decay in ((True, 0.0), (False, 0.3)):
        method, _ = began({"weight_decay": 0.3, "decay_once": once})
        assert [group["weight_decay"] for group in method.second_descent.optimiser.param_groups] == [
            decay,
            0.0,
        ]
        assert method.descent.optimiser.param_groups[0]["weight_decay"] == 0.3


def test_an_adaptive_second_optimiser_is_warned_of() -> None:
    """Where it is not slower than the first: its steps do not see the small factor of the loss."""
    model = network()
    for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop):
        with pytest.warns(UserWarning, match="number of classes minus one"):
            ComplementObjectiveTraining(SGD(model.parameters()), kind(model.parameters(), lr=0.1))
        ComplementObjectiveTraining(SGD(model.parameters()), kind(model.parameters(), lr=0.1 / 3))
    with pytest.warns(UserWarning, match=r"alternating:complement_entropy: .*adaptive"):
        began({"second_rate": 1.0})


@pytest.mark.parametrize(("settings", "share"), [({}, 1 / 3), ({"second_rate": 0.5}, 0.5)])
def test_the_rate_of_the_second_step(settings: dict[str, Any], share: float) -> None:
    """One over the number of wrong classes that the network tells apart, or as it is set; the schedule is the same."""
    method, _ = began({"learning_rate": 0.01, "schedule": "cosine", **settings})
    for _ in range(5):
        method.step((INPUTS, TARGETS))
        rates = [one.optimiser.param_groups[0]["lr"] for one in (method.descent, method.second_descent)]
        assert rates[1] == pytest.approx(share * rates[0])


def test_the_second_objective_moves() -> None:
    """Entropy among the wrong classes rises above that of the proxy alone; the proxy is still learned."""
    losses = {}
    for name, settings in (("both", {"second_rate": 0.9}), ("alone", {"second_rate": 1e-9})):
        method, model = began({"learning_rate": 0.02, **settings})
        values = [method.step((INPUTS, TARGETS)) for _ in range(50)]
        with torch.no_grad():
            losses[name] = float(complement_entropy_loss(model(INPUTS), TARGETS, normalizer="none").mean())
        assert values[-1]["loss"] < values[0]["loss"] - 0.2
    assert losses["both"] < losses["alone"] - 0.1


def test_the_guard() -> None:
    """A loss that stays high ends the second steps; one that comes back, or is noisy around its best, does not."""
    worse = Guard(tolerance=0.2, patience=5, memory=4)
    assert not any(worse.watch(1.0) for _ in range(10))
    assert [worse.watch(3.0) for _ in range(6)] == [False] * 4 + [
        True
    ] * 2  # the average is above 1.2 at once
    assert worse.watch(0.0), "it is for good"
    back = Guard(tolerance=0.2, patience=5, memory=4)
    assert not any(back.watch(loss) for loss in [1.0] * 10 + ([1.5] * 2 + [1.0] * 8) * 5)
    first = Guard(tolerance=0.2, patience=3)
    assert not any(first.watch(loss) for loss in [0.01] + [1.0] * 60), (
        "one lucky batch at the beginning is no best"
    )
    negative = Guard(tolerance=0.2, patience=3, memory=1)
    assert [negative.watch(loss) for loss in (-1.0, -0.9, -0.7, -0.7, -0.7)] == [False] * 4 + [True]
    for wrong in ({"tolerance": -1}, {"patience": 0}, {"memory": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Guard(**wrong)


class Rising:
    """A proxy that gets worse however it is followed."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, outputs: Tensor, targets: Any) -> Tensor:
        """Return cross-entropy and a constant that grows."""
        self.calls += 1
        return cross_entropy(outputs, targets) + self.calls


def test_a_guard_leaves_the_second_step_out() -> None:
    """With one warning; the first step goes on, and the network is that of the proxy alone from there on."""
    method, model = began({"guard_patience": 3}, Rising())
    with pytest.warns(UserWarning, match="left out from step 27 on") as caught:
        values = [method.step((INPUTS, TARGETS)) for _ in range(30)]
    assert len(caught) == 1
    assert [value["second_steps"] for value in values] == [1.0] * 26 + [0.0] * 4
    assert ["second_loss" in value for value in values] == [True] * 26 + [False] * 4
    assert (method.descent.taken, method.second_descent.taken) == (30, 26)
    unguarded, _ = began({"guard": False}, Rising())
    assert all(unguarded.step((INPUTS, TARGETS))["second_steps"] for _ in range(30))
    method.begin(MethodRun(model, dict(model.named_parameters()), adapt("accuracy"), 50, 0))
    assert method.step((INPUTS, TARGETS))["second_steps"] == 1.0, "another stage begins anew"


def test_a_loop_that_was_cut_goes_on() -> None:
    """State of both optimisers and of the guard: the same bits as without a cut."""
    whole = network()
    uncut = training(whole, guard=Guard(patience=2, memory=2))
    for _ in range(6):
        uncut.step(whole, INPUTS, TARGETS)
    model = network()
    first = training(model, guard=Guard(patience=2, memory=2))
    for _ in range(3):
        first.step(model, INPUTS, TARGETS)
    state = copy.deepcopy(first.state_dict())
    second = training(model, guard=Guard(patience=2, memory=2))
    second.load_state_dict(state)
    for _ in range(3):
        second.step(model, INPUTS, TARGETS)
    torch.testing.assert_close(model.state_dict(), whole.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(second.state_dict(), uncut.state_dict(), rtol=0, atol=0)


def test_ignored_samples_have_no_loss_in_either_step() -> None:
    """The means are over the others."""
    model, fewer = network().eval(), network().eval()
    ignoring = torch.where(torch.arange(24) < 8, -100, TARGETS)
    values = training(model).step(model, INPUTS, ignoring)
    wanted = training(fewer).step(fewer, INPUTS[8:], TARGETS[8:])
    assert values == pytest.approx(wanted)


def test_a_second_loss_that_is_no_number_ends_the_step() -> None:
    """The weights are those before both steps."""

    def bad(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum() * torch.nan

    method, model = Alternating("mine", cross_entropy, bad, AlternatingSettings()), network()
    method.begin(MethodRun(model, dict(model.named_parameters()), adapt("accuracy"), 50, 0))
    before = copy.deepcopy([value.detach() for value in model.parameters()])
    with pytest.raises(Diverged, match="the loss is nan at step 1"):
        method.step((INPUTS, TARGETS))
    torch.testing.assert_close([value.detach() for value in model.parameters()], before, rtol=0, atol=0)
    with pytest.raises(Diverged, match="the loss is nan at step 1"):
        training(model, complement_loss=bad).step(model, INPUTS, TARGETS)


@pytest.mark.parametrize(
    ("name", "proxy", "settings", "message"),
    [
        ("alternating:complement_entropy", None, {}, "there is no proxy"),
        ("alternating:complement_entropy", cross_entropy, {"proxy_weight": 0.1}, "second_rate"),
        ("alternating:complement_entropi", cross_entropy, {}, "Did you mean"),
        ("alternating:average_precision", cross_entropy, {}, "no loss of class scores"),
        ("alternating:hierarchical_complement_entropy", cross_entropy, {}, "no setting tree or groups"),
        ("surrogate:hierarchical_complement_entropy", None, {}, "no setting tree or groups"),
        ("proxy", "hierarchical_complement_entropy", {}, "no setting tree or groups"),
    ],
)
def test_what_does_not_fit_fails_before_training(
    name: str, proxy: Any, settings: dict[str, Any], message: str
) -> None:
    """Where the method is made."""
    with pytest.raises(InputError, match=message):
        road = road_for_loss(proxy) if name == "proxy" else road_named(name, adapt("accuracy"), proxy)
        road.make(validated(road.settings, settings, name))


def test_a_metric_of_embeddings_has_no_classes() -> None:
    """Its outputs are no class scores."""
    with pytest.raises(InputError, match="loss of logits"):
        road_named("alternating:complement_entropy", adapt("recall@1"), "supcon")


def test_two_optimisers_are_two() -> None:
    """One object would mix their states; a guard is a guard."""
    model = network()
    one = SGD(model.parameters())
    with pytest.raises(InputError, match="both optimizers are one object"):
        ComplementObjectiveTraining(one, one)
    with pytest.raises(InputError, match="guard is 3"):
        training(model, guard=3)


def test_a_tree_in_a_whole_run() -> None:
    """From plain lists, with the proxy by its name; a metric of classes."""
    generator = torch.manual_seed(0)
    centres = 2 * torch.randn(4, 4, generator=generator)
    parts = []
    for _ in range(3):
        targets = torch.arange(60) % 4
        parts.append(
            ArraySplit(centres[targets] + torch.randn(60, 4, generator=generator), targets, batch=20)
        )
    result = tune(
        nn.Linear(4, 4),
        Splits(*parts),
        metric="accuracy",
        proxy=cross_entropy,
        method="alternating:hierarchical_complement_entropy",
        plan=Plan(steps=30),
        settings={"learning_rate": 0.05, "objective": {"tree": [[0, 1], [2, 3]]}},
        observer=lambda event: None,
    )
    verdict = next(event for event in result.events if event["event"] == "verdict")
    assert verdict["arms"]["tuned"]["select"] > verdict["arms"]["start"]["select"] + 0.1
