"""Rows in two parts: one that a rule is fitted to, one that judges it. Every class goes to both, a group to one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._labels import number_labels
from metricgrad._types import Metric
from metricgrad.cli.scored import Scored, read_scored, said_of, scored_as
from metricgrad.errors import InputError

__all__ = ["held_out", "parts"]


def parts(exact: Metric, given: Mapping[str, Any]) -> tuple[Scored, Scored, str]:
    """Read the rows that fit a rule and the rows that judge it, and say how they were parted.

    Args:
        exact: the metric.
        given: the options of the command by name.

    Raises:
        InputError: an option or a file does not fit.
    """
    said, of = said_of(given), {name: given[name] for name in ("groups", "ids")}
    fraction = given["test_fraction"]
    asked = {"positive_class": given["positive_class"], "rule": given["rule"]}
    scored = read_scored(given["predictions"], said, exact, **asked, **of)
    if given["test"] is not None:
        if fraction is not None:
            raise InputError("decide: --test-fraction came with --test; expected one of them.")
        judged = scored_as(given["test"], said, scored.names, target=True, **of)
        _require_others(scored, judged)
        return scored, judged, f"those of {given['test']}"
    fraction = 0.5 if fraction is None else fraction
    if not 0 < fraction < 1:
        raise InputError(
            f"decide: --test-fraction is {fraction}; expected a share between 0 and 1, such as 0.5."
        )
    assert scored.targets is not None  # it was read with them
    judging = held_out(scored.targets, scored.groups, fraction, given["seed"])
    how = "class" if scored.groups is None else f"{given['groups']}, which is never parted, and class"
    pool, judged = (scored.of(rows.nonzero()[:, 0]) for rows in (~judging, judging))
    return pool, judged, f"parted at random by {how}; seed {given['seed']}"


def _require_others(pool: Scored, judged: Scored) -> None:
    """Raise InputError where the rows that judge a rule are those that fit it: its value there is no evidence."""
    if torch.equal(pool.scores, judged.scores):
        raise InputError(
            f"decide: {judged.path} has the scores of {pool.path}, row by row; expected other rows, which the rule is "
            "not fitted to. Leave --test out: then half of the rows judge."
        )


def held_out(targets: Tensor, groups: Sequence[Any] | None, fraction: float, seed: int) -> Tensor:
    """Draw which rows judge [row], a share of every class as equal as can be; a group is never parted.

    Args:
        targets: class numbers [row].
        groups: of each row; None: every row for itself.
        fraction: of the rows.
        seed: of the draw.

    Raises:
        InputError: a part would be empty.

    Example:
        >>> chosen = held_out(torch.tensor([0, 0, 0, 0, 1, 1]), None, 0.5, seed=0)
        >>> int(chosen[:4].sum()), int(chosen[4:].sum())
        (2, 1)
    """
    truth, random = targets.numpy(), np.random.default_rng(seed)
    if groups is None:
        chosen = _of_rows(truth, fraction, random)
    else:
        chosen = _of_groups(
            truth, number_labels("decide", {"groups": groups}).codes[0].numpy(), fraction, random
        )
    if chosen.all() or not chosen.any():
        part = "fit the rule" if chosen.all() else "judge it"
        what = f"{len(chosen):,} rows" if groups is None else f"{len(set(groups)):,} groups"
        raise InputError(
            f"--test-fraction is {fraction} and there are {what}, so that none is left to {part}; expected rows in "
            "both."
        )
    return torch.from_numpy(chosen)


def _of_rows(truth: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Class by class, in a random order within each, evenly spaced rows."""
    order = np.lexsort((random.random(len(truth)), truth))
    steps = np.floor(np.arange(len(truth) + 1) * fraction + 1e-9)
    chosen = np.zeros(len(truth), dtype=bool)
    chosen[order[np.diff(steps) > 0]] = True
    return chosen


def _of_groups(
    truth: np.ndarray, member: np.ndarray, fraction: float, random: np.random.Generator
) -> np.ndarray:
    """The largest groups first, each to the part that lacks more of its classes."""
    classes, many = int(truth.max()) + 1, int(member.max()) + 1
    counts = np.zeros((many, classes))
    np.add.at(counts, (member, truth), 1)
    shares = np.array([1 - fraction, fraction])
    wanted = shares[:, None] * counts.sum(0)  # [part, class]
    lacks, side = wanted.copy(), np.zeros(many, dtype=int)
    sizes = counts.sum(1)
    for group in np.lexsort((random.random(many), -sizes)):
        need = (counts[group] * lacks / np.maximum(wanted, math.ulp(1.0))).sum(1)
        side[group] = int(need[1] > need[0] if need[0] != need[1] else random.random() < fraction)
        lacks[side[group]] -= counts[group]
    return side[member] == 1
