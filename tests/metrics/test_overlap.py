"""Overlap of boxes: the compiled form and the plain one against exact fractions and shapely, laws, and bad input."""

import math
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.interval import mean_of_units
from metricgrad.metrics import overlap, overlap_kernel
from metricgrad.metrics.overlap import overlap_of_vertices
from tests.oracles import overlap as slow

FORMS = [metrics.rotated_iou, overlap_of_vertices]
every_form = pytest.mark.parametrize("form", FORMS, ids=["compiled", "vertices"])
Form = Callable[[Tensor, Tensor], Tensor]

numbers = st.floats(-3, 3).map(lambda value: round(value, 6))
sides = st.one_of(st.sampled_from([0.5, 1.0, 2.0]), st.floats(0.01, 5))
angles = st.one_of(st.sampled_from([0.0, math.pi / 4, math.pi / 2, -math.pi]), st.floats(-7, 7))
boxes = st.tuples(numbers, numbers, sides, sides, angles)


def row(*box: float) -> Tensor:
    """One box."""
    return torch.tensor([box], dtype=torch.float64)


def close(found: Tensor, wanted: Tensor | float, bound: float = 1e-9) -> None:
    """Equal within a bound."""
    wanted = torch.as_tensor(wanted, dtype=torch.float64).expand_as(found)
    torch.testing.assert_close(found, wanted, rtol=0, atol=bound)


