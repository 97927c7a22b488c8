"""The process that compiles the kernels gets the bits that later ones get from what it kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib
import torch
import metricgrad as mg
from metricgrad.direct import Contingency, DirectLoss, Interleaving

torch.set_num_threads(2)
generator = torch.Generator().manual_seed(0)
for rows, dim, step in ((64, 16, "logistic"), (600, 48, "logistic"), (64, 16, "laplace")):
    points = torch.randn(rows, dim, generator=generator).requires_grad_()
    loss = mg.RankingLoss(mg.losses.recall_at_k_loss, k=(1, 2, 4), temperature=0.05, step=step)
    loss(points, torch.arange(rows) // 8).backward()
    print(hashlib.sha256(points.grad.numpy().tobytes()).hexdigest())
for structure in (Interleaving("average_precision"), Contingency("f_beta")):
    scores = torch.randn(4, 300, generator=generator).requires_grad_()
    targets = (torch.rand(4, 300, generator=generator) > 0.7).long()
    DirectLoss(structure)(scores, targets).mean().backward()
    print(hashlib.sha256(scores.grad.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_who_compiles_gets_the_same_bits(tmp_path: Path) -> None:
    """Two processes, one cache: the first fills it, the second reads it."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc")), "nothing was kept: the second process compiled, too"
    assert len(first.stdout.split()) == 5
    assert second.stdout == first.stdout
