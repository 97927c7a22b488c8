"""The reading of oracle files itself: other files run unchanged, and what is not known fails."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.oracles_json.reading import hold, same

ROOT = Path(__file__).parents[2]


def case(**change: Any) -> dict[str, Any]:
    """A case that passes with `double`, changed."""
    row = {"operation": "double", "name": "one", "inputs": {"x": 2}, "params": {}, "expected": {"value": 4.0}}
    return row | {"tolerance": 1e-9} | change


def double(row: Any) -> dict[str, Any]:
    """An operation."""
    if row["inputs"]["x"] < 0:
        raise ValueError("negative")
    return {"value": 2.0 * row["inputs"]["x"], "defined": None}


def test_a_case_that_holds():
    """The right value, an undefined one and an expected error."""
    hold(case(), {"double": double})
    hold(case(expected={"value": 4, "defined": None}), {"double": double})
    hold(case(inputs={"x": -1}, expected={"raises": "ValueError"}), {"double": double})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "triple"}, "no operation 'triple'"),
        ({"expected": {"other": 1}}, "gives no 'other'"),
        ({"expected": {"value": 4.1}}, "Expected 4.1"),
        ({"expected": {"value": None}}, "is defined"),
        ({"expected": {"value": [4.0]}}, "is no list"),
        ({"expected": {"defined": 1.0}}, "1.0 expected"),
        ({"expected": {"raises": "ValueError"}}, "DID NOT RAISE"),
    ],
)
def test_a_case_that_does_not_hold(change, message):
    """An unknown operation or key, another value and an error that does not come: each fails."""
    with pytest.raises((AssertionError, pytest.fail.Exception), match=re.escape(message)):
        hold(case(**change), {"double": double})


def test_lists_are_compared_entry_by_entry():
    """Another length fails, and so does one entry."""
    same([[1.0], [2.0, None]], [[1.0], [2.0, None]], 0, "here")
    with pytest.raises(AssertionError, match="2 entries, 1 expected"):
        same([1.0, 2.0], [1.0], 0, "here")
    with pytest.raises(AssertionError, match=re.escape("here[1]")):
        same([1.0, 2.0], [1.0, 2.5], 0, "here")


@pytest.mark.slow
def test_another_file_runs_unchanged(tmp_path):
    """A file of the same format, as a plain list, with new names and values; its unknown operation fails."""
    recall = {
        "operation": "recall_at_k_loss",
        "name": "never seen",
        "inputs": {"similarities": [[0.3]], "relevance": [[True]], "query_item": [None]},
        "params": {"preset": "paper", "ks": [1, 2]},
        "expected": {"loss": 0.3844707106849976, "valid_queries": 1},
        "tolerance": 1e-9,
    }
    wrong = {**recall, "name": "wrong", "expected": {"loss": 0.5}}
    unknown = {**recall, "name": "unknown", "operation": "recall_at_most_k"}
    parameter = {**recall, "name": "parameter", "params": {"ks": [1], "colour": "red"}}
    rows = [recall, wrong, unknown, parameter]
    (tmp_path / "recall_at_k.json").write_text(json.dumps(rows), encoding="utf-8")
    chosen = ["-m", "not slow", "tests/oracles_json/test_recall_at_k.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    environment = os.environ | {"METRICGRAD_ORACLES": str(tmp_path), "METRICGRAD_KERNEL": "torch"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "3 failed, 1 passed" in done.stdout, done.stdout
    assert "no operation 'recall_at_most_k'" in done.stdout
    assert "unknown parameter 'colour'" in done.stdout
    assert "Expected 0.5" in done.stdout


@pytest.mark.parametrize("name", ["recall_at_k.json", "recall_at_k.npz", "contrastive.json"])
def test_the_files_are_there(name):
    """A missing file would be an empty test."""
    assert (ROOT / "tests" / "data" / "oracles" / name).stat().st_size > 0
