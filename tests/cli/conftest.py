"""Commands run in this process: fast, with what they print and their exit code."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from metricgrad.cli.main import app
from tests.cli.outcome import Command, Outcome


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
