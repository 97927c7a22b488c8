"""What `metricgrad bench ranks` compares, and the process that one of them is measured in.

Every contestant goes from unit embeddings through a loss to the embeddings' gradient. Two of them are no losses but
bounds: the products of matrices that a loss of similarities cannot do without.

`python -m metricgrad.cli.contestants '{...}'` serves one contestant on one batch: it answers every line that it reads
with a line of JSON, after one turn. Memory is that of the process, so that nothing else can hide or add any.
"""

import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch
from torch import Tensor

from metricgrad.losses.recall_at_k import recall_at_k_loss
from metricgrad.ranking import positive_ranks
from metricgrad.relax import kernels
from metricgrad.relax.rank import PositiveRanks

__all__ = ["CONTESTANTS", "KS", "PER_CLASS", "TEMPERATURE", "Batch", "Contestant", "batch_of", "serve"]

PER_CLASS, TEMPERATURE, KS = 4, 0.01, (1, 2, 4, 8, 16)

TURN_SECONDS = 0.2
"""A turn of a fast contestant is many calls, its time their mean: one call would measure caches that went cold."""

BLOCK_FLOATS = 2**26
"""Numbers of the block that the bounds write their product into: 256 MB, and no more for a larger batch."""

_WARM_UP_ROWS, _NOISES_OF_WARM_UP = 64, (2.0, 0.3)
_CLASSES_APART = 2.0
"""What torchsort gives a query itself: below every cosine, so that it comes last."""


class Batch(NamedTuple):
    """Unit rows [query, dim] and their labels, `PER_CLASS` rows each, in random order."""

    embeddings: Tensor
    labels: Tensor


class Contestant(NamedTuple):
    """Something that is measured.

    Attributes:
        name: as in the table and on the command line.
        line: what it is, in one line.
        prepare: from a batch to the call that is timed.
        floats: about how many float32 numbers it keeps at its peak, from batch and dimensions.
        power: its time grows like batch ** power.
        package: what must be importable, or None.
        kernel: value of METRICGRAD_KERNEL in its process, or None for the user's.
    """

    name: str
    line: str
    prepare: Callable[[Batch], Callable[[], object]]
    floats: Callable[[int, int], float]
    power: int = 2
    package: str | None = None
    kernel: str | None = None

    @property
    def importable(self) -> bool:
        """Whether the package that it needs is installed."""
        return self.package is None or importlib.util.find_spec(self.package) is not None


