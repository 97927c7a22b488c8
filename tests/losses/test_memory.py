"""What contrastive losses of a large batch take: a bound on memory, in a process of its own."""

import subprocess
import sys

import pytest

ROWS, DIM, MOST = 16_384, 64, 2**30

SCRIPT = f"""
import resource, torch
from metricgrad import losses

def run(rows):
    embeddings = torch.randn(rows, {DIM}, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = {{loss}}(embeddings, torch.arange(rows) // 8)
    loss.mean().backward()
    assert bool(loss.isfinite().all()) and bool(embeddings.grad.isfinite().all())

run(64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run({ROWS})
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is counted in KiB on Linux only")
@pytest.mark.parametrize(
    "loss",
    [
        "losses.supcon_loss",
        f"losses.ExtendedSupConLoss(torch.randn({ROWS // 8}, {DIM}), anchors='all')",
        "losses.circle_loss",
        "(lambda rows, labels: losses.circle_loss(rows, labels, pooling='batch'))",
        "losses.info_nce_loss",
        f"losses.CircleClassLoss(torch.randn({ROWS // 8}, {DIM}))",
    ],
    ids=["supcon", "extended", "circle", "circle of the batch", "info_nce", "circle of classes"],
)
def test_a_large_batch_takes_less_than_a_gigabyte(loss: str) -> None:
    """Forward and backward of 16,384 rows, of which one matrix of all pairs alone would take one."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{loss}", loss)], capture_output=True, text=True, check=True
    )
    taken = int(done.stdout)
    print(f"{loss}: {taken / 2**20:.0f} MiB")
    assert taken < MOST
