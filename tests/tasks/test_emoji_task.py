"""The task emoji: who meets whom in fit, select and test; and one whole run of it with the real backbone."""

import json

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.tasks import emoji, emoji_features
from metricgrad.tasks.emoji_pictures import EmojiPictures, load_pictures
from metricgrad.tasks.emoji_views import VIEWS
from metricgrad.tune import Splits


@pytest.fixture(scope="module")
def drawn() -> EmojiPictures:
    """The embedded pictures, read once for all tests here."""
    return load_pictures()


@pytest.fixture(autouse=True)
def _pixels_as_features(request, monkeypatch, drawn) -> None:
    """The division does not depend on the backbone: 8 x 8 pixels serve in its place, but for the whole run."""
    if "backbone" in request.keywords:
        return

    monkeypatch.setattr(emoji_features, "efficientnet_lite0_features", pixels)
    monkeypatch.setattr(emoji, "load_pictures", lambda path: drawn)


def pixels(pictures: np.ndarray, **_: object) -> torch.Tensor:
    """Every eighth pixel."""
    coarse = pictures[:, 4::8, 4::8].reshape(len(pictures), -1)
    return torch.from_numpy(coarse.astype(np.float32) / 255)


def classes(splits: Splits) -> dict[str, set[int]]:
    """The classes of each split."""
    return {name: set(getattr(splits, name).targets.tolist()) for name in ("fit", "select", "test")}


def test_classes_are_disjoint_and_whole(drawn) -> None:
    """Fit, select and test share no class, and together hold every picture; `views: 1` has no views."""
    splits = emoji.load({"views": 1}).splits
    assert splits.fit.views is None
    found = classes(splits)
    assert {name: len(value) for name, value in found.items()} == {"fit": 637, "select": 212, "test": 566}
    assert not found["fit"] & found["select"]
    assert not found["test"] & (found["fit"] | found["select"])
    assert sum(len(getattr(splits, name).targets) for name in found) == len(drawn.label)


@pytest.mark.parametrize("number", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 2))])
def test_development_never_sees_a_test_class(number: int) -> None:
    """Settings are chosen on the classes of fit and select alone."""
    real, development = (
        classes(emoji.load({"views": 1, **options}).splits) for options in ({}, {"development": number})
    )
    seen = set.union(*development.values())
    assert seen == real["fit"] | real["select"]
    assert not seen & real["test"]
    assert sum(len(value) for value in development.values()) == len(seen)


def test_views_are_those_of_the_fit_pictures(drawn) -> None:
    """Row i of a view is picture i of fit in that view; the other splits are shown as they were drawn."""
    pictures, fit = drawn, emoji.load({"views": 2}).splits.fit
    rows = np.flatnonzero(np.isin(pictures.label, fit.targets.unique().numpy()))
    torch.testing.assert_close(fit.inputs, pixels(pictures.pictures[rows]), rtol=0, atol=0)
    seen = pixels(VIEWS[0].of(pictures.pictures[rows]))
    torch.testing.assert_close(fit.views, seen[None], rtol=0, atol=0)


@pytest.mark.slow
def test_the_features_are_named_by_their_views_and_blocks() -> None:
    """A run that is resumed refuses features of other views, blocks or viewed classes."""
    options = ({}, {"views": 2}, {"views": 1}, {"blocks": [15]}, {"development": 0}, {"split_seed": 1})
    keys = [emoji.load(one).facts["features"] for one in options]
    assert len(set(keys)) == len(options)
    assert emoji.load({"development": 3}).facts["features"] == keys[4]  # computed once for all divisions


@pytest.mark.slow
def test_left_out_vendor_is_met_at_test_only(drawn) -> None:
    """Its drawings are the queries, the other vendors' drawings of the test classes are searched."""
    pictures = drawn
    splits = emoji.load({"leave_out": "fxemoji", "views": 1}).splits
    left = pictures.vendors.index("fxemoji")
    expected = int((pictures.vendor == left)[np.isin(pictures.label, list(classes(splits)["test"]))].sum())
    assert len(splits.test.targets) == expected
    assert all("(fxemoji)" in name for name in splits.test.names)
    assert not any("(fxemoji)" in name for name in splits.test.reference.names + splits.select.names)
    total = sum(len(part.targets) for part in (splits.fit, splits.select, splits.test.reference))
    assert total == int((pictures.vendor != left).sum())


def test_unknown_vendor_is_named_with_the_nearest() -> None:
    """A typing error gets a suggestion."""
    with pytest.raises(InputError, match="Did you mean 'twemoji'"):
        emoji.load({"leave_out": "twemojy", "views": 1})


def test_pictures_of_the_gallery_are_those_of_the_split(drawn) -> None:
    """Index i of a split shows picture i of that split."""
    from io import BytesIO

    from PIL import Image

    pictures = drawn
    test = emoji.load({"views": 1}).splits.test
    (png,) = test.pictures([5])
    shown = np.asarray(Image.open(BytesIO(png)))
    matches = [
        index for index in range(len(pictures.label)) if np.array_equal(pictures.pictures[index], shown)
    ]
    assert int(test.targets[5]) in pictures.label[matches]


@pytest.mark.slow
@pytest.mark.backbone
@pytest.mark.parametrize("leave_out", [None, pytest.param("fxemoji", marks=pytest.mark.nightly)])
def test_short_run_with_the_real_backbone(tmp_path, leave_out) -> None:
    """Features, start, both arms, verdict, weights, report: the main job, cut short."""
    from metricgrad import tune
    from metricgrad.tune import Plan

    task = emoji.load({} if leave_out is None else {"leave_out": leave_out})
    result = tune(
        task.model,
        task.splits,
        metric=task.metric,
        proxy=task.proxy,
        plan=Plan(steps=4),
        start_plan=Plan(steps=30, evaluate_every=15),
        folder=tmp_path / "run",
        facts=task.facts,
        task=task.name,
        settings=task.settings,
        proxy_settings=task.proxy_settings,
        start_settings=task.start_settings,
        observer=lambda event: None,
    )
    verdict = result.event("verdict")
    assert verdict is not None
    assert verdict["arms"]["start"]["value"] > 0.45  # far above chance: one in 550 classes
    size = result.report().stat().st_size
    assert size < 2_000_000
    if leave_out is None:
        gallery = json.loads((tmp_path / "run" / "gallery.json").read_text())
        assert {"caption", "better", "worse"} <= set(gallery)
        assert size > 200_000  # with pictures
