"""A contest of several methods: roles, names, claims, equal time, and the same figures as `tune`."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from metricgrad._record_file import read_record
from metricgrad.errors import InputError, Interrupted, RunFolderError
from metricgrad.report import read_run, render
from metricgrad.report.wording import number, signed
from metricgrad.tune import Comparison, Contender, Plan, compare
from metricgrad.tune.entries import contenders_of
from tests.tune.small_run import same_weights, small_model, small_run, small_splits

HOT = Contender("hot", "surrogate:recall_at_k", {"objective": {"temperature": 0.2}})


def small_contest(folder: Path | None, **changes: Any) -> Comparison:
    """Two contenders, two controls, one seed, one try."""
    arguments: dict[str, Any] = {
        "metric": "recall@1",
        "methods": ["surrogate:recall_at_k", HOT],
        "controls": ["continued", Contender("slow", "proxy", {"learning_rate": 1e-5})],
        "proxy": "supcon",
        "plan": Plan(steps=6, evaluate_every=3, checkpoint_every=2, resamples=200),
        "start_plan": Plan(steps=4, evaluate_every=2),
        "folder": folder,
        "observer": lambda event: None,
    }
    return compare(small_model, small_splits(), **(arguments | changes))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A finished contest."""
    return small_contest(tmp_path_factory.mktemp("contest") / "run")


def test_every_arm_has_a_row(found: Comparison, tmp_path: Path) -> None:
    """Start, controls, contenders; only contenders have gains and claims; table, CSV and JSON say the same."""
    names = ["start", "continued", "slow", "surrogate-recall_at_k", "hot"]
    assert [row.name for row in found.table] == names
    assert [row.role for row in found.table] == ["start", "control", "control", "contender", "contender"]
    assert [row.steps for row in found.table] == [4, 6, 6, 6, 6]
    for row in found.table:
        assert (row.gain is not None) == (row.claim is not None) == (row.role == "contender")
        assert all(name in found.summary() for name in (row.name, row.method))
    assert sum(row.baseline for row in found.table) == sum(row.returned for row in found.table) == 1
    (baseline,) = (row for row in found.table if row.baseline)
    opponents = [row for row in found.table if row.role != "contender"]
    assert baseline.select == max(row.select or 0 for row in opponents)
    for row in found.table[3:]:
        assert row.gain == pytest.approx((row.value or 0) - (baseline.value or 0))
    with found.to_csv(tmp_path / "table.csv").open(newline="") as file:
        assert [line["name"] for line in csv.DictReader(file)] == names
    facts = json.loads(found.to_json(tmp_path / "table.json").read_text())
    assert [line["adjusted"] for line in facts["table"]] == [row.adjusted for row in found.table]
    assert found.best is not None and Comparison.load(found.result.folder).table == found.table


def test_the_report_of_a_contest(found: Comparison) -> None:
    """Every arm is in table and page, each with a look of its own."""
    run, _ = read_run(found.result.folder)
    assert run.arms == [row.name for row in found.table]
    page = render(found.result.folder).read_text(encoding="utf-8")
    for arm, style in zip(
        run.arms, ("start-1", "control-1", "control-2", "contender-1", "contender-2"), strict=True
    ):
        assert f'class="arm {style}"' in page and f">{arm}</span>" in page
    assert f"gain of {run.contender} over" in found.result.summary()
    section = page[page.index(">Leaderboard<") :].partition("</table>")[0]
    titles = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', section)
    assert titles == [
        "arm", "test recall@1", "select recall@1", f"gain over {run.verdict.baseline}", "p", "p (Holm)", "claim",
        "trained for",
    ]  # fmt: skip
    told = {re.findall(r"</svg>([^<]*)</span>", row)[0]: row for row in section.split("<tr")[2:]}
    best = sorted(found.table, key=lambda row: -(row.value or 0))
    assert [found.table[run.arms.index(arm)].value for arm in told] == [row.value for row in best]
    for row in found.table:
        cells = re.findall(r"<td[^>]*>([^<]*)", told[row.name])
        assert cells[:2] == [number(row.value), number(row.select)]
        if row.role == "contender":
            assert cells[2:6] == [signed(row.gain), number(row.p_value), number(row.adjusted), row.claim]
            assert f"[{signed(row.gain_low)}, {signed(row.gain_high)}]" in told[row.name]
        else:
            assert cells[2:6] == [""] * 4


def test_claims_follow_holm(found: Comparison) -> None:
    """Adjusted p-values are those of Holm over the contenders, never below their own."""
    rows = [row for row in found.table if row.role == "contender"]
    small, large = sorted(row.p_value or 0 for row in rows)
    expected = {small: min(1, 2 * small), large: max(min(1, 2 * small), large)}
    assert [row.adjusted for row in rows] == pytest.approx([expected[row.p_value or 0] for row in rows])


