"""`compare` of methods: one contest, resumable, shown by `report`; what goes with files is refused."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metricgrad.cli.main import app
from metricgrad.tune import Comparison, Result
from metricgrad.tune.compared import Row
from tests.cli.outcome import QUICK, Command
from tests.kill_points import EMIT, Forks
from tests.tune.test_side_by_side import equal

METHODS = ("surrogate:recall_at_k", "surrogate:average_precision", "surrogate:ndcg")


def contest(folder: str) -> None:
    """Three methods with two seeds, as a program that the tests kill."""
    torch.set_num_threads(1)
    arguments = ["compare", "digits", "--methods", ",".join(METHODS), *QUICK, "--seeds", "2", "--quiet"]
    app([*arguments, "--run", folder], standalone_mode=False)


def untimed(folder: Path) -> list[Row]:
    """The table without its times."""
    return [dataclasses.replace(row, seconds=0.0) for row in Comparison.load(folder).table]


def cells(folder: Path) -> list[tuple[int, str, int]]:
    """What was trained, in order, as often as the record says so."""
    events = Result.load(folder).events
    return [(one["seed"], one["arm"], one["attempt"]) for one in events if one["event"] == "stage_finished"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_ten_times(tmp_path: Path) -> None:
    """SIGKILL at ten moments of one run, each drawn anew: no cell is lost or doubled, the table is the same."""
    draws = random.Random(0)
    with Forks("tests.cli.test_compare_methods:contest", EMIT) as forks:
        ended = forks.run(tmp_path / "whole")
        assert ended.code == 0
        for number in range(10):
            moment = draws.randrange(1, ended.moments // 10)
            killed = forks.run(tmp_path / "cut", kill_at=moment)
            assert killed.code == -signal.SIGKILL, f"kill {number} at moment {moment}"
        assert forks.run(tmp_path / "cut").code == 0
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")
    assert cells(tmp_path / "cut") == cells(tmp_path / "whole")
    assert len(set(cells(tmp_path / "cut"))) == len(cells(tmp_path / "cut")) == 2 * (1 + 1 + len(METHODS))


@pytest.mark.slow
def test_interrupted_resumed_and_reported(command: Command, interrupt: Callable[..., None]) -> None:
    """Ctrl-C leaves a folder that `resume` goes on with; `report` shows the same table; --csv has its rows."""
    arguments = ("compare", "digits", "--methods", ",".join(METHODS[:2]), *QUICK, "--run", "run", "--quiet")
    with pytest.MonkeyPatch.context():
        interrupt("surrogate-average_precision", 3)
        stopped = command(*arguments)
    assert stopped.code == 130 and "metricgrad resume run" in stopped.err
    resumed = command("resume", "run", "--json", "--quiet").json
    rows = resumed["comparison"]["table"]
    names = [
        "start",
        "continued",
        "raw",
        "closed-form",
        "surrogate-recall_at_k",
        "surrogate-average_precision",
    ]
    assert [row["name"] for row in rows] == names
    reported = command("report", "run")
    assert reported.code == 0 and "p (Holm)" in reported.out
    again = command(*arguments, "--csv", "table.csv")
    assert again.code == 0
    assert Path("table.csv").read_text(encoding="utf-8").count("\n") == 1 + len(names)


@pytest.mark.slow
def test_a_recipe_names_methods_with_settings(command: Command, tmp_path: Path) -> None:
    """Names, settings and controls of a recipe; without a control the start alone is the opponent."""
    (tmp_path / "recipe.yaml").write_text(
        "task: digits\n"
        "methods:\n"
        "  - surrogate:recall_at_k\n"
        "  - {name: slow, method: surrogate:recall_at_k, settings: {learning_rate: 1.0e-5}}\n"
        "controls: []\n"
    )
    found = command("compare", "recipe.yaml", *QUICK, "--steps", "2", "--json", "--quiet").json
    assert [row["name"] for row in found["comparison"]["table"]] == ["start", "surrogate-recall_at_k", "slow"]
    assert found["comparison"]["table"][0]["baseline"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("a.csv", "b.csv", "--methods", "auto"),
            ("--methods goes with a task or a recipe", "not with tables"),
        ),
        (("x.npy", "z.npy", "--steps", "3"), ("--steps goes with a task or a recipe",)),
        (("digits", "--methods", "auto", "--groups", "patient"), ("--groups goes with tables",)),
        (("digits", "--methods", "auto", "--labels", "y.npy"), ("--labels goes with .npy files",)),
        (("digits", "--methods", "auto", "--seed", "3"), ("--seed goes with",)),
        (("digits", "words", "--methods", "auto"), ("several tasks or recipes",)),
        (("digits", "a.csv", "--methods", "auto"), ("several kinds",)),
        (("digits",), ("digits names no methods", "--methods", "two or more files")),
        (("digts", "--methods", "auto"), ("no task 'digts'",)),
        (("digits", "--methods", "surrogat:ndcg"), ("surrogat",)),
        (("digits", "--methods", "auto", "--equal", "epochs"), ("equal", "'steps' or 'time'")),
    ],
)
def test_what_does_not_fit_is_refused(
    command: Command, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """In one line, before anything is loaded or trained."""
    command("compare", *arguments).refused(*words)


def test_tune_trains_one_method(command: Command, tmp_path: Path) -> None:
    """A recipe of several methods is for `compare`, and `tune` says so."""
    (tmp_path / "recipe.yaml").write_text("task: digits\nmethods: [surrogate:ndcg, surrogate:recall_at_k]\n")
    command("tune", "recipe.yaml").refused("several methods", "metricgrad compare recipe.yaml")


def test_a_cluster_needs_ray(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package one sentence, before anything is loaded; files have no cells."""
    monkeypatch.setitem(sys.modules, "ray", None)
    contest = ("compare", "digits", "--methods", METHODS[0], *QUICK)
    command(*contest, "--ray", "auto").refused("--ray auto", "pip install 'metricgrad[cluster]'")
    assert not Path("runs").exists()
    command(*contest, "--ray", "head").refused("--ray: 'head'", "expected auto, or HOST:PORT")
    command("compare", "a.csv", "b.csv", "--metric", "f1", "--ray", "auto").refused(
        "--ray goes with a task or a recipe"
    )


