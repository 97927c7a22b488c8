"""What contrastive losses of a large batch take: a bound on memory, in a process of its own.

The peak is VmHWM: ru_maxrss begins with that of the parent, so that a large one hides it.
"""

import subprocess
import sys

import pytest

ROWS, DIM, MOST = 16_384, 64, 2**30

SCRIPT = f"""
import re, torch
from pathlib import Path
from metricgrad import losses

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def run(rows):
    embeddings = torch.randn(rows, {DIM}, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = {{loss}}(embeddings, torch.arange(rows) // 8)
    loss.mean().backward()
    assert bool(loss.isfinite().all()) and bool(embeddings.grad.isfinite().all())

run(64)
before = peak()
run({ROWS})
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks stand in /proc")
@pytest.mark.parametrize(
    "loss",
    [
        "losses.supcon_loss",
        f"losses.ExtendedSupConLoss(torch.randn({ROWS // 8}, {DIM}), anchors='all')",
        "losses.circle_loss",
        "(lambda rows, labels: losses.circle_loss(rows, labels, pooling='batch'))",
        "losses.info_nce_loss",
        "losses.hardest_triplet_loss",
        f"losses.CircleClassLoss(torch.randn({ROWS // 8}, {DIM}))",
    ],
    ids=["supcon", "extended", "circle", "circle of the batch", "info_nce", "hardest", "circle of classes"],
)
def test_a_large_batch_takes_less_than_a_gigabyte(loss: str) -> None:
    """Forward and backward of 16,384 rows, of which one matrix of all pairs alone would take one."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{loss}", loss)], capture_output=True, text=True, check=True
    )
    taken = int(done.stdout)
    print(f"{loss}: {taken / 2**20:.0f} MiB")
    assert 0 < taken < MOST