@pytest.mark.slow
def test_a_contest_of_one_has_the_figures_of_tune(tmp_path: Path) -> None:
    """Under the default names even the weights are equal byte for byte."""
    small_run(tmp_path / "tune", steps=6)
    found = small_contest(
        tmp_path / "compare",
        methods=[Contender("tuned", "auto")],
        controls=["continued"],
        seeds=(0, 1),
        plan=Plan(steps=6, evaluate_every=4, checkpoint_every=5, tries=2),
        start_plan=Plan(steps=8, evaluate_every=4, checkpoint_every=5),
    )
    assert not same_weights(tmp_path / "tune", found.result.folder)


def test_an_arm_gives_the_same_in_any_company(found: Comparison, tmp_path: Path) -> None:
    """Its draws follow from seed, name and try, not from its place."""
    alone = small_contest(tmp_path / "run", methods=[HOT], controls=["continued"])
    (of_both,), (of_one,) = ([row for row in one.table if row.name == "hot"] for one in (found, alone))
    assert (of_both.value, of_both.select) == (of_one.value, of_one.select)
    name = "arms/seed0-hot-try0.safetensors"
    assert (found.result.folder / name).read_bytes() == (alone.result.folder / name).read_bytes()


@pytest.mark.slow
def test_an_interrupted_contest_goes_on(found: Comparison, tmp_path: Path) -> None:
    """Finished arms are not trained again, and the table is that of the uninterrupted contest."""
    stages = 0

    def stop(event: Any) -> None:
        nonlocal stages
        stages += event["event"] == "stage_started"
        if stages == 4 and event["event"] == "evaluated":
            raise Interrupted("enough")

    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        small_contest(folder, observer=stop)
    resumed = small_contest(folder)
    assert [(row.name, row.value, row.gain, row.adjusted) for row in resumed.table] == [
        (row.name, row.value, row.gain, row.adjusted) for row in found.table
    ]
    events = [event["event"] for event in read_record(folder / "record.jsonl")]
    assert events.count("stage_finished") == 5 and events.count("tested") == 5
    assert small_contest(folder).table == resumed.table  # a finished one is only read
    with pytest.raises(RunFolderError):
        small_contest(folder, methods=[HOT])


@pytest.mark.slow
def test_equal_time_gives_each_arm_its_own_steps(tmp_path: Path) -> None:
    """The numbers are written before training, and a resumed contest keeps them."""
    found = small_contest(
        None, equal="time", plan=Plan(steps=40, evaluate_every=40, resamples=50), start_plan=None
    )
    budget = found.result.event("budget")
    assert budget is not None
    steps = {row.name: row.steps for row in found.table if row.role != "start"}
    assert budget["arm_steps"] == steps and min(steps.values()) >= 1
    assert steps["continued"] == steps["slow"]  # one kind of step
    assert "equal time" in found.result.summary()


def test_without_a_test_split_nothing_is_claimed() -> None:
    """The table has select values alone."""
    splits = small_splits()
    found = small_contest(None, controls=[], proxy=None, start_plan=None)
    assert [row.role for row in found.table] == ["start", "contender", "contender"]
    arguments: dict[str, Any] = {"metric": "recall@1", "methods": [HOT], "plan": Plan(steps=2)}
    found = compare(small_model, (splits.fit, splits.select), observer=lambda event: None, **arguments)
    (row,) = (row for row in found.table if row.role == "contender")
    assert (row.value, row.gain, row.claim) == (None, None, "nothing claimed") and row.select is not None


def test_names_follow_from_methods() -> None:
    """Numbered where they are alike."""
    entries = [
        "surrogate:recall_at_k",
        ("surrogate:recall_at_k", {"learning_rate": 0.1}),
        "learned+filter",
        HOT,
    ]
    names = ["surrogate-recall_at_k", "surrogate-recall_at_k-2", "learned+filter", "hot"]
    assert [one.name for one in contenders_of(entries)] == names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": []}, "^compare: methods are"),
        ({"methods": "surrogate:recall_at_k"}, "^compare: methods are"),
        ({"methods": [3]}, "^compare: a method is 3"),
        ({"methods": ["nothing"]}, "there is no method"),
        ({"methods": [HOT, Contender("HOT", "auto")]}, "^compare: two arms are called 'hot' and 'HOT'"),
        ({"methods": [Contender("Start", "auto")]}, "^compare: two arms are called 'start' and 'Start'"),
        ({"methods": [Contender("../x", "auto")]}, "^compare: an arm is called"),
        ({"controls": "continued"}, "^compare: controls are"),
        ({"proxy": None, "start_plan": None}, "^compare: the control continued without a proxy"),
        ({"seeds": -1}, "^compare: seed is -1"),
        ({"proxy": 3}, "^compare: proxy is 3"),
        ({"side_metrics": "accuracy"}, "^compare: side_metrics are"),
        ({"equal": "money"}, "^compare: equal is"),
        ({"methods": [HOT, HOT], "observer": 3}, "^compare: observer is 3"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Before anything is written."""
    with pytest.raises(InputError, match=message):
        small_contest(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()
