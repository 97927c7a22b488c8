"""Cells in processes of this machine: the figures of one process, whoever is killed; nobody is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from metricgrad.errors import InputError
from metricgrad.tune import Comparison
from metricgrad.tune.local_cell import LISTENS, Raised
from metricgrad.tune.local_workers import LocalWorkers, _Worker
from metricgrad.tune.travelling import from_bytes, to_bytes
from tests.tune.local_run import Coded, TwoWords
from tests.tune.side_by_side_run import contest
from tests.tune.small_run import small_model
from tests.tune.test_side_by_side import equal, notes

ROOT = Path(__file__).parents[2]


def begun(*arguments: object) -> "subprocess.Popen[str]":
    """Begin the program of `local_run`, which is checked by nothing but itself, as a user's is."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tune.local_run", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(*arguments: object) -> str:
    """What the program says at its end; nothing where all went well."""
    program = begun(*arguments)
    _, text = program.communicate()
    assert program.returncode == bool(text.strip()), text
    return text


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The contest in one process."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert told(folder, 1) == ""
    return Comparison.load(folder)


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(undisturbed: Comparison, tmp_path: Path) -> None:
    """Table, record and weights are the same; the record says who trained, with how many threads."""
    assert told(tmp_path / "run", 2) == ""
    equal(Comparison.load(tmp_path / "run"), undisturbed)
    assert any(text.endswith("in 2 processes of this machine, each with as many threads as this process has: 1")
               for text in notes(tmp_path / "run"))  # fmt: skip


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_cell(undisturbed: Comparison, tmp_path: Path) -> None:
    """SIGKILL to the one that trains: its cell is trained again, and that shows nowhere else."""
    assert told(tmp_path / "run", 2, "killed") == ""
    equal(Comparison.load(tmp_path / "run"), undisturbed)
    (lost,) = (text for text in notes(tmp_path / "run") if "was lost with its worker" in text)
    assert lost.endswith("(killed by SIGKILL) and is trained again")


@pytest.mark.slow
def test_a_cell_that_kills_every_process_comes_to_an_end(tmp_path: Path) -> None:
    """After as many times as on a cluster; the program makes that two."""
    text = told(tmp_path / "run", 2, "deadly")
    assert text.startswith(
        "CellLost: seed 0: start (try 0): its worker died 2 times, the last time: killed by SIGKILL"
    )


@pytest.mark.slow
def test_ctrl_c_and_on_in_one_process(undisturbed: Comparison, tmp_path: Path) -> None:
    """The program decides what ends, and says how much is left; one process trains that."""
    text = told(tmp_path / "run", 2, "stopped")
    assert re.match(r"Interrupted: stopped by SIGINT with [6-9] cells still to be trained", text), text
    assert not any("was lost" in text for text in notes(tmp_path / "run"))
    assert told(tmp_path / "run", 1) == ""
    equal(Comparison.load(tmp_path / "run"), undisturbed)


@pytest.mark.slow
def test_begun_in_one_process(undisturbed: Comparison, tmp_path: Path) -> None:
    """The stage that was begun goes on there, from its checkpoint; processes train the others."""
    assert told(tmp_path / "run", 1, "begun").startswith("Interrupted: stopped by SIGTERM")
    assert told(tmp_path / "run", 2) == ""
    equal(Comparison.load(tmp_path / "run"), undisturbed)


@pytest.mark.slow
def test_an_error_of_the_user_reads_as_in_one_process(tmp_path: Path) -> None:
    """Type and text; where it was raised is its cause."""
    here, there = (told(tmp_path / f"{count}", count, "failing").splitlines() for count in (1, 2))
    assert here[0] == there[0] and "no such class: 7" in here[0]
    assert 'local_run.py", line' in there[1] and "in failing" in there[1]


@pytest.mark.slow
def test_another_metric_in_every_process_is_refused(tmp_path: Path) -> None:
    """In one sentence, before anything is trained."""
    text = told(tmp_path / "run", 2, "elsewhere")
    assert text.startswith(
        "InputError: processes: a new process does not hold the same as the program that sent"
    )
    assert "found.metric.values differ" in text
    assert not list(tmp_path.glob("run/arms/*"))


@pytest.mark.slow
def test_a_process_that_has_just_begun_is_not_ended_by_ctrl_c() -> None:
    """While it imports, and after that."""
    worker = _Worker(to_bytes(None), to_bytes(None))
    assert worker.process.pid is not None
    for _ in range(2):
        os.kill(worker.process.pid, signal.SIGINT)
        assert worker.end.poll(60)
    assert worker.answer() == LISTENS
    worker.end.close()
    worker.process.join(60)
    assert worker.code == 0


@pytest.mark.slow
def test_a_killed_program_leaves_nobody(tmp_path: Path) -> None:
    """SIGKILL to the program while both processes are in the middle of a cell: they end, and with them its stderr."""
    program = begun(tmp_path / "run", 2, "held")
    while len(list(tmp_path.glob("held-*"))) < 2:
        assert program.poll() is None, program.communicate()
        time.sleep(0.05)
    program.kill()
    assert program.communicate(timeout=60)[1] == ""
    assert (tmp_path / "hold").exists()