def random_pairs(count: int, smallest: float, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs that overlap: changed by much, by little or not at all, quarter turns with sides swapped among them."""
    rng = np.random.default_rng(seed)
    first = np.column_stack(
        [rng.normal(size=(count, 2)), 10 ** rng.uniform(smallest, 1, (count, 2)), rng.uniform(-7, 7, count)]
    )
    second = first.copy()
    changes = ([0, 1e-9, 1e-3, 0.3, 1.0], (count, 1))
    second[:, :2] += rng.normal(size=(count, 2)) * rng.choice(*changes) * first[:, 2:4]
    second[:, 2:4] *= np.exp(rng.normal(size=(count, 2)) * rng.choice(*changes))
    second[:, 4] += rng.choice([0, 1e-12, 1e-9, 1e-6, 1e-3, 0.3, math.pi / 4, math.pi / 2], count)
    swapped = rng.random(count) < 0.3
    second[swapped] = second[swapped][:, [0, 1, 3, 2, 4]] + [0, 0, 0, 0, math.pi / 2]
    return torch.from_numpy(first), torch.from_numpy(second)


def flush_pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Boxes and up to ten million times longer ones whose long edges coincide with theirs, but for rounding."""
    rng = np.random.default_rng(seed)
    first = np.column_stack(
        [rng.normal(size=(count, 2)), rng.uniform(0.5, 2, (count, 2)), rng.uniform(-7, 7, count)]
    )
    second, longer = first.copy(), 10 ** rng.uniform(0, 7, count)
    second[:, 2] *= longer
    along = rng.choice([0, 0.5, -0.5], count) * (second[:, 2] - first[:, 2])
    across = rng.normal(size=count) * rng.choice([0, 1e-16, 1e-15], count) * longer
    cosine, sine = np.cos(first[:, 4]), np.sin(first[:, 4])
    second[:, 0] += cosine * along - sine * across
    second[:, 1] += sine * along + cosine * across
    second[:, 4] += rng.choice([0, math.pi, -math.pi, 2 * math.pi], count)
    return torch.from_numpy(first), torch.from_numpy(second)


# ------------------------------------------------------------------------------------------- definition


@every_form
@pytest.mark.parametrize(("smallest", "bound"), [(-0.5, 1e-9), (-5.0, 1e-6)], ids=["boxes", "slivers"])
def test_equals_the_references(form: Form, smallest: float, bound: float) -> None:
    """Exact fractions and shapely, for boxes that differ by much, by little or not at all."""
    first, second = random_pairs(400, smallest, seed=1)
    found = form(first, second)
    assert 0.3 < float((found > 0).double().mean()) < 1  # most overlap, some do not
    close(found, torch.tensor(slow.rotated_iou(first.tolist(), second.tolist()), dtype=torch.float64), bound)
    close(found, torch.from_numpy(slow.by_shapely(first.numpy(), second.numpy())), bound)


@every_form
def test_far_from_the_origin(form: Form) -> None:
    """A million sides away only the rounding of the centres themselves is left: the references share it."""
    first, second = random_pairs(200, -0.5, seed=2)
    first[:, :2] += 1e6
    second[:, :2] += 1e6
    wanted = torch.tensor(slow.rotated_iou(first.tolist(), second.tolist()), dtype=torch.float64)
    close(form(first, second), wanted, 1e-9)


@every_form
def test_known_pairs(form: Form) -> None:
    """An octagon, a cross, nested boxes with an edge in common, touching and separate ones."""
    unit = row(0, 0, 1, 1, 0)
    close(form(unit, row(0, 0, 1, 1, math.pi / 4)), math.sqrt(0.5))
    close(form(row(0, 0, 4, 1, 0), row(0, 0, 1, 4, 0)), 1 / 7)
    close(form(row(0, 0, 2, 2, 0), row(0.5, 0, 1, 1, 0)), 1 / 4)
    close(form(row(0, 0, 4, 2, 0.3), row(0.1, -0.1, 1, 0.5, 0.9)), 1 / 16)
    for touching in (row(1, 0, 1, 1, 0), row(1, 1, 1, 1, 0), row(0.5 + math.sqrt(0.5), 0, 1, 1, math.pi / 4)):
        close(form(unit, touching), 0.0)
    assert form(unit, row(5, 5, 1, 1, 0.2)).item() == 0


@every_form
@pytest.mark.parametrize("empty", [(0, 1), (1, 0), (0, 0), (-1, 1), (-1, -1)])
def test_an_empty_box_shares_nothing(form: Form, empty: tuple[float, float]) -> None:
    """Neither with a box nor with itself: exactly 0, and no NaN."""
    box, other = row(0, 0, *empty, 0.1), row(0, 0, 1, 1, 0)
    for pair in ((box, other), (other, box), (box, box)):
        assert form(*pair).item() == 0
        assert metrics.iou(pair[0][:, :4], pair[1][:, :4]).item() == 0


@every_form
def test_extremes_are_numbers(form: Form) -> None:
    """Sides whose area is no float, and distances and ratios that are none: 1 for itself, 0 where nothing is shared."""
    for size in (1e-300, 1e-160, 1e160, 1e300):
        box = row(size, -size, size, 2 * size, 0.3)
        close(form(box, box), 1.0)
        close(metrics.iou(box[:, :4], box[:, :4]), 1.0)
    small, large = row(0, 0, 1e-200, 1e-200, 0.1), row(0, 0, 1e200, 1e200, 0.2)
    left, right = row(-1e308, 0, 1, 1, 0), row(1e308, 0, 1, 1, 0)
    for pair in ((small, large), (large, small), (left, right), (right, left)):
        assert form(*pair).item() == 0
        assert metrics.iou(pair[0][:, :4], pair[1][:, :4]).item() == 0


def test_forms_agree_on_many_pairs() -> None:
    """Both forms, across the borders of threads and tiles; the same with one thread to the last bit."""
    first, second = random_pairs(overlap.TILE + 100, -2.0, seed=3)
    found = metrics.rotated_iou(first, second)
    close(overlap_of_vertices(first, second), found)
    arrays = first.numpy(), second.numpy()
    for threads in (1, 2, 5):
        assert (overlap_kernel.overlaps(*arrays, threads=threads) == found.numpy()).all()
    permuted = torch.randperm(len(first), generator=torch.Generator().manual_seed(0))
    assert torch.equal(metrics.rotated_iou(first[permuted], second[permuted]), found[permuted])


def test_no_corner_is_lost_where_edges_coincide() -> None:
    """Long edges that lie on each other up to rounding: both forms, both ways round, and the ratio of the sides."""
    first, second = flush_pairs(50_000, seed=7)
    wanted = first[:, 2] / second[:, 2]
    for a, b in ((first, second), (second, first)):
        close(metrics.rotated_iou(a, b), wanted)
        close(overlap_of_vertices(a, b), wanted)


def test_upright_boxes_are_rotated_ones_without_an_angle() -> None:
    """The two functions agree, and the upright one with the fractions."""
    first, second = (side[:, :4].clone() for side in random_pairs(500, -2.0, seed=4))
    still = torch.zeros(len(first), 1, dtype=torch.float64)
    found = metrics.iou(first, second)
    close(found, metrics.rotated_iou(torch.cat([first, still], 1), torch.cat([second, still], 1)))
    close(found, torch.tensor(slow.iou(first.tolist(), second.tolist()), dtype=torch.float64), 1e-12)


# ------------------------------------------------------------------------------------------------- laws


@every_form
@given(boxes, boxes)
def test_bounds_and_symmetry(form: Form, first: tuple, second: tuple) -> None:
    """Between 0 and 1, and the same the other way round."""
    a, b = row(*first), row(*second)
    found = form(a, b)
    assert 0 <= found.item() <= 1
    close(form(b, a), found)


@pytest.mark.slow
@every_form
@given(boxes)
def test_a_box_overlaps_itself(form: Form, box: tuple) -> None:
    """By all of it, in every description: sides swapped, turned by half a turn or whole ones."""
    x, y, w, h, t = box
    for same in (
        box, (x, y, h, w, t + math.pi / 2), (x, y, h, w, t - math.pi / 2), (x, y, w, h, t + math.pi),
        (x, y, w, h, t + 4 * math.pi),
    ):  # fmt: skip
        close(form(row(*box), row(*same)), 1.0)


@pytest.mark.slow
@every_form
@given(boxes, boxes, angles, numbers, numbers, st.floats(0.1, 10))
def test_moving_both_changes_nothing(
    form: Form, first: tuple, second: tuple, turn: float, right: float, up: float, scale: float
) -> None:
    """A turn around the origin, a shift and a scale of both boxes; and swapped sides of one of them."""
    a, b = row(*first), row(*second)
    wanted = form(a, b)

    def moved(box: Tensor) -> Tensor:
        x, y, w, h, t = box[0].tolist()
        cosine, sine = math.cos(turn), math.sin(turn)
        new_x, new_y = scale * (cosine * x - sine * y) + right, scale * (sine * x + cosine * y) + up
        return row(new_x, new_y, scale * w, scale * h, t + turn)

    close(form(moved(a), moved(b)), wanted)
    swapped = a[:, [0, 1, 3, 2, 4]] + row(0, 0, 0, 0, math.pi / 2)
    close(form(swapped, b), wanted)


@given(boxes, boxes)
def test_upright_laws(first: tuple, second: tuple) -> None:
    """Symmetric, within bounds, 1 for itself, and each axis has a unit of its own."""
    a, b = row(*first[:4]), row(*second[:4])
    found = metrics.iou(a, b)
    assert 0 <= found.item() <= 1
    close(metrics.iou(b, a), found, 1e-12)
    close(metrics.iou(a, a), 1.0, 1e-12)
    units, shift = row(3.0, 0.1, 3.0, 0.1), row(1.5, -2.0, 0, 0)
    close(metrics.iou(a * units + shift, b * units + shift), found)


# -------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        (
            torch.zeros(2, 3),
            torch.zeros(2, 3),
            r"predictions is \(2, 3\).*\[sample, {columns}\]: cx, cy, w, h",
        ),
        (torch.zeros(5), torch.zeros(5), r"predictions is \(5,\)"),
        ([[0.0] * 5], [[0.0] * 5], r"predictions is \[\[0.0"),
        ("boxes", torch.zeros(2, 3), r"targets is \(2, 3\)"),
        ("boxes", "boxes3", "2 predictions for 3 targets"),
        ("nan", "boxes", "predictions has NaN or infinite values in 1 of 2 rows, first in row 1"),
        ("boxes", "inf", "targets has NaN or infinite values"),
        ("bool", "boxes", "predictions is .* of torch.bool"),
        ("complex", "boxes", "predictions is .* of torch.complex64"),
    ],
)
@pytest.mark.parametrize("name", overlap.__all__)
def test_what_is_no_boxes_is_refused(name: str, predictions, targets, message: str) -> None:
    """Every function says which side is wrong, what came and what was expected."""
    columns = 5 if name.startswith("rotated") else 4
    good = torch.ones(2, columns)
    bad = good.clone()
    bad[1, 2] = math.nan
    known = {
        "boxes": good,
        "boxes3": torch.ones(3, columns),
        "nan": bad,
        "inf": bad.nan_to_num(math.inf),
        "bool": good > 0,
        "complex": good.to(torch.complex64),
    }
    sides = [known[side] if isinstance(side, str) else side for side in (predictions, targets)]
    with pytest.raises(InputError, match=message.replace("{columns}", str(columns))):
        getattr(metrics, name)(*sides)


