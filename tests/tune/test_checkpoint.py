"""Checkpoints keep what they are given, replace each other in one moment and refuse what is damaged."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from metricgrad.errors import CheckpointError, RunFolderError
from metricgrad.tune import checkpoint
from metricgrad.tune.checkpoint import load_state, load_weights, save_state, save_weights

STATE = {
    "numbers": [1, 2.5, None, True, "text", float("inf")],
    "optimiser": {0: {"step": torch.tensor(3.0), "moment": torch.arange(6.0).view(2, 3)}, 1: {}},
    "pair": (1, torch.tensor([1, 2])),
    "empty": torch.zeros(0, 4),
}


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    """Dicts (with whole numbers as keys), lists, tuples, numbers and tensors survive."""
    save_state(tmp_path / "last", STATE)
    found = load_state(tmp_path / "last")
    assert found is not None
    assert found["numbers"] == STATE["numbers"]
    assert list(found["optimiser"]) == [0, 1]
    assert isinstance(found["pair"], tuple)
    torch.testing.assert_close(
        found["optimiser"][0]["moment"], STATE["optimiser"][0]["moment"], rtol=0, atol=0
    )
    assert found["empty"].shape == (0, 4)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    """A folder without a checkpoint holds none; that is not an error."""
    assert load_state(tmp_path) is None


@pytest.mark.parametrize("moment", range(4))
def test_a_failure_while_writing_leaves_the_old_one(tmp_path: Path, monkeypatch, moment: int) -> None:
    """Whichever rename or flush fails, the checkpoint that was there can be read."""
    save_state(tmp_path / "last", {"version": 1, "value": torch.ones(3)})
    calls = {"left": moment}
    real = checkpoint.os.fsync

    def failing(descriptor: int) -> None:
        if calls["left"] == 0:
            raise OSError(28, "No space left on device")
        calls["left"] -= 1
        real(descriptor)

    monkeypatch.setattr(checkpoint.os, "fsync", failing)
    with pytest.raises(RunFolderError, match="No space left"):
        save_state(tmp_path / "last", {"version": 2, "value": torch.zeros(3)})
    monkeypatch.undo()
    found = load_state(tmp_path / "last")
    assert found is not None
    assert found["version"] in (1, 2)
    torch.testing.assert_close(found["value"], torch.ones(3) if found["version"] == 1 else torch.zeros(3))


def test_old_files_are_removed(tmp_path: Path) -> None:
    """Only the checkpoint in force stays on the disk, under another name than the one before it."""
    for version in range(4):
        save_state(tmp_path / "last", {"version": version, "value": torch.ones(3)})
        tensors, state = f"tensors-{1 + version % 2}.safetensors", "state.json"
        assert {path.name for path in (tmp_path / "last").iterdir()} == {tensors, state}


@pytest.mark.parametrize("number", ["1", "999999999999999999", "000000000000000001"])
def test_numbers_of_old_files(tmp_path: Path, number: str) -> None:
    """What a file left there is called is no reason for a name that is not read again."""
    save_state(tmp_path / "last", {"version": 0})
    (tmp_path / "last" / f"tensors-{number}.safetensors").write_bytes(b"left")
    for version in (1, 2):
        save_state(tmp_path / "last", {"version": version, "value": torch.ones(3)})
        assert (load_state(tmp_path / "last") or {})["version"] == version


def test_truncated_tensors_are_refused(tmp_path: Path) -> None:
    """A checkpoint that was cut short is named, with what to do."""
    save_state(tmp_path / "last", STATE)
    path = next((tmp_path / "last").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_state(tmp_path / "last")


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"tensors": "x"})])
def test_damaged_state_is_refused(tmp_path: Path, content: str) -> None:
    """A state file that is no checkpoint is named."""
    save_state(tmp_path / "last", STATE)
    (tmp_path / "last" / "state.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        load_state(tmp_path / "last")


def test_pickle_is_never_loaded(tmp_path: Path) -> None:
    """A weights file that is a pickle is refused, by its first bytes."""
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pt")  # noqa: TID251
    with pytest.raises(CheckpointError, match="is a pickle"):
        load_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_header_whose_length_reads_as_a_pickle(tmp_path: Path, length: int) -> None:
    """0x0280 is the beginning of a pickle, and the length of the header of a whole file."""
    path, facts = tmp_path / "weights.safetensors", {"rule": ""}
    save_weights(path, {"w": torch.ones(2)}, facts)
    facts["rule"] = "x" * (length - int.from_bytes(path.read_bytes()[:8], "little"))
    save_weights(path, {"w": torch.ones(2)}, facts)
    assert path.read_bytes()[:2] == length.to_bytes(2, "little")
    assert load_weights(path)["w"].tolist() == [1.0, 1.0]


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    """Two names for one tensor become two tensors with the same content."""
    shared = torch.arange(4.0)
    save_weights(tmp_path / "weights.safetensors", {"first": shared, "second": shared})
    found = load_weights(tmp_path / "weights.safetensors")
    torch.testing.assert_close(found["first"], found["second"])


def test_foreign_safetensors_are_read(tmp_path: Path) -> None:
    """What safetensors itself writes can be loaded."""
    save_file({"weight": torch.ones(2, 2)}, tmp_path / "weights.safetensors")
    torch.testing.assert_close(load_weights(tmp_path / "weights.safetensors")["weight"], torch.ones(2, 2))


@pytest.mark.parametrize("value", [None, 1e308, "1", [], {}])
def test_a_checksum_that_is_no_number(tmp_path: Path, value: object) -> None:
    """It is refused as damage, whatever stands in its place."""
    save_state(tmp_path / "last", {"value": torch.ones(3)})
    path = tmp_path / "last" / "state.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["crc32"]["tensors"] = value
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(CheckpointError, match="the checksum of its tensors is"):
        load_state(tmp_path / "last")
