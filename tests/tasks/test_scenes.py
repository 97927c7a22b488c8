"""The task scenes: drawing, exact masks, splits, cache, network, and every kind of loss on a class per pixel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from metricgrad.tasks import boxes_sets, scenes, scenes_sets, scenes_sources
from metricgrad.tasks.boxes_scenes import Source, cut_out
from metricgrad.tasks.boxes_sets import pictures_of
from metricgrad.tasks.emoji_pictures import load_pictures
from metricgrad.tasks.emoji_tree import read_tree
from metricgrad.tasks.scenes_drawing import CLASSES, EDGE, ClassSource, draw_masked
from metricgrad.tasks.scenes_network import SceneNetwork
from metricgrad.tasks.scenes_split import MaskSplit
from metricgrad.tune import Contender, Plan, compare

SMALL = {"items_fit": 40, "items_select": 12, "items_test": 8, "batch": 8}


@pytest.fixture(scope="module", autouse=True)
def emoji():
    """The emoji pictures, decoded once for all tests here."""
    pictures = load_pictures()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scenes_sources, "load_pictures", lambda: pictures)
        patched.setattr(boxes_sets, "load_pictures", lambda: pictures)
        yield pictures


@pytest.fixture(scope="module")
def sources():
    """Real cut-outs of every split."""
    return scenes_sources.class_sources(scenes_sources.designs(), 0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A folder for scenes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def task(cache):
    """The task with few scenes."""
    return scenes.load({**SMALL, "cache": cache})


def plain(shades: list[int]) -> ClassSource:
    """One square cut-out of a single shade per class, on black."""
    squares = []
    for shade in shades:
        square = np.full((20, 20, 4), 255, np.uint8)
        square[..., :3] = shade
        squares.append(square)
    source = Source(squares, [np.zeros((64, 64, 3), np.uint8)], 0)
    return ClassSource(source, [np.array([number]) for number in range(len(shades))])


# ---------------------------------------------------------------------------------------------------- drawing


def test_masks_are_exact() -> None:
    """A cut-out of each class has a shade of its own: the mask says which shade a pixel has, but for mixed edges."""
    source = plain([90, 150, 210])
    for number in range(20):
        scene = draw_masked(source, (3, number))
        shade = scene.picture.astype(float).mean(2)
        inside = np.ones((EDGE, EDGE), bool)  # all eight neighbours are of the same class
        padded = np.pad(scene.mask, 1, mode="edge")
        for down in range(3):
            for right in range(3):
                inside &= padded[down : down + EDGE, right : right + EDGE] == scene.mask
        # the brightness of a scene is one factor for all of it: the shades of its classes keep their ratios
        bright = [
            (shade[inside & (scene.mask == one)], wanted) for one, wanted in ((1, 90), (2, 150), (3, 210))
        ]
        factors = [float(found.mean()) / wanted for found, wanted in bright if len(found) > 15]
        assert not factors or max(factors) - min(factors) < 0.06
        assert shade[inside & (scene.mask == 0)].mean() < 8


def test_a_scene_depends_on_its_key_alone(sources) -> None:
    """The same key, the same pixels; another one, others; how many are drawn at once moves nothing."""
    one, same, other = (draw_masked(sources["fit"], key) for key in ((0, 0, 7), (0, 0, 7), (1, 0, 7)))
    assert (one.picture == same.picture).all() and (one.mask == same.mask).all()
    assert (one.picture != other.picture).any() and (one.mask != other.mask).any()
    few = scenes_sets.draw_scenes(sources, {"fit": 8})["fit"]
    assert (few.pictures[7].transpose(1, 2, 0) == one.picture).all() and (few.masks[7] == one.mask).all()


def test_classes_are_unequal(sources) -> None:
    """All seven occur, most is background, and the first category has far more pixels than the last."""
    masks = scenes_sets.draw_scenes(sources, {"fit": 150})["fit"].masks
    shares = np.bincount(masks.ravel(), minlength=len(CLASSES)) / masks.size
    assert len(shares) == len(CLASSES) == 7 and (shares > 0).all()
    assert 0.6 < shares[0] < 0.85 and shares[1] > 2 * shares[-1]


def test_cut_outs_of_a_class_are_of_its_category(emoji, sources) -> None:
    """As many as the split has pictures of the category that are not all ground."""
    tree = read_tree(emoji.names, "categories")
    for name, rows in pictures_of(emoji, 0).items():
        for place, category in enumerate(filter(None, CLASSES.values())):
            mine = rows[tree.class_of[emoji.label[rows]] == tree.names.index(category)]
            assert 0 < len(sources[name].of_class[place]) <= len(mine)


def test_any_shape_can_be_cut_out() -> None:
    """A diagonal stroke, which a task of boxes leaves out, is cut out; a white picture is not."""
    rows, columns = np.mgrid[:64, :64]
    diagonal = np.where(np.abs(rows - columns)[..., None] < 9, 20, 255).astype(np.uint8).repeat(3, 2)
    assert cut_out(diagonal) is None and cut_out(diagonal, any_shape=True) is not None
    assert cut_out(np.full((64, 64, 3), 255, np.uint8), any_shape=True) is None


# ------------------------------------------------------------------------------------------------------- task


def test_shapes_of_the_task(task) -> None:
    """Pictures, masks and logits fit together, and the metric reads them."""
    inputs, targets = next(iter(task.splits.select))
    assert inputs.shape == (12, 3, 48, 48) and inputs.dtype == torch.uint8
    assert targets.shape == (12, 48, 48) and targets.dtype == torch.int64 and int(targets.max()) < 7
    with torch.no_grad():
        assert task.model(0)(inputs).shape == (12, 7, 48, 48)
    assert task.metric == "mean_iou" and task.start_plan is not None


def test_the_cache_is_used(task, cache, monkeypatch) -> None:
    """The second time nothing is drawn."""

    def refuse(*_arguments, **_settings):
        raise AssertionError("drawn again")

    monkeypatch.setattr(scenes_sets, "draw_scenes", refuse)
    again = scenes.load({**SMALL, "cache": cache})
    assert again.facts == task.facts and again.splits.select.digest == task.splits.select.digest


def test_unknown_options_are_refused(cache) -> None:
    """A misspelt option is an error."""
    with pytest.raises(ValueError, match="item_fit"):
        scenes.load({"item_fit": 5, "cache": cache})


def test_mirrored_scenes_keep_their_masks() -> None:
    """Picture and mask are mirrored together, some of them, anew in each epoch."""
    masks = torch.randint(0, 5, (16, 8, 8), generator=torch.Generator().manual_seed(0))
    pictures = masks.unsqueeze(1).repeat(1, 3, 1, 1).to(torch.uint8)
    split = MaskSplit(pictures, masks, batch=16, mirror=True)
    first = next(iter(split))
    assert_close(first[0][:, 0].long(), first[1])
    kept = (first[1] == masks).flatten(1).all(1)
    assert 0 < int(kept.sum()) < 16 and bool((first[1].flip(2) == masks).flatten(1).all(1)[~kept].all())
    split.set_epoch(0)
    assert_close(next(iter(split))[1], first[1])
    split.set_epoch(1)
    second = next(iter(split))[1]
    assert bool((second != first[1]).any())
    assert split.rebatch(4).mirror and split.digest != MaskSplit(pictures, masks, batch=16).digest


def test_the_network_reads_each_scene_alone() -> None:
    """No scene depends on the others of its batch; other sizes are read too."""
    network = SceneNetwork(4).eval()
    pictures = torch.randint(
        0, 256, (3, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    found = network(pictures)
    assert found.shape == (3, 4, 16, 24)
    assert_close(network(pictures[1:2]), found[1:2], rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- losses of a class per pixel

METHODS = {
    "surrogate:lovasz_softmax": {"objective": {"classes": [1, 2, 3, 4, 5, 6]}},
    "surrogate:soft_counts": {"objective": {"formula": "iou"}},
    "surrogate:structural_similarity": {"proxy_weight": 1.0, "objective": {"fraction": 0.2}},
    "surrogate:class_weighted_cross_entropy": {"objective": {"beta": 0.999}},
    "surrogate:soft_confusion": {"objective": {"momentum": 0.5}},
}


@pytest.mark.slow
def test_the_losses_of_pixels_are_compared(task, tmp_path) -> None:
    """Each trains for some steps from one start, and `mean_iou` of select judges them; test is not there."""
    found = compare(
        task.model,
        replace(task.splits, test=None),
        metric=task.metric,
        methods=[Contender(name.split(":")[1], name, settings) for name, settings in METHODS.items()],
        proxy=nn.functional.cross_entropy,
        plan=Plan(steps=2, evaluate_every=1, resamples=20),
        start_plan=Plan(steps=2, evaluate_every=1),
        seeds=(0,),
        folder=tmp_path / "run",
    )
    values = {row.name: row.select for row in found.table}
    assert {name.split(":")[1] for name in METHODS} < set(values)
    assert all(value is not None and 0 < value < 1 for value in values.values())
