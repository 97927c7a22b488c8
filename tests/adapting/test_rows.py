"""Rows of a memory map, read batch by batch."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from metricgrad.adapting.rows import rows_of


def _mapped_bytes() -> int:
    """Pages of files that count as memory of this process."""
    found = re.search(r"RssFile:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the system says there how much memory is of files")
def test_pages_are_given_back(tmp_path: Path) -> None:
    """32 MB were looked at; after the next rows they do not count any more, and hold what they held."""
    np.save(tmp_path / "x.npy", np.arange(2**23, dtype=np.float32).reshape(-1, 64))
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    total = float(array.sum(dtype=np.float64))
    before = _mapped_bytes()
    rows = rows_of(array, np.array([3, 1]))
    assert before - _mapped_bytes() > 2**24
    assert rows[:, 0].tolist() == [192.0, 64.0] and float(array.sum(dtype=np.float64)) == total


def test_what_was_written_to_a_private_copy_stays(tmp_path: Path) -> None:
    """A map that is copied on write holds numbers that no file has: nothing of it is given back."""
    np.save(tmp_path / "x.npy", np.zeros((4096, 8), np.float32))
    array = np.load(tmp_path / "x.npy", mmap_mode="c")
    array[5] = 7
    assert rows_of(array, np.array([0]))[0, 0] == 0 and rows_of(array, np.array([5]))[0, 0] == 7
