"""Value models: the right way up, blind to scales, nothing from constants, and no belief far from what was seen."""

import pytest
import torch

from metricgrad.blackbox import LocalRidge, ValueModel
from metricgrad.errors import InputError

RANDOM = torch.Generator().manual_seed(0)
POINTS = torch.randn(80, 4, generator=RANDOM, dtype=torch.float64)
POINTS[:, 3] = 0.7
SLOPE = torch.tensor([2.0, -1.0, 0.0, 0.0], dtype=torch.float64)
NOISE = torch.randn(80, generator=RANDOM, dtype=torch.float64)
VALUES = 0.5 + 0.02 * (POINTS @ SLOPE / 2).tanh() + 0.001 * NOISE
VARIANCES = torch.full((80,), 1e-6, dtype=torch.float64)
HERE = torch.tensor([0.1, 0.1, 0.1, 0.7], dtype=torch.float64)
NAN = float("nan")


def _ensemble() -> ValueModel:
    return ValueModel(1.0, members=3, width=16, steps=40)


MODELS = [_ensemble, lambda: LocalRidge(1.0)]


@pytest.mark.parametrize("make", MODELS)
def test_the_gradient_points_up(make):
    """Along the true slope; a number that never differed has none."""
    model = make().fit(POINTS, VALUES, VARIANCES)
    rise = model.gradient(HERE)
    assert torch.cosine_similarity(rise, SLOPE, 0) > 0.95
    assert abs(float(rise[3])) < 1e-9
    assert 0.3 < model.confidence(HERE) <= 1
    assert float(model.value(HERE + 0.3 * SLOPE)) > float(model.value(HERE)) > 0.48


@pytest.mark.parametrize("make", MODELS)
def test_the_scale_of_the_metric_does_not_matter(make):
    """In percent the same direction and confidence, and a gradient a hundred times as long."""
    one = make().fit(POINTS, VALUES, VARIANCES)
    other = make().fit(POINTS, 100 * VALUES - 7, 1e4 * VARIANCES)
    torch.testing.assert_close(other.gradient(HERE), 100 * one.gradient(HERE), rtol=1e-3, atol=1e-4)
    assert other.confidence(HERE) == pytest.approx(one.confidence(HERE), rel=1e-3)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("count", [1, 2, 80])
def test_constant_observations(make, count: int):
    """No NaN anywhere: the value is theirs, and the loss is followed alone."""
    model = make().fit(POINTS[:count], torch.full((count,), 0.3).double(), torch.zeros(count).double())
    assert float(model.value(HERE)) == pytest.approx(0.3)
    assert model.gradient(HERE).tolist() == [0, 0, 0, 0]
    assert model.confidence(HERE) == 0


@pytest.mark.parametrize("make", MODELS)
def test_no_belief_far_from_the_observations(make):
    """Confidence falls with the distance, to nothing; what is asked there is finite."""
    model = make().fit(POINTS, VALUES, VARIANCES)
    seen = [model.confidence(HERE + away * torch.ones(4)) for away in (0.0, 3.0, 1e3)]
    assert seen[0] > seen[1] > seen[2] == 0
    assert bool(model.gradient(HERE + 1e3).isfinite().all())


@pytest.mark.parametrize("make", MODELS)
def test_failed_observations_are_left_out(make):
    """NaN is no value."""
    holed = torch.where(torch.arange(80) % 2 == 0, VALUES, NAN)
    one, other = make().fit(POINTS, holed, VARIANCES), make().fit(POINTS[::2], VALUES[::2], VARIANCES[::2])
    assert torch.equal(one.gradient(HERE), other.gradient(HERE))


@pytest.mark.parametrize("make", MODELS)
def test_the_gradient_is_that_of_the_value(make):
    """Of the ensemble against differences; of the plane, its own rise."""
    model = make().fit(POINTS, VALUES, VARIANCES)
    if isinstance(model, ValueModel):
        assert torch.autograd.gradcheck(model.value, HERE.clone().requires_grad_())
        assert bool((model.deviation(POINTS) >= 0).all())
    numeric = [
        float(model.value(HERE + 1e-4 * one) - model.value(HERE - 1e-4 * one)) / 2e-4
        for one in torch.eye(4).double()
    ]
    close = 1e-6 if isinstance(model, ValueModel) else 0.01  # the plane at another point is another one
    torch.testing.assert_close(torch.tensor(numeric).double(), model.gradient(HERE), atol=close, rtol=0)


def test_a_plane_is_found_exactly():
    """Without noise, in fewer observations than numbers as well as in more."""
    exact = 0.2 + POINTS @ SLOPE
    found = LocalRidge(1.0).fit(POINTS, exact)
    torch.testing.assert_close(found.gradient(HERE), SLOPE, atol=1e-2, rtol=0)
    assert found.confidence(HERE) > 0.9
    few = LocalRidge(1.0).fit(POINTS[:3], exact[:3])
    assert bool(few.gradient(HERE).isfinite().all())


def test_ridge_does_not_believe_noise():
    """What left-out observations do not confirm has no confidence; noise never has much."""
    found = [
        LocalRidge(1.0)
        .fit(POINTS, torch.randn(80, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
        .confidence(HERE)
        for seed in range(20)
    ]
    assert sorted(found)[10] < 0.02
    assert max(found) < 0.2


def test_same_seed_same_model_and_state():
    """Fits repeat bit for bit, a loaded state answers alike without a fit, and the global generator is not used."""
    before = torch.get_rng_state()
    one, other, loaded = _ensemble().fit(POINTS, VALUES), _ensemble().fit(POINTS, VALUES), _ensemble()
    loaded.load_state_dict(one.state_dict())
    for model in (other, loaded):
        assert torch.equal(model.gradient(HERE), one.gradient(HERE))
        assert model.confidence(HERE) == one.confidence(HERE)
    assert torch.equal(torch.get_rng_state(), before)
    another = ValueModel(1.0, members=3, width=16, steps=40, seed=1).fit(POINTS, VALUES)
    assert not torch.equal(another.gradient(HERE), one.gradient(HERE))
    empty = _ensemble()
    empty.load_state_dict(_ensemble().state_dict())


def test_it_follows_the_type_of_the_numbers():
    """Float32 in, float32 out."""
    for make in MODELS:
        assert make().fit(POINTS.float(), VALUES.float()).gradient(HERE.float()).dtype == torch.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda: ValueModel(0.0),
        lambda: ValueModel(1.0, members=1),
        lambda: _ensemble().gradient(HERE),
        lambda: LocalRidge(1.0).value(HERE),
        lambda: _ensemble().fit(POINTS, VALUES[:3]),
        lambda: LocalRidge(1.0).fit(POINTS, VALUES * NAN),
        lambda: LocalRidge(1.0).fit(POINTS, VALUES, -VARIANCES),
    ],
)
def test_refused(call):
    """Each with a message."""
    with pytest.raises(InputError, match="expected"):
        call()
