"""Commands run in this process: fast, with what they print and their exit code."""

import functools
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing
from typer.testing import CliRunner

from metricgrad.cli.main import app
from metricgrad.cli.progress import Drawing
from tests.cli.outcome import QUICK, Command, Outcome


@pytest.fixture(scope="session", autouse=True)
def _commands_are_built_once() -> Iterator[None]:
    """Building all commands from the signatures of their functions takes longer than most of them run."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(typer.testing, "_get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `metricgrad` with arguments, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METRICGRAD_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> Outcome:
        result = CliRunner().invoke(app, [str(item) for item in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def embeddings(tmp_path: Path) -> tuple[Path, Path]:
    """Files of 40 embeddings in ten classes of four, near their class's centre."""
    random = np.random.default_rng(0)
    labels = np.arange(40) % 10
    points = random.normal(size=(10, 8))[labels] + 0.8 * random.normal(size=(40, 8))
    np.save(tmp_path / "x.npy", points.astype(np.float32))
    (tmp_path / "y.csv").write_text("\n".join(map(str, labels)) + "\n", encoding="utf-8")
    return tmp_path / "x.npy", tmp_path / "y.csv"


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send SIGINT to this process when an arm has taken so many steps, once."""
    return lambda *when: _interrupt(monkeypatch, *when)


def _interrupt(monkeypatch: pytest.MonkeyPatch, arm: str, step: int, number: int = signal.SIGINT) -> None:
    seen, inner = [], Drawing.__call__

    def watch(self: Drawing, event: Mapping[str, Any]) -> None:
        inner(self, event)
        if (
            event["event"] == "progress"
            and event["what"].endswith(arm)
            and event["done"] == step
            and not seen
        ):
            seen.append(step)
            signal.raise_signal(number)

    monkeypatch.setattr(Drawing, "__call__", watch)


@pytest.fixture(scope="session")
def _stopped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        _interrupt(monkeypatch, "tuned", 3)
        result = CliRunner().invoke(app, ["tune", "digits", *QUICK, "--quiet", "--run", str(folder)])
    assert result.exit_code == 130, result.stderr
    return folder


@pytest.fixture
def stopped(_stopped_once: Path, tmp_path: Path) -> Path:
    """A run folder that was interrupted in the middle of an arm."""
    return Path(shutil.copytree(_stopped_once, tmp_path / "run"))
