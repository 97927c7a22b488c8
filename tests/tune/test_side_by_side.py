"""Cells trained elsewhere, in any order: the figures of one process, no finished one lost, whoever is killed."""

import dataclasses
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metricgrad.errors import CheckpointError, InputError, Interrupted, MissingExtraError
from metricgrad.tune import Comparison, Result, compare
from metricgrad.tune.compared import Row
from metricgrad.tune.ray_cluster import connected
from metricgrad.tune.side_by_side import MOST_LOSSES, CellLost
from metricgrad.tune.state import read_state
from tests.kill_points import EMIT, Forks
from tests.tune.side_by_side_run import HandWorkers, Key, contest
from tests.tune.small_run import same_weights, small_model, small_splits

CELLS = 2 * (1 + 2 * 3)


def untimed(found: Comparison) -> list[Row]:
    """The table without its times."""
    return [dataclasses.replace(row, seconds=0.0) for row in found.table]


def told(folder: Path) -> list[str]:
    """The record without times and notes, as texts: NaN is itself there."""
    events = [event for event in Result.load(folder).events if event["event"] not in ("note", "resumed")]
    return [
        json.dumps({key: value for key, value in event.items() if key not in ("time", "seconds")})
        for event in events
    ]


def notes(folder: Path) -> list[str]:
    """The notes of a record."""
    return [event["text"] for event in Result.load(folder).events if event["event"] == "note"]


