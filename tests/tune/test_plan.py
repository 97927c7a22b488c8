"""What a plan accepts, and which parameters it lets train."""

import pytest
import torch
from torch import nn

from metricgrad.errors import InputError
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Splits
from metricgrad.tune.plan import trainable_parameters
from metricgrad.tune.splits import check_disjoint
from tests.tune.small_run import small_run, small_splits


class Network(nn.Module):
    """A body, a FiLM-like part and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.film = nn.Linear(3, 3)
        self.classifier = nn.Sequential(nn.Linear(3, 2), nn.Dropout())


def test_steps_and_minutes_exclude_each_other() -> None:
    """One budget, not two."""
    with pytest.raises(InputError, match="both steps and minutes"):
        Plan(steps=3, minutes=1)


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("all", 6),
        ("bias", 3),
        ("film", 2),
        ("head", 2),
        ("body, film", 4),
        ("classifier.0", 2),
    ],
)
def test_trainable_names_parameters(trainable: str, expected: int) -> None:
    """The named ones train, all others are frozen; `head` is the last module with parameters."""
    model = Network()
    chosen = trainable_parameters(model, trainable)
    assert len(chosen) == expected
    assert {name for name, value in model.named_parameters() if value.requires_grad} == set(chosen)


def test_unknown_module_is_named_with_the_nearest() -> None:
    """A typing error gets a suggestion."""
    with pytest.raises(InputError, match="Did you mean 'classifier'"):
        trainable_parameters(Network(), "clasifier")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("trainable", ["all", "0", "bias"])
def test_half_weights_are_not_trained(dtype, trainable) -> None:
    """Weights of half precision are refused by name where they train; frozen ones stay, and float64 is fine."""
    model = nn.Sequential(nn.Linear(2, 2).to(dtype), nn.ReLU(), nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"first 0\.(weight|bias) of torch.*model\.float\(\).*autocast"):
        trainable_parameters(model, trainable)
    assert all(value.requires_grad for value in model.parameters())
    assert set(trainable_parameters(model, "2")) == {"2.weight", "2.bias"}
    assert len(trainable_parameters(model.double(), "all" if trainable == "all" else "2")) == 2


def test_a_frozen_half_precision_trunk_is_no_obstacle() -> None:
    """A run with a trunk in bfloat16 trains the head and leaves the trunk's type."""

    class Trunk(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head = nn.Linear(12, 16).bfloat16(), nn.Linear(16, 8)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.head(self.trunk(inputs.bfloat16()).float())

    plan = Plan(steps=4, evaluate_every=2, trainable="head")
    result = small_run(None, plan=plan, start_plan=None, seed=0, model=lambda seed: Trunk())
    assert result.weights()["trunk.weight"].dtype == torch.bfloat16


def test_frozen_parameters_do_not_move(tmp_path) -> None:
    """Only the trainable part differs between start and arms."""
    from metricgrad.tune.checkpoint import load_weights

    plan = Plan(steps=5, trainable="4")
    small_run(tmp_path / "run", plan=plan, seed=0)
    start = load_weights(tmp_path / "run" / "arms" / "seed0-start-try0.safetensors")
    for arm in ("continued", "tuned"):
        weights = load_weights(tmp_path / "run" / "arms" / f"seed0-{arm}-try0.safetensors")
        torch.testing.assert_close(weights["0.weight"], start["0.weight"], rtol=0, atol=0)
        assert not torch.equal(weights["4.weight"], start["4.weight"])


def test_shared_classes_are_refused() -> None:
    """Retrieval is judged on classes that were never trained on."""
    splits = small_splits()
    with pytest.raises(InputError, match="share 20 classes"):
        check_disjoint(Splits(splits.fit, splits.fit, splits.test))


@pytest.mark.parametrize("kind", [ArraySplit, ClassBatchSplit])
def test_lengths_must_agree(kind) -> None:
    """One target per item."""
    settings = {} if kind is ArraySplit else {"classes_per_batch": 2, "samples_per_class": 2}
    with pytest.raises(InputError, match="one target per item"):
        kind(torch.zeros(4, 2), torch.zeros(3, dtype=torch.long), **settings)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    """The same epoch gives the same batches, another epoch others."""
    fit = small_splits().fit

    def labels(epoch: int) -> torch.Tensor:
        fit.set_epoch(epoch)
        return torch.cat([targets for _, targets in fit])

    first, other, again = labels(3), labels(4), labels(3)
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)


