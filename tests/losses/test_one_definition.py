"""Metrics written once in comparisons: exact, smooth and interpolated, and what goes wrong."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad import losses, metrics
from metricgrad.errors import ComparisonMismatch, Diverged, InputError, MetricFailed
from metricgrad.losses.interpolated import ideal_outputs
from metricgrad.relax import interpolate
from metricgrad.relax.anchors import drawn_anchors
from tests.comparison_metrics import accuracy, auc, average_precision, f_beta, hit_at_1, recall_at

METRICS = [auc, average_precision, recall_at(2), f_beta(1.0)]
BINARY = (metrics.roc_auc, metrics.binary_average_precision, None, metrics.f_beta)


def binary(generator: torch.Generator, size: int = 8) -> tuple[Tensor, Tensor]:
    """Scores [sample] without ties and targets with both classes."""
    scores = torch.randn(size, generator=generator, dtype=torch.float64)
    return scores, torch.arange(size) % 3 % 2


def classes(generator: torch.Generator, rows: int = 6) -> tuple[Tensor, Tensor]:
    """Scores [row, class] without ties and class numbers."""
    scores = torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    return scores, torch.randint(0, 4, (rows,), generator=generator)


def slope(loss: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and its gradient."""
    outputs = outputs.detach().clone().requires_grad_()
    value = loss(outputs, targets)
    return value.detach(), torch.autograd.grad(value, outputs)[0]


def corners(count: int) -> Tensor:
    """All corners of a cube."""
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=count)), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------- interpolate


def test_the_published_code_wrong_sign_trap(generator: torch.Generator) -> None:
    """The gradient is that of finite differences; with the second term subtracted, as published, it is another."""
    u = torch.rand(5, generator=generator, dtype=torch.float64) * 2 - 1
    b = torch.where(torch.rand(9, 5, generator=generator) < 0.5, -1.0, 1.0).double()
    m = torch.rand(9, generator=generator, dtype=torch.float64)
    u.requires_grad_()
    (found,) = torch.autograd.grad(interpolate(u, b, m), u)
    difference = (u - b).detach()
    r = difference.norm(dim=1)
    first = -(m[:, None] * difference / r[:, None] ** 3).sum(0) / (1 / r).sum()
    second = (m / r).sum() / (1 / r).sum() ** 2 * (difference / r[:, None] ** 3).sum(0)
    torch.testing.assert_close(found, first + second)
    assert float((found - (first - second)).norm()) > 0.1 * float(found.norm())
    assert torch.autograd.gradcheck(lambda u: interpolate(u, b, m), u)


@pytest.mark.parametrize("weighting", ["inverse_distance", "softmax"])
@pytest.mark.parametrize("power", [1.0, 4.0])
def test_the_closed_form_of_the_gradient(weighting: Any, power: float, generator: torch.Generator) -> None:
    """-sum w (m - M) h (u - b), block by block, and any order of the anchors."""
    u = (torch.rand(3, 4, generator=generator, dtype=torch.float64) * 2 - 1).requires_grad_()
    b = torch.where(torch.rand(3, 7, 4, generator=generator) < 0.5, -1.0, 1.0).double()
    m = torch.rand(3, 7, generator=generator, dtype=torch.float64)
    value = interpolate(u, b, m, weighting=weighting, power=power, weight_temperature=0.4)
    (found,) = torch.autograd.grad(value.sum(), u)
    difference = u.detach().unsqueeze(1) - b
    r = (difference.square().sum(2) + 1e-12).sqrt()
    w = r**-power if weighting == "inverse_distance" else (-r / 0.4).exp()
    w = w / w.sum(1, keepdim=True)
    h = power / r**2 if weighting == "inverse_distance" else 1 / (0.4 * r)
    mean = (w * m).sum(1)
    torch.testing.assert_close(value.detach(), mean)
    torch.testing.assert_close(found, -(w * (m - mean[:, None]) * h)[..., None].mul(difference).sum(1))
    assert bool((m.amin(1) <= value).all()) and bool((value <= m.amax(1)).all())
    order = torch.randperm(7, generator=generator)
    other = interpolate(u, b[:, order], m[:, order], weighting=weighting, power=power, weight_temperature=0.4)
    torch.testing.assert_close(other, value)


def test_on_an_anchor_the_value_is_its_value() -> None:
    """Finite value and gradient in every precision, also where u is the corner itself."""
    b = corners(3)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        u = b[2].to(dtype).requires_grad_()
        value = interpolate(u, b.to(dtype), torch.arange(8.0))
        (found,) = torch.autograd.grad(value, u)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert abs(float(value.detach()) - 2) < 1e-4
        assert bool(found.isfinite().all())