def equal(found: Comparison, to: Comparison) -> None:
    """Assert that two contests have the same table, record and weights, and that no cell is kept twice."""
    assert untimed(found) == untimed(to)
    assert told(found.result.folder) == told(to.result.folder)
    assert not same_weights(found.result.folder, to.result.folder)
    assert not list(found.result.folder.rglob("*-cell.json"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The contest in one process, one cell after the other."""
    return contest(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.mark.parametrize(
    "order", [lambda count: count - 1, random.Random(0).randrange], ids=["last", "drawn"]
)
def test_any_order_gives_the_same(
    undisturbed: Comparison, tmp_path: Path, order: Callable[[int], int]
) -> None:
    """Each cell is trained once, and table, record and weights are those of one process, byte for byte."""
    trained: list[Key] = []
    found = contest(tmp_path / "run", HandWorkers(order, trained=trained.append))
    equal(found, undisturbed)
    assert len(trained) == len(set(trained)) == CELLS
    assert "the cells are trained by hand" in notes(tmp_path / "run")


@pytest.mark.slow
def test_a_lost_cell_is_trained_again(undisturbed: Comparison, tmp_path: Path) -> None:
    """Every cell loses its worker once: each is told, and nothing else changes."""
    seen: set[Key] = set()

    def lost(stage: Any) -> bool:
        key = (stage.seed, stage.arm, stage.attempt)
        return key not in seen and not seen.add(key)

    found = contest(tmp_path / "run", HandWorkers(lost=lost))
    equal(found, undisturbed)
    again = [text for text in notes(tmp_path / "run") if "was lost with its worker (it was killed)" in text]
    assert len(again) == len(set(again)) == CELLS


@pytest.mark.slow
def test_a_cell_that_kills_every_worker_comes_to_an_end(undisturbed: Comparison, tmp_path: Path) -> None:
    """An error names it; the others are kept, and the same call without a cluster trains what is left."""
    times: list[Any] = []

    def lost(stage: Any) -> bool:
        deadly = (stage.seed, stage.arm, stage.attempt) == (1, "hot", 1)
        times.extend([stage] * deadly)
        return deadly

    with pytest.raises(CellLost, match=r"seed 1: hot \(try 1\): its worker died 6 times.*it was killed"):
        contest(tmp_path / "run", HandWorkers(lambda count: 0, lost=lost))
    assert len(times) == MOST_LOSSES + 1
    equal(contest(tmp_path / "run"), undisturbed)


@pytest.mark.slow
def test_an_error_leaves_what_has_ended(undisturbed: Comparison, tmp_path: Path) -> None:
    """What the user's code raises in a worker is raised here; cells that came before it are never trained again."""
    first: list[Key] = []
    second: list[Key] = []

    def looked() -> None:
        if len(first) == 9:
            raise ZeroDivisionError("of the user")

    with pytest.raises(ZeroDivisionError, match="of the user"):
        contest(tmp_path / "run", HandWorkers(trained=first.append, looked=looked))
    kept = list((tmp_path / "run" / "arms").glob("*-cell.json"))
    assert kept  # the last ones came first: their turn has not come
    equal(contest(tmp_path / "run", HandWorkers(trained=second.append)), undisturbed)
    assert len(first) == 9 and len({*first, *second}) == len(first) + len(second) == CELLS


def test_ctrl_c_leaves_what_has_ended(undisturbed: Comparison, tmp_path: Path) -> None:
    """It says how many are left; one process takes the kept cells over and trains the others."""
    trained: list[Key] = []

    def looked() -> None:
        if len(trained) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=r"SIGINT with 8 cells still to be trained"):
        contest(tmp_path / "run", HandWorkers(trained=trained.append, looked=looked))
    assert len(trained) == 6  # the one that was under way
    started: list[Key] = []

    def observer(event: Any) -> None:
        if event["event"] == "progress" and event["unit"] == "step" and event["done"] == 1:
            name, place = event["what"], event["stage"]
            started.append((int(name.split()[1]), name.split()[2], place))

    equal(contest(tmp_path / "run", observer=observer), undisturbed)
    assert len(set(started)) == 8


@pytest.mark.slow
def test_a_stage_that_was_begun_here_goes_on_here(undisturbed: Comparison, tmp_path: Path) -> None:
    """Its checkpoint counts: workers get the stages after it."""

    def observer(event: Any) -> None:
        if event["event"] == "progress" and event["what"] == "seed 0 warm" and event["done"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        contest(tmp_path / "run", observer=observer)
    trained: list[Key] = []
    equal(contest(tmp_path / "run", HandWorkers(trained=trained.append)), undisturbed)
    assert len(trained) == CELLS - 3 and (0, "warm", 0) not in trained


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "not JSON"),
        (lambda text: text.replace('"value"', '"other"', 1), "value"),
        (lambda text: text.replace('"try', '"').replace('"attempt": 1', '"attempt": 0'), "another stage"),
        (lambda text: text.replace('"format": 1', '"format": 9'), "another version"),
    ],
    ids=["cut", "a field less", "of another stage", "of another version"],
)
def test_a_damaged_cell_is_refused(
    stopped: Path, tmp_path: Path, damage: Callable[[str], str], reason: str
) -> None:
    """With its name and what to do."""
    shutil.copytree(stopped, tmp_path / "run")
    (path, *_) = sorted((tmp_path / "run" / "arms").glob("*-try1-cell.json"))
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"{path.name} is not a trained cell.*{reason}.*remove it"):
        contest(tmp_path / "run", seeds=0)
    if reason == "not JSON":
        path.unlink()
        assert contest(tmp_path / "run", seeds=0).table


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest of one seed that stopped with three cells, two of which wait for their turn."""
    count = 0

    def looked() -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise ZeroDivisionError

    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(ZeroDivisionError):
        contest(folder, HandWorkers(looked=looked), seeds=0)
    assert len(list(folder.rglob("*-cell.json"))) == 2
    return folder


@pytest.mark.parametrize("address", ["here", "ray://head:10001", "head:0", "head:99999", ""])
def test_an_address_has_a_form(address: str) -> None:
    """Auto, or host and port."""
    with pytest.raises(InputError, match=r"expected auto, or HOST:PORT"), connected(address):
        pass


def test_without_ray_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says what to install, before a folder is made."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'metricgrad\[cluster\]'"):
        compare(
            small_model,
            small_splits(),
            metric="recall@1",
            methods=["surrogate:recall_at_k"],
            folder=tmp_path / "run",
            ray="auto",
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_eight_times(tmp_path: Path) -> None:
    """SIGKILL at drawn moments of one run whose cells end in another order: what was kept is never trained again."""
    draws, log = random.Random(0), tmp_path / "log"
    with Forks("tests.tune.side_by_side_run:killed", EMIT, "metricgrad.tune.folder:RunFolder.tell") as forks:
        ended = forks.run(tmp_path / "whole", log)
        assert ended.code == 0
        for number in range(8):
            log.write_text("", encoding="utf-8")
            before = _kept(tmp_path / "cut")
            moment = draws.randrange(1, ended.moments // 8)
            stopped = forks.run(tmp_path / "cut", log, kill_at=moment)
            assert stopped.code == -signal.SIGKILL, f"kill {number} at moment {moment}"
            assert not before & set(log.read_text(encoding="utf-8").split())
        assert forks.run(tmp_path / "cut", log).code == 0
    equal(Comparison.load(tmp_path / "cut"), Comparison.load(tmp_path / "whole"))


def _kept(folder: Path) -> set[str]:
    """What a folder holds of finished cells: told in the record that its checkpoint counts, or kept for their turn."""
    state = read_state(folder)
    if state is None:
        return set()
    lines = (folder / "record.jsonl").read_bytes()[: state.record_length].decode().splitlines()
    events = [event for event in map(json.loads, lines) if event["event"] == "stage_finished"]
    found = {f"seed{event['seed']}-{event['arm']}-try{event['attempt']}" for event in events}
    return found | {path.name.removesuffix("-cell.json") for path in folder.rglob("*-cell.json")}
