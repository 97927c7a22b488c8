"""`--json`: stdout holds the document and nothing else, whatever the metric prints meanwhile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.outcome import Command

NOISY = """
import sys, warnings
first = sys.stdout

def share(o, t):
    print("measuring")
    sys.stdout.write("half a line")
    print("to stderr", file=sys.stderr)
    return float((o == t).double().mean())

def share_of_classes(outputs, targets):
    print({"not": "the document"})
    return float((outputs.argmax(1) == targets).double().mean())

def silent_then_loud(y_true, y_pred):
    if len(set(y_true.tolist())) < 2:
        print("one class only")
        raise ValueError("one class")
    return float((y_true == y_pred).mean())
"""


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module of metrics that print, importable, forgotten afterwards."""
    (tmp_path / "noisy.py").write_text(NOISY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "noisy"
    sys.modules.pop("noisy", None)


@pytest.mark.parametrize("metric", ["share", "silent_then_loud"])
def test_evaluate_prints_one_document(command: Command, noisy: str, tmp_path: Path, metric: str) -> None:
    """What the metric prints is on stderr, resamples included."""
    (tmp_path / "t.csv").write_text("target,prediction\n1,1\n0,0\n0,1\n", encoding="utf-8")
    arguments = (
        "evaluate",
        "t.csv",
        "--metric",
        f"{noisy}:{metric}",
        "--higher-is-better",
        "--resamples",
        30,
    )
    found = command(*arguments, "--json")
    assert json.loads(found.out)["value"] == pytest.approx(2 / 3)
    assert ("measuring" if metric == "share" else "one class only") in found.err
    assert "metricgrad" not in found.err


PAST_PYTHON = """
import os, sys

def started(outputs, targets):
    os.system("echo printed")

def written(outputs, targets):
    os.write(1, b"printed")

def original(outputs, targets):
    sys.__stdout__.write("printed")
"""


@pytest.mark.slow
def test_what_is_printed_past_python(tmp_path: Path) -> None:
    """By a program that is started, by a library that writes to descriptor 1, by whoever kept the first stdout."""
    (tmp_path / "past.py").write_text(PAST_PYTHON + "\n    return 0.5\n", encoding="utf-8")
    program = (
        "import sys; from metricgrad.cli.main import main; import past; "
        "past.all_of_them = lambda outputs, targets: (past.started(0, 0), past.written(0, 0), past.original(0, 0))[2]; "
        "sys.exit(main())"
    )
    (tmp_path / "t.csv").write_text("target,prediction\n1,1\n0,0\n0,1\n", encoding="utf-8")
    options = "evaluate t.csv --metric past:all_of_them --higher-is-better --resamples 2 --json".split()
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert json.loads(done.stdout)["value"] == 0.5
    assert done.stderr.count("printed") >= 9


def test_text_is_left_as_it_was(command: Command, noisy: str, tmp_path: Path) -> None:
    """Without --json prints go where the metric sends them, and the next document is whole."""
    (tmp_path / "t.csv").write_text("target,prediction\n1,1\n0,0\n", encoding="utf-8")
    arguments = ("evaluate", "t.csv", "--metric", f"{noisy}:share", "--higher-is-better", "--resamples", 5)
    assert "measuring" in command(*arguments).out
    assert "measuring" not in command(*arguments, "--json").out
    assert "measuring" in command(*arguments).out


def test_tune_prints_one_document(command: Command, noisy: str, tmp_path: Path) -> None:
    """Every evaluation of a run prints, and none of it is in the document."""
    found = command(
        "tune",
        "imbalanced_f1",
        "--metric",
        f"{noisy}:share_of_classes:higher_is_better=true",
        "--method",
        "direct:f_beta",
        "--seeds",
        1,
        "--steps",
        2,
        "--set",
        "start.plan.steps=2",
        "--set",
        "plan.resamples=200",
        "--run",
        tmp_path / "run",
        "--json",
    )
    assert json.loads(found.out)["run"]["metric"] == "share_of_classes"
    assert "not" in found.err
