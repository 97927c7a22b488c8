"""A run folder from elsewhere runs no code; the current folder serves no name but those that the user types."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from metricgrad.cli.main import leave_current_folder
from metricgrad.cli.trust import check_trust, named_files
from metricgrad.errors import InputError
from tests.cli.outcome import Command

MARK = "import pathlib\npathlib.Path(__file__).with_name('RAN').touch()\n"


@pytest.mark.parametrize(
    ("place", "recipe"),
    [
        ("run/evil.py", {"task": "run.evil:load"}),
        ("run/evil.py", {"task": "digits", "metric": "run.evil:score"}),
        ("run/evil.py", {"task": "digits", "metric": "run.evil:score:higher_is_better=true,unit=whole"}),
        ("run/evil.py", {"task": "digits", "proxy": "run.evil:loss"}),
        ("run/package/__init__.py", {"task": "run.package.module:load"}),
        ("evil/__init__.py", {"task": "evil:load"}),
        ("evil.py", {"task": "digits", "metric": " evil:score"}),
        ("evil.py", {"task": "evil:load", "metric": "evil:score", "proxy": "evil:loss"}),
    ],
)
def test_names_in_a_received_recipe_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, recipe: dict[str, str]
) -> None:
    """The message says each name and where it would come from; with trust, still nothing comes out of the folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MARK, encoding="utf-8")
    (tmp_path / "run").mkdir(exist_ok=True)
    with pytest.raises(InputError) as caught:
        check_trust(recipe, {}, Path("run"), trusted=False)
    inside = place.startswith("run/")
    assert ("inside the run folder" if inside else "resume run --trust") in str(caught.value)
    assert str(path) in str(caught.value) or inside
    if inside:
        with pytest.raises(InputError, match="never imported"):
            check_trust(recipe, {}, Path("run"), trusted=True)
    else:
        check_trust(recipe, {}, Path("run"), trusted=True)
    assert not list(tmp_path.rglob("RAN"))


def test_from_inside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is the run folder, or lies in it."""
    (tmp_path / "deep").mkdir()
    for place in (tmp_path, tmp_path / "deep"):
        (place / "evil.py").write_text(MARK, encoding="utf-8")
        monkeypatch.chdir(place)
        with pytest.raises(InputError, match="inside the run folder"):
            check_trust({"task": "evil:load"}, {}, tmp_path, trusted=True)


def test_what_is_not_code_needs_no_trust(tmp_path: Path) -> None:
    """Names of ours, with settings and without, and values of another type (which the recipe's check refuses)."""
    for recipe in (
        {"task": "digits", "metric": "recall@1", "proxy": "supcon"}, {"task": "emoji", "metric": "f_beta:beta=2"},
        {"task": ["a:b"], "metric": None}, {"task": "words", "proxy": "none"}, {},
    ):  # fmt: skip
        check_trust(recipe, named_files(recipe), tmp_path, trusted=False)


def test_a_name_that_is_nowhere(tmp_path: Path) -> None:
    """It is said that there is no such module."""
    with pytest.raises(InputError, match="no such module"):
        check_trust({"task": "no_such_package.module:load"}, {}, tmp_path, trusted=False)


def test_resume_of_a_received_folder(command: Command, stopped: Path) -> None:
    """The command refuses it before anything is loaded, and writes nothing."""
    config = stopped / "config.yaml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("task: digits", "task: received:load"), encoding="utf-8"
    )
    Path("received.py").write_text(MARK, encoding="utf-8")
    command("resume", stopped, "--quiet").refused("received:load", "received.py", "--trust")
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"task": "emoji", "data": {"cache": "/elsewhere"}}, ("data.cache", "'/elsewhere'")),
        ({"task": "emoji", "data": {"data": "../x", "dim": 8}}, ("data.data", "'../x'")),
        ({"task": "words", "data": {"folder": "~/a", "cache": "b"}}, ("data.folder '~/a'; data.cache 'b'",)),
        ({"task": "fashion-ap", "data": {"folder": 5}}, ("data.folder", "'5'")),
        ({"task": "imbalanced_f1", "data": {"file": "/etc/passwd"}}, ("data.file", "/etc/passwd")),
        (
            {"task": "boxes", "metric": "no_such:score", "data": {"cache": ""}},
            ("names code", "no_such:score", "It also names files", "data.cache ''"),
        ),
    ],
)
def test_files_that_a_received_recipe_names(recipe: dict[str, Any], words: tuple[str, ...]) -> None:
    """They are neither read nor written before the user trusts the folder, and each is named."""
    with pytest.raises(InputError) as caught:
        check_trust(recipe, named_files(recipe), Path("run"), trusted=False)
    assert all(word in str(caught.value) for word in (*words, "metricgrad resume run --trust"))
    check_trust(recipe, named_files(recipe), Path("run"), trusted=True)