def test_anchors_without_a_value_are_left_out() -> None:
    """NaN leaves an anchor out; one anchor, or equal values, have no gradient; none is refused."""
    u = torch.tensor([0.3, -0.2], dtype=torch.float64)
    b, m = corners(2), torch.tensor([0.1, float("nan"), 0.5, 0.9], dtype=torch.float64)
    kept = [0, 2, 3]
    torch.testing.assert_close(interpolate(u, b, m), interpolate(u, b[kept], m[kept]))
    value, found = slope(lambda u, _: interpolate(u, b[:1], m[:1]), u, u)
    assert float(value) == 0.1 and not bool(found.any())
    with pytest.raises(InputError, match="every anchor value of a block is NaN"):
        interpolate(u, b[1:2], m[1:2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "softmx"}, "'softmax'"),
        ({"power": 0}, "power is 0"),
        ({"weight_temperature": -1}, "weight_temperature"),
        ({"delta": 0}, "delta"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    """They are named."""
    with pytest.raises(InputError, match=message):
        interpolate(torch.zeros(2), corners(2), torch.zeros(4), **settings)
    with pytest.raises(InputError, match="anchors"):
        interpolate(torch.zeros(3), corners(2), torch.zeros(4))


# -------------------------------------------------------------------------------------------- exact, smooth


@pytest.mark.parametrize(("metric", "ours"), list(zip(METRICS, BINARY, strict=True)))
def test_the_exact_metric_is_ours(metric: Any, ours: Any, generator: torch.Generator) -> None:
    """Without ties it is the metric of this library, and the smooth one comes to it as the temperature falls."""
    outputs, targets = binary(generator)
    found = metrics.exact(metric)
    value = found.summarise(found.measure(outputs, targets))
    if ours is not None:
        expected = ours((outputs > 0).long(), targets) if ours is metrics.f_beta else ours(outputs, targets)
        assert value == pytest.approx(float(expected), abs=1e-12)
    smooth = losses.relaxed(metric, rank_temperature=1e-4, cutoff_temperature=1e-4)(outputs, targets)
    assert float(smooth) == pytest.approx(1 - value, abs=1e-9)


def test_one_value_per_row(generator: torch.Generator) -> None:
    """Statistics of rows, so that an interval can be drawn; accuracy and hit at 1 are the same metric."""
    outputs, targets = classes(generator)
    for metric in (accuracy, hit_at_1):
        record = metrics.exact(metric)
        statistics = record.measure(outputs, targets)
        assert torch.equal(statistics[:, 0], (outputs.argmax(1) == targets).double())
        assert record.summarise(statistics) == pytest.approx(float(metrics.accuracy(outputs, targets)))
    assert metrics.exact(accuracy).name == "accuracy"


@pytest.mark.parametrize("zero", [0, 0.5, 1])
def test_ties_count_what_is_said(zero: float) -> None:
    """A comparison of equal outputs."""
    record = metrics.exact(auc, zero_step=zero)
    assert record.summarise(record.measure(torch.zeros(4), torch.tensor([0, 1, 0, 1]))) == zero
    with pytest.raises(InputError, match="zero_step"):
        metrics.exact(auc, zero_step=0.3)


def test_the_unit_of_one_number(generator: torch.Generator) -> None:
    """Drawn samples, no interval, or neither said: then a ranking of the samples against each other is refused."""

    def nearest_agree(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        near = step(0.1 - (outputs[:, None] - outputs).abs()) * (1 - torch.eye(len(outputs)))
        return (near * (targets[:, None] == targets)).sum() / near.sum()

    outputs, targets = binary(generator, 40)
    with pytest.raises(InputError, match="given twice"):
        metrics.exact(nearest_agree).measure(outputs, targets)
    whole = metrics.exact(nearest_agree, unit="whole")
    assert (whole.unit, whole.measure(outputs, targets).shape) == ("whole", (1, 1))
    assert metrics.exact(auc, unit="sample").measure(outputs, targets).shape[0] == 40
    with pytest.raises(InputError, match="unit is 'row'"):
        metrics.exact(auc, unit="row")


def test_adapt_says_what_a_metric_in_comparisons_needs() -> None:
    """A function with a step is no metric of two arguments; its record is."""
    with pytest.raises(InputError, match=r"metrics\.exact\(auc\)"):
        metrics.adapt(auc, higher_is_better=True)
    record = metrics.exact(auc)
    assert metrics.adapt(record) is record
    assert metrics.metric_calls(record) == 0


def test_self_comparison_trap() -> None:
    """An item that is compared with itself adds one half to its rank: the exact value says so."""

    def rank_with_itself(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        return 1 + step(outputs - outputs.gather(1, targets[:, None])).sum(1)

    record = metrics.exact(rank_with_itself, higher_is_better=False)
    assert record.summarise(record.measure(torch.tensor([[3.0, 1.0]]), torch.tensor([0]))) == 1.5


def test_a_step_says_what_it_is_for() -> None:
    """An unknown name, or something else than a tensor, is refused in every mode."""
    for name, d, said in (("rnk", torch.zeros(2), "'rank'"), ("rank", [0.0], "tensor of real numbers")):

        def metric(outputs: Any, targets: Any, step: Any, name: str = name, d: Any = d) -> Any:
            return step(d, name)

        for mode in (losses.relaxed(metric), losses.interpolated(metric)):
            with pytest.raises(InputError, match=said):
                mode(torch.zeros(2, requires_grad=True), torch.zeros(2))
        with pytest.raises(MetricFailed, match=said):
            metrics.exact(metric).measure(torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize("make", [losses.relaxed, losses.interpolated])
@pytest.mark.parametrize("metric", [*METRICS, hit_at_1, accuracy])
def test_gradient_equals_differences(make: Any, metric: Any, generator: torch.Generator) -> None:
    """float64 gradcheck; the corners are those of the same call."""
    outputs, targets = (classes if metric in (hit_at_1, accuracy) else binary)(generator)

    def value(outputs: Tensor) -> Tensor:
        loss = make(metric)
        return loss(outputs, targets)

    assert torch.autograd.gradcheck(value, outputs.requires_grad_())


@pytest.mark.parametrize("make", [losses.relaxed, losses.interpolated])
def test_descent_finds_the_metric(make: Any, generator: torch.Generator) -> None:
    """Steps on free outputs: the exact metric gets better, for costs too."""
    outputs, targets = classes(generator)

    def misses(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        return 1 - accuracy(outputs, targets, step)

    for metric, maximize in ((accuracy, True), (misses, False)):
        free, loss = outputs.clone().requires_grad_(), make(metric, maximize=maximize)
        optimiser = torch.optim.Adam([free], lr=0.05)
        for _ in range(100):
            optimiser.zero_grad()
            loss(free, targets).backward()
            optimiser.step()
        assert float(metrics.accuracy(free.detach(), targets)) > float(metrics.accuracy(outputs, targets))


@pytest.mark.parametrize("make", [losses.relaxed, losses.interpolated])
def test_an_undefined_row_has_no_gradient(make: Any, generator: torch.Generator) -> None:
    """A query without a positive is 0/0: no loss, no gradient, and no NaN for the others."""

    def recall_at_1(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        above = step(outputs.unsqueeze(1) - outputs.unsqueeze(2))
        ranks = 0.5 + above.sum(2)
        return (step(1.5 - ranks, "cutoff", relax=False) * targets).sum(1) / targets.sum(1)

    outputs = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    targets = torch.tensor([[1, 0, 0, 1, 0], [0] * 5, [0, 1, 0, 0, 0], [0] * 5])
    loss, gradient = slope(make(recall_at_1), outputs, targets)
    assert bool(loss.isfinite()) and bool(gradient.isfinite().all())
    assert not bool(gradient[[1, 3]].any()) and bool(gradient[0].any())
    if make is losses.relaxed:
        torch.testing.assert_close(loss, slope(make(recall_at_1), outputs[[0, 2]], targets[[0, 2]])[0])
    nothing, zero = slope(make(recall_at_1), outputs[[1]], targets[[1]])
    assert float(nothing) == 0 and not bool(zero.any())
    assert metrics.exact(recall_at_1).measure(outputs, targets)[:, 0].isnan().tolist() == [False, True] * 2


@pytest.mark.parametrize("make", [losses.relaxed, losses.interpolated])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_saturation(make: Any, dtype: torch.dtype, generator: torch.Generator) -> None:
    """Outputs of half precision are read as float32; huge differences have a finite gradient."""
    outputs, targets = classes(generator)
    for scale in (1.0, 1e4):
        loss, gradient = slope(make(hit_at_1), (scale * outputs).to(dtype), targets)
        assert loss.dtype == torch.float32 and gradient.dtype == dtype
        assert bool(loss.isfinite()) and bool(gradient.isfinite().all())
        torch.testing.assert_close(
            loss.double(),
            slope(make(hit_at_1), (scale * outputs).to(dtype).double(), targets)[0],
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.mark.parametrize("make", [losses.relaxed, losses.interpolated])
def test_an_infinite_difference_is_decided(make: Any, generator: torch.Generator) -> None:
    """A class at -inf is one that is not there, in value and gradient."""
    outputs, targets = classes(generator)
    targets = targets.clamp_max(2)
    masked = outputs.clone()
    masked[:, 3] = -torch.inf
    loss, gradient = slope(make(accuracy), masked, targets)
    assert bool(gradient.isfinite().all()) and not bool(gradient[:, 3].any())
    if make is losses.relaxed:
        torch.testing.assert_close((loss, gradient[:, :3]), slope(make(accuracy), outputs[:, :3], targets))


@pytest.mark.parametrize("make", [losses.relaxed, losses.interpolated])
def test_what_is_no_metric_of_comparisons(make: Any) -> None:
    """A class, something that cannot be called, one that never compares, returns something else, or raises."""
    outputs = torch.zeros(3, requires_grad=True)
    for wrong in (3, torch.nn.Linear):
        with pytest.raises(InputError, match=r"f\(outputs, targets, step\)"):
            make(wrong)
    nothing, zero = slope(
        make(lambda outputs, targets, step: outputs.new_tensor(float("nan"))), outputs, outputs
    )
    assert float(nothing) == 0 and not bool(zero.any())
    with pytest.raises(InputError, match="never called step"):
        make(lambda outputs, targets, step: outputs.sum())(outputs, outputs)
    with pytest.raises(InputError, match="one value per row"):
        make(lambda outputs, targets, step: "many")(outputs, outputs)
    with pytest.raises(InputError, match="it raised KeyError"):
        make(lambda outputs, targets, step: {}["no"])(outputs, outputs)
    with pytest.raises(MetricFailed, match="it raised KeyError"):
        metrics.exact(lambda outputs, targets, step: {}["no"]).measure(outputs, outputs)
    with pytest.raises(MetricFailed, match="for 3 rows"):
        metrics.exact(lambda outputs, targets, step: step(outputs)[:2]).measure(outputs, outputs)


# --------------------------------------------------------------------------------------------- interpolated


@pytest.mark.parametrize("metric", METRICS)
def test_all_corners_return_the_metric(metric: Any, generator: torch.Generator) -> None:
    """Given every corner, a point that is nearly a corner has the metric's value there."""
    outputs, targets = binary(generator, 4)
    count = {"auc": 4, "average_precision": 5}.get(metric.__name__, 6 if "recall" in metric.__name__ else 4)
    targets = torch.tensor([1, 0, 1, 0])
    loss = losses.interpolated(metric, anchors=corners(count), temperature=1e-4)
    record = metrics.exact(metric)
    exact = record.summarise(record.measure(outputs, targets))
    assert float(loss(outputs, targets)) == pytest.approx(1 - exact, abs=1e-4)


def test_rows_are_blocks(generator: torch.Generator) -> None:
    """Each row alone is the same as in a batch; with the whole batch as one point it is not."""
    outputs, targets = classes(generator)
    anchors = corners(3)
    by_row = losses.interpolated(accuracy, anchors=anchors)
    alone = torch.stack([by_row(outputs[[row]], targets[[row]]) for row in range(len(outputs))])
    torch.testing.assert_close(by_row(outputs, targets), alone.mean())
    whole = losses.interpolated(accuracy, blocks="batch")(outputs, targets)
    assert abs(float(whole - alone.mean())) > 1e-3

    def columns_first(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        return step(outputs.T).T.mean(1)

    with pytest.raises(InputError, match="rows as the first dimension"):
        losses.interpolated(columns_first)(outputs[:, :3], targets)


def test_corners_are_drawn_anew_and_resume(generator: torch.Generator) -> None:
    """Two calls differ, the same seed gives the same calls, and a state dict goes on where it was."""
    outputs, targets = classes(generator)
    first, second = (losses.interpolated(hit_at_1, seed=3) for _ in range(2))
    drawn = [first(outputs, targets) for _ in range(4)]
    assert len({float(one) for one in drawn}) == 4
    assert [float(second(outputs, targets)) for _ in range(2)] == [float(one) for one in drawn[:2]]
    third = losses.interpolated(hit_at_1, seed=3)
    third.load_state_dict(second.state_dict())
    assert float(third(outputs, targets)) == float(drawn[2])
    assert float(losses.interpolated(hit_at_1, seed=4)(outputs, targets)) != float(drawn[0])
    state = torch.random.get_rng_state()
    third(outputs, targets)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_recipes(generator: torch.Generator) -> None:
    """What the corners of both recipes are, and that a decided comparison is never turned."""
    hard = torch.where(torch.rand(5, 12, generator=generator) < 0.5, -1.0, 1.0)
    truth = torch.ones(5, 12)
    free = torch.arange(12) < 10
    free = free.expand(5, -1)
    best = torch.where(free, truth, hard)
    drawn = drawn_anchors("uniloss", truth, hard, free, generator)
    assert drawn.shape == (5, 49, 12) and bool((drawn.abs() == 1).all())
    assert torch.equal(drawn[:, 0], best)
    assert bool(((drawn[:, 1:17] != best[:, None]).sum(2) == 1).all())
    near = drawn[:, 17:33] != hard[:, None]
    assert bool((near.sum(2) == 1).all())
    assert bool(((drawn[:, 17:33] == best[:, None]) | ~near).all())
    assert torch.equal(drawn[:, :, 10:], hard[:, None, 10:].expand(-1, 49, -1))
    graded = drawn_anchors("graded", truth, hard, free, generator)
    assert graded.shape == (5, 25, 12)
    assert torch.equal(graded[:, 13:17], best[:, None].expand(-1, 4, -1))
    wrong = (hard != best).sum(1)
    for place, share in ((1, 0.125), (5, 0.25), (9, 0.5)):
        turned = (graded[:, place : place + 4] != hard[:, None]).sum(2)
        assert torch.equal(turned, (share * wrong).ceil().long()[:, None].expand(-1, 4))
    settled = drawn_anchors("uniloss", hard, hard, free, generator)
    assert bool(((settled[:, 17:33] != hard[:, None]).sum(2) == 1).all())
    nothing = drawn_anchors("uniloss", truth, hard, torch.zeros(5, 12, dtype=torch.bool), generator)
    assert torch.equal(nothing, hard[:, None].expand(-1, 49, -1))


def test_a_metric_whose_steps_depend_on_values() -> None:
    """The number of comparisons must not change with the answers, nor under ideal outputs."""

    def second_look(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        above = step(outputs)
        return above.mean() + (step(outputs[:1]).sum() if bool(above.sum() > 1) else 0)

    outputs = torch.tensor([1.0, 2.0, -1.0], requires_grad=True)
    with pytest.raises(ComparisonMismatch, match=r"asked for 4 comparisons .* for 3, of the ideal outputs"):
        losses.interpolated(second_look, vectorize=False)(outputs, torch.tensor([0, 0, 0]))
    given = losses.interpolated(second_look, vectorize=False, anchors=-torch.ones(1, 4))
    with pytest.raises(ComparisonMismatch, match=r"asked for 4 comparisons .* for 3"):
        given(outputs, torch.tensor([0, 0, 0]))
    given = losses.interpolated(second_look, vectorize=False, anchors=torch.ones(1, 3))
    with pytest.raises(ComparisonMismatch, match=r"asked for 3 comparisons .* for 4 or more"):
        given(-outputs.detach().abs(), torch.tensor([1, 1, 1]))
    with pytest.raises(InputError, match="4 comparisons in each of the given anchors"):
        losses.interpolated(auc, anchors=corners(4))(outputs, torch.tensor([0, 1, 0]))
    with pytest.raises(InputError, match="vectorize=False"):
        losses.interpolated(second_look, anchors=torch.ones(1, 4))(outputs, torch.tensor([0, 0, 0]))


def test_one_call_for_all_corners_or_one_for_each(generator: torch.Generator) -> None:
    """The same bits."""
    for metric, inputs in ((average_precision, binary), (hit_at_1, classes)):
        outputs, targets = inputs(generator)
        found = [slope(losses.interpolated(metric, vectorize=one), outputs, targets) for one in (True, False)]
        torch.testing.assert_close(*found, rtol=0, atol=0)


def test_without_comparisons_the_value_is_its_own() -> None:
    """No positives: the metric's own rule, no gradient; NaN differences stop the run."""
    outputs = torch.tensor([1.0, 2.0])

    def own_rule(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        pairs = step(outputs[targets == 1, None] - outputs[targets == 0])
        return pairs.mean() if pairs.numel() else pairs.new_tensor(0.25)

    loss, gradient = slope(losses.interpolated(own_rule), outputs, torch.tensor([0, 0]))
    assert float(loss) == 0.75 and not bool(gradient.any())
    loss, gradient = slope(losses.interpolated(auc), outputs, torch.tensor([0, 0]))
    assert float(loss) == 0 and not bool(gradient.any())
    with pytest.raises(Diverged, match="a difference is NaN"):
        losses.interpolated(auc)(torch.tensor([float("nan"), 1.0], requires_grad=True), torch.tensor([0, 1]))


def test_ideal_outputs() -> None:
    """Targets as scores, decisions as -1 and 1, classes as 1 among -1; a mask instead of an ignored class."""
    assert ideal_outputs(torch.tensor([0, 3, 1]), torch.zeros(3)).tolist() == [0, 3, 1]
    assert ideal_outputs(torch.tensor([True, False]), torch.zeros(2)).tolist() == [1, -1]
    rows = ideal_outputs(torch.tensor([1, -100]), torch.zeros(2, 3))
    assert rows.tolist() == [[-1, 1, -1], [0, 0, 0]]
    with pytest.raises(InputError, match="ideal="):
        ideal_outputs(["a", "b"], torch.zeros(2))
    with pytest.raises(InputError, match="ideal="):
        losses.interpolated(lambda outputs, targets, step: step(outputs[:, 0] - outputs[:, 1]))(
            torch.zeros(2, 3), torch.zeros(2)
        )
    given = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0, 1, 1])
    right = losses.interpolated(auc, ideal=lambda targets: 2.0 * targets)(*given)
    assert right == losses.interpolated(auc)(*given)
    assert right != losses.interpolated(auc, ideal=lambda targets: -2.0 * targets)(*given)


def test_gradients_of_equal_length(generator: torch.Generator) -> None:
    """With normalize_gradient the gradient in u has length 1 in every block of the mean."""
    outputs, targets = classes(generator)
    seen = []

    def watched(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        return step(outputs * torch.where(torch.arange(4) == targets[:, None], 1, -1)).mean(1)

    for one in (False, True):
        loss = losses.interpolated(watched, normalize_gradient=one, temperature=0.5)
        _, gradient = slope(loss, outputs, targets)
        seen.append((gradient / (1 - outputs.tanh().square())).norm(dim=1))
    torch.testing.assert_close(seen[1], torch.full((6,), 1 / 6, dtype=torch.float64))
    assert float(seen[0].std()) > 1e-4


def test_flat_interpolation_is_told() -> None:
    """Many comparisons in one block: no corner stands out at power 1, which is said once."""
    outputs, targets = torch.linspace(-0.1, 0.1, 60), torch.arange(60) % 2
    flat, steep = losses.interpolated(auc), losses.interpolated(auc, power=64)
    for _ in range(99):
        flat(outputs, targets)
        steep(outputs, targets)
    with pytest.warns(UserWarning, match=r"flat interpolation: in 100 of 100 blocks"):
        flat(outputs, targets)
    steep(outputs, targets)
    flat(outputs, targets)


def test_double_squashing_trap(generator: torch.Generator) -> None:
    """Probabilities differ by less than 1: u stays below 0.47, and the gradient falls with it."""
    outputs, targets = classes(generator)
    loss = losses.interpolated(accuracy)
    seen: list[Tensor] = []

    def kept(outputs: Tensor, targets: Tensor, step: Any) -> Tensor:
        seen.append(outputs.gather(1, targets[:, None]) - outputs)
        return accuracy(outputs, targets, step)

    loss = losses.interpolated(kept, anchors=corners(3))
    loss((4 * outputs).softmax(1), targets)
    assert float((seen[0] / 2).tanh().abs().max()) < 0.47
    loss(4 * outputs, targets)
    assert float((seen[-1] / 2).tanh().abs().max()) > 0.47


@pytest.mark.parametrize(
    "setting", [{"anchors": "unilos"}, {"blocks": "row"}, {"temperature": 0}, {"seed": -1}]
)
def test_settings_of_interpolated(setting: dict[str, Any]) -> None:
    """One that does not fit is named."""
    with pytest.raises(InputError, match=next(iter(setting))):
        losses.interpolated(auc, **setting)
    with pytest.raises(InputError, match="corners of -1 and 1"):
        losses.interpolated(auc, anchors=torch.zeros(2, 3))
    with pytest.raises(InputError, match="rank_temperature"):
        losses.relaxed(auc, rank_temperature=0)
