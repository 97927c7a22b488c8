"""A tree whose leaves are classes, for losses that know which classes are near to each other.

Depths may differ, and so may sizes of groups. A node is known by its place: equal labels under different parents are
different nodes.
"""

import functools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Integer
from torch import Tensor

from metricgrad._checks import describe, fail

__all__ = ["ClassTree", "read_tree"]

Nested = Sequence[Any]
"""Lists of class numbers and of further such lists: `[[0, 1], [2, [3, 4]]]`."""


@dataclass(frozen=True, eq=False, repr=False)
class ClassTree:
    """A tree of classes; made by `from_nested`, `from_groups`, `from_paths` or `from_parents`.

    Attributes:
        paths: [class, level + 1], the nodes from the root, in column 0, down to the leaf of a class. A leaf above the
            lowest level stands in all columns below it, too.

    Example:
        >>> tree = ClassTree.from_nested([[0, 1], [2, 3, 4]])
        >>> tree
        ClassTree(5 classes, 2 levels)
        >>> tree.rings(2)
        [[0, 1], [3, 4]]
    """

    paths: Integer[Tensor, "class level"]

    def __repr__(self) -> str:
        """Say how large the tree is."""
        return f"ClassTree({self.classes} classes, {self.levels} levels)"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.paths.shape[0]

    @property
    def levels(self) -> int:
        """Number of edges from the root to the lowest leaf."""
        return self.paths.shape[1] - 1

    def rings(self, target: int) -> list[list[int]]:
        """Return the other classes by their distance to a class, the farthest first: a list for each node of its path.

        Ring d holds the classes under node d - 1 of its path that are not under node d. A ring may be empty.
        """
        own, met = self.paths[target].tolist(), self.paths == self.paths[target]
        return [
            (met[:, level] & ~met[:, level + 1]).nonzero().flatten().tolist()
            for level in range(self.levels)
            if own[level] != own[level + 1]
        ]

    @classmethod
    def from_nested(cls, tree: Nested) -> "ClassTree":
        """Make a tree of nested lists; each list is a node, and the numbers from 0 are classes, each exactly once.

        Raises:
            InputError: an empty list; a number that is missing, comes twice or is none; the message names it.

        Example:
            >>> ClassTree.from_nested([0, [1, [2, 3]]]).rings(3)
            [[0], [1], [2]]
        """
        found: dict[int, list[Hashable]] = {}
        waiting: list[tuple[Any, tuple[int, ...]]] = [(_listed(tree), ())]
        while waiting:
            node, place = waiting.pop()
            if isinstance(node, list | tuple):
                if not node:
                    raise fail(
                        "ClassTree", f"the node at {list(place)} is an empty list", "classes under every node"
                    )
                waiting += [(child, (*place, number)) for number, child in enumerate(node)]
                continue
            if isinstance(node, bool) or not isinstance(node, int):
                raise fail("ClassTree", f"a leaf is {describe(node)}", "the number of a class")
            if node in found:
                raise fail("ClassTree", f"class {node} comes twice", "every class once")
            found[node] = list(place)
        for number in range(len(found)):
            if number not in found:
                came = f"class {number} is missing among {len(found)} classes"
                raise fail("ClassTree", came, f"the numbers from 0 to {len(found) - 1}")
        return cls.from_paths([found[number] for number in range(len(found))])

    @classmethod
    def from_groups(cls, groups: Iterable[Any]) -> "ClassTree":
        """Make a tree of two levels of the group of every class: any labels, of any sizes.

        Raises:
            InputError: no classes; a label that cannot be compared.

        Example:
            >>> ClassTree.from_groups(["animal", "animal", "vehicle"]).rings(0)
            [[2], [1]]
        """
        return cls.from_paths([[group, number] for number, group in enumerate(_listed(groups))])

    @classmethod
    def from_paths(cls, paths: Iterable[Any]) -> "ClassTree":
        """Make a tree of the nodes from below the root down to the leaf of every class, by any labels.

        Raises:
            InputError: no classes; an empty path; a class with another one's leaf, or with classes below it.

        Example:
            >>> ClassTree.from_paths([["animal", "cat"], ["animal", "dog"], ["stone"]]).rings(0)
            [[2], [1]]
        """
        numbers: dict[tuple[int, Hashable], int] = {}
        rows: list[list[int]] = []
        leaves: dict[int, int] = {}
        for place, path in enumerate(_listed(paths)):
            row, labels = [0], _listed(path)
            for label in labels:
                try:
                    row.append(numbers.setdefault((row[-1], label), len(numbers) + 1))
                except TypeError as error:
                    raise fail("ClassTree", f"a node is {describe(label)}", "a number or a text") from error
            if not labels:
                raise fail("ClassTree", f"the path of class {place} is empty", "at least its leaf")
            if row[-1] in leaves:
                came = (
                    f"the leaf {describe(labels[-1])} is that of class {leaves[row[-1]]} and of class {place}"
                )
                raise fail("ClassTree", came, "a leaf for every class")
            leaves[row[-1]] = place
            rows.append(row)
        if not rows:
            raise fail("ClassTree", "there are no classes", "at least one")
        for parent, label in numbers:
            if parent in leaves:
                came = f"the leaf of class {leaves[parent]} has a node {describe(label)} below it"
                raise fail("ClassTree", came, "classes at leaves alone")
        deepest = max(map(len, rows))
        return cls(torch.tensor([row + row[-1:] * (deepest - len(row)) for row in rows]))

    @classmethod
    def from_parents(cls, parents: Iterable[Any], leaves: Iterable[Any]) -> "ClassTree":
        """Make a tree of the parent of every node, -1 for the root, and the node of every class.

        Nodes without a class below them are left out.

        Raises:
            InputError: no root or several; a parent that is no node; a circle; a class whose node is none, is the root,
                has children, or is another class's. The message names the node.

        Example:
            >>> ClassTree.from_parents([-1, 0, 0, 1, 1], leaves=[3, 4, 2]).rings(0)
            [[2], [1]]
        """
        above, ends = _listed(parents), _listed(leaves)
        _check_parents(above)
        inner, paths = set(above), []
        for place, leaf in enumerate(ends):
            if leaf not in range(len(above)) or above[leaf] == -1:
                raise fail("ClassTree", f"class {place} is at node {leaf}", "a node below the root")
            if leaf in inner:
                raise fail("ClassTree", f"class {place} is at node {leaf}, which has children", "a leaf")
            path = [leaf]
            while above[above[path[-1]]] != -1:
                path.append(above[path[-1]])
            paths.append(path[::-1])
        return cls.from_paths(paths)


