"""What `tune` adds to a training step: the same step in a bare PyTorch loop, side by side, block by block.

    scripts/bench -k step_overhead

Batch 1,024 of 1,280 features, a head to 256 dimensions, recall@k surrogate, AdamW, gradient clipping. Evaluations and
checkpoints are left out of both. The blocks alternate, so that a machine that slows down slows both.
"""

import itertools
import statistics
import time

import torch

from benchmarks.results import keep
from metricgrad import losses
from metricgrad.methods.descent import DescentSettings
from metricgrad.ranking import RankingLoss
from metricgrad.tasks.film_head import FilmHead
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Splits, tune

BLOCKS, STEPS = 8, 26  # the first step of a block warms up: 8 * 25 = 200 steps are counted
SETTINGS = DescentSettings(learning_rate=1e-4, weight_decay=0.1, schedule="constant", warmup=0.0)


def _splits() -> Splits:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(600).repeat_interleave(4)
    inputs = torch.randn(600, 1280, generator=generator)[labels] + torch.randn(
        2400, 1280, generator=generator
    )
    fit = ClassBatchSplit(inputs, labels, classes_per_batch=256, samples_per_class=4)
    return Splits(fit, ArraySplit(inputs[:32], labels[:32] + 600))


def _model(_seed: int) -> torch.nn.Module:
    return FilmHead(torch.zeros(1280), torch.ones(1280), dim=256)


def _tuned(splits: Splits) -> list[float]:
    stamps: list[float] = []

    def observer(event) -> None:
        if event["event"] == "progress":
            stamps.append(time.perf_counter())

    tune(
        _model,
        splits,
        metric="recall@1",
        method="surrogate:recall_at_k",
        settings=SETTINGS.model_dump(),
        plan=Plan(steps=STEPS, evaluate_every=STEPS, checkpoint_every=STEPS),
        observer=observer,
    )
    return [after - before for before, after in itertools.pairwise(stamps)]


def _bare(splits: Splits) -> list[float]:
    model = _model(0)
    criterion = RankingLoss(losses.recall_at_k_loss, temperature=0.05)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1)
    stamps, batches = [], iter(splits.fit)
    for _ in range(STEPS):
        try:
            inputs, targets = next(batches)
        except StopIteration:
            batches = iter(splits.fit)
            inputs, targets = next(batches)
        optimiser.zero_grad(set_to_none=True)
        loss = criterion(model(inputs), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loss.item()
        stamps.append(time.perf_counter())
    return [after - before for before, after in itertools.pairwise(stamps)]


def test_step_overhead() -> None:
    """Print the ratio of the medians of 200 steps."""
    splits = _splits()
    tuned: list[float] = []
    bare: list[float] = []
    for _ in range(BLOCKS):
        bare += _bare(splits)
        tuned += _tuned(splits)
    ratio = statistics.median(tuned) / statistics.median(bare)
    print(
        f"\nstep of tune {1e3 * statistics.median(tuned):.1f} ms, bare loop {1e3 * statistics.median(bare):.1f} ms, "
        f"ratio {ratio:.3f} (medians of {len(tuned)} and {len(bare)} steps, {torch.get_num_threads()} threads)"
    )
    assert len(bare) == BLOCKS * (STEPS - 1)
    keep(
        "step_overhead",
        {"tune_ms": 1e3 * statistics.median(tuned), "bare_ms": 1e3 * statistics.median(bare), "ratio": ratio},
    )
