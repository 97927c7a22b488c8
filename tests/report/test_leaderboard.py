"""The table of a contest, and that of classes."""

import copy
import random

import pytest
import torch

from metricgrad.metrics import f_beta
from metricgrad.report import condense
from metricgrad.report.decisions import classes_of
from metricgrad.report.leaderboard import leaderboard
from metricgrad.report.per_class import MOST_CLASSES, class_table
from tests.report import synthetic_runs
from tests.report.synthetic_contest import contest
from tests.report.synthetic_rules import with_rules


def test_all_arms_stand_in_the_order_of_test() -> None:
    """Start and control among the contenders; only contenders have gains, p-values and claims."""
    board = leaderboard(condense(contest(10)))
    assert board is not None
    assert board.titles == [
        "test recall@1", "select recall@1", "gain over continued", "p", "p (Holm)", "claim", "trained for"
    ]  # fmt: skip
    values = [float(place.cells[0].text) for place in board.places]
    assert values == sorted(values, reverse=True) and len(values) == 12
    by_name = {place.arm: place for place in board.places}
    best = by_name["surrogate-recall_at_k"]
    assert best.returned and best.cells[2] == (
        "+0.0186",
        ("[+0.0082, +0.0287]", "by seed +0.0228 +0.0125 +0.0205"),
    )
    assert [cell.text for cell in best.cells[3:6]] == ["0.0010", "0.0010", "gain"]
    assert [cell.text for cell in by_name["continued"].cells[2:6]] == [""] * 4
    assert by_name["continued"].meaning.endswith("the contenders are compared with it")


def test_lower_is_first_where_lower_is_better() -> None:
    """And an arm without a value is last in either way."""
    for higher in (True, False):
        events = contest(4, higher=higher)
        arms = next(event for event in events if event["event"] == "verdict")["arms"]
        arms["start"]["value"] = None
        board = leaderboard(condense(events))
        assert board is not None and board.places[-1].arm == "start"
        values = [float(place.cells[0].text) for place in board.places[:-1]]
        assert values == sorted(values, reverse=higher)


def test_without_a_test_split_the_order_is_that_of_select() -> None:
    """No column of what there is not."""
    events = contest(3)
    verdict = next(event for event in events if event["event"] == "verdict")
    for figures in verdict["arms"].values():
        figures.update(value=None, low=None, high=None)
    verdict.update(contenders={}, gains={}, baseline=None)
    board = leaderboard(condense(events))
    assert board is not None and board.titles == ["select recall@1", "trained for"]
    values = [float(place.cells[0].text) for place in board.places]
    assert values == sorted(values, reverse=True)


def test_one_contender_and_an_unfinished_contest_have_no_board() -> None:
    """Nothing is ranked before the end."""
    assert leaderboard(condense(synthetic_runs.finished())) is None
    assert leaderboard(condense([event for event in contest(3) if event["event"] != "verdict"])) is None


def test_classes_have_recall_precision_and_f1() -> None:
    """As the library's own metric says, from random tables; undefined where nothing can be divided."""
    draw = random.Random(0)
    table = [[draw.randrange(20) for _ in range(4)] for _ in range(4)]
    true = [row for row in range(4) for column in range(4) for _ in range(table[row][column])]
    decided = [column for row in range(4) for column in range(4) for _ in range(table[row][column])]
    rows = class_table(list("abcd"), table, table, was="argmax", now="rule").rows
    scores = torch.nn.functional.one_hot(torch.tensor(decided), 4).float()
    macro = f_beta(scores, torch.tensor(true), average="macro")
    assert sum(float(row[4]) for row in rows) / 4 == pytest.approx(float(macro), abs=1e-4)
    assert class_table(["a", "b"], [[0, 0], [3, 0]], [[0, 0], [0, 3]], was="argmax", now="rule").rows == [
        ["a", "0", "n/a", "n/a", "n/a", "0.0000", "n/a", "0.0000", "n/a", "n/a"],
        ["b", "3", "0.0000", "1.0000", "+1.0000", "n/a", "1.0000", "0.0000", "1.0000", "+1.0000"],
    ]


def test_equal_tables_are_shown_once_and_very_many_classes_not_at_all() -> None:
    """The columns before and after would say the same."""
    titles = class_table(["a"], [[1]], [[1]], was="argmax", now="rule").titles
    assert titles == ["class", "items", "recall", "precision", "F1"]
    many = [[0] * (MOST_CLASSES + 1)] * (MOST_CLASSES + 1)
    assert class_table([""] * len(many), many, many, was="a", now="b").rows == []


def test_the_classes_of_a_run_are_those_of_its_confusion_tables() -> None:
    """Of the returned arm, with what was decided; a run without rules has none."""
    run = condense(with_rules(synthetic_runs.finished()))
    found = classes_of(run)
    assert found is not None and found[0].startswith("tuned, seed 2, test.")
    assert found[1].rows[1][:5] == ["1", "389", "0.3393", "0.6195", "+0.2802"]
    assert classes_of(condense(copy.deepcopy(synthetic_runs.finished()))) is None
