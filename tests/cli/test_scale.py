"""Many vectors through the command line: the memory of whole processes is bounded."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.followed import follow
from benchmarks.million import COMMANDS
from benchmarks.million_data import make

ITEMS, QUERIES = 200_000, 2_000
MOST_BYTES = 1.6e9 + 2.4e9 * ITEMS / 1_000_000
"""4 GB for 1,000,000 x 384: what grows with the documents in proportion, beside the libraries, select and blocks."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, written once."""
    found = tmp_path_factory.mktemp("many")
    make(found, ITEMS, QUERIES)
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("scale")  # the files are written once
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", COMMANDS)
def test_memory_is_bounded(folder: Path, name: str) -> None:
    """The pages of the mapped file included: 307 MB of 200,000 x 384."""
    words = COMMANDS[name]
    if words[0] == "adapt":
        words = [*words, "--method", "none"]  # closed forms, and all documents for test
    path = os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))
    threads = {"OMP_NUM_THREADS": "2"}  # every thread has blocks of its own
    environment = {**os.environ, "PYTHONPATH": path, **threads}
    found = follow([sys.executable, "-m", "metricgrad", *words], folder=folder, environment=environment)
    assert f"{ITEMS:,}" in found.printed
    assert 307e6 < found.peak_bytes < MOST_BYTES
    assert found.own_bytes < found.peak_bytes
