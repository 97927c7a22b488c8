"""A pass over a split: the same batches for the same (seed, epoch), at any depth of wrappers, for every arm."""

import functools
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data import Subset as RowsOf

from metricgrad.errors import Interrupted
from metricgrad.pairing import ClassBatchSampler
from metricgrad.tune import Plan, Splits
from metricgrad.tune.loop import training_batches
from metricgrad.tune.passes import one_pass
from tests.tune.small_run import figures, same_weights, small_run, small_splits
from tests.tune.test_resume import Raiser

ITEMS = 24
ROWS = TensorDataset(torch.arange(float(ITEMS))[:, None], torch.arange(ITEMS) % 3)
OF_THE_MODULE = np.random.default_rng(1)


def generator() -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(3)


class Noisy(Dataset[Any]):
    """Rows with noise from a function that is given."""

    def __init__(self, noise: Any) -> None:
        self.noise = noise

    def __len__(self) -> int:
        """As many as the rows."""
        return ITEMS

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return a row, changed."""
        inputs, target = ROWS[index]
        return inputs + float(self.noise()), target


class Stream(IterableDataset[Any]):
    """Rows in an order drawn by a generator of its own."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def __iter__(self) -> Iterator[Any]:
        """Yield all rows."""
        yield from (ROWS[int(index)] for index in self.rng.permutation(ITEMS))


class Wrapped:
    """A loader in a wrapper, whose transform closes over a generator."""

    def __init__(self, loader: Any) -> None:
        own = np.random.RandomState(2)
        self.parts = {"loader": loader, "change": lambda: own.rand()}

    def __iter__(self) -> Iterator[Any]:
        """Yield changed batches."""
        for inputs, targets in self.parts["loader"]:
            yield inputs + self.parts["change"](), targets


def collated(items: list[Any]) -> Any:
    """Collate with noise of the module's own generator."""
    inputs = torch.stack([inputs for inputs, _ in items]) + OF_THE_MODULE.random()
    return inputs, torch.stack([target for _, target in items])


def seeded(rng: random.Random, worker: int) -> None:
    """Do what many do in a worker."""
    np.random.seed(rng.randrange(2**31) + worker)  # noqa: NPY002


def of_batches(sampler: Any) -> Any:
    """A loader of a sampler in a batch sampler."""
    return DataLoader(ROWS, batch_sampler=BatchSampler(sampler, 8, drop_last=False))


def shuffled(data: Any, **settings: Any) -> Any:
    """A loader that shuffles by the global state."""
    return DataLoader(data, 8, shuffle=not isinstance(data, IterableDataset), **settings)


LOADERS = {
    "inner random sampler": lambda: of_batches(RandomSampler(ROWS, generator=generator())),
    "inner subset sampler": lambda: of_batches(SubsetRandomSampler(range(20), generator=generator())),
    "inner weighted sampler": lambda: of_batches(
        WeightedRandomSampler([1.0] * ITEMS, ITEMS, generator=generator())
    ),
    "inner distributed sampler": lambda: of_batches(DistributedSampler(ROWS, num_replicas=2, rank=1)),
    "class batches": lambda: DataLoader(
        ROWS, batch_sampler=ClassBatchSampler(ROWS.tensors[1], classes_per_batch=2, samples_per_class=2)
    ),
    "noise of the global states": lambda: shuffled(Noisy(global_noise)),
    "noise of a generator in a closure": lambda: shuffled(
        Noisy(functools.partial(generator_noise, generator()))
    ),
    "concatenated": lambda: shuffled(
        RowsOf(ConcatDataset([ROWS, Noisy(random.Random(4).random)]), list(range(6, 40)))
    ),
    "iterable": lambda: shuffled(Stream()),
    "collated by the module's generator": lambda: shuffled(ROWS, collate_fn=collated),
    "wrapped": lambda: Wrapped(shuffled(ROWS, generator=generator())),
}
IN_WORKERS = {
    "persistent workers": lambda: shuffled(
        Noisy(global_noise),
        num_workers=2,
        persistent_workers=True,
        worker_init_fn=functools.partial(seeded, random.Random(0)),
    ),
    "workers with a generator of the dataset": lambda: shuffled(
        Stream(), num_workers=1, persistent_workers=True, generator=generator()
    ),
}


def global_noise() -> float:
    """Noise of all global states."""
    return random.random() + np.random.rand() + float(torch.rand(()))  # noqa: NPY002


def generator_noise(own: torch.Generator) -> Tensor:
    """Noise of a generator."""
    return torch.rand((), generator=own)


def batches_of(loader: Any, count: int, *, draws: int = 0) -> list[list[float]]:
    """The first batches, with so many draws from the global states between two of them."""
    found = []
    for inputs, _ in training_batches(loader, 0):
        found.append(inputs[:, 0].tolist())
        for _ in range(draws):
            global_noise()
        if len(found) == count:
            return found
    raise AssertionError("training batches end")


@pytest.mark.parametrize(
    "name", [*LOADERS, *(pytest.param(name, marks=pytest.mark.slow) for name in IN_WORKERS)]
)
def test_all_arms_see_the_same_batches(name: str) -> None:
    """Another arm, which draws otherwise between the batches, sees the same ones; another epoch has others."""
    loader = {**LOADERS, **IN_WORKERS}[name]()
    per_epoch = sum(1 for _ in one_pass(loader, 0, 0))
    first = batches_of(loader, 2 * per_epoch)
    assert batches_of(loader, 2 * per_epoch, draws=3) == first
    assert first[:per_epoch] != first[per_epoch:]


@pytest.mark.parametrize("name", ["inner random sampler", "iterable", "wrapped"])
def test_a_later_epoch_does_not_hang_on_the_ones_before(name: str) -> None:
    """What a resumed run draws first is what the uninterrupted one draws there."""
    loader = LOADERS[name]()
    in_order = [[inputs.tolist() for inputs, _ in one_pass(loader, 7, epoch)] for epoch in range(3)]
    assert [inputs.tolist() for inputs, _ in one_pass(LOADERS[name](), 7, 2)] == in_order[2]


@pytest.mark.slow
def test_a_nested_sampler_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """Killed in the second epoch and resumed in what could be another process: same bytes, same figures."""
    splits = small_splits()

    def run(folder: Path, **changes: Any) -> Any:
        data = TensorDataset(splits.fit.inputs, splits.fit.targets)
        sampler = RandomSampler(data, generator=generator())
        loader = DataLoader(data, batch_sampler=BatchSampler(sampler, 40, drop_last=False))
        return small_run(
            folder,
            splits=Splits(loader, splits.select, splits.test),
            seed=0,
            plan=Plan(steps=9, checkpoint_every=2),
            start_plan=None,
            **changes,
        )

    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", observer=Raiser("progress", 7, signal.SIGTERM))
    resumed = run(tmp_path / "cut")
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []
    assert figures(whole) == figures(resumed)
