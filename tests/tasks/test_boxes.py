"""The task boxes: cutting out and drawing, exact boxes, the proxy loss, the splits and the start model."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from metricgrad.errors import InputError
from metricgrad.metrics.overlap import rotated_iou
from metricgrad.tasks import boxes, boxes_sets
from metricgrad.tasks.box_network import BoxNetwork, read_start, smooth_l1_box_loss
from metricgrad.tasks.boxes_scenes import EDGE, Source, cut_out, draw_scene, photographs
from metricgrad.tasks.boxes_sets import VENDORS, draw_scenes, pictures_of
from metricgrad.tasks.boxes_split import BoxScenes
from metricgrad.tasks.emoji_pictures import load_pictures

SMALL = {"items_fit": 40, "items_select": 120, "items_test": 20, "batch": 16}


@pytest.fixture(scope="module", autouse=True)
def emoji():
    """The emoji pictures, decoded once for all tests here."""
    pictures = load_pictures()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(boxes_sets, "load_pictures", lambda: pictures)
        yield pictures


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A folder for scenes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def task(cache):
    """The task with few scenes."""
    return boxes.load({**SMALL, "cache": cache})


@pytest.fixture(scope="module")
def source(emoji) -> Source:
    """Some real designs, and the photographs of fit."""
    cutouts = [cut_out(picture) for picture in emoji.pictures[:400]]
    return Source([cutout for cutout in cutouts if cutout is not None], photographs("fit"), 0)


def rectangle(height: int, width: int) -> np.ndarray:
    """A picture with one filled rectangle on white."""
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[5 : 5 + height, 10 : 10 + width] = (200, 30, 90)
    return picture


def in_frame(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Centres of the pixels of a mask in the frame of a box, in pixels [pixel, 2], after its definition."""
    rows, columns = mask.nonzero()
    x, y = columns + 0.5 - EDGE * box[0], rows + 0.5 - EDGE * box[1]
    along = (math.cos(box[4]), math.sin(box[4]))
    return np.column_stack([x * along[0] + y * along[1], y * along[0] - x * along[1]])


# ------------------------------------------------------------------------------------------------ cutting out


def test_cut_out_is_tight_and_keeps_white_inside() -> None:
    """The ground goes, the crop is tight, and white that does not reach the border stays."""
    picture = rectangle(40, 30)
    picture[15:20, 20:30] = 255
    cutout = cut_out(picture)
    assert cutout is not None and cutout.shape == (40, 30, 4)
    assert (cutout[..., 3] == 255).all()
    assert (cutout[12, 12, :3] == 255).all() and (cutout[0, 0, :3] == (200, 30, 90)).all()


def test_designs_whose_turn_cannot_be_seen_are_left_out() -> None:
    """Nothing there, too small, in two pieces, along a diagonal, or a side touched by a tip only."""
    rows, columns = np.mgrid[:64, :64]
    two = rectangle(40, 15)
    two[5:45, 40:55] = 20
    diagonal = np.where(np.abs(rows - columns)[..., None] < 18, 20, 255).astype(np.uint8).repeat(3, 2)
    diamond = np.where((np.abs(rows - 32) + np.abs(columns - 32))[..., None] < 30, 20, 255)
    for picture in (rectangle(0, 0), rectangle(10, 40), two, diagonal, diamond.astype(np.uint8).repeat(3, 2)):
        assert cut_out(picture) is None


# ---------------------------------------------------------------------------------------------------- drawing


def test_a_scene_depends_on_its_key_alone(source) -> None:
    """The same key, the same pixels; another one, others; how many are drawn at once moves nothing."""
    one, same, other = (draw_scene(source, key) for key in ((0, 0, 7), (0, 0, 7), (1, 0, 7)))
    assert (one.picture == same.picture).all() and (one.box == same.box).all()
    assert (one.picture != other.picture).any() and (one.box != other.box).any()
    few = draw_scenes({"fit": source}, {"fit": 8})["fit"]
    assert (few.pictures[7].transpose(1, 2, 0) == one.picture).all()
    assert_close(torch.from_numpy(few.boxes[7]).double(), torch.from_numpy(one.box), rtol=0, atol=1e-6)


def test_boxes_are_exact(source) -> None:
    """The object lies inside its box and reaches all four sides, to a pixel; the box lies inside the picture."""
    for number in range(60):
        scene = draw_scene(source, (5, 0, number))
        points, half = in_frame(scene.mask, scene.box), EDGE * scene.box[2:4] / 2
        reach = np.concatenate([points.max(0) - half, -points.min(0) - half])
        assert (reach < 0.5).all() and (reach > -1.5).all(), (
            number,
            reach,
        )  # a pixel's centre is half of it inside
        turn = np.abs([math.cos(scene.box[4]), math.sin(scene.box[4])])
        extent = np.array([turn @ scene.box[2:4], turn[::-1] @ scene.box[2:4]]) / 2
        assert (scene.box[:2] >= extent - 1e-9).all() and (scene.box[:2] <= 1 - extent + 1e-9).all()


