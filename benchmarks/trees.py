"""Boosted trees of scikit-learn on the splits of a task: an outside reference for networks.

`HistGradientBoostingClassifier` with its default settings, with or without early stopping. The trees read the numbers
that the network reads, pictures as rows of pixels.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad.tasks.task import Task

__all__ = ["TreeScores", "spread", "tree_scores"]


class TreeScores(NamedTuple):
    """What the trees say of the items of each split.

    Attributes:
        select: probabilities [item, class].
        test: the same; None where test stays closed.
    """

    select: Float[Tensor, "item class"]
    test: Float[Tensor, "item class"] | None


def tree_scores(
    task: Task, *, early_stopping: bool, seed: int = 0, test: bool = False, rounds: int = 100
) -> TreeScores:
    """Grow trees on fit and return their probabilities.

    Args:
        task: its splits hold tensors.
        early_stopping: whether a tenth of fit is held back to see when to stop.
        seed: of that tenth; without early stopping nothing is drawn.
        test: whether the test split is opened.
        rounds: of boosting, at most; scikit-learn's default.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    fit: Any = task.splits.fit
    made: Any = HistGradientBoostingClassifier  # its annotations know `early_stopping` as a text alone
    trees = made(max_iter=rounds, early_stopping=early_stopping, random_state=seed)
    trees.fit(fit.inputs.flatten(1).numpy(), fit.targets.numpy())
    of_test = _probabilities(trees, task.splits.test) if test else None
    return TreeScores(_probabilities(trees, task.splits.select), of_test)


def _probabilities(trees: Any, split: Any) -> Float[Tensor, "item class"]:
    given = torch.from_numpy(trees.predict_proba(split.inputs.flatten(1).numpy()))
    return spread(given, torch.from_numpy(trees.classes_).long())


def spread(given: Float[Tensor, "item known"], classes: Int[Tensor, "known"]) -> Float[Tensor, "item class"]:
    """Return a column for each class up to the largest of fit; a class that fit lacks has probability 0.

    Args:
        given: probabilities of the classes that fit has.
        classes: their numbers.
    """
    whole = torch.zeros(len(given), 1 + int(classes.max()), dtype=given.dtype)
    return whole.index_copy(1, classes, given)
