"""Trainers over two gloo processes whose losses take the rows of both: weights and losses of one process."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.integrations.gathering import of_all_processes, processes
from tests.integrations.trainer_program import APART, CASES, GATHERED, run
from tests.integrations.two_processes import in_two_processes

SENTENCES = pytest.mark.integration("sentence-transformers")
CLASSES = pytest.mark.integration("transformers")


def result(folder: Path) -> tuple[dict[str, Tensor], list[float]]:
    """What a program has written."""
    return load_file(folder / "weights.safetensors"), json.loads((folder / "losses.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have left the weights of all cases, gathered and apart."""
    folder = tmp_path_factory.mktemp("together")
    in_two_processes("tests.integrations.trainer_program", folder)
    return folder


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=CLASSES if case.startswith("classes") else SENTENCES) for case in CASES]
)
def test_two_processes_are_one(case: str, together: Path, tmp_path: Path):
    """In float64, after three steps; without gathering the weights are others."""
    run(tmp_path, case, gather=True, processes=1)
    weights, losses = result(tmp_path)
    found, found_losses = result(together / f"{case}, {GATHERED}")
    torch.testing.assert_close(found, weights, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found_losses, losses, rtol=1e-4, atol=2e-4)  # the log rounds them
    with pytest.raises(AssertionError):
        torch.testing.assert_close(result(together / f"{case}, {APART}")[0], weights, rtol=1e-4, atol=1e-4)


@CLASSES
def test_what_cannot_be_gathered_is_named():
    """Labels that are no tensor; one process gets its own rows."""
    assert processes() == 1
    rows = torch.ones(3, 2, requires_grad=True)
    assert of_all_processes("here", "outputs", rows) is rows
    with pytest.raises(InputError, match=r"here: labels are a list of 2 .*one row per item"):
        of_all_processes("here", "labels", ["a", "b"])
