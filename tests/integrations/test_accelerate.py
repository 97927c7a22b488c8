"""A loss of ours in a loop of Accelerate: alone, and over the rows of two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

import metricgrad as mg
from tests.integrations.accelerate_program import batch, step
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("accelerate")
ROOT = Path(__file__).parents[2]


def test_a_step_is_that_of_plain_torch():
    """With one process the gradients are those of a loop without Accelerate."""
    inputs, labels = batch()
    torch.manual_seed(1)
    model = nn.Linear(5, 3)
    mg.RankingLoss(mg.losses.recall_at_k_loss, temperature=0.1)(model(inputs), labels).backward()
    found = step(Accelerator(cpu=True))
    torch.testing.assert_close(found, {name: value.grad for name, value in model.named_parameters()})


def test_two_processes_rank_the_rows_of_both(tmp_path: Path):
    """Each holds half of the batch, and the gradients are those of the whole one."""
    file = tmp_path / "gradients.safetensors"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*command, "tests.integrations.accelerate_program", str(file)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(load_file(file), step(Accelerator(cpu=True)))


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/accelerate.md is a program; the loss raises the metric far above 1/8, that of chance."""
    assert run_page("accelerate.md", tmp_path, monkeypatch).value > 0.5
