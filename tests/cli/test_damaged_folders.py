"""Run folders that were damaged in any way: read, or refused in one line; never a raw error."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metricgrad.errors import Interrupted
from metricgrad.tune import Result, loop
from tests.cli.outcome import QUICK, Command, Outcome

ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    10**17,
    10**19,
    10**400,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x",
    "\ud800",
    "\x1b[2J",
    [],
    [1],
    {},
    {"a": []},
    "../../etc/passwd",
    "<script>",
    "9" * 5000,
    [[]] * 3,
    1.5,
    "2020-01-01",
]
DOCUMENTS = ("record.jsonl", "gallery.json", "last/state.json")


@pytest.fixture(scope="session")
def _finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from metricgrad.cli.main import app

    folder = tmp_path_factory.mktemp("damaged") / "run"
    assert CliRunner().invoke(app, ["tune", "digits", *QUICK, "--run", str(folder), "--quiet"]).exit_code == 0
    return folder


@pytest.fixture(params=[pytest.param("_finished_run", id="finished", marks=pytest.mark.slow), "stopped"])
def source(request: pytest.FixtureRequest) -> Path:
    """A folder that is made before `checked` forbids training."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def checked(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[Outcome]]:
    """Report and resume a folder, up to the first training step."""

    def stop(*_: Any) -> None:
        raise Interrupted("here training would go on")

    monkeypatch.setattr(loop, "_run_steps", stop)
    monkeypatch.setattr(
        Result, "renderer", lambda folder: folder / "report.html"
    )  # `report` has drawn it already

    def check(folder: Path) -> list[Outcome]:
        outcomes = [command("report", folder), command("resume", folder, "--quiet")]
        for outcome in outcomes:
            assert outcome.code in (0, 2, 130), outcome
            if outcome.code == 2:
                assert outcome.err.count("metricgrad: ") == 1 and outcome.err.count("\n") == 1, outcome
                assert len(outcome.err) < 1500
        return outcomes

    return check


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one file of a folder in one way, and say which."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    way = rng.choice(["flip", "cut", "delete", "empty", "other", "insert", "double", "shuffle", "rename"])
    if way == "flip":
        for _ in range(rng.choice([1, 1, 5, 50])):
            if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif way == "cut":
        del content[rng.randrange(len(content) + 1) :]
    elif way == "empty":
        content.clear()
    elif way == "other":
        content = bytearray(rng.choice(files).read_bytes())
    elif way == "insert":
        place = rng.randrange(len(content) + 1)
        content[place:place] = rng.choice(
            [b"\0", b"\n", b"{", b"]", b'"', b"\xff\xfe", b"&a ", b"!!x ", b"9" * 400, b"[" * 3000]
        )
    elif way == "double":
        content += bytes(content)
    elif way == "shuffle":
        lines = bytes(content).split(b"\n")
        rng.shuffle(lines)
        content = bytearray(b"\n".join(lines))
    path.unlink()
    if way == "rename":
        rng.choice(files).with_name(f"renamed-{path.name}").write_bytes(content)
    elif way != "delete":
        path.write_bytes(content)
    return f"{way} {path.relative_to(folder)}"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def mend(folder: Path, rng: random.Random) -> str:
    """Give one value of a document, well-formed otherwise, another value; or take it away."""
    path = folder / rng.choice(DOCUMENTS)
    lines = path.read_text(encoding="utf-8").splitlines()
    line = rng.randrange(len(lines))
    document = json.loads(lines[line])
    container, key = rng.choice(list(places(document)))
    if rng.random() < 0.2:
        del container[key]
        said = "left out"
    else:
        container[key] = rng.choice(ODD)
        said = repr(container[key])[:60]
    lines[line] = json.dumps(document)
    path.write_text("".join(text + "\n" for text in lines), encoding="utf-8")
    return f"{path.relative_to(folder)} line {line + 1}: {key} {said}"


@pytest.mark.parametrize(("way", "count"), [(damage, 1), (mend, 1), *(
    pytest.param(way, count, marks=[pytest.mark.slow, *more])
    for way in (damage, mend)
    for count, more in ((20, []), (75, [pytest.mark.nightly]))
)])  # fmt: skip
def test_damaged_folders(
    source: Path,
    tmp_path: Path,
    checked: Callable[[Path], list[Outcome]],
    way: Callable[[Path, random.Random], str],
    count: int,
) -> None:
    """Whatever was done to a folder, `report` and `resume` end with a result or with one line."""
    if not (source / "gallery.json").exists():
        (source / "gallery.json").write_text(
            '{"caption": "", "before": "", "after": "", "better": [], "worse": []}'
        )
    faults = []
    for number in range(count):
        folder = Path(shutil.copytree(source, tmp_path / f"damaged-{number}"))
        done = way(folder, random.Random(number))
        try:
            checked(folder)
        except Exception as error:
            faults.append(f"{number}: {done}: {type(error).__name__}: {error}")
        shutil.rmtree(folder)
    assert not faults, "\n".join(faults)