def read_tree(caller: str, tree: ClassTree | Nested | None, groups: Iterable[Any] | None) -> ClassTree:
    """Return the tree that two settings name, of which one is given; lists are read once as long as they are the same.

    Raises:
        InputError: both or neither; what is no tree.
    """
    if (tree is None) == (groups is None):
        came = f"{'neither' if tree is None else 'both'} of tree and groups came"
        raise fail(
            caller, came, "one of them", "For example groups=[0, 0, 1, 1, 1], the group of every class."
        )
    if isinstance(tree, ClassTree):
        return tree
    try:
        return _read(tree is not None, _frozen(groups if tree is None else tree))
    except TypeError as error:
        came = f"{'groups are' if tree is None else 'tree is'} {describe(groups if tree is None else tree)}"
        raise fail(caller, came, "lists of class numbers, or the group of every class") from error


@functools.lru_cache(maxsize=8)
def _read(nested: bool, content: tuple[Any, ...]) -> ClassTree:
    return ClassTree.from_nested(content) if nested else ClassTree.from_groups(content)


def _frozen(content: Any) -> Any:
    """Return nested lists as nested tuples, which can be compared with those of the last call."""
    content = content.tolist() if hasattr(content, "tolist") else content
    return tuple(map(_frozen, content)) if isinstance(content, list | tuple) else content


def _listed(content: Any) -> list[Any]:
    """Return a tensor, an array or anything with an order as a list of plain values."""
    if hasattr(content, "tolist"):
        content = content.tolist()
    if isinstance(content, str) or not isinstance(content, Iterable):
        raise fail("ClassTree", f"{describe(content)} came", "a list")
    return [one.item() if hasattr(one, "item") and getattr(one, "ndim", 1) == 0 else one for one in content]


def _check_parents(above: list[int]) -> None:
    """Raise InputError for parents that make no tree."""
    roots = [node for node, parent in enumerate(above) if parent == -1]
    if len(roots) != 1:
        came = f"the roots are the nodes {roots}" if roots else "no node has the parent -1"
        raise fail("ClassTree", came, "one root")
    for node, parent in enumerate(above):
        if parent not in range(-1, len(above)):
            raise fail(
                "ClassTree", f"the parent of node {node} is {parent!r}", f"-1 or a node below {len(above)}"
            )
    known = {roots[0]}  # nodes that reach the root
    for start in range(len(above)):
        node, walked = start, set()
        while node not in known:
            if node in walked:
                raise fail("ClassTree", f"node {node} is on a circle", "a way from every node to the root")
            walked.add(node)
            node = above[node]
        known |= walked