@pytest.mark.parametrize("threshold", [0, -0.5, 1.5, math.nan, True, "high", None])
def test_a_threshold_outside_its_range_is_refused(threshold) -> None:
    """By both functions, and before there is a sample."""
    for name, columns in (("iou_above", 4), ("rotated_iou_above", 5)):
        nothing = torch.zeros(0, columns)
        with pytest.raises(InputError, match=f"{name}: threshold is"):
            getattr(metrics, name)(nothing, nothing, threshold=threshold)


def test_types_of_boxes() -> None:
    """Whole numbers and half precision are computed in float64; no gradient passes."""
    first, second = torch.tensor([[0, 0, 2, 1, 0]]), torch.tensor([[1, 0, 2, 1, 0]])
    for dtype in (torch.long, torch.int32, torch.float16, torch.bfloat16, torch.float32):
        for found in (
            metrics.rotated_iou(first.to(dtype), second),
            metrics.iou(first[:, :4].to(dtype), second[:, :4]),
        ):
            close(found, 1 / 3, 1e-12)
    free = first.double().requires_grad_()
    assert not metrics.rotated_iou(free, second).requires_grad
    turned = second.double().T.contiguous().T  # not contiguous
    close(metrics.rotated_iou(free, turned), 1 / 3)


@pytest.mark.gpu
def test_on_a_cuda_device() -> None:
    """The plain form runs there, stays there, and equals the compiled one."""
    first, second = random_pairs(2000, -2.0, seed=5)
    found = metrics.rotated_iou(first.cuda(), second)
    assert found.is_cuda
    close(found.cpu(), metrics.rotated_iou(first, second))
    upright = metrics.iou(first[:, :4].cuda(), second[:, :4])
    close(upright.cpu(), metrics.iou(first[:, :4], second[:, :4]))


