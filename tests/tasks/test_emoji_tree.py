"""Categories of the emoji: the table of the package, its licence, the script that writes it, and the tree."""

import importlib.util
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.losses.class_tree import ClassTree
from metricgrad.tasks.emoji_pictures import load_pictures
from metricgrad.tasks.emoji_tree import CATEGORIES, read_tree

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "build_emoji_categories.py"
NAMES = ("1f436 dog face", "1f600 grinning face", "1f1e6 letter a", "1f431 cat face", "1f33b sunflower")


@pytest.fixture(scope="module")
def names():
    """Of the emoji of the package."""
    return load_pictures().names


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("build_emoji_categories", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_emoji_categories"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["build_emoji_categories"]


def test_counts_are_those_of_the_documentation(names) -> None:
    """9 categories, 97 subcategories, 1,389 emoji; only the 26 regional indicators have none."""
    trees = {level: read_tree(names, level) for level in ("categories", "subcategories", "emoji")}
    assert [len(tree.names) for tree in trees.values()] == [9, 97, 1389]
    for tree in trees.values():
        left_out = [names[row] for row in np.flatnonzero(tree.class_of < 0)]
        assert len(left_out) == 26 and all(name.startswith("1f1") for name in left_out)


def test_the_licence_lies_beside_the_table() -> None:
    """With the name of its author, and the attribution names package and licence."""
    text = (CATEGORIES.parent / "licences" / "MIT-emoji-datasource.txt").read_text(encoding="utf-8")
    assert "MIT License" in text and "Cal Henderson" in text and len(text) > 1000
    attribution = (CATEGORIES.parent / "CATEGORIES.md").read_text(encoding="utf-8")
    assert "emoji-datasource" in attribution and "MIT-emoji-datasource.txt" in attribution


def test_levels_agree() -> None:
    """Paths of deeper levels begin with those of coarser ones; an emoji without a category has no class."""
    whole = read_tree(NAMES, "emoji")
    for level, depth in (("categories", 1), ("subcategories", 2)):
        tree = read_tree(NAMES, level)
        for row, name in enumerate(NAMES):
            if name.endswith("letter a"):
                assert tree.class_of[row] == whole.class_of[row] == -1
            else:
                assert tree.paths[tree.class_of[row]] == whole.paths[whole.class_of[row]][:depth]


def test_the_tree_is_that_of_hierarchical_losses() -> None:
    """Nested lists are read as a tree whose rings have the distances."""
    tree = read_tree(NAMES, "emoji")
    rings = ClassTree.from_nested(tree.nested())
    apart = tree.distances()
    dog, cat, sunflower, face = (tree.names.index(NAMES[row]) for row in (0, 3, 4, 1))
    assert rings.rings(dog) == [[face], [sunflower], [cat]]
    assert [float(apart[dog, other]) for other in (dog, cat, sunflower, face)] == [0, 1, 2, 3]
    torch.testing.assert_close(apart, apart.T)
    assert read_tree(NAMES, "categories").nested() == [0, 1]


def test_a_table_that_is_none_is_refused(tmp_path) -> None:
    """No file, or other columns."""
    with pytest.raises(InputError, match=r"cannot be read .*build_emoji_categories"):
        read_tree(NAMES, "emoji", tmp_path / "no.csv")
    (tmp_path / "other.csv").write_text("emoji,colour\nx,red\n")
    with pytest.raises(InputError, match="emoji, category, subcategory"):
        read_tree(NAMES, "emoji", tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="build_emoji_categories"):
        read_tree(NAMES, "emoji", tmp_path / "empty.csv")


def test_code_points_are_matched(script) -> None:
    """Whatever the case, leading zeros and variation selectors; unknown ones are left out."""
    table = [
        {"unified": "0023-FE0F-20E3", "non_qualified": "0023-20E3", "category": "A", "subcategory": "a"},
        {"unified": "1F600", "non_qualified": None, "category": "B", "subcategory": "b"},
    ]
    found = script.categories_of(["1f600 grinning face", "0023-20e3 keycap pound", "1f1e6 letter a"], table)
    assert found == [("1f600 grinning face", "B", "b"), ("0023-20e3 keycap pound", "A", "a")]


def test_another_tarball_is_refused(script, tmp_path, capsys) -> None:
    """Its checksum is not the known one."""
    (tmp_path / "emoji.json").write_text(json.dumps([]))
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        archive.add(tmp_path / "emoji.json", "package/emoji.json")
    assert script.main(["--tarball", str(tmp_path / "other.tgz"), "--out", str(tmp_path)]) == 2
    assert "sha256" in capsys.readouterr().err and not (tmp_path / "categories.csv").exists()