def test_descriptions_and_hiding(source) -> None:
    """The long side first, the angle in half a turn, most of the object in sight, some of it hidden in many scenes."""
    scenes = [draw_scene(source, (6, 0, number)) for number in range(60)]
    drawn = np.stack([scene.box for scene in scenes])
    ratio = drawn[:, 2] / drawn[:, 3]
    assert (ratio >= 1.3 - 1e-9).all() and (ratio <= 3 + 1e-9).all()
    assert (np.abs(drawn[:, 4]) <= math.pi / 2).all()
    visible = np.array([scene.visible for scene in scenes])
    assert (visible >= 0.6).all() and (visible < 0.95).sum() >= 10


def test_the_object_is_where_its_box_says() -> None:
    """A red rectangle on black: red pixels fill its box, in the directions that the definition gives, and no more."""
    red = np.zeros((30, 50, 4), np.uint8)
    red[..., 0] = red[..., 3] = 255
    source = Source([red], [np.zeros((64, 64, 3), np.uint8)], 0)
    scene = next(
        scene
        for scene in (draw_scene(source, (0, 0, number)) for number in range(99))
        if scene.visible == 1.0 and (scene.picture[..., 0] > 90).sum() < 1.1 * scene.mask.sum()
    )
    points, half = in_frame(scene.picture[..., 0] > 90, scene.box), EDGE * scene.box[2:4] / 2
    assert (np.abs(points) < half + 0.5).all()
    area = EDGE**2 * scene.box[2] * scene.box[3]
    assert abs(len(points) - area) < 0.1 * area


@pytest.mark.slow
def test_processes_draw_the_same(source) -> None:
    """Two processes give the pixels of one, in the order of one, and tell how far they are."""
    told: list = []
    alone = draw_scenes({"fit": source, "select": source}, {"fit": 600, "select": 20}, processes=1)
    shared = draw_scenes(
        {"fit": source, "select": source}, {"fit": 600, "select": 20}, processes=2, observer=told.append
    )
    for name in ("fit", "select"):
        for one, two in zip(alone[name], shared[name], strict=True):
            assert (one == two).all()
    assert [event["done"] for event in told] == [500, 600, 620] and told[-1]["total"] == 620


# ------------------------------------------------------------------------------------------------ proxy loss


