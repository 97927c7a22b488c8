"""What a run folder may hold: ordinary files of a run; whatever else stands there is neither followed nor touched."""

import contextlib
import json
import os
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metricgrad._layout import check_new
from metricgrad.errors import CheckpointError, MetricgradError, RunFolderError
from metricgrad.report import render
from metricgrad.tune import Plan, Result, tensor_file
from metricgrad.tune.checkpoint import load_state, load_weights, save_state, save_weights
from metricgrad.tune.folder import RunFolder, read_config
from tests.tune.small_run import small_run

NAMES = (
    "config.yaml", "record.jsonl", ".lock", "last", "last/state.json", "arms", "best.safetensors", "test.safetensors",
    "gallery.json", "examples.json", "report.html",
)  # fmt: skip


def brief(folder: Path) -> Result:
    """A run of two steps."""
    return small_run(folder, steps=2, plan=Plan(steps=2), start_plan=Plan(steps=2), seed=0)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def _run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    brief(folder)
    return folder


@pytest.fixture
def run(_run_once: Path, tmp_path: Path) -> Path:
    """A folder of a finished run."""
    return Path(shutil.copytree(_run_once, tmp_path / "run"))


def linked(path: Path, outside: Path) -> None:
    """Put a link where a file or folder of a run stands, to its like outside."""
    if path.is_dir():
        shutil.copytree(path, outside / path.name)
        shutil.rmtree(path)
    else:
        (outside / path.name).write_bytes(path.read_bytes() if path.exists() else b"{}")
        path.unlink(missing_ok=True)
    path.symlink_to(outside / path.name)


@pytest.mark.parametrize("name", NAMES)
def test_links_are_not_followed(run: Path, tmp_path: Path, name: str) -> None:
    """A link at any name, even to a file of the right form: refused, and what is outside is as it was."""
    outside = tmp_path / "outside"
    outside.mkdir()
    linked(run / name, outside)
    before = contents(outside)
    for use in (brief, render, Result.load):
        with pytest.raises(RunFolderError, match=f"{name} is a link"):
            use(run)
    assert contents(outside) == before


@pytest.mark.parametrize("name", ["config.yaml", "record.jsonl", ".lock", "last/state.json"])
def test_a_pipe_does_not_block(run: Path, name: str) -> None:
    """A pipe in the place of a file is refused at once."""
    (run / name).unlink()
    os.mkfifo(run / name)
    with pytest.raises(RunFolderError, match="no file"):
        brief(run)


def test_a_record_of_several_names(run: Path, tmp_path: Path) -> None:
    """A record that is one file with another outside would change that one: it is not written to."""
    os.link(run / "record.jsonl", tmp_path / "precious")
    with pytest.raises(RunFolderError, match="2 names"):
        brief(run)


