"""The task emoji_categories: who is in which split, at each level; and one short run with the hierarchy."""

import re

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.metrics import adapt, expected_cost
from metricgrad.tasks import emoji_categories, emoji_features
from metricgrad.tasks.emoji_pictures import load_pictures
from metricgrad.tune import ArraySplit, Plan, Splits, tune

LEVELS = {"categories": 9, "subcategories": 97, "emoji": 1389}


@pytest.fixture(scope="module", autouse=True)
def drawn():
    """The embedded pictures, and every eighth pixel in place of the backbone's features."""

    def pixels(pictures: np.ndarray, **_: object) -> torch.Tensor:
        coarse = pictures[:, 4::8, 4::8].reshape(len(pictures), -1)
        return torch.from_numpy(coarse.astype(np.float32) / 255)

    pictures = load_pictures()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(emoji_features, "efficientnet_lite0_features", pixels)
        patched.setattr(emoji_categories, "load_pictures", lambda: pictures)
        yield pictures


@pytest.fixture(scope="module")
def tasks(drawn):
    """The task at each level."""
    return {level: emoji_categories.load({"level": level}) for level in LEVELS}


@pytest.mark.parametrize("level", ["categories", "subcategories"])
def test_splits_are_disjoint_by_emoji(tasks, drawn, level) -> None:
    """All drawings of an emoji are on one side, and in one group; together they are all but the regional indicators."""
    splits = tasks[level].splits
    emoji = {name: set(splits.groups[name].tolist()) for name in ("fit", "select", "test")}
    assert not emoji["fit"] & emoji["select"] and not (emoji["fit"] | emoji["select"]) & emoji["test"]
    assert sum(map(len, emoji.values())) == 1389
    found = sum(len(getattr(splits, name).targets) for name in emoji)
    left_out = {name for name in drawn.names if re.match("1f1(e[6-9a-f]|f.) ", name)}
    assert found == sum(drawn.names[label] not in left_out for label in drawn.label)
    assert len(splits.fit.targets.unique()) == LEVELS[level]


def test_categories_and_subcategories_have_the_same_splits(tasks) -> None:
    """And the category of a picture is that of its subcategory."""
    coarse, fine = (tasks[level].splits.select for level in ("categories", "subcategories"))
    torch.testing.assert_close(coarse.inputs, fine.inputs)
    paths = emoji_categories.tree("subcategories").paths
    names = emoji_categories.tree("categories").names
    assert [names[row] for row in coarse.targets.tolist()] == [paths[row][0] for row in fine.targets.tolist()]


def test_emoji_are_divided_by_vendor(tasks) -> None:
    """One vendor is select, one is test, each emoji once; all are in fit."""
    splits = tasks["emoji"].splits
    vendors = {
        name: {text.rsplit(" (", 1)[1] for text in getattr(splits, name).names}
        for name in ("fit", "select", "test")
    }
    assert vendors["select"] == {"twemoji)"} and vendors["test"] == {"fluent-emoji-flat)"}
    assert len(vendors["fit"]) == 4 and not vendors["fit"] & (vendors["select"] | vendors["test"])
    assert splits.groups is None and len(splits.fit.targets.unique()) == LEVELS["emoji"]
    for name in ("select", "test"):
        targets = getattr(splits, name).targets
        assert len(targets.unique()) == len(targets)


@pytest.mark.parametrize("level", LEVELS)
def test_the_tree_has_the_classes_of_the_network(tasks, level) -> None:
    """As many as outputs, and its distances are costs of decisions."""
    known, task = emoji_categories.tree(level), tasks[level]
    with torch.no_grad():
        outputs = task.model(0).eval()(task.splits.select.inputs[:50])
    assert outputs.shape[1] == len(known.names) == LEVELS[level]
    targets, apart = task.splits.select.targets[:50], known.distances()
    wanted = apart[targets, outputs.argmax(1)].mean()
    torch.testing.assert_close(expected_cost(outputs, targets, cost=apart), wanted)


def test_the_costs_are_read_from_a_file(tasks, tmp_path) -> None:
    """As the command line has them."""
    known, split = emoji_categories.tree("subcategories"), tasks["subcategories"].splits.select
    (tmp_path / "distances.txt").write_text(known.costs())
    metric = adapt(f"expected_cost:cost={tmp_path / 'distances.txt'}")
    decided = torch.zeros_like(split.targets)
    found = metric.summarise(metric.measure(decided, split.targets))
    assert float(found) == pytest.approx(float(known.distances()[split.targets, 0].mean()))


def test_options(tasks) -> None:
    """A hidden layer; vendors that are there, and two of them; nothing else."""
    network = emoji_categories.load({"level": "categories", "hidden": 8}).model(0)
    assert [layer.out_features for layer in network.modules() if isinstance(layer, torch.nn.Linear)] == [8, 9]
    with pytest.raises(InputError, match=r"there is no vendor 'twemojy'.*twemoji"):
        emoji_categories.load({"level": "emoji", "select_vendor": "twemojy"})
    with pytest.raises(InputError, match="two vendors"):
        emoji_categories.load({"level": "emoji", "select_vendor": "noto", "test_vendor": "noto"})
    with pytest.raises(ValueError, match="levels"):
        emoji_categories.load({"levels": "emoji"})


def test_a_short_run_with_the_hierarchy(tasks, tmp_path) -> None:
    """The method of the task trains, and the distances are measured beside it."""
    task, seen = tasks["subcategories"], []
    (tmp_path / "distances.txt").write_text(emoji_categories.tree("subcategories").costs())
    fit, select = (
        ArraySplit(one.inputs[:64], one.targets[:64]) for one in (task.splits.fit, task.splits.select)
    )
    result = tune(
        task.model,
        Splits(fit, select),
        metric=task.metric,
        proxy=task.proxy,
        method=task.method,
        settings=task.settings,
        side_metrics=[f"expected_cost:cost={tmp_path / 'distances.txt'}"],
        may_fall=9.0,
        plan=Plan(steps=2, evaluate_every=1, resamples=20),
        start_plan=Plan(steps=2, evaluate_every=1),
        folder=tmp_path / "run",
        observer=seen.append,
    )
    assert result.event("verdict") is not None
    assert any("hierarchical" in str(event) for event in seen)