def random_boxes(count: int, seed: int) -> torch.Tensor:
    """Boxes of any angle, float64."""
    draws = torch.rand(count, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.cat([draws[:, :2], 0.1 + 0.4 * draws[:, 2:4], 7 * (draws[:, 4:] - 0.5)], 1)


@pytest.mark.parametrize("half_turns", [-3, -1, 0, 1, 2])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_proxy_is_blind_to_the_description(half_turns, swapped) -> None:
    """0 at equality, and the same value for (w, h, t), (h, w, t + pi/2) and whole half turns of either box."""
    one, other = random_boxes(50, 0), random_boxes(50, 1)
    again = one.clone()
    again[:, 4] += half_turns * math.pi
    if swapped:
        again[:, 2:4], again[:, 4] = again[:, 2:4].flip(1), again[:, 4] + math.pi / 2
    assert_close(smooth_l1_box_loss(again, one), torch.zeros(50, dtype=torch.float64), rtol=0, atol=1e-12)
    value = smooth_l1_box_loss(one, other)
    assert_close(smooth_l1_box_loss(again, other), value)
    assert_close(smooth_l1_box_loss(other, again), smooth_l1_box_loss(other, one))
    assert (value > 0).all()


def test_the_proxy_by_hand() -> None:
    """Small differences are squared, large ones count by their size; the angle goes the shorter way."""
    target = torch.tensor([[0.5, 0.5, 0.4, 0.1, 1.5]], dtype=torch.float64)
    output = torch.tensor([[0.5 + 0.2 * 0.05, 0.5, 0.4 * math.e, 0.1, 1.55 - math.pi]], dtype=torch.float64)
    expected = 0.05**2 / 0.2 + (1 - 0.05) + 0.05**2 / 0.2
    assert_close(smooth_l1_box_loss(output, target), torch.tensor([expected], dtype=torch.float64))


def test_the_proxy_has_a_right_and_finite_gradient() -> None:
    """It is the slope of the value; and finite for sides of 0, equal boxes and a square."""
    outputs, targets = random_boxes(20, 2).requires_grad_(), random_boxes(20, 3)
    assert torch.autograd.gradcheck(lambda boxes: smooth_l1_box_loss(boxes, targets), (outputs,))
    hard = torch.tensor([[0.5, 0.5, 0.0, 0.1, 0.0], [0.2, 0.3, 0.2, 0.2, 0.0], [9.0, -9.0, 1e6, 1e-9, 1e4]])
    hard.requires_grad_()
    target = torch.tensor([[0.5, 0.5, 0.3, 0.1, 0.7], [0.2, 0.3, 0.2, 0.2, 0.0], [0.5, 0.5, 0.3, 0.1, 0.0]])
    loss = smooth_l1_box_loss(hard, target)
    loss.sum().backward()
    assert loss.isfinite().all() and hard.grad.isfinite().all()


def test_the_proxy_refuses_other_shapes() -> None:
    """Four numbers a box are no rotated box."""
    with pytest.raises(InputError, match=r"outputs are \(3, 4\).*\[sample, 5\]"):
        smooth_l1_box_loss(torch.zeros(3, 4), torch.zeros(3, 4))


# --------------------------------------------------------------------------------------------------- network


def test_the_network_gives_boxes_sample_by_sample() -> None:
    """Positive sides, angles within half a turn, and no sample depends on the others of its batch."""
    network = BoxNetwork().eval()
    pictures = torch.randint(
        0, 256, (6, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    found = network(pictures)
    assert (found[:, 2:4] > 0).all() and (found[:, 4].abs() <= math.pi / 2).all()
    assert_close(network(pictures[2:3]), found[2:3], rtol=1e-5, atol=1e-5)
    assert 200_000 <= sum(parameter.numel() for parameter in network.parameters()) <= 400_000


def test_a_network_without_a_direction_has_a_finite_gradient() -> None:
    """(cos 2t, sin 2t) = (0, 0) has no angle: the value is a number and so is the gradient."""
    network = BoxNetwork()
    last = network.head[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias[4] = -1.0
    found = network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    smooth_l1_box_loss(found, torch.full((2, 5), 0.3)).sum().backward()
    assert found.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_start_model_of_another_form_is_refused(tmp_path) -> None:
    """No file, or not one of this network: the message says which, and what to do."""
    with pytest.raises(InputError, match=r"start.safetensors cannot be read .*train_boxes"):
        read_start(tmp_path / "start.safetensors")
    (tmp_path / "start.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="SafetensorError"):
        read_start(tmp_path / "start.safetensors")


# ------------------------------------------------------------------------------------------------------ task


def test_splits_share_neither_emoji_nor_vendor(task, emoji) -> None:
    """Fit, select and test: other emoji, other artists."""
    seen = {}
    for name in ("fit", "select", "test"):
        split = getattr(task.splits, name)
        assert len(split.inputs) == SMALL[f"items_{name}"] and split.inputs.dtype == torch.uint8
        parts = [text.rsplit(" (", 1) for text in split.names]
        seen[name] = ({one for one, _ in parts}, {vendor.rstrip(")") for _, vendor in parts})
        assert seen[name][1] <= set(VENDORS[name])
    for one, other in (("fit", "select"), ("fit", "test"), ("select", "test")):
        assert not seen[one][0] & seen[other][0] and not seen[one][1] & seen[other][1]
    rows = pictures_of(emoji, 0)
    for one, other in (("fit", "select"), ("fit", "test"), ("select", "test")):
        assert not set(emoji.label[rows[one]]) & set(emoji.label[rows[other]])
        assert not set(emoji.vendor[rows[one]]) & set(emoji.vendor[rows[other]])


def test_photographs_share_no_pixel() -> None:
    """The strips of the three splits lie side by side and are the whole photograph."""
    widths = [sum(photographs(name)[place].shape[1] for name in VENDORS) for place in (0, 1)]
    assert widths == [640, 640]


@pytest.mark.slow
def test_the_cache_is_used_and_repaired(task, cache, monkeypatch) -> None:
    """The second time nothing is drawn; a damaged file is told of and drawn again."""

    def refuse(*_arguments, **_settings):
        raise AssertionError("drawn again")

    with monkeypatch.context() as patched:
        patched.setattr(boxes_sets, "draw_scenes", refuse)
        again = boxes.load({**SMALL, "cache": cache})
    assert again.facts == task.facts and again.splits.select.digest == task.splits.select.digest
    path = next(cache.glob("boxes-*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    told: list = []
    repaired = boxes.load({**SMALL, "cache": cache}, told.append)
    assert any("drawn again" in event.get("text", "") for event in told)
    assert any(event["event"] == "progress" and event["unit"] == "scene" for event in told)
    assert repaired.splits.fit.digest == task.splits.fit.digest


def test_a_cache_that_cannot_be_written(tmp_path) -> None:
    """A file where the folder should be: the message names it."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(InputError, match=r"cannot be kept in .*cache.*METRICGRAD_CACHE"):
        boxes.load({**SMALL, "cache": tmp_path / "cache"})


def test_the_start_model_beats_the_constant_box(task) -> None:
    """On a sample of select; the constant box is the best of 100 boxes of fit."""
    select, fit = task.splits.select, task.splits.fit
    network = task.model(0)
    assert not network.training
    with torch.no_grad():
        found = rotated_iou(network(select.inputs), select.targets).mean()
    constant = max(
        float(rotated_iou(box.expand_as(select.targets), select.targets).mean()) for box in fit.targets
    )
    assert constant < 0.4 and found > constant + 0.2


def test_the_task_is_ready_to_tune(task) -> None:
    """A trained start, a metric and a kind that reads boxes as they stand; batches of fit depend on the epoch."""
    assert task.start_plan is None and task.metric == "rotated_iou"
    outputs = torch.rand(3, 5)
    assert_close(task.kind.decode(outputs), outputs)
    for one, other in zip(task.model(0).parameters(), task.model(1).parameters(), strict=True):
        assert_close(one, other)
    fit = task.splits.fit
    first = next(iter(fit))[1]
    fit.set_epoch(1)
    assert first.shape == (16, 5) and (next(iter(fit))[1] != first).any()
    assert len(fit.rebatch(8)) == 5 and fit.rebatch(8).shuffle


def test_unknown_options_are_refused(cache) -> None:
    """A misspelt option is an error."""
    with pytest.raises(ValueError, match="item_fit"):
        boxes.load({"item_fit": 5, "cache": cache})


def test_drawn_boxes(task) -> None:
    """Target and predictions in their colours, where the boxes are; without boxes it is the gallery's picture."""
    select = task.splits.select
    shown = {"target": select.targets[[3, 5]], "after": select.targets[[3, 5]].clone()}
    shown["after"][:, :2] = 0.5
    plain, drawn = select.drawn([3, 5], {}), select.drawn([3, 5], shown)
    assert plain == select.pictures([3, 5]) and len(drawn) == 2
    for row in (0, 1):
        before, after = (
            np.asarray(Image.open(io.BytesIO(pages[row]))).astype(int) for pages in (plain, drawn)
        )
        assert before.shape == after.shape == (256, 256, 3)
        blue = (after == (0x1F, 0x7F, 0xC4)).all(2)
        rows, columns = blue.nonzero()
        assert abs(rows.mean() - 128) < 4 and abs(columns.mean() - 128) < 4
        assert (after != before).any(2).mean() < 0.4
    with pytest.raises(InputError, match=r"the boxes 'target' are \(1, 5\).*\[2, 5\]"):
        select.drawn([3, 5], {"target": select.targets[:1]})


def test_mirrored_scenes_keep_their_boxes() -> None:
    """A mirrored scene with its mirrored box: what lay inside still does; the draws hang on seed and epoch alone."""
    torch.manual_seed(0)
    picture = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    box = torch.tensor([[0.4, 0.6, 0.5, 0.125, 0.4]])
    rows, columns = torch.meshgrid(*[(torch.arange(64) + 0.5) / 64] * 2, indexing="ij")

    def inside(one: torch.Tensor) -> torch.Tensor:
        x, y = columns - one[0], rows - one[1]
        along = one[4].cos() * x + one[4].sin() * y
        across = one[4].cos() * y - one[4].sin() * x
        return (along.abs() <= one[2] / 2) & (across.abs() <= one[3] / 2)

    picture[0, :, inside(box[0])] = 255
    split = BoxScenes(picture.repeat(16, 1, 1, 1), box.repeat(16, 1), batch=16, shuffle=True, mirror=True)
    ((pictures, mirrored),) = list(split)
    seen = set()
    for one, its_box in zip(pictures, mirrored, strict=True):
        drawn = one[0] > 0
        assert (drawn != inside(its_box)).float().mean() < 0.005  # pixels on the edge
        seen.add(drawn.numpy().tobytes())
    assert len(seen) > 4
    split.set_epoch(0)
    again = next(iter(split))
    assert torch.equal(again[0], pictures) and torch.equal(again[1], mirrored)
    split.set_epoch(1)
    assert not torch.equal(next(iter(split))[0], pictures)
    assert split.rebatch(4).mirror and split.digest != BoxScenes(picture, box).digest
