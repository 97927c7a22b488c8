"""Standard output and error that are full, closed or not read any more: no run is lost, and exit codes stay true."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metricgrad.tune.launch import plain_lines
from tests.cli.outcome import QUICK

MAIN = f"{sys.executable} -c 'import sys; from metricgrad.cli.main import main; sys.exit(main())'"
STREAMS = [
    "2>/dev/full",
    "2>&-",
    "2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}",
    "2>&- >&- <&-",
    ">/dev/null 2>/dev/full </dev/null",
]


@pytest.mark.parametrize("streams", STREAMS)
def test_an_error_that_cannot_be_said(tmp_path: Path, streams: str) -> None:
    """The exit code says it all the same."""
    done = subprocess.run(
        ["bash", "-c", f"{MAIN} report nowhere {streams}"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("streams", STREAMS)
def test_progress_that_cannot_be_written(tmp_path: Path, streams: str) -> None:
    """The run ends with its report, and nothing of what could not be shown is in its files."""
    done = subprocess.run(
        ["bash", "-c", f"{MAIN} tune digits {' '.join(QUICK)} --run run {streams}"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0
    assert (tmp_path / "run" / "report.html").is_file()
    lines = (tmp_path / "run" / "record.jsonl").read_bytes().splitlines()
    assert all(line.startswith(b'{"event": ') for line in lines)


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), ValueError("I/O operation on closed file"), BrokenPipeError()],
)
def test_plain_lines_of_a_run_from_python(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The observer of a run without one tries to write, and drops what cannot be written."""
    tried = []

    class Broken:
        def write(self, text: str) -> int:
            tried.append(text)
            raise error

    for stream in (Broken(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        plain_lines({"event": "note", "text": "a"})
    assert tried == ["a\n"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [b"bad-\xff", "é-\u202e".encode(), b"new\nline"])
def test_undecodable_names_of_folders(tmp_path: Path, name: bytes) -> None:
    """A folder whose name is no UTF-8, or odd: the report is drawn and the table printed, as text and as JSON."""
    from tests.report import synthetic_runs

    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    synthetic_runs.write(folder, synthetic_runs.interrupted())
    for more in ([], ["--json"]):
        program = [
            sys.executable,
            "-c",
            "import sys; from metricgrad.cli.main import main; sys.exit(main())",
            "report",
            folder,
            *more,
        ]
        done = subprocess.run(program, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode()
    assert sorted(path.name for path in folder.iterdir()) == ["record.jsonl", "report.html"]
