"""The metric by group: what the record holds of the groups of test, and what it does not."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metricgrad._types import Metric
from metricgrad.differences import Grouping
from metricgrad.errors import InputError
from metricgrad.interval import mean_of_units
from metricgrad.metrics import adapt, command
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from metricgrad.tune.by_group import compared_arms, figures_by_group
from metricgrad.tune.groups import check_groups
from tests.tune.decided_run import decided_run, decided_splits
from tests.tune.small_run import figures, small_run, small_splits

MEAN = Metric("share", lambda outputs, targets: outputs, mean_of_units, True, (0, 1), unit="query")
ARMS = ("tuned", "start")
LABELS = ["b", "a", "b", "c", "a", "b"]
NONE = Splits([], [])


def tables(seed: int = 0, seeds: int = 2) -> dict[str, list[Tensor]]:
    """Statistics [6, 1] of three arms, a mean each."""
    generator = torch.Generator().manual_seed(seed)
    return {
        arm: [torch.rand(6, 1, generator=generator) for _ in range(seeds)] for arm in (*ARMS, "continued")
    }


def found_in(
    metric: Metric = MEAN,
    statistics: Mapping[str, Sequence[Tensor]] | None = None,
    grouping: Grouping | None = None,
    splits: Splits = NONE,
    resamples: int = 2000,
) -> Any:
    """The figures by group of six units, unless something else is said."""
    grouping = grouping or Grouping(LABELS, "group")
    return figures_by_group(metric, statistics or tables(), grouping, ARMS, splits, resamples)


def test_groups_stand_in_the_order_of_their_first_appearance() -> None:
    """Each with its units and the mean over seeds of either arm."""
    given, found = tables(), found_in()
    assert (found.arm, found.opponent, found.noun, found.items) == ("tuned", "start", "group", [3, 2, 1])
    for values, arm in ((found.values, "tuned"), (found.against, "start")):
        slow = [
            sum(float(one[row]) for one in given[arm] for row in range(6) if LABELS[row] == label)
            / (2 * LABELS.count(label))
            for label in "bac"
        ]
        assert values == pytest.approx(slow, abs=1e-7)
    assert found.names == [] and found.why == ""


def test_names_are_written_where_the_user_says_so() -> None:
    """Labels of given groups; of classes their names, and the number where there is none."""
    named = Splits([], [], group_names=True, classes=["x", "y"])
    assert found_in(splits=named).names == ["b", "a", "c"]
    by_class = Grouping(torch.tensor([1, 0, 1, 5, 0, 1]), "class")
    assert found_in(grouping=by_class, splits=named).names == ["y", "x", "5"]


def test_what_is_undefined_in_one_arm_is_left_out_of_all() -> None:
    """As in the verdict; a group that has nothing else is undefined, and keeps its place."""
    given = tables()
    given["continued"][1][3] = math.nan  # all of group c
    given["continued"][0][0] = math.nan  # one of three of group b
    found = found_in(statistics=given)
    assert found.items == [3, 2, 1] and found.values[2] is None and found.against[2] is None
    kept = float(torch.stack([one[[2, 5], 0].mean() for one in given["tuned"]]).mean())
    assert found.values[0] == pytest.approx(kept, abs=1e-7)


def test_a_metric_that_a_group_leaves_undefined() -> None:
    """The AUC of a group of one class has no value; that of the others is the one of their rows."""
    metric, random = adapt("roc_auc"), np.random.default_rng(0)
    targets, labels = torch.tensor([0, 1, 0, 1, 1, 1]), [0, 0, 0, 0, 1, 1]
    scores = [torch.from_numpy(random.random(6)) for _ in ARMS]
    given = {arm: [metric.measure(one, targets)] for arm, one in zip(ARMS, scores, strict=True)}
    found = found_in(metric, given, Grouping(labels, "group"))
    expected = float(metric.summarise(metric.measure(scores[0][:4], targets[:4])))
    assert found.values == [pytest.approx(expected), None] and found.against[1] is None


def test_units_that_stand_alone_have_no_groups() -> None:
    """Nothing is written."""
    assert found_in(grouping=Grouping(None, "query")) is None


def called(outputs: Any, targets: Any) -> float:
    """A function of the user."""
    return float((outputs.argmax(1) == targets).float().mean())


def test_what_cannot_be_asked_by_group_says_why(tmp_path: Path) -> None:
    """One number for the whole set; a program; a function with more groups than a quarter of the resamples."""
    whole = Metric("whole", lambda outputs, targets: outputs, mean_of_units, True, (0, 1), unit="whole")
    script = tmp_path / "score.sh"
    script.write_text("#!/bin/sh\necho 1\n")
    script.chmod(0o755)
    program = command(f"{script} {{predictions}}", higher_is_better=True, unit="sample")
    for metric, why in ((whole, "one number for the whole set"), (program, "is a program")):
        found = found_in(metric)
        assert why in found.why and found.items == found.values == found.against == found.names == []
    metric = adapt(called, higher_is_better=True)
    outputs, targets = torch.eye(2).repeat(3, 1), torch.tensor([0, 1, 1, 1, 0, 1])
    given = {arm: [metric.measure(outputs, targets)] for arm in ARMS}
    assert "called anew for each of 3 groups" in found_in(metric, given, resamples=11).why
    assert found_in(metric, given, resamples=12).values == pytest.approx([2 / 3, 1.0, 1.0])


def test_one_group_has_its_value_and_every_call_is_counted() -> None:
    """The number of planned resamples counts, also where no resample can be drawn; calls for groups are calls."""
    calls = [0]

    def counted(outputs: Any, targets: Any) -> float:
        calls[0] += 1
        return called(outputs, targets)

    for labels in (["all"] * 400, [str(row % 3) for row in range(400)]):
        calls[0], parts = 0, decided_splits()
        splits = Splits(parts.fit, parts.select, parts.test, groups={"test": labels})
        asked = {"metric": counted, "higher_is_better": True, "decision": "argmax", "seed": 0}
        found = decided_run(splits=splits, **asked)
        groups, verdict = found.event("group_figures") or {}, found.event("verdict") or {}
        assert groups["why"] == "" and len(groups["values"]) == len(set(labels))
        assert verdict["metric_calls"]["function"] == calls[0]


def test_the_returned_arm_is_shown_or_else_the_contender() -> None:
    """Beside the opponent of the verdict; where that is returned, the question is what the contender lost."""
    assert compared_arms("other", "tuned", "continued") == ("other", "continued")
    assert compared_arms("continued", "tuned", "continued") == ("tuned", "continued")


def test_group_names_are_asked_for_by_true_or_false() -> None:
    """A list of names in that place is refused."""
    splits = small_splits()
    wrong = Splits(splits.fit, splits.select, splits.test)
    object.__setattr__(wrong, "group_names", ["a"])
    with pytest.raises(InputError, match=r"Splits: group_names is .* expected True or False"):
        check_groups(wrong)


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run of two seeds, judged on ten classes."""
    return small_run(tmp_path_factory.mktemp("by_group") / "run")


