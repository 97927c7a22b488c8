"""A received run folder that tries everything: nothing outside of it is read into the report, written or deleted."""

import base64
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from metricgrad.errors import Interrupted
from metricgrad.tune import loop
from tests.cli.outcome import Command

SECRET = "the reader's own words"
SNIPPET = "import pathlib; pathlib.Path('{}').write_text('code ran')\n"


def link(name: str) -> Callable[[Path, Path], None]:
    """Put a link to the reader's files at a name in the folder."""

    def trick(run: Path, outside: Path) -> None:
        path = next(iter(sorted(run.glob(name))), run / name)
        target = (
            outside / "folder"
            if path.is_dir()
            else outside / "record.jsonl"
            if "record" in name
            else outside / "notes"
        )
        if path.is_dir():
            path.rename(run / "kept")
        else:
            path.unlink(missing_ok=True)
        path.symlink_to(target)

    return trick


def code(run: Path, outside: Path) -> None:
    """Name code inside of the folder."""
    (run / "evil.py").write_text(SNIPPET.format(outside / "RAN"), encoding="utf-8")
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(text.replace("task: digits", "task: run.evil:load"), encoding="utf-8")


def names_that_lead_out(run: Path, outside: Path) -> None:
    """Name the reader's files in the checkpoint and in the record."""
    state = json.loads((run / "last" / "state.json").read_text(encoding="utf-8"))
    (run / "last" / "state.json").write_text(
        json.dumps({**state, "tensors": "../../outside/notes"}), encoding="utf-8"
    )
    last = {"event": "finished", "time": 0, "returned": "tuned", "weights": "../outside/notes", "seconds": 1}
    with (run / "record.jsonl").open("a", encoding="utf-8") as record:
        record.write(json.dumps(last) + "\n")


def huge_header(run: Path, outside: Path) -> None:
    """A tensor file whose header is to have 10 GB, in a sparse file of that size."""
    path = next((run / "last").glob("*.safetensors"))
    path.write_bytes(struct.pack("<Q", 10**10))
    os.truncate(path, 10**10 + 8)


def bomb_of_pictures(run: Path, outside: Path) -> None:
    """A gallery of pictures that are small as files and huge as pictures."""
    from metricgrad.report.picture import _SIGNATURE, _chunk

    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0))
    picture = base64.b64encode(_SIGNATURE + head + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")).decode()
    entry = {"query": {"name": "a", "png": picture}, "before": [], "after": []}
    document = {"caption": "", "before": "start", "after": "tuned", "better": [entry] * 100, "worse": []}
    (run / "gallery.json").write_text(json.dumps(document), encoding="utf-8")


def sentinel(outside: Path) -> dict[str, tuple[bytes | None, int]]:
    """Everything outside, with content and time of change."""
    return {
        str(path): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in sorted(outside.rglob("*"))
    }


LINKS = (
    "config.yaml", "record.jsonl", ".lock", "last", "arms", "last/state.json", "last/*.safetensors",
    "arms/*.safetensors",
    "best.safetensors", "test.safetensors", "gallery.json", "examples.json", "report.html",
)  # fmt: skip
TRICKS = {
    **{f"link at {name}": link(name) for name in LINKS},
    "code": code,
    "names": names_that_lead_out,
    "header": huge_header,
    "pictures": bomb_of_pictures,
}


QUICK_ONES = (
    "link at last",
    "link at record.jsonl",
    "link at gallery.json",
    "code",
    "names",
    "header",
    "pictures",
)


@pytest.mark.parametrize(
    "trick", [pytest.param(name, marks=() if name in QUICK_ONES else pytest.mark.slow) for name in TRICKS]
)
def test_nothing_outside_is_touched(
    command: Command, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str
) -> None:
    """`report` and `resume` end in a result or in one line, and the reader's files are as they were."""

    def stop(*_: object) -> None:
        raise Interrupted("here training would go on")

    monkeypatch.setattr(loop, "_run_steps", stop)
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "notes").write_text(SECRET, encoding="utf-8")
    (outside / "folder" / "thesis.txt").write_text(SECRET, encoding="utf-8")
    record = (stopped / "record.jsonl").read_text(encoding="utf-8")
    note = json.dumps({"event": "note", "time": 0, "text": SECRET})
    (outside / "record.jsonl").write_text(f"{record}{note}\n" * 2, encoding="utf-8")
    TRICKS[trick](stopped, outside)
    before = sentinel(outside)
    outcomes = [
        command("report", stopped),
        command("report", stopped, "--json"),
        command("resume", stopped, "--quiet"),
    ]
    refused = [outcome for outcome in outcomes if outcome.code == 2]
    assert refused and all(outcome.err.count("\n") == 1 for outcome in refused)
    assert all(
        outcome.code in (0, 2, 130) and SECRET not in outcome.out + outcome.err for outcome in outcomes
    )
    assert sentinel(outside) == before
    drawn = stopped / "report.html"
    assert drawn.is_symlink() or not drawn.exists() or SECRET not in drawn.read_text(encoding="utf-8")