# ---------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("name", "function", "settings"),
    [
        ("iou", metrics.iou, {}),
        ("rotated_iou", metrics.rotated_iou, {}),
        ("iou_above", metrics.iou_above, {}),
        ("iou_above:threshold=0.75", metrics.iou_above, {"threshold": 0.75}),
        ("rotated_iou_above:threshold=0.5", metrics.rotated_iou_above, {"threshold": 0.5}),
    ],
)
def test_records(name: str, function, settings: dict) -> None:
    """A mean over samples whose statistics are the values of the function; it travels to other processes."""
    first, second = random_pairs(60, -0.5, seed=6)
    columns = 5 if "rotated" in name else 4
    first, second = first[:, :columns], second[:, :columns]
    metric = metrics.adapt(name)
    assert (metric.name, metric.unit, metric.bounds) == (name, "sample", (0.0, 1.0))
    assert metric.per_sample and metric.higher_is_better and metric.summarise is mean_of_units
    statistics = metric.measure(first, second)
    assert statistics.dtype == torch.float64 and statistics.shape == (60, 1)
    wanted = function(first, second, **settings).mean()
    assert 0.1 < wanted < 0.9
    torch.testing.assert_close(metric.summarise(statistics), float(wanted), rtol=0, atol=1e-15)
    parts = torch.cat([metric.measure(first[:7], second[:7]), metric.measure(first[7:], second[7:])])
    assert torch.equal(parts, statistics)
    travelled = ForkingPickler.loads(ForkingPickler.dumps(metric.measure))
    assert torch.equal(travelled(first, second), statistics)


def test_thresholds_count_what_reaches_them() -> None:
    """An overlap of exactly the threshold counts."""
    first = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1], [0, 0, 4, 1]])
    second = torch.tensor([[0.0, 0, 1, 1]]).expand(3, 4)  # IoU 1/2, 1, 1/4
    for threshold, wanted in ((0.25, 1.0), (0.5, 2 / 3), (0.51, 1 / 3), (1, 1 / 3)):
        close(metrics.iou_above(first, second, threshold=threshold), wanted, 1e-15)


# ------------------------------------------------------------------------------------------ many turns


@every_form
@pytest.mark.parametrize("turns", [3, -(10**4), 10**9, 7 * 10**14])
def test_angles_of_many_turns_lose_nothing(form: Form, turns: int) -> None:
    """An angle is what its cosine and sine say: brought into one turn first it gives the same overlap."""
    first, second = random_pairs(300, -0.5, seed=2)
    turned = [second[:, 4] + 2 * math.pi * turns, first[:, 4] - 2 * math.pi * turns]
    within = [torch.atan2(angle.sin(), angle.cos()) for angle in turned]
    far, near = second.clone(), second.clone()
    other_far, other_near = first.clone(), first.clone()
    far[:, 4], near[:, 4], other_far[:, 4], other_near[:, 4] = turned[0], within[0], turned[1], within[1]
    close(form(first, far), form(first, near), 1e-13)
    close(form(other_far, second), form(other_near, second), 1e-13)
    close(form(other_far, far), form(other_near, near), 1e-13)


def test_bringing_an_angle_into_one_turn_changes_nothing(monkeypatch) -> None:
    """It moves the overlap of ordinary angles by no more than rounding."""
    first, second = random_pairs(300, -0.5, seed=3)
    before = overlap_of_vertices(first, second)
    monkeypatch.setattr(overlap, "TURNS", 0.0)
    close(overlap_of_vertices(first, second), before, 1e-13)