def test_recipes_that_name_no_files() -> None:
    """Options left out or empty, of no mapping, of a task of the user's (which is asked about itself)."""
    for recipe in (
        {"task": "emoji", "data": {"cache": None, "data": None, "dim": 8}}, {"task": "digits", "data": {}},
        {"task": "emoji", "data": ["cache"]}, {"task": ["a"]}, {"task": "a:b", "data": {"cache": "c"}}, {},
    ):  # fmt: skip
        assert not named_files(recipe)


def test_a_received_cache_is_not_written(command: Command, stopped: Path, tmp_path: Path) -> None:
    """The folder that a received recipe names as its cache is not made."""
    config = stopped / "config.yaml"
    recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
    recipe["recipe"] |= {"task": "boxes", "data": {"cache": str(tmp_path / "planted")}}
    config.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    command("resume", stopped, "--quiet").refused("data.cache", "planted", "--trust")
    assert not (tmp_path / "planted").exists()


SHADOWS = (
    "typer",
    "rich",
    "click",
    "torch",
    "numpy",
    "yaml",
    "pydantic",
    "polars",
    "tabulate",
    "xarray",
    "sklearn",
)


@pytest.mark.parametrize(
    ("how", "arguments"),
    [
        ("-c", ["report", "nowhere"]),
        ("-m", ["report", "nowhere"]),
        ("PYTHONPATH", ["report", "nowhere"]),
        pytest.param("-c", ["tune", "digits", "--steps", "2", "--seeds", "1"], marks=pytest.mark.slow),
        pytest.param("-m", ["explain", "digits"], marks=pytest.mark.slow),
    ],
)
def test_the_current_folder_shadows_nothing(tmp_path: Path, how: str, arguments: list[str]) -> None:
    """Files of the current folder that have the names of libraries are not imported, however the command is started."""
    for name in SHADOWS:
        text = f"open('RAN-{name}', 'w').close()\nraise ImportError('mine')\n"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    start = ["-c", "import sys; from metricgrad.cli.main import main; sys.exit(main())"]
    environment = dict(os.environ)
    if how == "PYTHONPATH":  # an empty entry means the current folder, and is seldom meant
        environment["PYTHONPATH"] = f":{environment.get('PYTHONPATH', '/nowhere')}"
    program = [sys.executable, *(["-m", "metricgrad"] if how == "-m" else start), *arguments]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == (2 if "nowhere" in arguments else 0), done.stderr
    assert not list(tmp_path.glob("RAN-*"))


def test_the_path_of_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the interpreter or an empty PYTHONPATH put there is taken off; what the user named stays."""
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    for before, variable, after in (
        (["", "/lib"], "", ["/lib"]), ([here, "/lib"], "", ["/lib"]), (["/bin", "/lib"], "", ["/bin", "/lib"]),
        (["", here, "/lib"], here, [here, "/lib"]), (["", here, "/lib"], ":/lib", ["/lib"]),
        (["/bin", here, "/lib"], f"{here}:/lib", ["/bin", here, "/lib"]),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "path", list(before))
        monkeypatch.setenv("PYTHONPATH", variable)
        leave_current_folder()
        assert sys.path == after
