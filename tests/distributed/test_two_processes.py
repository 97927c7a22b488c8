"""Two gloo processes are one: the same gradients, weights and checkpoint; one dies, the others end and say so."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.scale import current, gather_parts, gather_rows, joined, sum_gradients
from metricgrad.tune import Result
from metricgrad.tune.checkpoint import load_weights
from tests.distributed.program import double_run

pytestmark = pytest.mark.xdist_group("distributed")  # pairs of processes, one pair at a time
ROOT = Path(__file__).parents[2]
TORCHRUN = [
    "-m",
    "torch.distributed.run",
    "--nproc-per-node",
    "2",
    "--rdzv-backend",
    "c10d",
    "--rdzv-endpoint",
]


def environment(**more: str) -> dict[str, str]:
    """The environment of a process with one thread."""
    known = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return {name: value for name, value in {**known, "OMP_NUM_THREADS": "1", **more}.items() if value}


def python(*arguments: str, **more: str) -> "subprocess.Popen[str]":
    """Start a Python process in the root of the project."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**more),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def pair(*arguments: str, **more: str) -> "list[subprocess.Popen[str]]":
    """Start two processes as torchrun does, but without an agent that would end the one with the other."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return [python(*arguments, **place, RANK=rank, LOCAL_RANK=rank, **more) for rank in ("0", "1")]


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """The folder in which two processes of torchrun have done the whole program."""
    folder = tmp_path_factory.mktemp("together")
    process = python(*TORCHRUN, "localhost:0", "-m", "tests.distributed.program", str(folder))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder


@pytest.mark.slow
def test_every_check_of_the_program_holds(together: Path) -> None:
    """Gathering, sums, decisions, first gradients, BatchNorm, dropout, a stop and its resume, what must be the same."""
    assert json.loads((together / "done.json").read_text()) == {"processes": 2}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "chunk"), [("double", None), ("chunked", 5)])
def test_equals_one_process(together: Path, tmp_path: Path, name: str, chunk: int | None) -> None:
    """In float64: weights to 1e-6 after 50 steps, and the same selected checkpoint, whole and in chunks."""
    double_run(tmp_path / "alone", chunk)
    steps = []
    for folder in (together / name, tmp_path / "alone"):
        events = Result.load(folder).events
        steps.append([event["best_step"] for event in events if event["event"] == "stage_finished"])
        assert events[-1]["event"] == "finished"
    assert steps[0] == steps[1]
    assert max(steps[0]) > 1
    names = sorted(path.name for path in (tmp_path / "alone" / "arms").iterdir())
    assert names == sorted(path.name for path in (together / name / "arms").iterdir())
    for path in [Path("best.safetensors"), *(Path("arms") / item for item in names)]:
        torch.testing.assert_close(
            load_weights(together / name / path), load_weights(tmp_path / "alone" / path), rtol=0, atol=1e-6
        )


@pytest.mark.slow
def test_the_record_says_how_many(together: Path) -> None:
    """One writer: every event stands in the record once, and a note tells the number of processes."""
    events = Result.load(together / "double").events
    assert next(event["text"] for event in events if event["event"] == "note").startswith("2 processes")
    assert sum(event["event"] == "finished" for event in events) == 1
    assert sum(event["event"] == "evaluated" for event in events) == 2 * 11


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(tmp_path: Path) -> None:
    """The survivor ends with exit code 1 and one line; one process resumes the run and tells that it does."""
    run = tmp_path / "run"
    command = ["-m", "metricgrad", "tune", "tests.distributed.program:load", "--seeds", "1", "--run-folder"]
    survivor, victim = pair(*command, str(run), METRICGRAD_STRIKE=f"1 17 {int(signal.SIGKILL)}")
    _, errors = survivor.communicate(timeout=120)
    victim.communicate(timeout=10)
    assert victim.returncode == -signal.SIGKILL
    assert survivor.returncode == 1, errors
    assert "Traceback" not in errors
    lines = errors.strip().splitlines()
    assert "another process of the run has ended" in lines[-2]
    assert f"The run in {run} can be resumed" in lines[-2]
    assert lines[-1] == f"resume with: metricgrad resume {run} --trust"  # the recipe names code
    alone = python("-m", "metricgrad", "resume", str(run), "--trust")
    output, errors = alone.communicate(timeout=120)
    assert alone.returncode == 0, errors
    assert "begun with 2 processes, resumed with 1 process" in errors
    assert "note: Begun with 2 processes, resumed with 1 process" in output
    events = Result.load(run).events
    resumed = next(event for event in events if event["event"] == "resumed")
    assert resumed["step"] == 15
    assert events[-1]["event"] == "finished"


@pytest.mark.slow
def test_the_command_stops_on_a_signal_to_one_process(tmp_path: Path) -> None:
    """Both processes exit with 130; process 0 alone says how to resume."""
    run = tmp_path / "run"
    command = ["-m", "metricgrad", "tune", "tests.distributed.program:load", "--seeds", "1", "--run-folder"]
    both = pair(*command, str(run), METRICGRAD_STRIKE=f"1 8 {int(signal.SIGINT)}")
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [130, 130], errors
    assert "stopped by SIGINT at step 8" in errors[0]
    assert "resume" not in errors[1]


def test_one_process_never_joins_anything(monkeypatch) -> None:
    """Without WORLD_SIZE, or with 1, there is no process group, and gathering is nothing."""
    for size in (None, "1"):
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        if size:
            monkeypatch.setenv("WORLD_SIZE", size)
        with joined() as processes:
            assert (processes.rank, processes.size) == (0, 1)
            assert current() is processes
            assert not torch.distributed.is_initialized()
            local = torch.ones(3, 2)
            assert gather_rows(local) is local
            assert gather_parts(local) is local
            weight = torch.nn.Parameter(local)
            weight.grad = local.clone()
            sum_gradients([weight])
            torch.testing.assert_close(weight.grad, local)


@pytest.mark.slow
def test_threads_share_the_cores() -> None:
    """Each process gets its share of the cores, unless OMP_NUM_THREADS says otherwise."""
    program = "from metricgrad.scale import joined\nwith joined():\n    import torch; print(torch.get_num_threads())"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for threads, expected in (("", max(1, cores // 2)), (str(cores), cores)):
        processes = pair("-c", program, OMP_NUM_THREADS=threads)
        printed = [process.communicate(timeout=120) for process in processes]
        assert [output.strip() for output, _ in printed] == [str(expected)] * 2, printed


def test_half_an_environment_is_refused(monkeypatch) -> None:
    """WORLD_SIZE alone does not make a run of several processes."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="RANK and MASTER_ADDR and MASTER_PORT are not set"), joined():
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORLD_SIZE", "abc"), ("WORLD_SIZE", "0"), ("WORLD_SIZE", "-2"), ("WORLD_SIZE", "2.0"),
        ("WORLD_SIZE", "9" * 30), ("WORLD_SIZE", "²"),
        ("RANK", "5"), ("RANK", "-1"), ("RANK", "x"), ("RANK", "2"), ("LOCAL_RANK", "7"), ("LOCAL_WORLD_SIZE", "3"),
        ("MASTER_PORT", "http"), ("MASTER_PORT", "70000"),
    ],
)  # fmt: skip
def test_an_environment_that_cannot_be(monkeypatch, name: str, value: str) -> None:
    """A number that torchrun would not set is refused at once, not waited with."""
    place = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for key, text in {**place, name: value}.items():
        monkeypatch.setenv(key, text)
    with pytest.raises(InputError, match=f"{name} is"), joined():
        pytest.fail("joined")


STUCK = """
import ctypes, signal
from metricgrad.scale.second_signal import ended_by_second_signal
for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in what a shell starts in the background
    signal.signal(number, lambda *_: None)
mutex, library = ctypes.create_string_buffer(64), ctypes.CDLL(None)
library.pthread_mutex_lock(mutex)
with ended_by_second_signal(grace=0.2):
    print("waits", flush=True)
    library.pthread_mutex_lock(mutex)  # never comes back, and no signal interrupts it
print("ended in good order", flush=True)
"""


@pytest.mark.parametrize(
    "numbers", [(15, 2), *(pytest.param(two, marks=pytest.mark.slow) for two in ((15, 15), (2, 2), (2, 15)))]
)
def test_the_second_signal_ends_a_process_that_is_stuck(numbers: tuple[int, int]) -> None:
    """Though its main thread never comes back to run a handler."""
    program = [sys.executable, "-c", STUCK]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        time.sleep(0.5)  # it is in the lock
        try:
            process.send_signal(numbers[0])
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.6)
            process.send_signal(numbers[1])
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 128 + numbers[1]
    assert out == "" and "ended by the second signal" in err