def viewed_split(**settings) -> ClassBatchSplit:
    """Six classes of three items; item i has the input i, and 100 or 200 more in its two further views."""
    items = torch.arange(18.0)[:, None]
    return ClassBatchSplit(
        items,
        torch.arange(18) // 3,
        classes_per_batch=4,
        samples_per_class=3,
        views=torch.stack([items + 100, items + 200]),
        **settings,
    )


@pytest.mark.parametrize("kind", ["shuffled", "classes", "views"])
def test_a_plain_loop_sees_new_batches_in_every_pass(kind: str) -> None:
    """Passes count on by themselves, and are those that set_epoch names."""
    inputs, labels = torch.arange(48.0)[:, None], torch.arange(48) % 6

    def split() -> ArraySplit | ClassBatchSplit:
        if kind == "shuffled":
            return ArraySplit(inputs, labels, batch=8, shuffle=True, seed=3)
        views = inputs[None] + 100 if kind == "views" else None
        return ClassBatchSplit(inputs, labels, classes_per_batch=3, samples_per_class=4, seed=3, views=views)

    def one_pass(given: ArraySplit | ClassBatchSplit) -> list[float]:
        return torch.cat([batch for batch, _ in given]).flatten().tolist()

    plain, told = split(), split()
    passes = [one_pass(plain) for _ in range(3)]
    for epoch in (2, 0, 1):
        told.set_epoch(epoch)
        assert one_pass(told) == passes[epoch]
    assert passes[0] != passes[1] != passes[2]


def test_every_class_of_a_batch_is_shown_in_one_view() -> None:
    """Items keep their labels; a class is shown in one view at a time and in all of them sooner or later."""
    fit, met = viewed_split(), set()
    for epoch in range(20):
        fit.set_epoch(epoch)
        for inputs, targets in fit:
            view, item = inputs[:, 0] // 100, inputs[:, 0] % 100
            torch.testing.assert_close(targets, (item // 3).long())
            shown = set(zip(targets.tolist(), view.tolist(), strict=True))
            assert len(shown) == 4  # classes of the batch
            met |= shown
    assert met == {(label, float(view)) for label in range(6) for view in range(3)}


def test_views_change_neither_items_nor_their_repetition() -> None:
    """The batches hold the items that they would hold without views; the same epoch shows the same; inputs stay."""
    fit = viewed_split()
    first = [inputs for inputs, _ in fit]
    fit.set_epoch(0)
    torch.testing.assert_close([inputs for inputs, _ in fit], first)
    plain = ClassBatchSplit(fit.inputs, fit.targets, classes_per_batch=4, samples_per_class=3)
    torch.testing.assert_close([inputs % 100 for inputs in first], [inputs for inputs, _ in plain])
    torch.testing.assert_close(fit.inputs, torch.arange(18.0)[:, None])
    assert fit.digest != plain.digest and fit.rebatch(6).digest not in (fit.digest, plain.rebatch(6).digest)


def test_views_are_of_the_same_items() -> None:
    """Views of another number of items are refused."""
    with pytest.raises(InputError, match="each view holds all items"):
        ClassBatchSplit(
            torch.zeros(4, 2),
            torch.arange(4) // 2,
            classes_per_batch=2,
            samples_per_class=2,
            views=torch.zeros(1, 3, 2),
        )


def test_batch_of_the_plan_is_used() -> None:
    """`plan.batch` changes the fit split's batch."""
    result = small_run(None, plan=Plan(steps=2, batch=12), seed=0)
    assert result.verdict is not None
    assert len(next(iter(small_splits().fit.rebatch(12)))[1]) == 12


def test_no_more_tries_than_settings() -> None:
    """A space that is used up ends with a message, not in a loop."""
    with pytest.raises(InputError, match="no more settings to draw"):
        small_run(None, plan=Plan(steps=1, tries=10_000))


def test_batch_needs_a_split_that_can_change_it() -> None:
    """A list of batches cannot be cut anew; the message says where to set the size."""
    splits = small_splits()
    fixed = Splits(list(splits.fit), splits.select, splits.test)
    with pytest.raises(InputError, match="Set the batch size where you make the split"):
        small_run(None, splits=fixed, plan=Plan(steps=2, batch=12))