def batch_of(size: int, dims: int, noise: float) -> Batch:
    """Make a batch: class centre N(0, 1) + noise x N(0, 1), normalised, shuffled; the same one every time.

    Args:
        size: rows, a multiple of `PER_CLASS`.
        dims: dimensions of the embedding.
        noise: 2.0 gives an early embedding, whose classes overlap; 0.3 a trained one, whose classes are apart.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size // PER_CLASS).repeat_interleave(PER_CLASS)
    labels = labels[torch.randperm(size, generator=generator)]
    rows = torch.randn(size // PER_CLASS, dims, generator=generator)[labels]
    rows += noise * torch.randn(size, dims, generator=generator)
    return Batch(torch.nn.functional.normalize(rows), labels)


def _ours(batch: Batch) -> Callable[[], Tensor]:
    return _gradient(batch.embeddings, lambda leaf: positive_ranks(leaf, batch.labels, temperature=TEMPERATURE))


def _dense(batch: Batch) -> Callable[[], Tensor]:
    """Every step [query, positive, item] and every graph kept, as one would write it down."""
    positives, itself = _positives(batch.labels), torch.eye(len(batch.labels), dtype=torch.bool)

    def ranks_of(leaf: Tensor) -> PositiveRanks:
        scores = leaf @ leaf.T / TEMPERATURE
        others = scores.masked_fill(itself, -torch.inf)
        levels = scores.gather(1, positives)
        return _among_all(0.5 + torch.sigmoid(others.unsqueeze(1) - levels.unsqueeze(2)).sum(2))

    return _gradient(batch.embeddings, ranks_of)


def _soft_rank_of(package: str) -> Callable[[Batch], Callable[[], Tensor]]:
    """Soft ranks of all items of every query by isotonic regression, those of the positives picked."""

    def prepare(batch: Batch) -> Callable[[], Tensor]:
        soft_rank = importlib.import_module(package).soft_rank
        positives, itself = _positives(batch.labels), torch.eye(len(batch.labels), dtype=torch.bool)

        def ranks_of(leaf: Tensor) -> PositiveRanks:
            distances = -(leaf @ leaf.T).masked_fill(itself, -_CLASSES_APART)
            ranks = soft_rank(distances, regularization_strength=TEMPERATURE)
            return _among_all(ranks.gather(1, positives))

        return _gradient(batch.embeddings, ranks_of)

    return prepare


def _metric_learning(name: str, **settings: float) -> Callable[[Batch], Callable[[], Tensor]]:
    """A loss of pytorch-metric-learning; rows in class order, which SmoothAPLoss asks for."""

    def prepare(batch: Batch) -> Callable[[], Tensor]:
        loss = getattr(importlib.import_module("pytorch_metric_learning.losses"), name)(**settings)
        order = batch.labels.argsort(stable=True)
        rows, labels = batch.embeddings[order], batch.labels[order]

        def run() -> Tensor:
            leaf = rows.clone().requires_grad_()
            return torch.autograd.grad(loss(leaf, labels), leaf)[0]

        return run

    return prepare


def _product(batch: Batch) -> Callable[[], None]:
    """E E^T, written into one block of memory again and again."""
    rows = batch.embeddings
    block = _block(rows)

    def run() -> None:
        for part in rows.split(len(block)):
            torch.mm(part, rows.T, out=block[: len(part)])

    return run


def _three_products(batch: Batch) -> Callable[[], None]:
    """E E^T and, with a gradient G of its shape, G E and G^T E: a dense forward and backward pass without a loss."""
    rows = batch.embeddings
    block, of_queries, of_items = _block(rows), torch.empty_like(rows), torch.empty_like(rows)

    def run() -> None:
        of_items.zero_()
        for start in range(0, len(rows), len(block)):
            part = rows[start : start + len(block)]
            gradient = torch.mm(part, rows.T, out=block[: len(part)])
            torch.mm(gradient, rows, out=of_queries[start : start + len(part)])
            of_items.addmm_(gradient.T, part)

    return run


def _block(rows: Tensor) -> Tensor:
    return torch.empty(min(len(rows), max(1, BLOCK_FLOATS // len(rows))), len(rows))


def _gradient(embeddings: Tensor, ranks_of: Callable[[Tensor], PositiveRanks]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        leaf = embeddings.clone().requires_grad_()
        return torch.autograd.grad(recall_at_k_loss(ranks_of(leaf), k=KS).mean(), leaf)[0]

    return run


def _positives(labels: Tensor) -> Tensor:
    """The other rows of the class of each row, [query, positive]."""
    members = labels.argsort(stable=True).reshape(-1, PER_CLASS)[labels]  # [query, member]
    own = torch.arange(len(labels)).unsqueeze(1)
    return members[members != own].reshape(len(labels), PER_CLASS - 1)


def _among_all(ranks: Tensor) -> PositiveRanks:
    valid = torch.ones_like(ranks, dtype=torch.bool)
    return PositiveRanks(ranks, torch.ones_like(ranks), valid, torch.full((len(ranks),), len(ranks) - 1))


_PML = "pytorch_metric_learning"

CONTESTANTS = (
    Contestant("product", "bound: one product E E^T", _product, lambda n, d: min(n * n, BLOCK_FLOATS)),
    Contestant("products", "bound: E E^T, G E and G^T E", _three_products,
               lambda n, d: min(n * n, BLOCK_FLOATS) + 2 * n * d),
    Contestant("ours", "metricgrad.positive_ranks and recall_at_k_loss", _ours, lambda n, d: 6 * n * d),
    Contestant("plain", "the same in plain torch, METRICGRAD_KERNEL=torch", _ours,
               lambda n, d: min(4 * n * n, 2**27) + 6 * n * d, kernel="torch"),
    Contestant("dense", "dense torch, [query, positive, item] with autograd", _dense, lambda n, d: 16.0 * n * n),
    Contestant("SmoothAPLoss", "of pytorch-metric-learning", _metric_learning("SmoothAPLoss", temperature=0.01),
               lambda n, d: 6.0 * n**3, power=3, package=_PML),
    Contestant("FastAPLoss", "of pytorch-metric-learning", _metric_learning("FastAPLoss"),
               lambda n, d: 60.0 * n * n, package=_PML),
    Contestant("SupConLoss", "of pytorch-metric-learning", _metric_learning("SupConLoss"),
               lambda n, d: 20.0 * n * n, package=_PML),
    Contestant("torchsort", "soft_rank of torchsort and recall_at_k_loss", _soft_rank_of("torchsort"),
               lambda n, d: 10.0 * n * n, package="torchsort"),
    Contestant("torchpsort", "soft_rank of torchpsort and recall_at_k_loss", _soft_rank_of("torchpsort"),
               lambda n, d: 10.0 * n * n, package="torchpsort"),
)  # fmt: skip
"""All of them, in the order of the table."""


def serve(contestant: Contestant, size: int, dims: int, noise: float, lines: TextIO, out: TextIO) -> None:
    """Answer `ready`, then every line with one turn: seconds of a call, and extra memory at the peak so far.

    Args:
        contestant: what is measured.
        size: rows of the batch.
        dims: dimensions of its embeddings.
        noise: of its rows.
        lines: a line asks for a turn; the end of them ends it.
        out: where the answers go, as lines of JSON.
    """

    def answer(**facts: Any) -> None:
        out.write(json.dumps(facts) + "\n")
        out.flush()

    for warm_up in _NOISES_OF_WARM_UP:  # libraries, threads and compiled loops are there before memory is counted
        contestant.prepare(batch_of(_WARM_UP_ROWS, dims, warm_up))()
    batch = batch_of(size, dims, noise)
    before = _peak(reset=True)
    run = contestant.prepare(batch)
    answer(
        ready=True, threads=torch.get_num_threads(), torch=torch.__version__,
        kernel=kernels.chosen(batch.embeddings.device),
    )  # fmt: skip
    for _ in lines:
        calls, began = 0, time.perf_counter()
        while not calls or time.perf_counter() - began < TURN_SECONDS:
            run()
            calls += 1
        seconds, now = (time.perf_counter() - began) / calls, _peak()
        answer(seconds=seconds, peak_bytes=None if now is None or before is None else max(0, now - before))


def _peak(*, reset: bool = False) -> int | None:
    """Most bytes that the process has held, since the last reset where the system can do that."""
    if reset:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _main() -> None:
    asked = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a peer prints must not mix with the answers
    contestant = next(one for one in CONTESTANTS if one.name == asked["contestant"])
    try:
        serve(contestant, asked["batch"], asked["dims"], asked["noise"], sys.stdin, answers)
    except Exception as error:
        text = " ".join(str(error).split())
        answers.write(json.dumps({"error": f"{type(error).__name__}: {text[:200]}"}) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