@pytest.mark.slow
def test_the_script_of_the_page(tmp_path: Path) -> None:
    """It has a network of its own; without the line that guards its call it is told so, and ends."""
    page = (ROOT / "docs" / "processes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    script, guard = tmp_path / "contest.py", 'if __name__ == "__main__":'
    assert guard in block
    ended = []
    for text in (block, block.replace(guard, "if True:")):
        script.write_text(text, encoding="utf-8")
        ended.append(subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True))
    assert ended[0].returncode == 0 and "'surrogate-ndcg'" in ended[0].stdout, ended[0].stderr
    assert ended[1].returncode == 1
    assert "InputError: compare: processes=2 in a process that multiprocessing has begun" in ended[1].stderr
    last = ended[1].stderr.strip().splitlines()[-1]
    assert "a new process ended (exit code 1) while it imported the program" in last


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"processes": 0}, r"processes is 0; expected a whole number >= 1"),
        ({"processes": -2}, r"processes is -2; expected a whole number >= 1"),
        ({"processes": 1.5}, r"processes is 1\.5; expected a whole number >= 1"),
        ({"processes": "2"}, r"processes is '2'; expected a whole number >= 1"),
        ({"processes": True}, r"processes is True; expected a whole number >= 1"),
        ({"processes": 2, "ray": "auto"}, r"processes=2 and ray='auto'; expected one of both"),
        ({"processes": 2, "proxy": lambda outputs, targets: 0}, r"cannot be sent to another process.*lambda"),
        ({"processes": 2, "model": lambda seed: small_model()}, r"cannot be sent.*top of a module"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    """In one sentence, before a folder is made."""
    with pytest.raises(InputError, match=words) as caught:
        contest(tmp_path / "run", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("file", "words"), [(None, "Net was defined in a notebook"), ("<stdin>", "read from <stdin>")]
)
def test_a_notebook_is_told_what_to_do(
    file: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was defined at a prompt can be found by no other process: this is said at once."""
    prompt = ModuleType("__main__")
    if file is not None:
        prompt.__file__ = file
    own = prompt.__dict__["Net"] = type("Net", (nn.Linear,), {"__module__": "__main__"})
    monkeypatch.setitem(sys.modules, "__main__", prompt)
    with pytest.raises(InputError, match=f"{words}.*a .py file|{words}.*a program in a file"):
        contest(tmp_path / "run", model=own(12, 8), processes=2)


def test_one_process_begins_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`processes=1` is no processes at all: what cannot be pickled is welcome."""
    monkeypatch.setattr("metricgrad.tune.local_workers.run_bytes", None)
    plan = {"steps": 1, "resamples": 100}
    own = {"methods": ["surrogate:ndcg"], "controls": [], "seeds": 0, "plan": plan, "start_plan": None}
    assert contest(tmp_path / "run", processes=1, model=lambda seed: small_model(), **own).table


def test_an_error_that_cannot_be_made_again_keeps_its_words() -> None:
    """One whose class takes other arguments than its text is told by type and text."""
    sent = from_bytes(to_bytes(Raised.of(TwoWords("no such", "class"))))
    assert type(sent.error) is RuntimeError and str(sent.error) == "TwoWords: no such class"


def test_an_error_that_would_say_something_else_keeps_its_words() -> None:
    """One whose class adds to its text is not made again of the whole text."""
    sent = from_bytes(to_bytes(Raised.of(Coded(7))))
    assert type(sent.error) is RuntimeError and str(sent.error) == "Coded: code 7"


@pytest.mark.slow
def test_an_exit_of_the_user_ends_the_program(tmp_path: Path) -> None:
    """As in one process, at once and with its code; no cell is taken for lost."""
    ended = []
    for count in (1, 2):
        program = begun(tmp_path / f"{count}", count, "leaving")
        ended.append((program.communicate()[1], program.returncode))
    assert ended[0] == ended[1] == ("", 5)
    assert not any("was lost" in text for text in notes(tmp_path / "2"))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["pooling", "pooling-stopped"])
def test_what_a_cell_has_begun_ends_with_its_process(what: str, tmp_path: Path) -> None:
    """Processes of a pool that the loss holds: at the end of the contest, and at a Ctrl-C in the middle of a cell."""
    text = told(tmp_path / "run", 2, what)
    assert text.startswith("Interrupted") if what.endswith("stopped") else text == ""
    pools = {int(path.name.removeprefix("pool-")) for path in tmp_path.glob("pool-*")}
    assert pools
    for number in pools:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


@pytest.mark.parametrize(
    ("count", "threads", "advice"), [(2, 2, ""), (3, 2, "OMP_NUM_THREADS=1"), (2, 4, "=2")]
)
def test_more_threads_than_cores_are_told(
    count: int, threads: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to set in a new run."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    told = LocalWorkers(count, b"", {}).described
    assert f"in {count} processes of this machine" in told and ("more threads" in told) == bool(advice)
    assert advice in told