def test_a_retrieval_test_is_shown_by_class(retrieval: Result) -> None:
    """The values of the groups, weighed by their units, are those of the verdict."""
    found, verdict = retrieval.event("group_figures"), retrieval.event("verdict")
    assert found is not None and verdict is not None
    assert (
        found["noun"] == "class" and found["items"] == [8] * 10 and found["opponent"] == verdict["baseline"]
    )
    for arm, values in ((found["arm"], found["values"]), (found["opponent"], found["against"])):
        assert np.mean(values) == pytest.approx(verdict["arms"][arm]["value"])


def test_names_change_no_figure_and_no_identity(retrieval: Result, tmp_path: Path) -> None:
    """The same run with the names of its classes: they are written, and everything else is as it was."""
    splits = small_splits()
    names = [f"no. {number}" for number in range(40)]
    named = Splits(splits.fit, splits.select, splits.test, classes=names, group_names=True)
    again = small_run(tmp_path / "run", splits=named)
    first, second = retrieval.event("group_figures") or {}, again.event("group_figures") or {}
    assert second["names"] == names[30:] and not first["names"]
    ignored = {"names": None, "time": None}
    assert {**first, **ignored} == {**second, **ignored}
    for one, other in zip(figures(retrieval), figures(again), strict=True):
        assert torch.equal(one, other)
    assert (retrieval.folder / "config.yaml").read_bytes() == (tmp_path / "run" / "config.yaml").read_bytes()


@pytest.mark.parametrize("kind", [list, np.array])
def test_class_tables_have_the_names_of_the_classes(kind: Callable[[list[str]], Any], tmp_path: Path) -> None:
    """Given in the order of the outputs, as a list or an array; one that has none keeps its number."""
    splits = decided_splits(classes=3)
    named = Splits(splits.fit, splits.select, splits.test, classes=kind(["common", "rare"]))
    short = {"splits": named, "seed": 0, "classes": 3, "folder": tmp_path / "run"}
    found = decided_run(**short).event("decision_tables") or {}
    assert found["names"] == ["common", "rare", "2"]


def test_texts_give_their_names_to_the_class_tables(tmp_path: Path) -> None:
    """By the alphabet, as they are numbered."""
    splits, words = decided_splits(classes=3), np.array(["ape", "cat", "dog"])
    texts = [
        ArraySplit(part.inputs, words[part.targets].tolist(), batch=100)
        for part in (splits.fit, splits.select, splits.test)
        if isinstance(part, ArraySplit)
    ]
    found = decided_run(tmp_path / "run", splits=Splits(*texts), seed=0, classes=3).event("decision_tables")
    assert found is not None and found["names"] == words.tolist()


def test_a_run_without_test_has_no_groups() -> None:
    """Nothing is shown that selection could have seen."""
    splits = decided_splits()
    model = torch.nn.Linear(5, 2)
    alone = Splits(splits.fit, splits.select)
    found = tune(model, alone, metric="accuracy", plan=Plan(steps=1), observer=lambda event: None)
    assert found.event("group_figures") is None
