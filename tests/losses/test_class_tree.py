"""Trees of classes: four ways to name one, rings, and what is no tree."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.losses import ClassTree, complement_entropy_loss, hierarchical_complement_entropy_loss
from metricgrad.losses.class_tree import read_tree

NESTED = [[0, 3], [1, [2, 4]], 5]
PATHS = [["a", 0], ["b", 1], ["b", "a", 2], ["a", 3], ["b", "a", 4], [5]]
PARENTS = [-1, 0, 0, 2, 0, 1, 1, 2, 3, 3, 0]
"""Node 1 is the first group, 2 the second, 3 the one within; 4 is class 5, and 10 has no class."""
LEAVES = [5, 7, 8, 6, 9, 4]


def losses(tree: ClassTree, seed: int = 0) -> Tensor:
    """The loss of every class as target, of logits of any size."""
    logits = (
        3 * torch.randn(tree.classes, tree.classes, generator=torch.Generator().manual_seed(seed)).double()
    )
    return hierarchical_complement_entropy_loss(logits, torch.arange(tree.classes), tree=tree)


def test_four_ways_name_one_tree() -> None:
    """Nested lists, paths, parents, and groups where there are two levels; as arrays, too."""
    rings = ClassTree.from_nested(NESTED)
    assert repr(rings) == "ClassTree(6 classes, 3 levels)"
    for other in (
        ClassTree.from_paths(PATHS),
        ClassTree.from_parents(PARENTS, LEAVES),
        ClassTree.from_parents(torch.tensor(PARENTS), np.array(LEAVES)),
    ):
        assert [other.rings(one) for one in range(6)] == [rings.rings(one) for one in range(6)]
        assert torch.equal(losses(other), losses(rings))
    groups = ClassTree.from_nested([[0, 2], [1, 3, 4]])
    for labels in (
        [0, 1, 0, 1, 1],
        ["x", "y", "x", "y", "y"],
        torch.tensor([7, 2, 7, 2, 2]),
        np.array([1, 0, 1, 0, 0]),
    ):
        assert torch.equal(losses(ClassTree.from_groups(labels)), losses(groups))


@pytest.mark.parametrize("tree", [NESTED, [0, 1, 2], [[0], [1], [2, 3]], [[[0, 1]], [2, [3, [4]]]]])
def test_rings_part_the_wrong_classes(tree: list[Any]) -> None:
    """Every other class is in one ring."""
    found = ClassTree.from_nested(tree)
    for target in range(found.classes):
        rings = found.rings(target)
        assert sorted(one for ring in rings for one in ring) == [
            one for one in range(found.classes) if one != target
        ]


def test_a_node_is_its_place() -> None:
    """Equal labels under different parents are different nodes."""
    tree = ClassTree.from_paths([["a", "x", 0], ["a", "x", 1], ["b", "x", 2], ["b", "x", 3]])
    assert tree.rings(0) == [[2, 3], [], [1]]


def test_a_flat_tree_is_complement_entropy() -> None:
    """With any normalizer."""
    logits, targets = (
        torch.randn(4, 5, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 4, 2, -100]),
    )
    for normalizer in ("support", "log_support", "released", "none"):
        flat = complement_entropy_loss(logits, targets, normalizer=normalizer)
        tree = hierarchical_complement_entropy_loss(
            logits, targets, tree=[0, 1, 2, 3, 4], normalizer=normalizer
        )
        torch.testing.assert_close(tree, flat)


def test_an_only_child_changes_nothing() -> None:
    """A chain of nodes with one child each adds empty rings."""
    tree = ClassTree.from_nested([[0, 3], [1, [2, 4]], 5])
    for chained in ([[[[0, 3]], [1, [2, 4]], 5]], [[0, [[3]]], [[[1], [2, [4]]]], [5]]):
        torch.testing.assert_close(losses(ClassTree.from_nested(chained)), losses(tree))


def test_a_constant_on_one_ring_changes_nothing() -> None:
    """Rings do not meet: neither in value nor in gradient."""
    tree = ClassTree.from_nested(NESTED)
    logits = torch.randn(
        1, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).requires_grad_()
    first = hierarchical_complement_entropy_loss(logits, torch.tensor([2]), tree=tree)
    for ring in tree.rings(2):
        moved = logits.detach().clone()
        moved[:, ring] += 30
        again = hierarchical_complement_entropy_loss(moved.requires_grad_(), torch.tensor([2]), tree=tree)
        torch.testing.assert_close(again, first)
        torch.testing.assert_close(
            torch.autograd.grad(again.sum(), moved)[0],
            torch.autograd.grad(first.sum(), logits, retain_graph=True)[0],
        )


def test_plain_lists_are_read_once() -> None:
    """A loss is called at every step with the same settings."""
    assert read_tree("loss", [[0, 1], [2]], None) is read_tree("loss", [[0, 1], [2]], None)
    assert read_tree("loss", None, [0, 0, 1]) is read_tree("loss", None, np.array([0, 0, 1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassTree.from_nested([]), "empty list"),
        (lambda: ClassTree.from_nested([[0, 1], []]), r"\[1\] is an empty list"),
        (lambda: ClassTree.from_nested([[0, 1], [1]]), "class 1 comes twice"),
        (lambda: ClassTree.from_nested([[0, 1], [3]]), "class 2 is missing"),
        (lambda: ClassTree.from_nested([["cat"], [0]]), "a leaf is 'cat'"),
        (lambda: ClassTree.from_nested([[0, True]]), "a leaf is True"),
        (lambda: ClassTree.from_groups([]), "no classes"),
        (lambda: ClassTree.from_groups("aab"), "a list"),
        (lambda: ClassTree.from_groups([[0], [1]]), r"a node is \[0\]"),
        (lambda: ClassTree.from_paths([["a", 0], []]), "path of class 1 is empty"),
        (lambda: ClassTree.from_paths([["a", 0], ["a", 0]]), "leaf 0 is that of class 0 and of class 1"),
        (lambda: ClassTree.from_paths([["a"], ["a", "b"]]), "leaf of class 0 has a node 'b' below it"),
        (lambda: ClassTree.from_parents([-1, -1, 0], [2]), r"roots are the nodes \[0, 1\]"),
        (lambda: ClassTree.from_parents([1, 0], [0]), "no node has the parent -1"),
        (lambda: ClassTree.from_parents([-1, 3, 1, 2], [0]), "node 1 is on a circle"),
        (lambda: ClassTree.from_parents([-1, 9], [1]), "parent of node 1 is 9"),
        (lambda: ClassTree.from_parents([-1, 0, 1], [1, 2]), "class 0 is at node 1, which has children"),
        (lambda: ClassTree.from_parents([-1, 0], [0]), "class 0 is at node 0"),
        (lambda: ClassTree.from_parents([-1, 0], [5]), "class 0 is at node 5"),
        (lambda: ClassTree.from_parents([-1, 0, 0], [1, 1]), "class 0 and of class 1"),
        (lambda: read_tree("loss", None, [{}, 1]), "groups are"),
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(make: Callable[[], ClassTree], message: str) -> None:
    """The message names the node or class."""
    with pytest.raises(InputError, match=message):
        make()
