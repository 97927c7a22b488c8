"""Each tutorial runs as it stands, and prints what it shows."""

from pathlib import Path

import pytest
import torch

from tests.cli.outcome import Command
from tests.docs_pages.running import DOCS, assert_same, outputs

TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs(page: Path, tmp_path: Path, command: Command) -> None:
    """From its first block to its last."""
    pytest.importorskip("sklearn")
    with torch.random.fork_rng(devices=[]):
        found = list(outputs(page, tmp_path, command))
    assert found
    for one in found:
        assert_same(*one)
