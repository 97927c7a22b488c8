"""The groups of test on the page: the worst, those that lose most, how many there are, and what they are called."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metricgrad._decision_records import DecisionTables
from metricgrad._records import GroupFigures, event_of
from metricgrad.errors import InputError
from metricgrad.report import condense, read_run, render
from metricgrad.report.by_group import MOST_GROUPS, ByGroup, by_group
from metricgrad.report.decisions import classes_of, decision_tables
from tests.report import synthetic_runs
from tests.report.synthetic_rules import with_rules

SMALL = GroupFigures(
    "tuned", "continued", "group", [4, 9, 2, 7], [0.25, 0.5, None, 0.5], [0.5, 0.25, None, 0.5 + 1e-15]
)


def with_groups(figures: GroupFigures, **begin: Any) -> list[dict[str, Any]]:
    """The events of a finished run whose test has these groups."""
    events = synthetic_runs.finished(**begin)
    return [*events[:-1], event_of(figures), events[-1]]


def shown(figures: GroupFigures, **begin: Any) -> ByGroup:
    """What the page shows of them."""
    found = by_group(condense(with_groups(figures, **begin)))
    assert found is not None
    return found


def test_few_groups_stand_in_one_table_the_worst_first() -> None:
    """Of equals the larger one first; what is undefined last; a difference by rounding is none."""
    found = shown(SMALL)
    ((title, table),) = found.tables
    assert (found.heading, title) == ("Groups of test", "All groups, the worst first")
    assert table.titles == ["group", "queries", "tuned", "continued", "gain"]
    assert table.rows == [
        ["group 1", "4", "0.2500", "0.5000", "-0.2500"],
        ["group 2", "9", "0.5000", "0.2500", "+0.2500"],
        ["group 4", "7", "0.5000", "0.5000", "0.0000"],
        ["group 3", "2", "n/a", "n/a", "n/a"],
    ]
    assert (
        "Of 4 groups 1 (25%) gain, 1 (25%) are equal, 1 (25%) lose. In 1 the metric is undefined"
        in found.told[1]
    )


def test_a_low_value_is_good_where_lower_is_better() -> None:
    """The worst is the largest, and a gain is still positive."""
    ((_, table),) = shown(SMALL, higher=False).tables
    assert [row[0] for row in table.rows] == ["group 2", "group 4", "group 1", "group 3"]
    assert [row[-1] for row in table.rows] == ["-0.2500", "0.0000", "+0.2500", "n/a"]


def many(count: int = 566) -> GroupFigures:
    """Groups of which 63 stand at 0, every third loses, every third gains."""
    values = [0.0 if place < 63 else place / count for place in range(count)]
    against = [value + (place % 3 - 1) * (1 + place) / 1e4 for place, value in enumerate(values)]
    return GroupFigures("tuned", "continued", "class", [5] * count, [*values], [*against])


def test_of_many_groups_the_worst_and_the_greatest_losses() -> None:
    """With how many there are, and how many are as bad as the last of them."""
    assert shown(many()).told[1].endswith("lose. The line group_figures of record.jsonl has all of them.")
    worst, losing = shown(many()).tables
    assert worst[0] == "The 20 worst of 566; 43 more are as bad as the last"
    assert losing[0] == "The 20 that lose most, of 188 that lose"
    assert len(worst[1].rows) == len(losing[1].rows) == MOST_GROUPS
    assert losing[1].rows[0][0] == "class 564" and losing[1].rows[0][-1] == "-0.0564"
    assert {row[2] for row in worst[1].rows} == {"0.0000"}


def test_without_losses_there_is_one_table() -> None:
    """An empty table says nothing."""
    figures = many()
    assert [title for title, _ in shown(replace(figures, against=[-1.0] * 566)).tables] == [
        "The 20 worst of 566; 43 more are as bad as the last"
    ]


def test_groups_are_numbered_unless_names_were_asked_for(tmp_path: Path) -> None:
    """The page says how to get names; where they are, they are escaped and the sentence is gone."""
    numbered = render(synthetic_runs.write(tmp_path / "a", with_groups(SMALL))).read_text(encoding="utf-8")
    assert "group 1<" in numbered and "unless the run was told to write them" in numbered
    named = replace(SMALL, names=["<b>Ada</b>", "Grace", "Emmy", "Sofja"])
    text = render(synthetic_runs.write(tmp_path / "b", with_groups(named))).read_text(encoding="utf-8")
    assert "&lt;b&gt;Ada&lt;/b&gt;" in text and "<b>Ada" not in text and ">Grace<" in text
    assert "group 1<" not in text and "unless the run was told" not in text


def test_the_page_says_why_there_is_no_table(tmp_path: Path) -> None:
    """A metric that is one number for the whole set."""
    figures = GroupFigures("tuned", "continued", "group", [], [], [], why="the metric gives one number")
    text = render(synthetic_runs.write(tmp_path, with_groups(figures))).read_text(encoding="utf-8")
    assert "There is no table: the metric gives one number." in text and "All groups" not in text


def test_the_means_over_seeds_are_said_to_be_that() -> None:
    """A run of one seed has none."""
    assert "mean over 3 seeds" in shown(SMALL).told[0]
    assert "mean over" not in shown(SMALL, seeds=(0,)).told[0]


def test_a_record_that_does_not_know_groups_has_a_page(tmp_path: Path) -> None:
    """That of an older version, or of units that stand alone."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.finished())
    assert by_group(read_run(folder)[0]) is None
    assert 'id="groups"' not in render(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arm": "nobody"}, "has the arm 'nobody'"),
        ({"opponent": "nobody"}, "has the opponent 'nobody'"),
        ({"items": [1, 2]}, "has groups without all figures"),
        ({"names": ["one"]}, "has groups without all figures"),
        ({"items": [], "values": [], "against": []}, "has no group"),
    ],
)
def test_groups_that_do_not_fit_are_refused(change: dict[str, Any], said: str) -> None:
    """A damaged record gives no page that is wrong."""
    with pytest.raises(InputError, match=said):
        condense(with_groups(replace(SMALL, **change)))


def named_classes(names: list[str]) -> list[dict[str, Any]]:
    """The events of a run with rules, whose classes are called so."""
    return [
        {**event, "names": names} if event["event"] == "decision_tables" else event
        for event in with_rules(synthetic_runs.finished())
    ]


def test_classes_are_called_by_their_names() -> None:
    """In the table of every class and in the confusion tables; by numbers where the record has none."""
    run = condense(named_classes(["healthy", "ill"]))
    told, table = classes_of(run) or ("", None)
    assert table is not None and [row[0] for row in table.rows] == ["healthy", "ill"]
    assert told == "tuned, seed 2, test. Items by their true class."
    before = decision_tables(run)[2]
    assert before.titles == ["true \\ decided", "healthy", "ill"] and before.rows[1][0] == "ill"
    old = named_classes([])
    for event in old:
        if event["event"] == "decision_tables":
            del event["names"]  # as an older version wrote it
    told, table = classes_of(condense(old)) or ("", None)
    assert table is not None and [row[0] for row in table.rows] == ["0", "1"] and "by their numbers" in told
    assert isinstance(condense(old).confusion, DecisionTables)


def test_names_that_are_not_those_of_the_classes_are_refused() -> None:
    """One for every class, or none."""
    with pytest.raises(InputError, match="has 3 names of classes"):
        condense(named_classes(["a", "b", "c"]))