@pytest.mark.slow
def test_a_cluster_needs_a_contest(command: Command) -> None:
    """A run of one method is not shared out."""
    assert command("tune", "digits", *QUICK, "--run", "one", "--quiet").code == 0
    command("resume", "one", "--ray", "auto").refused("one, a run of one method", "expected a contest")
    command("resume", "one", "--processes", "2").refused("--processes 2 came with one, a run of one method")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("digits", "--ray", "auto", "--processes", "2"), "--ray auto came with --processes 2; expected one of both"),
        (("a.csv", "b.csv", "--metric", "f1", "--processes", "2"), "--processes goes with a task or a recipe"),
        (("digits", "--processes", "0"), "Invalid value for '--processes'"),
        (("digits", "--processes", "-3"), "Invalid value for '--processes'"),
        (("digits", "--processes", "1.5"), "Invalid value for '--processes'"),
    ],
)  # fmt: skip
def test_processes_that_do_not_fit(command: Command, arguments: tuple[str, ...], words: str) -> None:
    """In one sentence, before anything is loaded."""
    contest = () if arguments[0].endswith(".csv") else ("--methods", METHODS[0], *QUICK)
    found = command("compare", *arguments, *contest)
    assert found.code == 2 and words in " ".join(found.err.replace("│", " ").split())
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_recipe_is_made_again_in_every_process(tmp_path: Path) -> None:
    """With code of the current folder: table, record and weights are those of one process; `resume` shows them."""
    (tmp_path / "own.py").write_text("def loss(outputs, targets):\n    return (outputs**2).mean()\n")
    (tmp_path / "recipe.yaml").write_text(
        f"task: digits\nproxy: own:loss\nmethods: [{METHODS[0]}, {METHODS[2]}]\ncontrols: [continued]\n"
    )
    for name, more in (("one", ()), ("two", ("--processes", "2"))):
        _run(tmp_path, "compare", "recipe.yaml", "--trust", *QUICK, "--run", name, *more)
    equal(Comparison.load(tmp_path / "two"), Comparison.load(tmp_path / "one"))
    shown = _run(tmp_path, "resume", "two", "--trust", "--processes", "2")
    assert len(json.loads(shown)["comparison"]["table"]) == 4


def _run(folder: Path, *arguments: str) -> str:
    """Run the command as a user does: a process that it begins checks no annotations either."""
    ended = subprocess.run(
        [sys.executable, "-m", "metricgrad", *arguments, "--json", "--quiet"],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "METRICGRAD_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
