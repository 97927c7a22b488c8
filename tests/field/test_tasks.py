"""Whole runs on tiny folders: any backbone, a gallery, a network that a run left, texts; and what must be trusted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from metricgrad.errors import InputError
from metricgrad.tasks import class_folders, cub200, in_shop, text_recognition
from metricgrad.tune.fit_rows import fit_rows
from tests.cli.conftest import command as command
from tests.cli.conftest import interrupt as interrupt
from tests.cli.outcome import Command
from tests.field import tiny

SMALL = (
    "--steps", "2", "--seeds", "1", "--quiet", "--json",
    "--set", "data.crop=12", "--set", "data.resize=14", "--set", "data.dim=4",
    "--set", "start.plan.steps=2", "--set", "plan.resamples=20",
)  # fmt: skip
BACKBONE = ("--set", "data.backbone=tiny_networks:create_model")


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write_networks(tmp_path, monkeypatch)


def options(folder: Path, **further: Any) -> dict[str, Any]:
    """Options of a task of pictures."""
    named = {"data": folder, "backbone": "tiny_networks:create_model", "crop": 12, "resize": 14, "dim": 4}
    return {**named, **further}


@pytest.mark.slow
def test_a_run(command: Command, tmp_path: Path, interrupt: Callable[..., None]) -> None:
    """Interrupted and resumed it ends with the same bits as at one go, and its network starts another run."""
    data = tiny.sop(tmp_path / "data")
    runs = [tmp_path / "first", tmp_path / "second"]
    call = ("tune", "sop", "--data", data, *BACKBONE, *SMALL, "--steps", 4)
    assert command(*call, "--run", runs[0]).code == 0
    interrupt("tuned", 3)
    assert command(*call, "--run", runs[1]).code == 130
    outcome = command("resume", runs[1], "--trust", "--quiet")
    assert outcome.code == 0, outcome.err
    first, second = (load_file(run / "best.safetensors") for run in runs)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert (runs[0] / "report.html").exists()
    trained = ("--set", f"data.trained={runs[0] / 'best.safetensors'}")
    found = command("tune", "sop", "--data", data, *BACKBONE, *SMALL, *trained, "--dry-run")
    assert found.code == 0, found.err
    assert found.json["start_steps"] is None


def test_a_run_against_a_gallery(command: Command, tmp_path: Path) -> None:
    """Queries of test are ranked against the gallery: the verdict is over three of them."""
    data = tiny.in_shop(tmp_path / "data")
    outcome = command(
        "tune", "in_shop", "--data", data, *BACKBONE, *SMALL, "--no-closed-forms", "--run", tmp_path / "run"
    )
    assert outcome.code == 0, outcome.err
    assert '"units": 3' in (tmp_path / "run" / "record.jsonl").read_text(encoding="utf-8")
    splits = in_shop.load(options(data)).splits
    assert splits.test is not None
    gallery = splits.test.reference
    assert gallery.items == 6 and set(gallery.targets.tolist()) == set(splits.test.targets.tolist())
    assert not set(gallery.targets.tolist()) & set(splits.fit.targets.tolist())


@pytest.mark.slow
def test_a_run_that_reads(command: Command, tmp_path: Path) -> None:
    """A learned surrogate of the edit distance on texts of environments."""
    data = tiny.text_recognition(tmp_path / "data")
    lessons = ("surrogate_warmup=2", "surrogate_batch=8", "surrogate_steps=1", "trust=-1", "lessons=0")
    settings = (
        *(f"settings.{text}" for text in lessons),
        "data.batch=8",
        "data.longest=8",
        "plan.resamples=20",
    )
    network = ("data.network=tiny_networks:reader", "data.network_settings={steps: 8}")
    assignments = [part for text in (*settings, *network) for part in ("--set", text)]
    arguments = ("--steps", "2", "--seeds", "1", "--quiet", "--set", "start.plan.steps=2")
    run = tmp_path / "run"
    outcome = command("tune", "text_recognition", "--data", data, *arguments, *assignments, "--run", run)
    assert outcome.code == 0, outcome.err
    assert (run / "best.safetensors").exists()


@pytest.mark.slow
def test_trust(command: Command, tmp_path: Path) -> None:
    """Code and folder that the options of a run folder name are not reached without --trust."""
    data = tiny.sop(tmp_path / "data")
    run = tmp_path / "run"
    assert command("tune", "sop", "--data", data, *BACKBONE, *SMALL, "--run", run).code == 0
    command("resume", run).refused(
        "data.backbone 'tiny_networks:create_model'", f"data.data '{data}'", "--trust"
    )
    assert command("resume", run, "--trust", "--quiet").code == 0
    inside = run / "inside.py"
    inside.write_text("create_model = None\n", encoding="utf-8")
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(
        config.replace("tiny_networks:create_model", "run.inside:create_model"), encoding="utf-8"
    )
    command("resume", run, "--trust").refused("inside the run folder", "never imported from there")


def test_classes_are_parted_once(tmp_path: Path) -> None:
    """Fit, select and test share none; the seed decides which are select, and test stays."""
    data = tiny.cub200(tmp_path)
    found = [cub200.load(options(data, split_seed=seed)).splits for seed in (0, 0, 1, 2, 3)]
    parts = [
        [set(getattr(splits, name).targets.tolist()) for name in ("fit", "select", "test")]
        for splits in found
    ]
    assert all(not (fit & select or fit & test or select & test) for fit, select, test in parts)
    assert parts[0] == parts[1] and any(part[1] != parts[0][1] for part in parts[2:])
    assert all(part[2] == parts[0][2] for part in parts)


@pytest.mark.slow
def test_settings_are_chosen_without_test(command: Command, tmp_path: Path) -> None:
    """Divisions of the classes of train, other ones by number; no picture of test is needed."""
    data = tiny.cub200(tmp_path / "data")
    real = cub200.load(options(data)).splits
    known = {name for split in (real.fit, real.select) for name in _names(split)}
    with pytest.raises(InputError, match="at least two such classes in fit and in select"):
        cub200.load(options(data, development=0))
    more = [
        f"{number} {kind:03d}.A_Bird/A_Bird_{number}.jpg"
        for number, kind in zip(range(50, 70), 2 * list(range(50, 60)), strict=True)
    ]
    for row in more:
        tiny.picture(data / "images" / row.split()[1])
    for list_name, rows in (
        ("images.txt", more),
        ("image_class_labels.txt", [f"{row.split()[0]} {row.split()[1][:3].lstrip('0')}" for row in more]),
    ):
        with (data / list_name).open("a", encoding="utf-8") as file:
            file.write("".join(f"{row}\n" for row in rows))
    found = [cub200.load(options(data, development=number)).splits for number in (0, 0, 1)]
    parts = [[set(_names(split)) for split in (one.fit, one.select, one.test)] for one in found]
    assert parts[0] == parts[1] != parts[2]
    assert set().union(*parts[0]) == set().union(*parts[2]) == known | {row.split()[1] for row in more}
    for path in (data / "images").rglob("*.jpg"):
        if int(path.parent.name[:3]) > 100:  # test
            path.unlink()
    arguments = ("--set", f"data.data={data}", "--divisions", 1, "--tries", 1, "--quiet")
    sets = ("data.crop=12", "data.resize=14", "data.dim=4", "start.plan.steps=1", "plan.steps=1")
    outcome = command(
        "settings", "cub200", *arguments, *BACKBONE, *(part for text in sets for part in ("--set", text))
    )
    assert outcome.code == 0, outcome.err


def _names(split: Any) -> list[str]:
    """The pictures of a split."""
    return [split.stored.name(number) for number in range(len(split.stored))]


def test_closed_forms_see_every_picture_once(tmp_path: Path) -> None:
    """As it is judged, in batches of evaluation, not in the random views of training."""
    splits = class_folders.load(options(tiny.class_folders(tmp_path), evaluation_batch=2)).splits
    rows, labels = fit_rows(nn.Flatten(), splits.fit, documents_stay=False).rows
    assert labels.tolist() == splits.fit.targets.tolist()
    again, _ = fit_rows(nn.Flatten(), splits.fit, documents_stay=False).rows
    torch.testing.assert_close(rows, again)


def test_classes_that_do_not_suffice(tmp_path: Path) -> None:
    """Too few for fit and select, a test without a pair, and one picture of each."""
    data = tiny.class_folders(tmp_path / "data")
    with pytest.raises(InputError, match="at least two such classes in fit and in select"):
        class_folders.load(options(data, test_share=0.75))
    for kind in range(5):
        tiny.picture(tmp_path / "parted" / "train" / f"{kind}" / "1.png")
        tiny.picture(tmp_path / "parted" / "train" / f"{kind}" / "2.png")
        tiny.picture(tmp_path / "parted" / "test" / f"other {kind}" / "1.png")
    with pytest.raises(InputError, match="no class of test has two pictures"):
        class_folders.load(options(tmp_path / "parted"))


def test_options_that_do_not_fit(command: Command, tmp_path: Path) -> None:
    """A deviation of 0, an unknown option, no such folder, no network, and a network with other outputs."""
    data = tiny.sop(tmp_path / "data")

    def refused(task: str, *assignments: str) -> Any:
        sets = [part for text in assignments for part in ("--set", text)]
        return command("tune", task, "--dry-run", "--quiet", *sets).refused

    named, small = f"data.data={data}", ("data.crop=12", "data.resize=14")
    net = "data.backbone=tiny_networks:create_model"
    refused("sop", named, net, "data.deviation=[0, 1, 1]")("deviation.0")
    refused("sop", named, net, "data.colour=1")("'colour'")
    refused("sop", named)("'backbone'", "needed")
    refused("sop", f"data.data={tmp_path / 'none'}", net)("Ebay_train.txt", "No such file")
    refused("sop", named, "data.backbone=tiny_networks:create_modl")("Did you mean 'create_model'")
    refused("sop", named, "data.backbone=tiny_networks:several", *small)("features [item, feature]")
    refused("sop", named, net, "data.crop=14", "data.resize=12")("crop is 14 and resize 12")
    refused("sop", named, net, "data.without=fc", *small)("has no module 'fc'")
    words = tiny.text_recognition(tmp_path / "words")
    reader = ("data.network=tiny_networks:reader", f"data.data={words}")
    refused("text_recognition", *reader, "data.longest=7")("logits [2, 7, 37]")
    refused("text_recognition", *reader, "data.characters=aab")("each once")
    refused("text_recognition", *reader, "data.test=[validation]")("select and test share 1 environments")
    refused("text_recognition", *reader, "data.train=[none]")("no folder with a data.mdb")


def test_lists_and_environments_are_one_set_of_texts(tmp_path: Path) -> None:
    """Places of both kinds in one part; pictures that two lists share are refused."""
    tiny.text_recognition(tmp_path)
    tiny.line_picture(tmp_path / "own" / "1.png", "mine")
    tiny.written(tmp_path, "own/gt.txt", ["1.png\tmine"])
    tiny.written(tmp_path, "own/other.txt", ["1.png mine"])
    named = {"data": tmp_path, "network": "tiny_networks:reader"}
    splits = text_recognition.load({**named, "train": ("training/ST", "own/gt.txt")}).splits
    assert splits.fit.targets[-1] == "mine" and len(splits.fit.targets) == 9
    with pytest.raises(InputError, match=r"fit and test share 1 environments or pictures, e\.g\. .*1\.png"):
        text_recognition.load({**named, "train": ("own/gt.txt",), "test": ("own/other.txt",)})