@pytest.mark.parametrize(
    "others",
    [
        {"last/model.ckpt": b"weeks"},
        {"record.jsonl": b'{"event": "purchase"}\n'},
        {"record.jsonl": b"my log"},
        {"record.jsonl": b'{"event": "run_started"}\n'},
        {"config.yaml": b"lr: 0.1\n"},
        {"config.yaml": b"asked: 3\nfound: []\n"},
        {".lock": b"4711"},
        {"report.html": b"<p>mine"},
        {"arms/left.npy": b"1"},
        {"thesis.txt": b"words", "photo.png": b"\x89PNG"},
        {"deep/er/file": b"1"},
        {"best.safetensors": b"1"},
    ],
)
def test_a_folder_of_another_program(tmp_path: Path, others: dict[str, bytes]) -> None:
    """A new run is refused, and nothing is written, changed or removed."""
    folder = tmp_path / "exp"
    for name, content in others.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    before = contents(folder)
    with pytest.raises(RunFolderError):
        brief(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("name", [".gitkeep", ".DS_Store", "Thumbs.db"])
def test_a_folder_that_is_empty_to_its_owner(tmp_path: Path, name: str) -> None:
    """What keeps a folder in an archive, or what a file manager leaves, is nothing; it stays."""
    (tmp_path / name).write_bytes(b"x")
    check_new(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RunFolderError, match=r"holds thesis\.txt, which"):
        check_new(tmp_path)


def test_a_copy_takes_nothing_from_outside(run: Path, tmp_path: Path) -> None:
    """Links (to a file, to a folder, to nothing), a pipe and a socket in a folder are left out when it is saved."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("mine", encoding="utf-8")
    (run / "notes.txt").symlink_to(tmp_path / "outside" / "secret")
    (run / "extra").symlink_to(tmp_path / "outside")
    (run / "last" / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(run / "arms" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(run):
        listening.bind("socket")
    (run / "mine.txt").write_text("kept", encoding="utf-8")
    saved = Result.load(run).save(tmp_path / "saved")
    names = {str(path.relative_to(saved)) for path in saved.rglob("*")}
    assert not names & {"notes.txt", "extra", "last/dangling", "arms/pipe", "socket", ".lock"}
    assert {"mine.txt", "best.safetensors", "record.jsonl"} <= names


@pytest.mark.parametrize("place", ["/proc/none/run", "file/run"])
def test_a_copy_that_cannot_be_written(run: Path, tmp_path: Path, place: str) -> None:
    """One sentence says so, and the result stays where it is."""
    (tmp_path / "file").touch()
    result = Result.load(run)
    with pytest.raises(RunFolderError, match="cannot be copied"):
        result.save(tmp_path / place)
    assert result.folder == run


def test_what_a_kill_at_the_start_leaves_is_in_nobodys_way(tmp_path: Path) -> None:
    """An empty folder, and one that a run was killed in before it had written anything."""
    (tmp_path / "run" / "arms").mkdir(parents=True)
    for name in (".lock", "record.jsonl", ".config.yaml.0a1b2c3d"):
        (tmp_path / "run" / name).touch()
    assert brief(tmp_path / "run").verdict


def test_files_of_others_in_a_run_stay(run: Path) -> None:
    """A run goes on beside files that are not its own; the checkpoint removes no file that it did not write."""
    kept = {
        "notes.txt": b"mine",
        "last/model.ckpt": b"weeks",
        "last/tensors-old.safetensors": b"x",
        "arms/a.npy": b"1",
    }
    for name, content in kept.items():
        (run / name).write_bytes(content)
    (run / "last" / ".state.json.01234567").write_bytes(b"left by a kill")
    save_state(run / "last", {"a": 1})
    assert load_state(run / "last") == {"a": 1}
    assert {name: (run / name).read_bytes() for name in kept} == kept
    names = {path.name for path in (run / "last").iterdir()} - {"model.ckpt", "tensors-old.safetensors"}
    assert len(names) == 2 and "state.json" in names  # and one tensor file


@pytest.mark.parametrize(
    "name", ["../../victim.safetensors", "/etc/passwd", "tensors-1.safetensors/..", "state.json", 3, None]
)
def test_names_in_a_checkpoint_do_not_lead_out(tmp_path: Path, name: object) -> None:
    """The tensor file is one beside state.json, by the form of its name."""
    save_state(tmp_path / "a" / "last", {"a": torch.ones(2)})
    save_weights(tmp_path / "victim.safetensors", {"0": torch.zeros(2)})
    state = tmp_path / "a" / "last" / "state.json"
    state.write_text(
        json.dumps({**json.loads(state.read_text(encoding="utf-8")), "tensors": name}), encoding="utf-8"
    )
    with pytest.raises(CheckpointError, match="names the tensor file"):
        load_state(state.parent)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"0"),
        lambda path: path.write_bytes(struct.pack("<Q", 10**10) + path.read_bytes()[8:]),
        lambda path: path.write_bytes(struct.pack("<Q", 2**63) + path.read_bytes()[8:]),
        lambda path: os.truncate(path, 10**10),
        lambda path: path.write_bytes(
            path.read_bytes().replace(b'"data_offsets":[0,', b'"data_offsets":[1,')
        ),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x02\0\0\0\0\0\0\0[]"),
    ],
)
def test_weights_of_another_size_than_they_say(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """A header of 10 GB, a sparse file of 10 GB, one byte more or less: refused, without reading it whole."""
    save_weights(tmp_path / "w.safetensors", {"a": torch.ones(4), "b": torch.zeros(2)})
    change(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="safetensors"):
        load_weights(tmp_path / "w.safetensors")


def test_more_than_the_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would not fit is refused before it is read, with both sizes."""
    save_weights(tmp_path / "w.safetensors", {"a": torch.ones(10**6)})
    monkeypatch.setattr(tensor_file, "free_memory", lambda: 6 * 10**6)
    monkeypatch.setattr(tensor_file, "content_of", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(CheckpointError, match=r"needs 0\.0 GB of memory, of which 0\.0 GB are free"):
        load_weights(tmp_path / "w.safetensors")


def test_a_changed_digit_in_the_checkpoint_is_noticed(run: Path) -> None:
    """Every byte of the state and of its tensors is under a checksum."""
    state = run / "last" / "state.json"
    text = state.read_text(encoding="utf-8")
    for old, new in (
        ('"finished": true', '"finished": false'),
        ('["finished", true]', '["finished", false]'),
        ("0.", "1."),
    ):
        if old in text:
            state.write_text(text.replace(old, new, 1), encoding="utf-8")
            with pytest.raises(CheckpointError, match="checksum"):
                load_state(run / "last")
    state.write_text(text, encoding="utf-8")
    save_state(run / "last", {"a": torch.arange(4.0)})
    tensors = next((run / "last").glob("*.safetensors"))
    content = bytearray(tensors.read_bytes())
    content[-2] ^= 1
    tensors.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        load_state(run / "last")


def test_a_state_of_another_form(run: Path) -> None:
    """A whole checkpoint that says something else than a run does is refused by the part that is wrong."""
    state = load_state(run / "last")
    assert state is not None
    for change in (
        {"values": "abc"},
        {"finished": 1},
        {"marks": [3]},
        {"record_length": -1},
        {"stage": {"progress": {}}},
    ):
        save_state(run / "last", {**state, **change})
        with pytest.raises(CheckpointError, match=next(iter(change))):
            brief(run)
    save_state(run / "last", {**state, "finished": False, "budget": {"steps": 3}})
    with pytest.raises(CheckpointError, match="does not fit"):
        brief(run)


@pytest.mark.parametrize(
    "text", ["asked: null\nfound: {}\n", "asked: {}\nfound: [1]\n", "[1, 2]\n", "a: !!int x\n", "", "\x00"]
)
def test_settings_of_another_form(run: Path, text: str) -> None:
    """config.yaml of another form is refused in one sentence."""
    (run / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RunFolderError, match="not the settings of a run"):
        brief(run)
    with pytest.raises(RunFolderError):
        read_config(run)


def test_a_full_disk_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written to the record is not tried again when the folder is closed."""
    from metricgrad._records import Note
    from metricgrad.tune import folder as module

    folder = RunFolder(tmp_path / "run", lambda event: None)
    real = module._write_all

    def full(file: object, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_all", full)
    with pytest.raises(RunFolderError, match="No space left"):
        folder.emit(Note("a"))
    monkeypatch.setattr(module, "_write_all", real)
    folder.close()
    assert (tmp_path / "run" / "record.jsonl").read_bytes() == b""
    assert issubclass(RunFolderError, MetricgradError)
