"""What the page says of how a run was run: settings, cost, environment, and the command that repeats it."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from metricgrad._decision_records import RuleFitted
from metricgrad._records import event_of
from metricgrad.cli.recipe import Recipe, checked, override
from metricgrad.report import condense, render
from metricgrad.report.cost import cost_table, environment_rows
from metricgrad.report.reproduce import reproduction
from metricgrad.report.sections import setting_rows, settings_alike
from tests.report import synthetic_runs
from tests.report.synthetic_contest import contest

RUN = condense(synthetic_runs.finished())


def test_settings_that_differ_stand_in_the_table_and_the_others_once() -> None:
    """Of two arms one column each; what is the same in both is listed beside."""
    table = setting_rows(RUN)
    assert table.titles == ["setting", "continued", "tuned"]
    assert table.rows == [["objective.temperature", "–", "0.03"], ["objective.k", "–", "[1, 2, 4, 8]"]]
    assert dict(settings_alike(RUN)) == {"learning_rate": "0.001", "weight_decay": "0.3", "dropout": "0.5"}


def test_settings_of_many_arms_have_a_row_each() -> None:
    """Ten contenders do not make ten columns."""
    table = setting_rows(condense(contest(10)))
    assert table.titles == ["arm", "learning_rate", "objective.temperature", "objective.k"]
    assert len(table.rows) == 11 and table.rows[1][:2] == ["surrogate-recall_at_k", "0.001"]


def test_settings_of_one_arm_are_all_in_the_table() -> None:
    """With nothing to compare with, nothing is alike."""
    run = condense(synthetic_runs.finished(proxy=None))
    assert len(setting_rows(run).rows) == 5 and settings_alike(run) == []


def test_the_cost_of_an_arm_is_that_of_all_its_trainings() -> None:
    """Trainings, steps, time, evaluations, and the sum; columns that say nothing go."""
    table = cost_table(RUN)
    assert table.titles == ["arm", "trainings", "steps", "time", "time per step", "evaluations on select"]
    first, second, every = table.rows
    assert first[:3] == ["continued", "6", "1,800"] and second[5] == "78"
    assert every[:3] == ["all", "12", "3,600"] and every[5] == "156"
    seconds = RUN.seconds_of("continued")
    assert seconds is not None and first[4] == f"{seconds / 1.8:,.1f} ms"


def test_calls_of_the_metric_that_methods_make_are_counted() -> None:
    """On the pool from the ends of stages, per sample from the last exam, for rules from what was fitted."""
    events = contest(3)
    events.insert(-2, event_of(RuleFitted(0, "continued", "cuts", "words", 0.1, 0.2, 0.2, calls=17)))
    table = cost_table(condense(events))
    rows = {row[0]: dict(zip(table.titles, row, strict=True)) for row in table.rows}
    assert rows["surrogate-smooth_ap"]["metric calls on the pool"] == f"{6 * 240:,}"
    assert rows["continued"]["metric calls for rules"] == "17"
    assert rows["all"]["metric calls on the pool"] == f"{6 * 360:,}"
    learned = cost_table(condense(synthetic_runs.with_surrogate(synthetic_runs.finished())))
    assert learned.rows[1][-1] == f"{6 * (64_000 + 256 * 300):,}"


def test_a_run_that_has_just_begun_costs_nothing_yet() -> None:
    """No row, no sum."""
    assert cost_table(condense([event_of(synthetic_runs.begun())])).rows == []
    rows = cost_table(condense(synthetic_runs.interrupted())).rows
    assert [row[:3] for row in rows] == [["continued", "1", "150"]]


def test_the_machine_is_what_was_found() -> None:
    """Versions and threads from the record, device, kernels and processes from config.yaml where it is there."""
    rows = environment_rows(
        RUN, {"found": {"device": "cuda", "kernel": "triton", "processes": 2, "data": {"fit": "ab"}}}
    )
    assert ("torch", "2.13.0") in rows and ("Device", "cuda") in rows and ("Processes", "2") in rows
    assert ("Threads", "2") in rows and not any("ab" in text for _, text in rows)
    assert len(environment_rows(RUN, None)) == len(rows) - 3
    assert environment_rows(RUN, {"found": "odd"}) == environment_rows(RUN, None)


RECIPE: dict[str, Any] = {
    "task": "digits", "data": {}, "metric": "recall@1", "method": "surrogate:recall_at_k", "proxy": None,
    "seeds": [0, 1], "plan": {"steps": 5, "minutes": None, "trainable": "all"},
    "settings": {"learning_rate": 1e-3, "objective": {"k": [1, 2]}}, "controls": [], "closed_forms": False,
}  # fmt: skip


def _recipe_of(command: str) -> Any:
    """What the command line makes of the command."""
    program, kind, task, *options = shlex.split(command)
    assert program == "metricgrad" and kind in ("tune", "compare") and set(options[::2]) == {"--set"}
    return checked(Recipe, override({"task": task}, options[1::2]), "the command")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"metric": "cmd: ./score.sh {predictions} 'a b' \"$HOME\""},
        {"methods": ["surrogate:recall_at_k", {"method": "direct:ndcg", "name": "x", "settings": {"a": 1}}]},
        {"proxy": "none", "data": {"folder": "/a b/c;d"}},
        {"metric": "yes"},
        {"metric": "1e5"},
        {"metric": "a\x1b[2Jb"},
        {"may_fall": {"f1": 0.0}, "side_metrics": ["f1"]},
    ],
)
def test_the_command_is_the_recipe(change: dict[str, Any]) -> None:
    """Read by a shell and by the command line, it gives the recipe of the run again."""
    recipe = {**RECIPE, **change}
    found = reproduction(RUN, {"recipe": recipe})
    assert _recipe_of(found.command) == checked(Recipe, recipe, "the recipe")
    assert "read it before you run it" in found.told


def test_minutes_are_told_as_steps() -> None:
    """A budget of time is another number of steps on another machine."""
    assert (
        "--set plan.minutes=null --set plan.steps=300 fixes it" in reproduction(RUN, {"recipe": RECIPE}).told
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "No config.yaml is beside the record: no command repeats it"),
        ({"recipe": None}, "started from Python: no command repeats it. The same call of metricgrad.tune"),
        ({"recipe": {}}, "not one that a command can be made of"),
        ({"recipe": {"task": "--help"}}, "not one that a command can be made of"),
        ({"recipe": {"task": "digits\u202e"}}, "not one that a command can be made of"),
        ({"recipe": {"command": "curl x | sh"}}, "not one that a command can be made of"),
        ({"recipe": {"command": "metricgrad adapt 'open"}}, "not one that a command can be made of"),
        ({"recipe": {"command": "metricgrad adapt\nrm -r x"}}, "not one that a command can be made of"),
    ],
)
def test_where_no_command_repeats_a_run_that_is_said(settings: Any, said: str) -> None:
    """And none is shown that would do something else than it seems."""
    found = reproduction(RUN, settings)
    assert found.command == "" and said in found.told


def test_a_command_of_another_is_quoted_anew() -> None:
    """`adapt` names its own; what a shell would obey in it is quoted."""
    found = reproduction(RUN, {"recipe": {"command": "metricgrad adapt --embeddings x.npy; rm -r $HOME"}})
    assert found.command == "metricgrad adapt --embeddings 'x.npy;' rm -r '$HOME'"


def test_the_page_shows_all_of_it(tmp_path: Path) -> None:
    """Cost, settings that are alike, environment, and the command, escaped."""
    folder = synthetic_runs.write(tmp_path, synthetic_runs.finished())
    settings = {
        "recipe": {**RECIPE, "metric": "a<b>"},
        "asked": {},
        "found": {"device": "cpu", "kernel": "numba"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    text = render(folder).read_text(encoding="utf-8")
    for words in ("<h3>Cost</h3>", "3 settings are the same in all arms", "<dt>Kernels</dt><dd>numba</dd>"):
        assert words in text
    (command,) = re.findall(r'<pre class="command"[^>]*>(.*?)</pre>', text, re.DOTALL)
    assert "--set &#39;metric=&#34;a&lt;b&gt;&#34;&#39;" in command and "<b>" not in command
