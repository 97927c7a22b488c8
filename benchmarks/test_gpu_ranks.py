"""Soft ranks on a CUDA device, forward and backward, beside the dense torch form and one product.

    scripts/bench -k gpu_ranks

Batches of 4,096 to 65,536 unit rows of 512 dimensions in float32, 4 per class, shuffled; recall@k surrogate with k =
1, 2, 4, 8, 16 at temperature 0.01, to the gradient of the embeddings; medians of 5. Both an early embedding, whose
classes overlap (noise 2.0), and a trained one (noise 0.3). Each batch is measured with the Triton programs, with the
tiles of plain torch, and with the dense form as long as [query, positive, item] fits the memory; the measure is
E E^T in blocks of rows, without a gradient.
"""

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.results import keep
from metricgrad.losses.recall_at_k import recall_at_k_loss
from metricgrad.ranking import positive_ranks
from metricgrad.relax.rank import PositiveRanks

BATCHES = (4096, 8192, 16384, 32768, 65536)
NOISES = (2.0, 0.3)
DIM, PER_CLASS, TEMPERATURE, REPEATS = 512, 4, 0.01, 5
BLOCK_ROWS = 4096


def _batch(size: int, noise: float, device: str) -> tuple[Tensor, Tensor]:
    """Return unit rows around class centres, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size // PER_CLASS).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(size, generator=generator)]
    rows = torch.randn(size // PER_CLASS, DIM, generator=generator)[labels]
    rows += noise * torch.randn(size, DIM, generator=generator)
    return torch.nn.functional.normalize(rows).to(device), labels.to(device)


def _positives(labels: Tensor) -> Tensor:
    """Return the other rows of the class of each row, [query, positive], all classes being equally large."""
    members = labels.argsort(stable=True).reshape(-1, PER_CLASS)[labels]  # [query, member]
    own = torch.arange(len(labels), device=labels.device).unsqueeze(1)
    return members[members != own].reshape(len(labels), PER_CLASS - 1)


def _dense(embeddings: Tensor, positives: Tensor) -> PositiveRanks:
    """Return soft ranks among all items, with every step and every graph kept."""
    size = len(embeddings)
    scores = embeddings @ embeddings.T / TEMPERATURE
    levels = scores.gather(1, positives)
    itself = torch.eye(size, dtype=torch.bool, device=embeddings.device)
    above = scores.masked_fill(itself, -torch.inf).unsqueeze(1) - levels.unsqueeze(
        2
    )  # [query, positive, item]
    ranks = 0.5 + torch.sigmoid(above).sum(2)
    competitors = torch.full((size,), size - 1, device=embeddings.device)
    return PositiveRanks(ranks, torch.ones_like(ranks), torch.ones_like(ranks, dtype=torch.bool), competitors)


def _gradient(ranks_of: Callable[[Tensor], PositiveRanks], embeddings: Tensor) -> Tensor:
    leaf = embeddings.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(recall_at_k_loss(ranks_of(leaf)).mean(), leaf)
    return gradient


def _product(embeddings: Tensor, block: Tensor) -> None:
    for start in range(0, len(embeddings), BLOCK_ROWS):
        rows = embeddings[start : start + BLOCK_ROWS]
        torch.mm(rows, embeddings.T, out=block[: len(rows)])


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds and the peak of memory in GiB, beyond what was held before."""
    seconds = []
    held = torch.cuda.memory_allocated()
    for _ in range(REPEATS + 1):  # the first one compiles and warms up
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), (torch.cuda.max_memory_allocated() - held) / 2**30


def _agree(gradients: dict[str, Tensor]) -> None:
    largest = gradients["torch"].abs().max().item()
    for gradient in gradients.values():
        torch.testing.assert_close(gradient, gradients["torch"], rtol=0, atol=1e-3 * largest)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("size", BATCHES)
def test_gpu_ranks(size: int, noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Print times, memory and ratios; the gradients of the overlapping embedding agree."""
    embeddings, labels = _batch(size, noise, "cuda")
    positives = _positives(labels)

    def tiled(leaf: Tensor) -> PositiveRanks:
        return positive_ranks(leaf, labels, temperature=TEMPERATURE)

    block = torch.empty(BLOCK_ROWS, size, device="cuda")
    product, _ = _measured(lambda: _product(embeddings, block))
    del block
    figures, gradients = {"product_ms": 1e3 * product}, {}
    for name, ranks_of in (
        ("triton", tiled),
        ("torch", tiled),
        ("dense", lambda leaf: _dense(leaf, positives)),
    ):
        monkeypatch.setenv("METRICGRAD_KERNEL", "triton" if name == "triton" else "torch")
        try:
            seconds, memory = _measured(lambda ranks_of=ranks_of: _gradient(ranks_of, embeddings))
            gradients[name] = _gradient(ranks_of, embeddings)
        except torch.OutOfMemoryError:
            print(f"\n{name} at batch {size}: out of memory")
            torch.cuda.empty_cache()
            continue
        figures |= {
            f"{name}_ms": 1e3 * seconds,
            f"{name}_gib": memory,
            f"{name}_to_product": seconds / product,
        }
    print(f"\nbatch {size}, noise {noise}, {torch.cuda.get_device_name()}")
    for name in gradients:
        print(
            f"  {name:7}{figures[f'{name}_ms']:10.2f} ms {figures[f'{name}_to_product']:8.2f} x one product "
            f"{figures[f'{name}_to_product'] / 3:8.2f} x three {figures[f'{name}_gib']:8.3f} GiB"
        )
    if noise == max(NOISES):  # of a separated embedding only the noise of float32 is left
        _agree(gradients)
    keep(
        f"gpu_ranks on {torch.cuda.get_device_name()}",
        {f"batch {size} noise {noise} {figure}": value for figure, value in figures.items()},
    )
