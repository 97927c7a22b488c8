"""The recipes of examples/field: each is accepted by `tune --dry-run` on a tiny folder of its form."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from metricgrad import tasks
from tests.cli.conftest import command as command
from tests.cli.outcome import Command
from tests.field import tiny

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "field"
FOLDERS: dict[str, tuple[Callable[[Path], Path], dict[str, tuple[int, int | None]]]] = {
    "sop": (tiny.sop, {"fit": (10, 4), "select": (5, 2), "test": (8, 3)}),
    "cub200": (tiny.cub200, {"fit": (9, 3), "select": (6, 2), "test": (9, 3)}),
    "cars196": (tiny.cars196, {"fit": (6, 2), "select": (6, 2), "test": (6, 2)}),
    "in_shop": (tiny.in_shop, {"fit": (9, 3), "select": (6, 2), "test": (3, 3)}),
    "inaturalist": (tiny.inaturalist, {"fit": (9, 3), "select": (6, 2), "test": (9, 3)}),
    "vehicle_id": (tiny.vehicle_id, {"fit": (9, 3), "select": (6, 2), "test": (12, 4)}),
    "class_folders": (tiny.class_folders, {"fit": (6, 2), "select": (6, 2), "test": (12, 4)}),
    "text_recognition": (tiny.text_recognition, {"fit": (16, 16), "select": (4, 4), "test": (4, 4)}),
}


def test_a_recipe_per_task() -> None:
    """Each names its task, says that the time of a step is not measured, and shows its two commands."""
    found = {
        path: yaml.safe_load(path.read_text(encoding="utf-8"))["task"] for path in RECIPES.glob("*.yaml")
    }
    assert set(found.values()) == set(FOLDERS) <= set(tasks.__all__)
    for path, task in found.items():
        text = path.read_text(encoding="utf-8")
        assert path.stem == task.replace("_", "-")
        assert "The time of a step is not measured" in text
        assert f"metricgrad tune examples/field/{path.name} --data FOLDER --dry-run\n" in text


def own_network(task: str, folder: Path) -> list[str]:
    """Options that put tiny networks, with weights in a file, in the place of those that the recipe names."""
    weights = folder / "weights.safetensors"
    import tiny_networks  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    if task == "text_recognition":
        save_file(tiny_networks.reader().state_dict(), weights)
        return ["--set", "data.network=tiny_networks:reader", "--set", f"data.weights={weights}"]
    whole = {**tiny_networks.create_model().state_dict(), "head.weight": torch.zeros(1000, 8)}
    save_file(whole, weights)
    return ["--set", "data.backbone=tiny_networks:create_model", "--set", f"data.weights={weights}"]


@pytest.mark.parametrize("task", FOLDERS)
def test_a_dry_run(task: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits are counted, the first batch is made, memory is estimated; nothing is written."""
    tiny.write_networks(tmp_path, monkeypatch)
    make, expected = FOLDERS[task]
    data = make(tmp_path / "data")
    options = own_network(task, tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
    recipe = RECIPES / f"{task.replace('_', '-')}.yaml"
    outcome = command("tune", recipe, "--data", data, *options, "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    kept = {name: (facts["items"], facts["classes"]) for name, facts in found["splits"].items()}
    assert kept == expected and found["task"] == task
    given = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    assert (found["steps"], found["seeds"]) == (given["plan"]["steps"], [0, 1, 2])
    text = task == "text_recognition"
    shape = "1, 32, 100" if text else "3, 224, 224"
    assert found["inputs"] == f"({found['items']}, {shape}) of torch.uint8" and found["items"] >= 4
    assert found["outputs"].endswith("25, 37) of torch.float32" if text else "512) of torch.float32")
    assert found["memory"]["the batch"] == found["items"] * (3200 if text else 3 * 224 * 224)
    assert found["total"] == sum(found["memory"].values()) > found["memory"]["forward pass of a chunk"] > 0
    assert found["trained"] == found["parameters"] > 0
    assert found["start_steps"] == (None if text else given["start"]["plan"]["steps"])
    assert {"start", "continued", "tuned"} <= set(found["arms"])
    if text:
        assert any("2 of the 6 texts" in note for note in found["notes"])
    else:
        assert any("that were asked for" in note for note in found["notes"])
    if task == "in_shop":
        assert found["splits"]["test"]["reference"] == 6
    assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts) == before


def test_what_a_dry_run_prints(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, the batch, the network, the arms and the memory by what takes it."""
    tiny.write_networks(tmp_path, monkeypatch)
    data = tiny.in_shop(tmp_path / "data")
    options = own_network("in_shop", tmp_path)
    outcome = command("tune", RECIPES / "in-shop.yaml", "--data", data, *options, "--dry-run")
    assert outcome.code == 0, outcome.err
    for words in (
        "in_shop, recall@1: checked, nothing was trained or written",
        "6 others",
        "first batch: inputs (9, 3, 224, 224) of torch.uint8",
        "steps of each: 330",
        "the start model is trained before, at most 330 steps",
        "memory while training, estimated",
        "  moments of AdamW: ",
        "free on cpu now: ",
    ):
        assert words in outcome.out, (words, outcome.out)
    assert (
        "note: in_shop: train has 15 pictures of 5 classes; the published data set has 25,882" in outcome.err
    )


def test_a_dry_run_of_any_task(command: Command) -> None:
    """Tasks whose data lie in memory have one, too; the memory of a batch follows plan.batch."""
    small, large = (
        command("tune", "digits", "--dry-run", "--json", "--batch", size, "--quiet").json for size in (32, 64)
    )
    assert small["splits"]["test"] == large["splits"]["test"] == {"items": 534, "classes": 3, "batches": 3}
    assert 2 * small["memory"]["the batch"] == large["memory"]["the batch"] == 64 * 64 * 4
    assert small["memory"]["weights"] == large["memory"]["weights"] >= 4 * small["parameters"]
    assert small["memory"]["gradient"] == 4 * small["trained"]
    assert small["memory"]["moments of AdamW"] == 2 * small["memory"]["gradient"]
    chunked = command("tune", "digits", "--dry-run", "--json", "--chunk", "8", "--quiet").json
    assert chunked["chunk"] == 8
    assert 8 * chunked["memory"]["forward pass of a chunk"] == large["memory"]["forward pass of a chunk"]


def test_what_a_dry_run_refuses(command: Command, tmp_path: Path) -> None:
    """A folder for a run, and whatever a run would refuse."""
    command("tune", "digits", "--dry-run", "--run", tmp_path / "run").refused("--dry-run came with --run")
    command("tune", "digits", "--dry-run", "--set", "settings.learning_rat=1").refused("'learning_rate'")
    command("tune", "digits", "--dry-run", "--metric", "recal@1").refused("recal@1")
    command("tune", "sop", "--dry-run").refused("has no key")
    assert not list(tmp_path.glob("run*"))


def test_a_dry_run_reads_no_picture_of_test(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted and looked for; one that is no picture stops the run, not the dry run."""
    tiny.write_networks(tmp_path, monkeypatch)
    data = tiny.sop(tmp_path / "data")
    for path in (data / "bicycle_final").glob("00000000000[789]*"):
        path.write_bytes(b"no picture")
    options = ["--data", data, *own_network("sop", tmp_path), "--dry-run", "--quiet"]
    assert command("tune", RECIPES / "sop.yaml", *options).code == 0
    for path in (data / "bicycle_final").glob("00000000000[1-6]*"):
        path.write_bytes(b"no picture")
    command("tune", RECIPES / "sop.yaml", *options).refused("is no whole picture")
