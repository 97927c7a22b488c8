"""What the second forward pass costs: a staged step against the plain one, time per sample, block by block.

    scripts/bench -k staged_backward

Encoder: an MLP of four layers of width 1,536 on 1,280 features. The plain step holds `CHUNK` rows in one graph, the
staged one embeds 16 times as many in chunks of that size: what one graph's memory budget holds, and 16 times that. The
loss is a linear one, so that it costs nothing in either. Bound: two forward passes and one backward pass (which costs
two) against one and one: 4/3. The blocks alternate, so that a machine that slows down slows both.
"""

import statistics
import time

import torch
from torch import Tensor, nn

from benchmarks.results import keep
from metricgrad.scale import StagedBackward

BLOCKS, CHUNK, TIMES = 4, 256, 16
FEATURES, WIDTH, DIM = 1280, 1536, 256
MOST = 1.5


def _encoder() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before in (FEATURES, WIDTH, WIDTH):
        layers += [nn.Linear(before, WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, DIM))


def _linear(embeddings: Tensor, targets: Tensor) -> Tensor:
    return (embeddings * targets).mean()


def _plain(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Seconds per sample of steps on batches of `CHUNK` rows."""
    began = time.perf_counter()
    for part, wanted in zip(inputs.split(CHUNK), targets.split(CHUNK), strict=True):
        model.zero_grad(set_to_none=True)
        _linear(model(part), wanted).backward()
    return (time.perf_counter() - began) / len(inputs)


def _staged(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Seconds per sample of one step on all rows."""
    model.zero_grad(set_to_none=True)
    step = StagedBackward(model, _linear, chunk=CHUNK)
    began = time.perf_counter()
    step(inputs, targets)
    return (time.perf_counter() - began) / len(inputs)


def test_staged_backward() -> None:
    """Print the ratio of the medians, and hold it under 1.5."""
    model = _encoder()
    inputs, targets = torch.randn(TIMES * CHUNK, FEATURES), torch.randn(TIMES * CHUNK, DIM)
    plain: list[float] = []
    staged: list[float] = []
    for block in range(BLOCKS + 1):
        times = _plain(model, inputs, targets), _staged(model, inputs, targets)
        if block:  # the first one warms up
            plain.append(times[0])
            staged.append(times[1])
    ratio = statistics.median(staged) / statistics.median(plain)
    print(
        f"\nstaged {1e6 * statistics.median(staged):.0f} us a sample (batch {TIMES * CHUNK:,}, chunk {CHUNK}), plain "
        f"{1e6 * statistics.median(plain):.0f} us (batch {CHUNK}), ratio {ratio:.3f} (medians of {BLOCKS}, "
        f"{torch.get_num_threads()} threads; bound 1.333)"
    )
    keep(
        "staged_backward",
        {
            "staged_us_per_sample": 1e6 * statistics.median(staged),
            "plain_us_per_sample": 1e6 * statistics.median(plain),
            "ratio": ratio,
        },
    )
    assert ratio < MOST
